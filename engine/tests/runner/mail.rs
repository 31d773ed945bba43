//! Mails: in the outbox with the change that is their occasion. Secrets: nowhere.

use std::{collections::BTreeMap, time::Duration};

use pipectl_engine::{
    connection::{Connection, Origin},
    plan::{Alert, AlertKind, Backoff, Plan, RetryPolicy, testing},
    secret::Secret,
    state::RunState,
    store::{Outbox, PendingMail},
    time::{Clock, SystemClock},
};
use serde_json::json;

use crate::support::{Act, World};

fn plan(steps: &[&str]) -> Plan {
    let mut plan = testing::plan("p");
    let a = testing::add(&mut plan, "a", &Act, json!({"steps": steps}), &[]);
    plan.graph[a].retry = RetryPolicy {
        limit: 1,
        delay: Duration::from_millis(1),
        backoff: Backoff::Fixed,
        max_delay: None,
    };
    let when = vec![AlertKind::Failure, AlertKind::Recovery, AlertKind::Warning];
    plan.alerts.push(Alert {
        when,
        email: vec!["team@example.com".into()],
    });
    plan
}

async fn mails(world: &World) -> Vec<PendingMail> {
    let now = SystemClock.now() + chrono::TimeDelta::seconds(1);
    world
        .store
        .take_due(now, Duration::from_secs(60), 100)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mail_after_the_last_retry_and_one_when_it_is_well_again() {
    let world = World::new();
    assert_eq!(world.run(plan(&["external"])).await.1, RunState::Failed);
    let sent = mails(&world).await;
    assert_eq!(sent.len(), 1);
    let content = &sent[0].mail.content;
    assert_eq!(
        (content["kind"].as_str(), content["task"].as_str()),
        (Some("failure"), Some("a"))
    );
    assert_eq!(
        (content["message"].as_str(), content["attempt"].as_u64()),
        (Some("the network is away"), Some(2))
    );
    assert!(
        content["log_tail"][0]
            .as_str()
            .unwrap()
            .contains("the network is away")
    );
    assert_eq!(world.run(plan(&["ok"])).await.1, RunState::Success);
    let sent = mails(&world).await;
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].mail.kind, AlertKind::Recovery);
    world.run(plan(&["ok"])).await;
    assert!(mails(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_mails_without_failing_the_run() {
    let world = World::new();
    assert_eq!(world.run(plan(&["warn"])).await.1, RunState::Success);
    let sent = mails(&world).await;
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].mail.content["warnings"], json!(["looks odd"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_blotted_out_of_errors_and_mails() {
    let mut world = World::new();
    world.project.connections.insert(Connection {
        name: "warehouse".into(),
        url: Secret::new("postgres://me:hunter22@db/x".into()),
        settings: BTreeMap::new(),
        origin: Origin::File,
    });
    let (run, _) = world.run(plan(&["secret"])).await;
    assert_eq!(
        world.task(run, "a").await.error.unwrap().message,
        "cannot log in with ***"
    );
    let sent = mails(&world).await;
    assert!(!sent[0].mail.content.to_string().contains("hunter22"));
}
