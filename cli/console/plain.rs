//! One line for each thing that happens.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use pipectl_engine::{
    event::{Listener, RunEvent, What},
    plan::Plan,
    state::{RunState, TaskState},
    time::human_duration,
};

use super::{state_word, task_style};
use crate::{
    output::{DIM, Output, YELLOW},
    records::thousands,
    table::width,
};

/// Prints a line for each task that ends, fails for now, waits or warns.
pub(super) struct Plain {
    output: Output,
    verbose: bool,
    name_width: usize,
    /// What was said last of each task that waits: who looks again and goes on waiting says nothing new.
    waits: Mutex<HashMap<String, String>>,
}

impl Plain {
    pub(super) fn new(output: Output, plan: &Plan, verbose: bool) -> Self {
        let name_width = plan.tasks().map(|(_, task)| width(&task.name)).max();
        Self {
            output,
            verbose,
            name_width: name_width.unwrap_or(0),
            waits: Mutex::default(),
        }
    }

    /// Whether it was not said last of a task that waits.
    fn is_news(&self, key: &str, details: &str) -> bool {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.insert(key.to_owned(), details.to_owned()).as_deref() != Some(details)
    }

    fn task(&self, key: &str, state: TaskState, details: &str) {
        let painter = self.output.err;
        let (glyph, name) = (state.glyph(), state_word(state, RunState::Running));
        let state = painter.paint(task_style(state), format_args!("{glyph} {name:<15}"));
        let line = format!("{state} {key:<width$}  {details}", width = self.name_width);
        self.output.note(line.trim_end());
    }
}

impl Listener for Plain {
    fn hear(&self, event: &RunEvent) {
        match &event.what {
            What::Task {
                key,
                state,
                took,
                note,
                rows,
                attempt,
                ..
            } if self.verbose || worth_a_line(*state) => {
                let details = details(*state, *took, *rows, note.as_deref(), *attempt);
                let key = key.to_string();
                if *state != TaskState::Deferred || self.is_news(&key, &details) {
                    self.task(&key, *state, &details);
                }
            }
            What::Warning { key, text } => {
                let warning = self.output.err.paint(YELLOW, "! warning        ");
                self.output.note(format_args!("{warning} {key}: {text}"));
            }
            What::Log { key, line, .. } if self.verbose => {
                let line = self.output.err.paint(DIM, format_args!("  {key} | {line}"));
                self.output.note(line);
            }
            _ => {}
        }
    }
}

fn worth_a_line(state: TaskState) -> bool {
    state.is_final() || matches!(state, TaskState::UpForRetry | TaskState::Deferred)
}

/// What is said beside a task's state.
pub(super) fn details(
    state: TaskState,
    took: Option<Duration>,
    rows: Option<u64>,
    note: Option<&str>,
    attempt: u32,
) -> String {
    let mut parts = Vec::new();
    if let Some(rows) = rows {
        parts.push(format!(
            "{} {}",
            thousands(rows),
            if rows == 1 { "row" } else { "rows" }
        ));
    }
    if let Some(took) = took
        && state != TaskState::Running
    {
        parts.push(human_duration(took));
    }
    if attempt > 1 || state == TaskState::UpForRetry {
        parts.push(format!("attempt {attempt}"));
    }
    if let Some(note) = note {
        parts.push(note.lines().next().unwrap_or_default().to_owned());
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        let took = Some(Duration::from_millis(41));
        for (state, rows, note, attempt, text) in [
            (
                TaskState::Success,
                Some(2001),
                None,
                1,
                "2,001 rows · 41 ms",
            ),
            (
                TaskState::Success,
                Some(1),
                None,
                2,
                "1 row · 41 ms · attempt 2",
            ),
            (
                TaskState::UpForRetry,
                None,
                Some("boom\nat x"),
                1,
                "41 ms · attempt 1 · boom",
            ),
        ] {
            assert_eq!(details(state, took, rows, note, attempt), text);
        }
    }
}
