//! Mails about what happens to a run, written into the outbox with the change that is their occasion.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    id::RunId,
    plan::{Alert, AlertKind, Plan, PlannedTask},
    project::Project,
    random,
    store::{NewMail, NewRun, RunKind, RunRecord, sha256},
    time::Timestamp,
};

/// What a mail is about.
pub(super) struct Occasion<'a> {
    pub(super) kind: AlertKind,
    pub(super) plan: &'a Plan,
    pub(super) task: Option<&'a PlannedTask>,
    pub(super) run: &'a NewRun,
    /// How often the run has been done again on purpose.
    pub(super) redo: u32,
    pub(super) now: Timestamp,
}

/// The mail for an occasion, when anybody wants it: those whom the task, the pipeline or the project names.
pub(super) fn mail(occasion: &Occasion<'_>, project: &Project, content: Value) -> Option<NewMail> {
    let Occasion {
        kind,
        plan,
        task,
        run,
        redo,
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
    let id = match kind {
        AlertKind::Deadline => late_id(run.id, task, redo),
        _ => random::uuid(),
    };
    Some(NewMail {
        id,
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

/// Whether deadlines hold for a run: those of a backfill have passed long ago.
pub(super) fn has_deadlines(run: &NewRun) -> bool {
    run.kind != RunKind::Backfill && run.backfill.is_none()
}

/// The moment from which a run's deadlines count.
pub(super) fn deadlines_from(run: &NewRun) -> Timestamp {
    run.interval.map_or(run.created, |interval| interval.end)
}

/// The mails about a run that still waits in the queue at its deadline, or at those of its tasks. Whoever writes them, and
/// whenever: they are the same, so that each is sent once.
pub fn late_mails(
    plan: &Plan,
    record: &RunRecord,
    project: &Project,
    now: Timestamp,
) -> Vec<NewMail> {
    let run = &record.run;
    if !has_deadlines(run) {
        return Vec::new();
    }
    let from = deadlines_from(run);
    let whole = plan.deadline.map(|deadline| (deadline, None));
    let tasks = plan
        .tasks()
        .filter_map(|(_, task)| Some((task.deadline?, Some(task))));
    let late = whole
        .into_iter()
        .chain(tasks)
        .filter(|(deadline, _)| from + *deadline <= now);
    late.filter_map(|(_, task)| {
        let message = match task {
            None => "the run still waits in the queue at its deadline",
            Some(_) => "the run still waits in the queue at the task's deadline",
        };
        let occasion = Occasion {
            kind: AlertKind::Deadline,
            plan,
            task,
            run,
            redo: record.redo,
            now,
        };
        mail(&occasion, project, json!({"message": message}))
    })
    .collect()
}

/// The identity of the mail about a deadline: the same for everybody who sees that it has passed.
fn late_id(run: RunId, task: Option<&PlannedTask>, redo: u32) -> Uuid {
    let task = task.map_or("", |task| &task.name);
    mail_id(&format!("deadline {run} {redo} {task}"))
}

/// The identity of the mail about an occasion: the same for everybody who sees it, so that it is sent once.
pub fn mail_id(occasion: &str) -> Uuid {
    let hash = sha256(occasion.as_bytes());
    let half: String = hash.chars().take(32).collect();
    let number = u128::from_str_radix(&half, 16).unwrap_or_default();
    uuid::Builder::from_random_bytes(number.to_be_bytes()).into_uuid()
}
