//! The client against a real server that misbehaves.

mod answers;
mod credentials;

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
