//! Mails about what no run tells: a sensor that keeps failing.

use std::sync::Arc;

use pipectl_engine::{
    plan::{AlertKind, Plan},
    runner::recipients,
    store::{NewMail, SensorKey, Store, StoreError},
    time::Clock,
};
use serde_json::json;
use uuid::Uuid;

use crate::desk::Current;

/// After so many failures in a row people are told, once.
const FAILURES: u32 = 5;

/// Writes such mails into the outbox.
#[derive(Clone)]
pub(crate) struct Alarm {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) current: Current,
    pub(crate) clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Alarm")
    }
}

impl Alarm {
    /// A sensor could not look so many times in a row.
    pub(crate) async fn sensor_failed(
        &self,
        plan: &Plan,
        key: &SensorKey,
        failures: u32,
        error: &str,
    ) -> Result<(), StoreError> {
        let to = recipients(
            AlertKind::Failure,
            [&[], &plan.alerts, &self.current.get().alerts],
        );
        if failures != FAILURES || to.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let mail = NewMail {
            id: Uuid::new_v4(),
            run: None,
            kind: AlertKind::Failure,
            to,
            content: json!({
                "kind": AlertKind::Failure,
                "pipeline": plan.name,
                "description": plan.description,
                "task": key.task,
                "at": now,
                "created": now,
                "message": format!("the sensor could not look {failures} times in a row: {error}"),
                "hint": "nothing starts the pipeline until it can; `pipectl sensors list` shows how it stands",
            }),
            created: now,
        };
        self.store.post(&mail).await
    }
}
