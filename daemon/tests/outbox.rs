//! The outbox against a real mail server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta};
use pipectl_daemon::{Delivery, Postman};
use pipectl_engine::{
    id::RunId,
    plan::AlertKind,
    project::{Project, Smtp},
    secret::Secret,
    store::{Change, MemoryStore, NewMail, NewRun, RunKind, RunStore, RunWrite, Store},
    time::{Clock, ManualClock},
};
use pipectl_test_support::{PASSWORD, Security, TestSmtp, Trouble, USER};
use serde_json::{Value, json};
use uuid::Uuid;

struct Post {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    run: RunId,
    fence: u64,
}

impl Post {
    async fn new() -> Self {
        Self::before_the_tenth_minute(300).await
    }

    /// So many seconds before a multiple of ten minutes, when held mails go out.
    async fn before_the_tenth_minute(seconds: i64) -> Self {
        let tenth = DateTime::from_timestamp(1_767_261_600, 0).unwrap();
        let clock = Arc::new(ManualClock::at(tenth - TimeDelta::seconds(seconds)));
        let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let run = RunId::new(clock.now());
        let new = NewRun {
            id: run,
            pipeline: "churn".to_owned(),
            version: "v".to_owned(),
            kind: RunKind::Manual,
            trigger_key: None,
            trigger: Value::Null,
            params: serde_json::Map::new(),
            interval: None,
            parent: None,
            created: clock.now(),
            enqueued: false,
            max_active: None,
            backfill: None,
        };
        store.create_run(&new).await.unwrap();
        let claim = store
            .claim(run, "me", Duration::from_secs(60))
            .await
            .unwrap();
        Self {
            store: Arc::new(store),
            clock,
            run,
            fence: claim.unwrap().fence,
        }
    }

    async fn write(&self, to: &[&str]) -> Uuid {
        let mail = NewMail {
            id: Uuid::new_v4(),
            run: Some(self.run),
            kind: AlertKind::Failure,
            to: to.iter().map(ToString::to_string).collect(),
            content: json!({"pipeline": "churn", "task": "valid", "message": "grün ist nicht gelb"}),
            created: self.clock.now(),
        };
        let id = mail.id;
        let write = RunWrite {
            run: self.run,
            fence: self.fence,
            changes: vec![Change::Mail(mail)],
        };
        self.store.commit(&[write]).await.unwrap();
        id
    }

    /// A mail that is about no run.
    async fn alert(&self, to: &str) {
        let mail = NewMail {
            id: Uuid::new_v4(),
            run: None,
            kind: AlertKind::Failure,
            to: vec![to.to_owned()],
            content: json!({"pipeline": "sensed", "message": "the sensor cannot look"}),
            created: self.clock.now(),
        };
        self.store.post(&mail).await.unwrap();
    }

    fn postman(&self, smtp: Option<Smtp>) -> Postman {
        let project = Project {
            smtp,
            ..Project::default()
        };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Postman::new(Arc::clone(&self.store), Arc::new(project), clock)
    }

    async fn deliver(&self, smtp: Option<Smtp>) -> Delivery {
        self.postman(smtp).deliver().await.unwrap()
    }

    async fn count(&self, state: &str) -> u64 {
        self.store
            .counts()
            .await
            .unwrap()
            .get(state)
            .copied()
            .unwrap_or(0)
    }
}

