//! Runs as the command line finds and answers them.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use pipectl_engine::{
    id::RunId,
    operator::Interval,
    plan::Plan,
    state::{RunState, TaskState},
    store::{ErrorRecord, OutputRecord, RunFilter, RunRecord, Store, TaskRecord},
    time::Timestamp,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::exit::Problem;

/// How many runs are looked through for one whose id begins with what a person wrote.
const LOOK_BACK: u32 = 1000;

/// The answer of `run`, `retry` and `runs show`.
#[derive(Debug, Serialize)]
pub(crate) struct RunDocument {
    run: RunId,
    pipeline: String,
    state: RunState,
    kind: &'static str,
    interval: Option<Interval>,
    params: Map<String, Value>,
    created: Timestamp,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    error: Option<String>,
    redo: u32,
    version: String,
    tasks: IndexMap<String, TaskDocument>,
}

#[derive(Debug, Serialize)]
struct TaskDocument {
    state: TaskState,
    attempts: u32,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    rows: Option<u64>,
    metrics: BTreeMap<String, f64>,
    outputs: Map<String, Value>,
    artifacts: Vec<ArtifactDocument>,
    warnings: Vec<String>,
    note: Option<String>,
    error: Option<ErrorRecord>,
}

#[derive(Debug, Serialize)]
struct ArtifactDocument {
    name: String,
    media_type: String,
    bytes: u64,
    path: Option<String>,
}

impl RunDocument {
    pub(crate) fn new(record: &RunRecord, tasks: Vec<TaskRecord>) -> Self {
        Self {
            run: record.run.id,
            pipeline: record.run.pipeline.clone(),
            state: record.state,
            kind: record.run.kind.name(),
            interval: record.run.interval,
            params: record.run.params.clone(),
            created: record.run.created,
            started: record.started,
            ended: record.ended,
            error: record.error.clone(),
            redo: record.redo,
            version: record.run.version.clone(),
            tasks: tasks
                .into_iter()
                .map(|task| (task.key.to_string(), TaskDocument::new(task)))
                .collect(),
        }
    }
}

impl TaskDocument {
    fn new(task: TaskRecord) -> Self {
        let OutputRecord {
            datasets,
            values,
            metrics,
            artifacts,
            warnings,
            ..
        } = task.output.unwrap_or_default();
        Self {
            state: task.state,
            attempts: task.attempt,
            started: task.started,
            ended: task.ended,
            rows: datasets.first().map(|dataset| dataset.rows),
            metrics,
            outputs: values,
            artifacts: artifacts
                .into_iter()
                .map(|artifact| ArtifactDocument {
                    name: artifact.name,
                    media_type: artifact.media_type,
                    bytes: artifact.bytes,
                    path: artifact.path,
                })
                .collect(),
            warnings,
            note: task.note,
            error: task.error,
        }
    }
}

/// A run's tasks in the order of the file; those of an unknown plan in the order in which they began.
pub(crate) async fn tasks(
    store: &dyn Store,
    run: RunId,
    plan: Option<&Plan>,
) -> anyhow::Result<Vec<TaskRecord>> {
    let mut tasks = store.tasks(run).await?;
    tasks.sort_by_cached_key(|task| {
        let place = plan.and_then(|plan| plan.find(&task.key.task));
        let began = task.started.or(task.ended).unwrap_or(Timestamp::MAX_UTC);
        (place, task.started.is_none(), began, task.key.clone())
    });
    Ok(tasks)
}

/// The run that a person means: an id, the beginning of one, or `last`.
pub(crate) async fn find(store: &dyn Store, text: &str) -> anyhow::Result<RunRecord> {
    if let Ok(id) = text.parse::<RunId>() {
        return store.run(id).await?.ok_or_else(|| unknown(text).into());
    }
    let filter = |limit| RunFilter {
        limit,
        ..RunFilter::default()
    };
    if text == "last" {
        let newest = store.runs(&filter(1)).await?.pop();
        return newest.ok_or_else(|| {
            Problem::usage("there are no runs yet")
                .hint("`pipectl run FILE` makes one")
                .into()
        });
    }
    if text.len() < 4 || !text.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Err(unknown(text).into());
    }
    let mut found: Vec<RunRecord> = store
        .runs(&filter(LOOK_BACK))
        .await?
        .into_iter()
        .filter(|record| record.run.id.to_string().starts_with(text))
        .collect();
    match (found.pop(), found.len()) {
        (Some(record), 0) => Ok(record),
        (None, _) => Err(unknown(text).into()),
        (Some(_), more) => Err(Problem::usage(format!("`{text}` begins {} runs", more + 1))
            .hint("write more of the id")
            .into()),
    }
}

fn unknown(text: &str) -> Problem {
    Problem::usage(format!("there is no run `{text}`"))
        .hint("`pipectl runs list` shows the newest; write an id, the beginning of one, or `last`")
}

/// A number with thousands apart: `7,043`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size for people: `1.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let mut number = bytes as f64 / 1024.0;
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{number:.1} {}", UNITS[unit])
}

/// A moment for people.
pub(crate) fn moment(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Measures in one line of at most so many characters: `f1 0.61, rows 20, …`.
pub(crate) fn metrics(metrics: &BTreeMap<String, f64>, most: usize) -> String {
    let mut text = String::new();
    for (name, value) in metrics {
        let between = if text.is_empty() { "" } else { ", " };
        let part = format!("{between}{name} {}", number(*value));
        if !text.is_empty() && text.len() + part.len() > most {
            text.push_str(", …");
            break;
        }
        text.push_str(&part);
    }
    text
}

/// A measure with as many digits as one reads.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    if value.abs() >= 0.001 {
        format!("{value:.4}")
    } else {
        format!("{value:.2e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (7_043, "7,043"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
        for (bytes, text) in [(10, "10 B"), (2_048, "2.0 KiB"), (5_000_000, "4.8 MiB")] {
            assert_eq!(size(bytes), text);
        }
        for (value, text) in [(3.0, "3"), (0.612_345, "0.6123"), (0.000_012, "1.20e-5")] {
            assert_eq!(number(value), text);
        }
    }
}
