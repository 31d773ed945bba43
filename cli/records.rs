//! Runs as the command line finds and answers them.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use pipectl_engine::{
    id::RunId,
    model::{CHAMPION, Reference},
    operator::Interval,
    plan::Plan,
    state::{RunState, TaskState},
    store::{ErrorRecord, OutputRecord, RunFilter, RunKind, RunRecord, Store, TaskRecord},
    time::Timestamp,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::exit::Problem;

/// How many runs are looked at together for one whose id a person has written in part.
const PAGE: u32 = 1000;
/// Runs that are looked at at once where the one that is meant is among the newest.
const NEAR: u32 = 50;
/// So many characters of an id are enough.
const SHORTEST: usize = 4;

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
        let rows = task.output.as_ref().and_then(rows);
        let OutputRecord {
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
            rows,
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

/// The rows that a task has put out, or has written.
pub(crate) fn rows(output: &OutputRecord) -> Option<u64> {
    let dataset = output.datasets.first().map(|dataset| dataset.rows);
    dataset.or_else(|| output.values.get("rows")?.as_u64())
}

/// A run's tasks in the order of the file; those of an unknown plan in the order in which they began.
pub(crate) async fn tasks(
    store: &dyn Store,
    run: RunId,
    plan: Option<&Plan>,
) -> anyhow::Result<Vec<TaskRecord>> {
    let mut tasks = store.tasks(run).await?;
    // Tasks of an earlier version of the pipeline that are not in this one.
    let is_gone = |task: &TaskRecord| {
        let known = plan.is_none_or(|plan| plan.find(&task.key.task).is_some());
        !known && task.state == TaskState::None
    };
    tasks.retain(|task| !is_gone(task));
    tasks.sort_by_cached_key(|task| {
        let place = plan.and_then(|plan| plan.find(&task.key.task));
        let began = task.started.or(task.ended).unwrap_or(Timestamp::MAX_UTC);
        (place, task.started.is_none(), began, task.key.clone())
    });
    Ok(tasks)
}

/// The registered versions that tasks have put out, each with what stands against it: whether it is the champion.
pub(crate) async fn standings(
    store: &dyn Store,
    tasks: &[TaskRecord],
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let outputs = tasks.iter().filter_map(|task| task.output.as_ref());
    for text in outputs.filter_map(|output| output.values.get("model")?.as_str()) {
        let Ok(Reference::Version { name, version }) = Reference::parse(text) else {
            continue;
        };
        let champion = store.aliased(name, CHAMPION).await?;
        let (Some(own), Some(champion)) = (store.model(name, version).await?, champion) else {
            continue;
        };
        let standing = if champion.version == version {
            CHAMPION.to_owned()
        } else if champion.digest == own.digest {
            format!("the same file as {name}:{}, the champion", champion.version)
        } else {
            format!("the champion is {name}:{}", champion.version)
        };
        found.insert(text.to_owned(), standing);
    }
    Ok(found)
}

/// The run that a person means: an id, the beginning or the end of one, `last`, or `last~1`, the one before it.
pub(crate) async fn find(store: &dyn Store, text: &str) -> anyhow::Result<RunRecord> {
    if let Ok(id) = text.parse::<RunId>() {
        return store.run(id).await?.ok_or_else(|| unknown(text).into());
    }
    if let Some(back) = back(text) {
        return nth(store, back).await;
    }
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '-';
    if text.len() < SHORTEST || !text.chars().all(is_part) {
        return Err(unknown(text).into());
    }
    let text = text.to_ascii_lowercase();
    let mut before = None;
    loop {
        let filter = RunFilter {
            before,
            limit: PAGE,
            ..RunFilter::default()
        };
        let page = store.runs(&filter).await?;
        let next = page.last().map(|record| record.run.id);
        let is_full = page.len() == PAGE as usize;
        let fits = |record: &RunRecord| {
            let id = record.run.id.to_string();
            id.starts_with(&text) || id.ends_with(&text)
        };
        let mut found: Vec<RunRecord> = page.into_iter().filter(fits).collect();
        match (found.pop(), found.len()) {
            (Some(record), 0) => return Ok(record),
            (None, _) if is_full => before = next,
            (None, _) => return Err(unknown(&text).into()),
            (Some(record), _) => {
                found.push(record);
                return Err(ambiguous(&text, &found).into());
            }
        }
    }
}

/// How many runs before the newest one: `last`, `last~1`.
fn back(text: &str) -> Option<u32> {
    match text.strip_prefix("last")? {
        "" => Some(0),
        rest => rest.strip_prefix('~')?.parse().ok(),
    }
}

/// A run so many before the newest one. Runs that others have started as their tasks are theirs and do not count.
async fn nth(store: &dyn Store, back: u32) -> anyhow::Result<RunRecord> {
    let mut before = None;
    let mut left = u64::from(back) + 1;
    loop {
        let filter = RunFilter {
            before,
            limit: NEAR,
            ..RunFilter::default()
        };
        let page = store.runs(&filter).await?;
        let last = page.last().map(|record| record.run.id);
        let is_full = page.len() == NEAR as usize;
        let own = page
            .into_iter()
            .filter(|record| record.run.kind != RunKind::Child);
        let mut own: Vec<RunRecord> = own
            .take(usize::try_from(left).unwrap_or(usize::MAX))
            .collect();
        left -= own.len() as u64;
        match own.pop() {
            Some(record) if left == 0 => return Ok(record),
            _ if is_full => before = last,
            None if left == u64::from(back) + 1 => {
                return Err(Problem::usage("there are no runs yet")
                    .hint("`pipectl run FILE` makes one")
                    .into());
            }
            _ => {
                let there = u64::from(back) + 1 - left;
                return Err(Problem::usage(format!(
                    "there is no run `last~{back}`: there {}",
                    if there == 1 {
                        "is 1".to_owned()
                    } else {
                        format!("are {there}")
                    }
                ))
                .into());
            }
        }
    }
}

fn unknown(text: &str) -> Problem {
    Problem::usage(format!("there is no run `{text}`")).hint(
        "`pipectl runs list` shows the newest; write an id, at least four characters of its beginning or end, `last`, or `last~1`",
    )
}

fn ambiguous(text: &str, found: &[RunRecord]) -> Problem {
    let some = found.iter().take(4).map(|record| record.run.id.short());
    let some: Vec<String> = some.collect();
    let more = if found.len() > some.len() {
        ", …"
    } else {
        ""
    };
    Problem::usage(format!("`{text}` fits {} runs", found.len())).hint(format!(
        "write more of the id, best its end, as `pipectl runs list` shows it: {}{more}",
        some.join(", ")
    ))
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

/// Measures in one line of at most so many characters: `f1 0.61, rows 20, …`, before the others the one that decides.
pub(crate) fn metrics(
    metrics: &BTreeMap<String, f64>,
    decides: Option<&str>,
    most: usize,
) -> String {
    let mut text = String::new();
    let first = decides.and_then(|name| metrics.get_key_value(name));
    let others = metrics
        .iter()
        .filter(|(name, _)| Some(name.as_str()) != decides);
    for (name, value) in first.into_iter().chain(others) {
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
    match value.abs() {
        0.001.. => format!("{value:.4}"),
        0.000_01.. => format!("{value:.6}"),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measure_that_decides_comes_first() {
        let all = [("accuracy", 0.5), ("f1", 0.25), ("recall", 1.0)];
        let all = all.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(
            metrics(&all, None, 80),
            "accuracy 0.5000, f1 0.2500, recall 1"
        );
        assert_eq!(
            metrics(&all, Some("f1"), 80),
            "f1 0.2500, accuracy 0.5000, recall 1"
        );
        assert_eq!(metrics(&all, Some("recall"), 24), "recall 1, …");
        assert_eq!(metrics(&all, Some("rmse"), 16), "accuracy 0.5000, …");
    }

    #[test]
    fn runs_are_counted_from_the_last_one() {
        for (text, expected) in [
            ("last", Some(0)),
            ("last~1", Some(1)),
            ("last~12", Some(12)),
            ("last~", None),
            ("last1", None),
            ("01a1", None),
        ] {
            assert_eq!(back(text), expected, "{text}");
        }
    }

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
        for (value, text) in [(3.0, "3"), (0.612_345, "0.6123"), (0.000_012, "0.000012")] {
            assert_eq!(number(value), text);
        }
    }
}
