//! Mails about what happens to a run, written into the outbox with the change that is their occasion.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    plan::{Alert, AlertKind, Plan, PlannedTask},
    project::Project,
    store::{NewMail, NewRun},
    time::Timestamp,
};

/// What a mail is about.
pub(super) struct Occasion<'a> {
    pub(super) kind: AlertKind,
    pub(super) plan: &'a Plan,
    pub(super) task: Option<&'a PlannedTask>,
    pub(super) run: &'a NewRun,
    pub(super) now: Timestamp,
}

/// The mail for an occasion, when anybody wants it: those whom the task, the pipeline or the project names.
pub(super) fn mail(occasion: &Occasion<'_>, project: &Project, content: Value) -> Option<NewMail> {
    let Occasion {
        kind,
        plan,
        task,
        run,
        now,
    } = *occasion;
    let own = task.map(|task| task.alerts.as_slice()).unwrap_or_default();
    let to = recipients(kind, [own, &plan.alerts, &project.alerts]);
    if to.is_empty() {
        return None;
    }
    let mut full = json!({
        "kind": kind,
        "pipeline": plan.name,
        "description": plan.description,
        "run": run.id,
        "task": task.map(|task| &task.name),
        "created": run.created,
        "at": now,
        "interval": run.interval,
    });
    if let (Value::Object(full), Value::Object(content)) = (&mut full, content) {
        full.extend(content);
    }
    Some(NewMail {
        id: Uuid::new_v4(),
        run: Some(run.id),
        kind,
        to,
        content: full,
        created: now,
    })
}

/// Whom the alerts of a task, a pipeline and the project name for an occasion.
pub fn recipients(kind: AlertKind, alerts: [&[Alert]; 3]) -> Vec<String> {
    let wanted = alerts
        .into_iter()
        .flatten()
        .filter(|alert| alert.when.contains(&kind));
    let addresses: BTreeSet<&String> = wanted.flat_map(|alert| &alert.email).collect();
    addresses.into_iter().cloned().collect()
}
