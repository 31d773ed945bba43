//! How a run has ended: its tasks, what they have put out, what to do next.

use std::collections::BTreeMap;

use pipectl_engine::{
    runner::GONE,
    state::{RunState, TaskState},
    store::{Part, RunRecord, TaskRecord},
    time::human_duration,
};
use serde_json::Value;

use super::{run_style, state_word, task_style};
use crate::{
    output::{BOLD, DIM, Painter, YELLOW, many},
    records::{metrics, number, rows, thousands},
    table::{Cell, Table},
};

/// More tasks than this are not listed.
const ROWS: usize = 200;
/// Letters of a task's measures.
const MEASURES: usize = 48;
/// More warnings than this are not listed.
const WARNINGS: usize = 40;

/// A run, for people. `standings` says of registered models how they stand.
pub(crate) fn summary(
    record: &RunRecord,
    tasks: &[TaskRecord],
    standings: &BTreeMap<String, String>,
    painter: Painter,
) -> String {
    let outputs_of = tasks.iter().filter_map(|task| task.output.as_ref());
    let warned: usize = outputs_of.map(|output| output.warnings.len()).sum();
    let warned = (warned > 0).then(|| many(warned as u64, "warning"));
    let mut parts = vec![headline(record, warned, painter)];
    let mut table = Table::new([
        "Task", "State", "Took", "Attempts", "Rows", "Measures", "Note",
    ]);
    // Of a task's elements only those are listed that did not go well: there may be thousands.
    let listed = |task: &&TaskRecord| {
        task.key.element.is_none() || matches!(task.state, TaskState::Failed | TaskState::Running)
    };
    for task in tasks.iter().filter(listed).take(ROWS) {
        table.row(row(record, task, painter));
    }
    let more = tasks.iter().filter(listed).count().saturating_sub(ROWS);
    let more = if more > 0 {
        format!("… and {more} more; --format json has all\n")
    } else {
        String::new()
    };
    parts.push(table.render(painter) + &more);
    let warnings: String = warnings(tasks)
        .into_iter()
        .map(|line| painter.paint(YELLOW, "warning:") + " " + &line + "\n")
        .collect();
    if !warnings.is_empty() {
        parts.push(warnings);
    }
    let outputs: String = outputs(record, tasks, standings)
        .into_iter()
        .map(|(label, what)| painter.paint(DIM, format_args!("{label:<6}")) + "  " + &what + "\n")
        .collect();
    if !outputs.is_empty() {
        parts.push(outputs);
    }
    parts.join("\n")
}

/// What a person may want to do next.
pub(crate) fn next(record: &RunRecord, tasks: &[TaskRecord]) -> Vec<String> {
    let run = record.run.id.short();
    let is_lost = |error: &String| error.starts_with(GONE);
    let resume = format!("pipectl run --resume {run}");
    match record.state {
        RunState::Failed if record.error.as_ref().is_some_and(is_lost) => {
            vec![resume, format!("pipectl runs logs {run}")]
        }
        RunState::Failed => vec![
            format!("pipectl runs logs {run}"),
            format!("pipectl retry {run} --failed"),
            format!(
                "pipectl run {}{}  (after its file was mended)",
                record.run.pipeline,
                same_part(record, tasks)
            ),
        ],
        RunState::Cancelled => vec![resume],
        RunState::Running => vec![format!(
            "{resume}  (if the process that works on it is gone)"
        )],
        RunState::Queued => vec![format!("{resume}  (if no daemon takes it)")],
        RunState::Success => vec![format!("pipectl runs show {run}")],
    }
}

/// How to have the same part of a pipeline run again from where it has failed; empty when all of it has run.
fn same_part(record: &RunRecord, tasks: &[TaskRecord]) -> String {
    let Some(part) = Part::of(&record.run) else {
        return String::new();
    };
    let ran = |task: &&TaskRecord| {
        let name = task.key.task.as_str();
        task.key.element.is_none()
            && !part.left_out.contains(name)
            && !part.taken.contains_key(name)
    };
    let failed = |task: &&TaskRecord| task.state == TaskState::Failed;
    let Some(failed) = tasks.iter().filter(ran).find(failed) else {
        return String::new();
    };
    let flag = match tasks.iter().filter(ran).count() {
        1 => "--only",
        _ => "--from",
    };
    // What this run has taken of an earlier one is its own, too.
    format!(
        " {flag} {} --inputs {}",
        failed.key.task,
        record.run.id.short()
    )
}

fn headline(record: &RunRecord, warnings: Option<String>, painter: Painter) -> String {
    let warned = warnings.map_or_else(String::new, |count| format!(" with {count}"));
    let state = painter.paint(run_style(record.state).bold(), record.state);
    let took = match (record.started, record.ended) {
        // Of one that was done again the time between would count.
        (Some(started), Some(ended)) if record.redo == 0 => (ended - started).to_std().ok(),
        _ => None,
    };
    let took = took.map(|took| format!(" in {}", human_duration(took)));
    let interval = record
        .run
        .interval
        .map(|interval| format!(", interval {} to {}", interval.start, interval.end));
    format!(
        "Run {} of {}: {state}{warned}{}{}\n",
        record.run.id,
        painter.paint(BOLD, &record.run.pipeline),
        took.unwrap_or_default(),
        interval.unwrap_or_default()
    )
}

