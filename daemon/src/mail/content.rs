//! What a mail's templates show, made of what the run has written down.

use pipectl_engine::{plan::AlertKind, store::NewMail};
use serde::Serialize;
use serde_json::Value;

/// What the templates show.
#[derive(Debug, Serialize)]
pub(super) struct Content {
    pub(super) kind: &'static str,
    pub(super) headline: String,
    pub(super) colour: &'static str,
    pub(super) pipeline: String,
    pub(super) task: Option<String>,
    description: Option<String>,
    message: Option<String>,
    hint: Option<String>,
    warnings: Vec<String>,
    facts: Vec<Fact>,
    log_tail: Vec<String>,
    commands: Vec<Command>,
}

/// What the templates of a digest show.
#[derive(Debug, Serialize)]
pub(super) struct Digest {
    pub(super) count: usize,
    pub(super) pipelines: Vec<String>,
    alerts: Vec<Alert>,
    /// How many are not told one by one; 0 for none.
    more: usize,
}

#[derive(Debug, Serialize)]
struct Alert {
    headline: String,
    message: Option<String>,
    hint: Option<String>,
    log_tail: Vec<String>,
    run: Option<String>,
}

/// How many alerts of a digest are told one by one.
const TOLD: usize = 50;
/// Up to how many are told with the end of their log.
const WITH_LOG: usize = 5;
/// How many pipelines its subject names.
const NAMED: usize = 3;

impl Digest {
    pub(super) fn of(mails: &[&NewMail]) -> Self {
        let mut pipelines: Vec<String> = Vec::new();
        let mut alerts = Vec::new();
        for mail in mails {
            let content = Content::of(mail);
            if !pipelines.contains(&content.pipeline) {
                pipelines.push(content.pipeline);
            }
            alerts.push(Alert {
                headline: content.headline,
                message: content.message,
                hint: content.hint,
                log_tail: content.log_tail,
                run: mail.run.map(|run| run.to_string()),
            });
        }
        if alerts.len() > WITH_LOG {
            for alert in &mut alerts {
                alert.log_tail = Vec::new();
            }
        }
        alerts.truncate(TOLD);
        if pipelines.len() > NAMED {
            pipelines.truncate(NAMED);
            pipelines.push("…".to_owned());
        }
        Self {
            count: mails.len(),
            pipelines,
            more: mails.len() - alerts.len(),
            alerts,
        }
    }
}

#[derive(Debug, Serialize)]
struct Fact {
    label: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
struct Command {
    label: &'static str,
    command: String,
}

impl Content {
    pub(super) fn of(mail: &NewMail) -> Self {
        let text = |name: &str| text_at(&mail.content, &[name]);
        let pipeline = text("pipeline").unwrap_or_else(|| "a pipeline".to_owned());
        let task = text("task");
        Self {
            kind: mail.kind.name(),
            headline: headline(mail.kind, &pipeline, task.as_deref()),
            colour: colour(mail.kind),
            description: text("description"),
            message: text("message"),
            hint: text("hint"),
            warnings: lines_at(&mail.content, "warnings"),
            facts: facts(&mail.content),
            log_tail: lines_at(&mail.content, "log_tail"),
            commands: commands(mail, task.as_deref()),
            pipeline,
            task,
        }
    }
}

fn headline(kind: AlertKind, pipeline: &str, task: Option<&str>) -> String {
    match (kind, task) {
        (AlertKind::Failure, Some(task)) => {
            format!("The task `{task}` of the pipeline `{pipeline}` has failed")
        }
        (AlertKind::Failure, None) => format!("The pipeline `{pipeline}` has failed"),
        (AlertKind::Recovery, Some(task)) => {
            format!("The task `{task}` of the pipeline `{pipeline}` works again")
        }
        (AlertKind::Recovery, None) => {
            format!("The pipeline `{pipeline}` has succeeded again after a failure")
        }
        (AlertKind::Warning, Some(task)) => {
            format!("The task `{task}` of the pipeline `{pipeline}` warns")
        }
        (AlertKind::Warning, None) => format!("The pipeline `{pipeline}` warns"),
        (AlertKind::Deadline, Some(task)) => format!(
            "The task `{task}` of the pipeline `{pipeline}` has not finished by its deadline"
        ),
        (AlertKind::Deadline, None) => {
            format!("The pipeline `{pipeline}` has not finished by its deadline")
        }
    }
}

fn colour(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Failure => "#c62f3b",
        AlertKind::Recovery => "#1f8a55",
        AlertKind::Warning | AlertKind::Deadline => "#b7791f",
    }
}

fn facts(content: &Value) -> Vec<Fact> {
    [
        ("Run", text_at(content, &["run"])),
        ("Attempt", text_at(content, &["attempt"])),
        ("Interval", interval(content)),
        ("Created", text_at(content, &["created"])),
        ("Happened", text_at(content, &["at"])),
    ]
    .into_iter()
    .filter_map(|(label, value)| {
        Some(Fact {
            label,
            value: value?,
        })
    })
    .collect()
}

fn interval(content: &Value) -> Option<String> {
    let start = text_at(content, &["interval", "start"])?;
    let end = text_at(content, &["interval", "end"])?;
    Some(format!("{start} to {end}"))
}

fn commands(mail: &NewMail, task: Option<&str>) -> Vec<Command> {
    let Some(run) = mail
        .run
        .map(|run| run.to_string())
        .or_else(|| text_at(&mail.content, &["run"]))
    else {
        return Vec::new();
    };
    let mut commands = vec![Command {
        label: "The run",
        command: format!("pipectl runs show {run}"),
    }];
    if let Some(task) = task {
        commands.push(Command {
            label: "The whole log",
            command: format!("pipectl runs logs {run} {task}"),
        });
    }
    if mail.kind == AlertKind::Failure {
        commands.push(Command {
            label: "Try what failed again",
            command: format!("pipectl retry {run} --failed"),
        });
    }
    commands
}

/// The text or number at a path; empty text counts as nothing.
fn text_at(content: &Value, path: &[&str]) -> Option<String> {
    let value = path.iter().try_fold(content, |value, key| value.get(key))?;
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn lines_at(content: &Value, name: &str) -> Vec<String> {
    content
        .get(name)
        .and_then(Value::as_array)
        .map(|lines| {
            lines
                .iter()
                .filter_map(|line| line.as_str().map(ToOwned::to_owned))
                .collect()
        })
        .unwrap_or_default()
}
