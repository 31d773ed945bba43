//! Runs and changes to put a store through.

use std::{collections::BTreeMap, time::Duration};

use chrono::DateTime;
use serde_json::{Map, json};
use uuid::Uuid;

use crate::{
    id::{RunId, TaskKey},
    operator::Promote,
    plan::AlertKind,
    state::{RunState, TaskState},
    store::{
        Change, Claimed, Created, EventRecord, NewMail, NewRun, OutputRecord, RegisterModel,
        RunChange, RunKind, RunWrite, Store, TaskChange, TaskRecord, WriteOutcome,
    },
    time::Timestamp,
};

/// Long enough not to end within a test.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// Short enough to wait for its end.
pub(super) const SHORT: Duration = Duration::from_millis(300);

/// Waits until what lasts [`SHORT`] is over.
pub(super) async fn after_short() {
    tokio::time::sleep(SHORT + Duration::from_millis(50)).await;
}

/// `seconds` after some moment, to the microsecond: that is what databases keep.
pub(super) fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(1_790_000_000 + seconds, 123_456_000).unwrap()
}

/// A run of `pipeline` that was made `seconds` after some moment.
pub(super) fn new_run(pipeline: &str, seconds: i64) -> NewRun {
    run_at(pipeline, at(seconds))
}

/// A run of `pipeline` by hand, made at `created`.
pub fn run_at(pipeline: &str, created: Timestamp) -> NewRun {
    NewRun {
        id: RunId::new(created),
        pipeline: pipeline.to_owned(),
        version: "abc".to_owned(),
        kind: RunKind::Manual,
        trigger_key: None,
        trigger: json!(null),
        params: Map::new(),
        interval: None,
        parent: None,
        created,
        enqueued: false,
        max_active: None,
        backfill: None,
    }
}

/// A run that waits in the queue.
pub(super) fn enqueued(pipeline: &str, seconds: i64) -> NewRun {
    NewRun {
        kind: RunKind::Scheduled,
        enqueued: true,
        ..new_run(pipeline, seconds)
    }
}

pub(super) fn ids<'a>(runs: impl Iterator<Item = &'a NewRun>) -> Vec<RunId> {
    runs.map(|run| run.id).collect()
}

/// Work on a run begins.
pub(super) fn started() -> Change {
    Change::Run(RunChange {
        state: RunState::Running,
        started: Some(at(1)),
        ..RunChange::default()
    })
}

/// A run that somebody works on.
pub(super) struct Owned<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) run: RunId,
    pub(super) fence: u64,
}

impl<'a> Owned<'a> {
    /// Makes a run and claims it.
    pub(super) async fn make(store: &'a dyn Store, pipeline: &str, seconds: i64) -> Self {
        Self::make_of(store, new_run(pipeline, seconds)).await
    }

    /// Makes this run and claims it.
    pub(super) async fn make_of(store: &'a dyn Store, run: NewRun) -> Self {
        assert_eq!(store.create_run(&run).await.unwrap(), Created::New);
        let claim = store.claim(run.id, "one", LONG).await.unwrap().unwrap();
        Self::of(store, Claimed { run: run.id, claim })
    }

    /// The run that was claimed.
    pub(super) fn of(store: &'a dyn Store, claimed: Claimed) -> Self {
        Self {
            store,
            run: claimed.run,
            fence: claimed.claim.fence,
        }
    }

    pub(super) fn write(&self, changes: Vec<Change>) -> RunWrite {
        RunWrite {
            run: self.run,
            fence: self.fence,
            changes,
        }
    }

    /// Commits changes that must go through.
    pub(super) async fn commit(&self, changes: Vec<Change>) {
        let outcomes = self.store.commit(&[self.write(changes)]).await.unwrap();
        assert_eq!(outcomes, [WriteOutcome::Done]);
    }

    /// Ends the run.
    pub(super) async fn end(&self, state: RunState, seconds: i64) {
        self.commit(vec![Change::Run(RunChange {
            state,
            ended: Some(at(seconds)),
            ..RunChange::default()
        })])
        .await;
    }

    pub(super) async fn task(&self, key: &TaskKey) -> TaskRecord {
        self.store
            .tasks(self.run)
            .await
            .unwrap()
            .into_iter()
            .find(|task| task.key == *key)
            .unwrap()
    }
}

pub(super) fn key(name: &str) -> TaskKey {
    TaskKey::task(name)
}

/// A task that came to `state`.
pub(super) fn task(key: &TaskKey, state: TaskState) -> Change {
    let ended = state.is_final().then(|| at(20));
    let (task, element) = (key.task.clone(), key.element);
    Change::Task(TaskChange {
        task,
        element,
        state,
        attempt: 1,
        started: Some(at(10)),
        ended,
        ..TaskChange::default()
    })
}

/// What a task puts out: one measure.
pub(super) fn output(key: &TaskKey, measure: f64) -> Change {
    let metrics = BTreeMap::from([("f1".to_owned(), measure)]);
    let output = OutputRecord {
        metrics,
        ..OutputRecord::default()
    };
    Change::Output {
        key: key.clone(),
        attempt: 1,
        output,
        at: at(20),
    }
}

pub(super) fn event(number: u64) -> EventRecord {
    let (kind, data) = (
        "task".to_owned(),
        json!({"state": "running", "number": number}),
    );
    EventRecord {
        number,
        at: at(i64::try_from(number).unwrap()),
        kind,
        key: Some(key("a")),
        data,
    }
}

pub(super) fn mail(seconds: i64) -> NewMail {
    NewMail {
        id: Uuid::now_v7(),
        run: None,
        kind: AlertKind::Failure,
        to: vec!["ml-team@example.com".to_owned()],
        content: json!({"subject": format!("number {seconds}")}),
        created: at(seconds),
    }
}

pub(super) fn model(name: &str, version: u32, key: &TaskKey, measure: f64) -> RegisterModel {
    RegisterModel {
        name: name.to_owned(),
        version,
        key: key.clone(),
        artifact: format!("models/{name}/{version}.onnx"),
        digest: format!("digest {version}"),
        bytes: 4_096,
        metrics: BTreeMap::from([
            ("f1".to_owned(), measure),
            ("loss".to_owned(), 1.0 - measure),
        ]),
        card: json!({"columns": ["tenure", "Contract"]}),
        promote: Promote::Best {
            metric: "f1".to_owned(),
            greater_is_better: true,
        },
        created: at(i64::from(version)),
    }
}

/// Takes runs from the queue.
pub(super) async fn claim(store: &dyn Store, daemon: &str, limit: u32) -> Vec<RunId> {
    let claimed = store.claim_queued(daemon, LONG, None, limit).await;
    claimed.unwrap().iter().map(|claimed| claimed.run).collect()
}

/// Says that a daemon is alive.
pub(super) async fn beat(store: &dyn Store, daemon: &str, lease: Duration) -> Vec<RunId> {
    store.beat(daemon, at(0), lease).await.unwrap()
}
