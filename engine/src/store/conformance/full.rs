//! A run with all that a run may have.

use serde_json::json;

use super::{
    fixture::{LONG, Owned, at, enqueued, event, key, mail, output, started, task},
    records::full_output,
};
use crate::{
    id::RunId,
    state::{RunState, TaskState},
    store::{
        AttemptRecord, Change, Claimed, MailState, NewRun, PoolRequest, SensorKey, Store, Thing,
    },
};

/// The thing that [`full_run`] is made for, and its sensor.
pub(super) fn sensed() -> (SensorKey, Thing) {
    let sensor = SensorKey {
        pipeline: "churn".to_owned(),
        task: "arrived".to_owned(),
    };
    let thing = Thing {
        identity: "a.csv@1".to_owned(),
        name: "a.csv".to_owned(),
        values: serde_json::Map::new(),
        size: 1,
        modified: at(0),
    };
    (sensor, thing)
}

/// Makes a run that has something in everything that may hang on a run, and is over.
pub async fn full_run(store: &dyn Store) -> RunId {
    let run = NewRun {
        trigger_key: Some("interval:1".to_owned()),
        ..enqueued("churn", 0)
    };
    let (sensor, thing) = sensed();
    store
        .sense(&sensor, &[(thing, run.clone())], at(0))
        .await
        .unwrap();
    let claim = store.claim(run.id, "one", LONG).await.unwrap().unwrap();
    let owned = Owned::of(store, Claimed { run: run.id, claim });
    let a = key("a");
    store.reserve_version("churn", run.id, &a).await.unwrap();
    store
        .put_checkpoint(run.id, owned.fence, &a, &json!(1))
        .await
        .unwrap();
    let slots = PoolRequest {
        pool: "spark".to_owned(),
        capacity: 1,
        slots: 1,
        run: run.id,
        key: a.clone(),
    };
    assert!(store.take_pool(&slots).await.unwrap());
    let (mut sent, mut waiting) = (mail(0), mail(1));
    (sent.run, waiting.run) = (Some(run.id), Some(run.id));
    let sent_id = sent.id;
    owned
        .commit(vec![
            started(),
            task(&a, TaskState::Success),
            Change::Settings {
                key: a.clone(),
                settings: json!({}),
            },
            Change::Attempt(AttemptRecord {
                key: a.clone(),
                number: 1,
                state: TaskState::Success,
                started: at(1),
                ended: None,
                error: None,
            }),
            Change::Output {
                key: a.clone(),
                attempt: 1,
                output: full_output(),
                at: at(2),
            },
            output(&key("b"), 0.5),
            Change::Event(event(1)),
            Change::Mail(sent),
            Change::Mail(waiting),
        ])
        .await;
    store
        .settle(sent_id, &MailState::Sent, at(3))
        .await
        .unwrap();
    owned.end(RunState::Success, 4).await;
    run.id
}
