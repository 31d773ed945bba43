//! What is said of a task that failed: the message, where it stands, the end of its log, what to do.

use std::{collections::VecDeque, path::Path};

use pipectl_engine::{
    plan::Plan,
    runner::log_path,
    spec::render::excerpt,
    state::TaskState,
    store::{RunRecord, TaskRecord},
};

use crate::{
    complaints::colour,
    output::{CYAN, DIM, Painter, RED_BOLD},
    pipelines::changed,
};

/// How many lines of the log are shown.
const LINES: usize = 8;

/// How many lines of the task's own are shown.
const EXCERPT: usize = 8;

/// A block for each task that failed.
pub(crate) fn failures(
    record: &RunRecord,
    tasks: &[TaskRecord],
    plan: Option<&Plan>,
    state_dir: &Path,
    painter: Painter,
) -> Vec<String> {
    tasks
        .iter()
        .filter(|task| task.state == TaskState::Failed)
        .filter(|task| task.error.is_some())
        .map(|task| block(record, task, plan, state_dir, painter))
        .collect()
}

fn block(
    record: &RunRecord,
    task: &TaskRecord,
    plan: Option<&Plan>,
    state_dir: &Path,
    painter: Painter,
) -> String {
    let Some(error) = &task.error else {
        return String::new();
    };
    let after = if task.attempt > 1 {
        format!(" after {} attempts", task.attempt)
    } else {
        String::new()
    };
    let mut lines = vec![format!(
        "{} task `{}` failed{after}: {}",
        painter.paint(RED_BOLD, "error:"),
        task.key,
        error.message
    )];
    lines.extend(
        plan.map(|plan| written(plan, task, painter))
            .unwrap_or_default(),
    );
    let tail = tail(&log_path(state_dir, record.run.id, &task.key, task.attempt));
    lines.extend(
        tail.iter()
            .map(|line| painter.paint(DIM, format_args!("  > {line}"))),
    );
    if let Some(hint) = &error.hint {
        lines.push(format!("{} {hint}", painter.paint(CYAN, "hint:")));
    }
    lines.push(format!(
        "{} pipectl runs logs {} {}",
        painter.paint(CYAN, "logs:"),
        record.run.id.short(),
        task.key
    ));
    lines.join("\n")
}

/// Where the task stands in its file, with its lines.
fn written(plan: &Plan, task: &TaskRecord, painter: Painter) -> Vec<String> {
    let Some(planned) = plan.find(&task.key.task).map(|index| &plan.graph[index]) else {
        return Vec::new();
    };
    let place = &planned.place;
    let excerpt = excerpt(&plan.source.text, place, EXCERPT, colour(painter));
    // As wide as the number of the last line, before which a blank follows.
    let gutter = excerpt.first().map_or(1, |line| {
        line.len().saturating_sub(line.trim_start().len() + 1)
    });
    let arrow = painter.paint(CYAN, "-->");
    let whose = if changed(plan) {
        " (in the version of the run; the file has changed since)"
    } else {
        ""
    };
    let head = format!(
        "{:gutter$}{arrow} {}:{}:{}{whose}",
        "", place.file, place.line, place.column
    );
    std::iter::once(head).chain(excerpt).collect()
}

/// The last lines of a log, without the one that repeats the error.
fn tail(path: &Path) -> Vec<String> {
    let Ok(text) = std::fs::read_to_string(path) else {
        // A task that failed before it could write has no log.
        return Vec::new();
    };
    let mut lines: VecDeque<&str> = text.lines().collect();
    if lines.back().is_some_and(|line| line.contains(" ERROR ")) {
        lines.pop_back();
    }
    let skip = lines.len().saturating_sub(LINES);
    lines
        .into_iter()
        .skip(skip)
        .map(ToOwned::to_owned)
        .collect()
}