fn smtp(server: &TestSmtp, scheme: &str, password: &str) -> Smtp {
    let password = password.replace(' ', "%20");
    Smtp {
        url: Secret::new(format!(
            "{scheme}://{USER}:{password}@localhost:{}",
            server.port()
        )),
        from: "pipectl <pipectl@example.com>".to_owned(),
        ca_file: Some(PathBuf::from(server.ca_file())),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_arrives_once_over_starttls_and_over_tls() {
    for (security, scheme) in [(Security::StartTls, "smtp"), (Security::Tls, "smtps")] {
        let server = TestSmtp::start(security);
        let post = Post::new().await;
        let id = post.write(&["a@example.com", "b@example.com"]).await;
        let smtp = smtp(&server, scheme, PASSWORD);
        let sent = Delivery {
            sent: 1,
            ..Delivery::default()
        };
        assert_eq!(post.deliver(Some(smtp.clone())).await, sent, "{scheme}");
        assert_eq!(
            post.deliver(Some(smtp)).await,
            Delivery::default(),
            "{scheme}"
        );
        let mails = server.mails();
        assert_eq!(mails.len(), 1, "{scheme}");
        assert_eq!(mails[0].to, ["a@example.com", "b@example.com"]);
        let text = &mails[0].content;
        assert!(
            text.contains(&format!("Message-ID: <{id}@pipectl>")),
            "{text}"
        );
        assert!(
            text.contains("Subject: [pipectl] churn failed at valid"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_one_run_are_one_mail() {
    let post = Post::new().await;
    for _ in 0..3 {
        post.write(&["team@example.com"]).await;
    }
    post.alert("team@example.com").await;
    let server = TestSmtp::start(Security::Tls);
    let delivery = post.deliver(Some(smtp(&server, "smtps", PASSWORD))).await;
    assert_eq!(delivery.sent, 4);
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    let subjects = [
        "Subject: [pipectl] 3 alerts: churn",
        "Subject: [pipectl] sensed failed",
    ];
    for subject in subjects {
        assert!(
            mails.iter().any(|mail| mail.content.contains(subject)),
            "{subject}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_one_mail() {
    let post = Post::new().await;
    for _ in 0..120 {
        post.write(&["team@example.com"]).await;
    }
    post.write(&["other@example.com"]).await;
    let server = TestSmtp::start(Security::Tls);
    let delivery = post.deliver(Some(smtp(&server, "smtps", PASSWORD))).await;
    assert_eq!(delivery.sent, 121);
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    let digest = mails
        .iter()
        .find(|mail| mail.to == ["team@example.com"])
        .unwrap();
    assert!(
        digest
            .content
            .contains("Subject: [pipectl] 120 alerts: churn"),
        "{}",
        digest.content
    );
    assert!(digest.content.contains("and 70 more"), "{}", digest.content);
}

/// However often each of them was tried while the server was away.
/// Slow enough that no two are due at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_steady_flood_is_a_mail_each_ten_minutes() {
    // The last one is held back only a moment, so that a few more go before the next are.
    for (seconds, most) in [(600, 67), (300, 67), (45, 73)] {
        let server = TestSmtp::start(Security::StartTls);
        let post = Post::before_the_tenth_minute(seconds).await;
        let postman = post.postman(Some(smtp(&server, "smtp", PASSWORD)));
        // Ten hours, a failure each five seconds.
        for _ in 0..7_200 {
            post.alert("team@example.com").await;
            postman.deliver().await.unwrap();
            post.clock.advance(Duration::from_secs(5));
        }
        let mails = server.mails().len();
        assert!((60..=most).contains(&mails), "{seconds}: {mails} mails");
        post.clock.advance(Duration::from_secs(600));
        postman.deliver().await.unwrap();
        assert_eq!(post.count("sent").await, 7_200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_that_an_outage_has_held_up_is_few_mails() {
    let post = Post::new().await;
    let server = TestSmtp::start(Security::Tls);
    let good = smtp(&server, "smtps", PASSWORD);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let away = Smtp {
        url: Secret::new(format!("smtp+plain://127.0.0.1:{port}")),
        ..good.clone()
    };
    for _ in 0..20 {
        for _ in 0..2 {
            post.alert("team@example.com").await;
        }
        post.deliver(Some(away.clone())).await;
        post.clock.advance(Duration::from_secs(5));
    }
    let mut sent = 0;
    for _ in 0..60 {
        sent += post.deliver(Some(good.clone())).await.sent;
        post.clock.advance(Duration::from_secs(5));
    }
    assert_eq!(sent, 40);
    let mails = server.mails();
    assert!(mails.len() <= 5, "{} mails", mails.len());
}

/// A digest that is refused says nothing of the mails in it.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_refused_takes_no_other_with_it() {
    let post = Post::new().await;
    for _ in 0..8 {
        post.alert("team@example.com").await;
    }
    let server = TestSmtp::start(Security::Tls);
    server.expect_trouble([Trouble::RefuseRecipient(550), Trouble::RefuseRecipient(550)]);
    let delivery = post.deliver(Some(smtp(&server, "smtps", PASSWORD))).await;
    assert_eq!((delivery.sent, delivery.dead), (7, 1));
    assert_eq!(server.mails().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_for_now_comes_later() {
    let server = TestSmtp::start(Security::StartTls);
    let post = Post::new().await;
    post.write(&["a@example.com"]).await;
    server.expect_trouble([Trouble::RefuseRecipient(450), Trouble::CutOff]);
    let smtp = smtp(&server, "smtp", PASSWORD);
    let delayed = Delivery {
        delayed: 1,
        ..Delivery::default()
    };
    assert_eq!(post.deliver(Some(smtp.clone())).await, delayed);
    assert_eq!(
        post.deliver(Some(smtp.clone())).await,
        Delivery::default(),
        "not due yet"
    );
    post.clock.advance(Duration::from_secs(61));
    assert_eq!(post.deliver(Some(smtp.clone())).await, delayed);
    post.clock.advance(Duration::from_secs(91));
    assert_eq!(post.deliver(Some(smtp)).await.sent, 1);
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_recipient_is_final_and_a_refused_login_is_not() {
    let server = TestSmtp::start(Security::StartTls);
    let post = Post::new().await;
    post.write(&["nobody@example.com"]).await;
    server.expect_trouble([Trouble::RefuseRecipient(550)]);
    let good = smtp(&server, "smtp", PASSWORD);
    assert_eq!(post.deliver(Some(good.clone())).await.dead, 1);
    post.write(&["a@example.com"]).await;
    assert_eq!(
        post.deliver(Some(smtp(&server, "smtp", "wrong")))
            .await
            .delayed,
        1
    );
    post.clock.advance(Duration::from_secs(61));
    assert_eq!(post.deliver(Some(good)).await.sent, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_an_unknown_authority_gets_no_password() {
    let server = TestSmtp::start(Security::StartTls);
    let post = Post::new().await;
    post.write(&["a@example.com"]).await;
    let mut stranger = smtp(&server, "smtp", PASSWORD);
    stranger.ca_file = None;
    assert_eq!(post.deliver(Some(stranger)).await.delayed, 1);
    assert!(server.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_repeats_the_mail_with_the_same_id() {
    let server = TestSmtp::start(Security::StartTls);
    let post = Post::new().await;
    let id = post.write(&["a@example.com"]).await;
    server.expect_trouble([Trouble::LoseAnswer]);
    let smtp = smtp(&server, "smtp", PASSWORD);
    assert_eq!(post.deliver(Some(smtp.clone())).await.delayed, 1);
    post.clock.advance(Duration::from_secs(61));
    assert_eq!(post.deliver(Some(smtp)).await.sent, 1);
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    for mail in mails {
        let text = mail.content;
        assert!(text.contains(&id.to_string()), "{text}");
    }
}

#[tokio::test]
async fn without_a_server_mail_waits_for_one_and_expires() {
    let post = Post::new().await;
    post.write(&["a@example.com"]).await;
    assert_eq!(post.deliver(None).await.unconfigured, 1);
    assert_eq!(post.deliver(None).await, Delivery::default());
    assert_eq!(post.count("unconfigured").await, 1);
    post.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(post.deliver(None).await, Delivery::default());
    assert_eq!(post.count("expired").await, 1);
}

#[tokio::test]
async fn an_address_that_is_none_is_given_up() {
    let server = TestSmtp::start(Security::StartTls);
    let post = Post::new().await;
    post.write(&["not an address"]).await;
    assert_eq!(
        post.deliver(Some(smtp(&server, "smtp", PASSWORD)))
            .await
            .dead,
        1
    );
}
