//! Mails about what no run tells: a sensor that keeps failing, and that it looks again.

use std::sync::Arc;

use pipectl_engine::{
    plan::{AlertKind, Plan},
    runner::{mail_id, recipients},
    store::{NewMail, SensorRecord, Store, StoreError},
    time::{Clock, Timestamp},
};
use serde_json::{Value, json};

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
    /// A sensor cannot look; `record` says how it stood before, so that the mail is written before the failure is counted:
    /// whoever dies in between writes the same one again.
    pub(crate) async fn sensor_failed(
        &self,
        plan: &Plan,
        record: &SensorRecord,
        error: &str,
    ) -> Result<(), StoreError> {
        if record.failures + 1 != FAILURES {
            return Ok(());
        }
        let content = json!({
            "message": format!("the sensor could not look {FAILURES} times in a row: {error}"),
            "hint": "nothing starts the pipeline until it can; `pipectl sensors list` shows how it stands",
        });
        self.post(AlertKind::Failure, plan, record, content).await
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
        let failures = record.failures;
        let content = json!({
            "message": format!("the sensor can look again, after {failures} times in a row at which it could not"),
        });
        self.post(AlertKind::Recovery, plan, record, content).await
    }

    async fn post(
        &self,
        kind: AlertKind,
        plan: &Plan,
        record: &SensorRecord,
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
            "task": record.key.task,
            "at": now,
            "created": now,
        });
        if let (Value::Object(content), Value::Object(more)) = (&mut content, more) {
            content.extend(more);
        }
        let moment = |at: Timestamp| at.to_rfc3339();
        let occasion = format!(
            "sensor {kind:?} {} {} {} {}",
            record.key.pipeline,
            record.key.task,
            moment(record.since),
            record.looked.map(moment).unwrap_or_default()
        );
        let mail = NewMail {
            id: mail_id(&occasion),
            run: None,
            kind,
            to,
            content,
            created: now,
        };
        self.store.post(&mail).await
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{
        plan::{Alert, testing},
        store::SensorKey,
    };

    use super::*;
    use crate::testing::Bench;

    /// As when a daemon dies before it has counted, or two look at once.
    #[tokio::test]
    async fn the_same_failure_is_told_once() {
        let bench = Bench::new();
        let desk = bench.desk().await;
        let alarm = Alarm {
            store: Arc::clone(desk.store()),
            current: desk.current.clone(),
            clock: Arc::clone(&bench.clock) as _,
        };
        let alert = Alert {
            when: vec![AlertKind::Failure],
            email: vec!["team@example.com".to_owned()],
        };
        let plan = Plan {
            alerts: vec![alert],
            ..testing::plan("drop")
        };
        let mut record = SensorRecord {
            key: SensorKey {
                pipeline: "drop".to_owned(),
                task: "arrived".to_owned(),
            },
            since: bench.now(),
            looked: None,
            failures: FAILURES - 2,
            error: None,
        };
        let mails = async || desk.store().counts().await.unwrap().values().sum::<u64>();
        alarm.sensor_failed(&plan, &record, "away").await.unwrap();
        assert_eq!(mails().await, 0);
        record.failures += 1;
        for _ in 0..2 {
            alarm.sensor_failed(&plan, &record, "away").await.unwrap();
        }
        assert_eq!(mails().await, 1);
    }
}
