//! Who a caller is, and who must not learn it.

use super::*;

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
