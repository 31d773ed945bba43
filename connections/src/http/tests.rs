//! The client against a real server that misbehaves.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use pipectl_engine::{
    connection::{Connection, Origin},
    operator::{Fault, TaskError},
    project::Project,
    secret::Secret,
    time::SystemClock,
};
use pipectl_test_support::{ApiOptions, ApiTrouble, TestApi};
use serde_json::json;

use super::{Answer, Call, Caller, HttpClient, Patience, Target};

const PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(5),
    retries: 3,
    longest_wait: Duration::from_secs(3),
    max_bytes: 1_000_000,
};

fn connection(url: &str, settings: &[(&str, &str)]) -> Connection {
    let settings = settings
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Connection {
        name: "api".to_owned(),
        url: Secret::new(url.to_owned()),
        settings: settings.collect::<BTreeMap<_, _>>(),
        origin: Origin::File,
    }
}

fn client(url: &str, settings: &[(&str, &str)]) -> Result<HttpClient, TaskError> {
    HttpClient::of(&Project::default(), &connection(url, settings), None)
}

fn get(path: &str) -> Call {
    Call::get(Target::Path(path.to_owned()))
}

/// Sends a call; answers with what was told meanwhile, too.
async fn told(
    client: &HttpClient,
    call: &Call,
    patience: &Patience,
) -> (Result<Answer, TaskError>, Vec<String>) {
    let lines = Mutex::new(Vec::new());
    let tell = |line: String| lines.lock().unwrap().push(line);
    let caller = Caller {
        clock: &SystemClock,
        tell: &tell,
    };
    let answer = client.send(call, patience, &caller).await;
    let lines = lines.lock().unwrap().clone();
    (answer, lines)
}

async fn send(client: &HttpClient, path: &str) -> Result<Answer, TaskError> {
    told(client, &get(path), &PATIENCE).await.0?.success()
}