fn row(record: &RunRecord, task: &TaskRecord, painter: Painter) -> Vec<Cell> {
    let took = match (task.started, task.ended) {
        (Some(started), Some(ended)) => (ended - started).to_std().ok().map(human_duration),
        _ => None,
    };
    let output = task.output.as_ref();
    let rows = output.and_then(rows).map(thousands);
    let elements = task.elements.map(|count| format!("{count} elements"));
    let note = task
        .note
        .as_deref()
        .or(task.error.as_ref().map(|error| error.message.as_str()))
        .or(elements.as_deref());
    let warned = output.map_or(0, |output| output.warnings.len() as u64);
    let warned = (warned > 0).then(|| many(warned, "warning"));
    let note: Vec<&str> = note.into_iter().chain(warned.as_deref()).collect();
    let note = note.join("; ");
    let attempts = if task.attempt > 1 {
        task.attempt.to_string()
    } else {
        String::new()
    };
    vec![
        task.key.to_string().into(),
        Cell::styled(
            task_style(task.state),
            format!(
                "{} {}",
                task.state.glyph(),
                state_word(task.state, record.state)
            ),
        ),
        Cell::right(took.unwrap_or_default()),
        Cell::right(attempts),
        Cell::right(rows.unwrap_or_default()),
        output
            .map(|output| {
                let decides = output.values.get("metric").and_then(Value::as_str);
                metrics(&output.metrics, decides, MEASURES)
            })
            .unwrap_or_default()
            .into(),
        painter.one_line(&note, 72).into(),
    ]
}

/// What the tasks have warned of, each with its task.
fn warnings(tasks: &[TaskRecord]) -> Vec<String> {
    let all = tasks.iter().flat_map(|task| {
        let warnings = task.output.iter().flat_map(|output| &output.warnings);
        warnings.map(|text| format!("{}: {text}", task.key))
    });
    let mut lines: Vec<String> = all.collect();
    let more = lines.len().saturating_sub(WARNINGS);
    lines.truncate(WARNINGS);
    if more > 0 {
        lines.push(format!("… and {more} more; --format json has all"));
    }
    lines
}

/// The files, tables and models that a run has left, by what they are.
fn outputs(
    record: &RunRecord,
    tasks: &[TaskRecord],
    standings: &BTreeMap<String, String>,
) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for task in tasks {
        let Some(output) = &task.output else { continue };
        let values = &output.values;
        let paths = output
            .artifacts
            .iter()
            .filter_map(|artifact| artifact.path.clone());
        let path = values
            .get("path")
            .and_then(Value::as_str)
            .map(ToOwned::to_owned);
        let mut files: Vec<String> = paths.chain(path).collect();
        files.dedup();
        found.extend(files.into_iter().map(|file| ("File", file)));
        if let Some(table) = values.get("table").and_then(Value::as_str) {
            let connection = values.get("connection").and_then(Value::as_str);
            let place = connection
                .map(|name| format!(" in {name}"))
                .unwrap_or_default();
            found.push(("Table", format!("{table}{place}")));
        }
        if let Some(model) = values.get("model").and_then(Value::as_str) {
            let standing = standings.get(model);
            let standing = standing
                .map(|what| format!(" ({what})"))
                .unwrap_or_default();
            found.push(("Model", format!("{model}{standing}")));
        }
        found.extend(checked(task).map(|what| ("Check", what)));
        found.extend(kept(record, task).map(|what| ("Kept", what)));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|output| seen.insert(output.clone()));
    found
}

/// The files of a task that are kept with the run only, and how to see them.
fn kept(record: &RunRecord, task: &TaskRecord) -> Option<String> {
    let files = task.output.iter().flat_map(|output| &output.artifacts);
    let files = files.filter(|file| file.path.is_none());
    let names: Vec<&str> = files.map(|file| file.name.as_str()).collect();
    let run = record.run.id.short();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!(
            "{}: {names} (`pipectl runs files {run} {}`)",
            task.key, task.key
        )
    })
}

/// How many of its rules a table has kept, and which it has not.
fn checked(task: &TaskRecord) -> Option<String> {
    let output = task.output.as_ref()?;
    let rules = output.metrics.get("rules")?;
    let broken = output.values.get("failed")?.as_array()?;
    let broken: Vec<&str> = broken.iter().filter_map(Value::as_str).collect();
    let kept = number(rules - output.metrics.get("failed_rules")?);
    let head = format!("{}: {kept} of {} rules kept", task.key, number(*rules));
    Some(if broken.is_empty() {
        head
    } else {
        format!("{head}; broken: {}", broken.join("; "))
    })
}
