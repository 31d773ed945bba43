//! The running graph on a terminal: a row for each task, drawn over as it advances.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use pipectl_engine::{
    event::{Listener, RunEvent, What},
    id::TaskKey,
    plan::Plan,
    state::{RunState, TaskState},
};

use super::{plain::details, state_word, task_style};
use crate::{
    output::{DIM, Output, YELLOW},
    table::width,
};

/// More tasks than this are not all shown at once: only those under way.
const ROWS: usize = 30;
const TICK: Duration = Duration::from_millis(120);

/// A row for each task.
pub(super) struct Live {
    output: Output,
    name_width: usize,
    /// Whether a task that is over keeps its row.
    keeps_rows: bool,
    rows: Mutex<HashMap<String, Row>>,
}

struct Row {
    bar: ProgressBar,
    /// For a repeated task: how many elements there are, and how many are over.
    elements: Option<(u32, u32)>,
}

impl Live {
    pub(super) fn new(output: Output, plan: &Plan) -> Self {
        let name_width = plan.tasks().map(|(_, task)| width(&task.name)).max();
        let live = Self {
            output,
            name_width: name_width.unwrap_or(0),
            keeps_rows: plan.graph.node_count() <= ROWS,
            rows: Mutex::default(),
        };
        if live.keeps_rows {
            let mut rows = live.rows.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, task) in plan.tasks() {
                let row = live.row();
                live.show(&row.bar, &task.name, TaskState::None, "");
                rows.insert(task.name.to_string(), row);
            }
        }
        live
    }

    fn row(&self) -> Row {
        let bar = self.output.bars().add(ProgressBar::new_spinner());
        Row {
            bar,
            elements: None,
        }
    }

    fn show(&self, bar: &ProgressBar, name: &str, state: TaskState, details: &str) {
        let (glyph, word) = (state.glyph(), state_word(state, RunState::Running));
        let prefix = self
            .output
            .err
            .paint(task_style(state), format_args!("{glyph} {word:<15}"));
        bar.set_style(style("{prefix} {msg}"));
        bar.set_prefix(prefix);
        bar.set_message(format!(
            "{name:<width$}  {details}",
            width = self.name_width
        ));
        bar.tick();
    }

    fn running(&self, bar: &ProgressBar, name: &str) {
        let glyph = TaskState::Running.name();
        bar.set_style(style("{prefix} {msg}  {elapsed:.dim}"));
        bar.set_prefix(self.output.err.paint(
            task_style(TaskState::Running),
            format_args!("◔ {glyph:<15}"),
        ));
        bar.set_message(format!("{name:<width$}", width = self.name_width));
        bar.reset_elapsed();
        bar.enable_steady_tick(TICK);
    }

    fn task(&self, key: &TaskKey, state: TaskState, details: &str) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if key.element.is_some() {
            return Self::element(&mut rows, key, state);
        }
        let row = rows.entry(key.task.clone()).or_insert_with(|| self.row());
        if state == TaskState::Running {
            return self.running(&row.bar, &key.task);
        }
        row.bar.disable_steady_tick();
        self.show(&row.bar, &key.task, state, details);
        if state.is_final() {
            row.bar.finish();
            if !self.keeps_rows
                && let Some(row) = rows.remove(&key.task)
            {
                row.bar.finish_and_clear();
                self.output.bars().remove(&row.bar);
            }
        }
    }

    fn element(rows: &mut HashMap<String, Row>, key: &TaskKey, state: TaskState) {
        if let Some(row) = rows.get_mut(&key.task)
            && let Some((over, all)) = &mut row.elements
            && state.is_final()
        {
            *over += 1;
            progress(&row.bar, u64::from(*over), u64::from(*all));
        }
    }
}

impl Listener for Live {
    fn hear(&self, event: &RunEvent) {
        match &event.what {
            What::Task {
                key,
                state,
                attempt,
                took,
                note,
                rows,
                ..
            } => {
                let details = details(*state, *took, *rows, note.as_deref(), *attempt);
                self.task(key, *state, &self.output.err.paint(DIM, details));
            }
            What::Expanded { task, elements } => {
                let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(row) = rows.get_mut(task) {
                    row.elements = Some((0, *elements));
                }
            }
            What::Progress { key, done, total } if key.element.is_none() => {
                let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
                if let (Some(row), Some(total)) = (rows.get(&key.task), total) {
                    progress(&row.bar, *done, *total);
                }
            }
            What::Warning { key, text } => {
                let warning = self.output.err.paint(YELLOW, "warning:");
                self.output.note(format_args!("{warning} {key}: {text}"));
            }
            What::Run { state, .. } if state.is_final() => {
                let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
                // The summary shows all of it once more, and for good.
                rows.values().for_each(|row| row.bar.finish_and_clear());
            }
            _ => {}
        }
    }
}

fn progress(bar: &ProgressBar, done: u64, total: u64) {
    if bar.length() != Some(total) {
        bar.set_length(total);
        bar.set_style(style(
            "{prefix} {msg}  {bar:24.cyan/dim} {pos}/{len}  {elapsed:.dim}",
        ));
    }
    bar.set_position(done);
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours; a wrong one would show in the first test.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("━━─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_templates_are_understood() {
        for template in [
            "{prefix} {msg}",
            "{prefix} {msg}  {elapsed:.dim}",
            "{prefix} {msg}  {bar:24.cyan/dim} {pos}/{len}  {elapsed:.dim}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