#[tokio::test]
async fn what_goes_wrong_for_a_while_is_tried_again() {
    let api = TestApi::start();
    let client = client(&api.url(), &[]).unwrap();
    api.trouble([
        ApiTrouble::Status(500),
        ApiTrouble::Reset,
        ApiTrouble::TooMany("1".to_owned()),
    ]);
    let start = Instant::now();
    let (answer, told) = told(&client, &get("records/page"), &PATIENCE).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.tries), (200, 4));
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].contains("answered 500 Internal Server Error; again in 0."),
        "{told:?}"
    );
    assert!(told[1].contains("broke off"), "{told:?}");
    assert!(
        told[2].contains("answered 429 Too Many Requests; again in 1.0 s"),
        "{told:?}"
    );
    api.trouble(vec![ApiTrouble::Status(503); 4]);
    let short = Patience {
        retries: 1,
        ..PATIENCE
    };
    let error = self::told(&client, &get("records/page"), &short)
        .await
        .0
        .unwrap()
        .success()
        .unwrap_err();
    assert_eq!((error.fault, error.retryable), (Fault::External, true));
    assert!(
        error
            .message
            .ends_with("/records/page` answered 503 Service Unavailable to 2 tries: out of order"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn what_changes_something_is_sent_again_only_when_it_was_not_heard() {
    let api = TestApi::start();
    let client = client(&api.url(), &[]).unwrap();
    let post = Call::post(Target::Path("echo".to_owned())).json(&json!({"a": 1}));
    for (trouble, calls) in [
        (ApiTrouble::Status(500), 1),
        (ApiTrouble::Reset, 1),
        (ApiTrouble::TooMany("0".to_owned()), 2),
    ] {
        let before = api.calls().len();
        api.trouble([trouble.clone()]);
        let _answer = told(&client, &post, &PATIENCE).await;
        assert_eq!(api.calls().len() - before, calls, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_pause_that_nobody_waits_for_is_told() {
    let api = TestApi::start();
    let client = client(&api.url(), &[]).unwrap();
    for (after, waited) in [
        ("86400", false),
        ("99999999999999999999999", false),
        ("-5", true),
        ("soon", true),
    ] {
        api.trouble([ApiTrouble::TooMany(after.to_owned())]);
        let (answer, told) = told(&client, &get("records/page"), &PATIENCE).await;
        if waited {
            assert_eq!(answer.unwrap().tries, 2, "{after}");
            let said = format!("(its `Retry-After: {after}` is neither seconds nor a date)");
            assert!(told[0].contains(&said), "{told:?}");
        } else {
            let error = answer.unwrap_err();
            assert!(error.retryable);
            assert!(
                error.message.contains("wants to be left alone for"),
                "{}",
                error.message
            );
            assert!(
                error
                    .message
                    .ends_with("longer than the 3 s that are waited"),
                "{}",
                error.message
            );
        }
    }
}

#[tokio::test]
async fn answers_have_limits() {
    let api = TestApi::start();
    let client = client(&api.url(), &[]).unwrap();
    let small = Patience {
        max_bytes: 100,
        ..PATIENCE
    };
    let error = told(&client, &get("records/page"), &small)
        .await
        .0
        .unwrap_err();
    assert!(
        error
            .message
            .ends_with("/records/page` is larger than 100 bytes"),
        "{}",
        error.message
    );
    api.trouble([ApiTrouble::Slow(Duration::from_secs(30))]);
    let hasty = Patience {
        timeout: Duration::from_millis(200),
        retries: 0,
        ..PATIENCE
    };
    let error = told(&client, &get("records/page"), &hasty)
        .await
        .0
        .unwrap_err();
    assert_eq!((error.fault, error.retryable), (Fault::External, true));
    assert!(
        error.message.contains("did not answer"),
        "{}",
        error.full_message()
    );
}

#[tokio::test]
async fn answers_come_packed() {
    use std::io::Write as _;
    let packed = |content: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let api = TestApi::start();
    let client = client(&api.url(), &[]).unwrap();
    let records = json!([{"id": 1, "note": "x".repeat(10_000)}]);
    let gzip = packed(records.to_string().as_bytes());
    assert!(gzip.len() < 200);
    api.serve_file("packed", gzip.clone(), Some("gzip"));
    let answer = send(&client, "files/packed").await.unwrap();
    assert_eq!(answer.json().unwrap(), records);
    let asked = api.calls().pop().unwrap();
    assert_eq!(asked.headers["accept-encoding"], "gzip");
    // Small on the way, larger than allowed when it is unpacked.
    api.serve_file("bomb", packed(&vec![b' '; 20_000_000]), Some("gzip"));
    api.serve_file("cut", &gzip[..gzip.len() - 5], Some("gzip"));
    api.serve_file("none", "", Some("gzip"));
    api.serve_file("other", "x", Some("br"));
    for (path, message) in [
        ("bomb", "/files/bomb` is larger than 1000000 bytes"),
        (
            "other",
            "/files/other` is packed by `br`, which nobody has asked for",
        ),
    ] {
        let error = send(&client, &format!("files/{path}")).await.unwrap_err();
        assert_eq!(error.fault, Fault::User, "{path}");
        assert!(error.message.ends_with(message), "{}", error.message);
    }
    assert!(send(&client, "files/none").await.unwrap().body.is_empty());
    let once = Patience {
        retries: 0,
        ..PATIENCE
    };
    let error = told(&client, &get("files/cut"), &once).await.0.unwrap_err();
    assert_eq!((error.fault, error.retryable), (Fault::External, true));
    assert!(
        error.message.contains("is damaged or cut off"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn what_is_no_json_is_told() {
    let api = TestApi::start();
    let client = client(&api.url(), &[]).unwrap();
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    for (trouble, message) in [
        (
            ApiTrouble::Html,
            "with HTML, where JSON was expected: <!DOCTYPE html>",
        ),
        (
            ApiTrouble::Text(deep),
            "with JSON that is nested deeper than 128 levels",
        ),
        (
            ApiTrouble::Text("{\"a\": 1,}".to_owned()),
            "with what is no JSON at line 1, column 9 (trailing comma): {\"a\": 1,}",
        ),
        (
            ApiTrouble::Text(String::new()),
            "with nothing, where JSON was expected",
        ),
    ] {
        api.trouble([trouble]);
        let error = send(&client, "records/page")
            .await
            .unwrap()
            .json()
            .unwrap_err();
        assert!(error.message.contains(message), "{}", error.message);
    }
}

#[tokio::test]
async fn callers_say_who_they_are_and_nobody_reads_it() {
    let basic = "Basic bWU6czNjcmV0";
    for (url, settings, expected) in [
        ("", vec![("auth.bearer", "s3cret")], "Bearer s3cret"),
        ("", vec![("auth.header.Authorization", "s3cret")], "s3cret"),
        (
            "",
            vec![
                ("auth.basic.username", "me"),
                ("auth.basic.password", "s3cret"),
            ],
            basic,
        ),
        ("me:s3cret@", vec![], basic),
    ] {
        let api = TestApi::with(ApiOptions {
            authorization: Some(expected.to_owned()),
            ..ApiOptions::default()
        });
        let address = api.url().replace("//", &format!("//{url}"));
        let known = client(&address, &settings).unwrap();
        assert!(send(&known, "value").await.is_ok(), "{expected}");
        assert!(!format!("{known:?}").contains("s3cret"));
        // The server repeats what it was sent.
        let wrong = settings.iter().map(|(key, _)| (*key, "wr0ng-one"));
        let unknown = client(&api.url(), &wrong.collect::<Vec<_>>()).unwrap();
        let error = send(&unknown, "value").await.unwrap_err();
        assert_eq!(error.fault, Fault::User);
        assert!(
            error.message.contains("answered 401 Unauthorized"),
            "{}",
            error.message
        );
        assert!(!error.message.contains("wr0ng-one"), "{}", error.message);
    }
}

#[tokio::test]
async fn a_token_is_fetched_once() {
    let api = TestApi::with(ApiOptions {
        authorization: Some("Bearer t0ken".to_owned()),
        ..ApiOptions::default()
    });
    let token_url = format!("{}/token", api.url());
    let mut settings = vec![
        ("auth.oauth2.token_url", token_url.as_str()),
        ("auth.oauth2.client_id", "pipectl"),
        ("auth.oauth2.client_secret", "correct horse"),
        ("auth.oauth2.scope", "read write"),
    ];
    let known = client(&api.url(), &settings).unwrap();
    for _ in 0..3 {
        send(&known, "value").await.unwrap();
    }
    let calls = api.calls();
    let tokens: Vec<_> = calls.iter().filter(|call| call.path == "/token").collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(
        tokens[0].body,
        "grant_type=client_credentials&scope=read+write"
    );
    settings[2].1 = "wrong";
    let error = send(&client(&api.url(), &settings).unwrap(), "value")
        .await
        .unwrap_err();
    assert!(
        error
            .message
            .contains("/token` gave no token: 401 Unauthorized"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn credentials_stay_with_their_server() {
    let own = TestApi::start();
    let other = TestApi::start();
    let settings = [
        ("auth.bearer", "s3cret"),
        ("headers.X-Team", "data"),
        ("query.token", "qu3ry"),
    ];
    let known = client(&own.url(), &settings).unwrap();
    send(&known, "away?to=/value").await.unwrap();
    // The other one has the same address, another port, and was chosen by nobody but this machine's name is.
    send(&known, &format!("away?to={}/value", other.url()))
        .await
        .unwrap();
    let seen = |api: &TestApi| {
        let call = api
            .calls()
            .into_iter()
            .find(|call| call.path == "/value")
            .unwrap();
        (
            call.headers.get("authorization").cloned(),
            call.headers.get("x-team").cloned(),
            call.query.get("token").cloned(),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen(&own),
        (some("Bearer s3cret"), some("data"), some("qu3ry"))
    );
    assert_eq!(seen(&other), (None, None, None));
    let error = send(&known, "away?to=/away?to=/away").await;
    assert!(error.is_ok() || error.is_err_and(|error| error.message.contains("redirected")));
}

#[tokio::test]
async fn an_answer_leads_to_no_secret_place() {
    let api = TestApi::start();
    let known = client(&api.url(), &[]).unwrap();
    for (to, message) in [
        (
            "http://169.254.169.254/latest/meta-data",
            "`169.254.169.254` is a link-local address, which is not called",
        ),
        (
            "http://localhost:1/",
            "`localhost` is an address of this machine, which is not called",
        ),
        (
            "http://10.0.0.1/",
            "`10.0.0.1` is a private address, which is not called",
        ),
        (
            "http://[::ffff:169.254.169.254]/",
            "is a link-local address, which is not called",
        ),
    ] {
        let error = send(&known, &format!("away?to={to}")).await.unwrap_err();
        assert_eq!((error.fault, error.retryable), (Fault::User, false), "{to}");
        assert!(
            error.full_message().ends_with(message),
            "{to}: {}",
            error.full_message()
        );
    }
    let error = send(&client("http://169.254.169.254/", &[]).unwrap(), "latest")
        .await
        .unwrap_err();
    assert!(
        error.full_message().contains("link-local"),
        "{}",
        error.full_message()
    );
    assert_eq!(
        error.hint.as_deref(),
        Some("`allow_link_local: true` of the connection allows it")
    );
    let error = send(&known, "away?to=file:///etc/passwd")
        .await
        .unwrap_err();
    assert!(
        error.message.contains("302") || error.message.contains("redirected"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn a_rate_limit_holds_for_all_who_share_the_client() {
    let api = TestApi::with(ApiOptions {
        per_second: Some(20),
        ..ApiOptions::default()
    });
    let settings = [
        ("rate_limit.requests", "18"),
        ("rate_limit.per", "1s"),
        ("concurrency", "2"),
    ];
    let known = client(&api.url(), &settings).unwrap();
    let calls = (0..36).map(|_| {
        let known = known.clone();
        async move { send(&known, "records/page").await.unwrap().tries }
    });
    let start = Instant::now();
    let tries = futures::future::join_all(calls).await;
    assert!(tries.iter().all(|tries| *tries == 1), "{tries:?}");
    assert!(
        start.elapsed() > Duration::from_millis(1_900),
        "{:?}",
        start.elapsed()
    );
    assert!(api.most_at_once() <= 2);
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (url, settings, message) in [
        (
            "s3://bucket",
            vec![],
            "connection `api` is no API: its address does not begin with `http://` or `https://`",
        ),
        (
            "https://a",
            vec![("concurency", "4")],
            "`concurency` of connection `api` is not known to an API",
        ),
        (
            "https://a",
            vec![("auth.bearer", "a"), ("auth.basic.username", "b")],
            "`auth` of connection `api` says in several ways who calls",
        ),
        (
            "https://a",
            vec![("auth.oauth2.client_id", "a")],
            "`auth.oauth2` of connection `api` has no `token_url`",
        ),
        (
            "https://a",
            vec![("rate_limit.per", "1s")],
            "`rate_limit` of connection `api` does not say how many `requests`",
        ),
        (
            "https://a",
            vec![("rate_limit.requests", "0")],
            "`rate_limit` of connection `api` allows nothing",
        ),
        (
            "https://a",
            vec![("rate_limit.requests", "many")],
            "`rate_limit.requests` of connection `api` is no whole number",
        ),
        (
            "https://a",
            vec![("headers.X", "a\nb")],
            "`headers` of connection `api` gives `x` a value that cannot be sent",
        ),
        (
            "https://a",
            vec![("ca_file", "nowhere.pem")],
            "cannot read the certificate nowhere.pem",
        ),
    ] {
        let error = client(url, &settings).unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (Fault::User, message)
        );
    }
}

#[test]
fn paths_hang_on_the_address() {
    let known = client("https://api.example.com/v2/?format=json", &[]).unwrap();
    for (path, expected) in [
        ("", "https://api.example.com/v2/?format=json"),
        ("things", "https://api.example.com/v2/things?format=json"),
        (
            "/things?a=1",
            "https://api.example.com/v2/things?format=json&a=1",
        ),
        (
            "https://evil.example.com/",
            "https://api.example.com/v2/https://evil.example.com/?format=json",
        ),
        (
            "//evil.example.com/",
            "https://api.example.com/v2/evil.example.com/?format=json",
        ),
    ] {
        assert_eq!(known.url(&get(path)).unwrap().as_str(), expected, "{path}");
    }
}
