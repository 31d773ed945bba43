//! Mails about what no run tells: a sensor that keeps failing, and that it looks again.

use std::sync::Arc;

use pipectl_engine::{
    plan::{AlertKind, Plan},
    runner::{mail_id, recipients},
    store::{NewMail, SensorKey, SensorRecord, Store, StoreError},
    time::Clock,
};
use serde_json::{Value, json};
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
        if failures != FAILURES {
            return Ok(());
        }
        let content = json!({
            "message": format!("the sensor could not look {failures} times in a row: {error}"),
            "hint": "nothing starts the pipeline until it can; `pipectl sensors list` shows how it stands",
        });
        self.post(Uuid::new_v4(), AlertKind::Failure, (plan, key), content)
            .await
    }

    /// A sensor can look again; `record` says how it stood before. Of many daemons that see it each writes the same mail.
    pub(crate) async fn sensor_recovered(
        &self,
        plan: &Plan,
        record: &SensorRecord,
    ) -> Result<(), StoreError> {
        if record.failures < FAILURES {
            return Ok(());
        }
        let (key, failures) = (&record.key, record.failures);
        let last = record.looked.map(|looked| looked.to_rfc3339());
        let id = mail_id(&format!(
            "sensor {} {} {}",
            key.pipeline,
            key.task,
            last.unwrap_or_default()
        ));
        let content = json!({
            "message": format!("the sensor can look again, after {failures} times in a row at which it could not"),
        });
        self.post(id, AlertKind::Recovery, (plan, key), content)
            .await
    }

    async fn post(
        &self,
        id: Uuid,
        kind: AlertKind,
        (plan, key): (&Plan, &SensorKey),
        more: Value,
    ) -> Result<(), StoreError> {
        let to = recipients(kind, [&[], &plan.alerts, &self.current.get().alerts]);
        if to.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let mut content = json!({
            "kind": kind,
            "pipeline": plan.name,
            "description": plan.description,
            "task": key.task,
            "at": now,
            "created": now,
        });
        if let (Value::Object(content), Value::Object(more)) = (&mut content, more) {
            content.extend(more);
        }
        let mail = NewMail {
            id,
            run: None,
            kind,
            to,
            content,
            created: now,
        };
        self.store.post(&mail).await
    }
}
