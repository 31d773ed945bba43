//! Tasks that are not run: what they put out is there already, or nobody wants it.

use std::collections::{HashMap, HashSet};

use super::{
    Options, Parts, Reuse, RunnerError,
    drive::Drive,
    journal::{Details, row},
};
use crate::{
    id::{RunId, TaskKey},
    plan::TaskIndex,
    state::TaskState,
    store::{Change, OutputRecord, Part},
};

/// Has `options` leave out what the run leaves out, and take what it takes from an earlier run.
pub(super) async fn take_part(
    parts: &Parts,
    part: Part,
    options: &mut Options,
) -> Result<(), RunnerError> {
    options.leave_out.extend(part.left_out);
    let runs: HashSet<RunId> = part.taken.values().copied().collect();
    for run in runs {
        let (mut outputs, mut elements) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for task in parts.store.tasks(run).await? {
            let output = task.output.unwrap_or_default();
            match task.key.element {
                None => drop(outputs.insert(task.key.task, output)),
                Some(_) if task.state != TaskState::Success => {}
                Some(element) => elements
                    .entry(task.key.task)
                    .or_default()
                    .push((element, output)),
            }
        }
        for (name, _) in part.taken.iter().filter(|(_, from)| **from == run) {
            // A run that is gone from the history has no output: whoever reads it says so.
            let output = Box::new(outputs.remove(name).unwrap_or_default());
            let elements = elements.remove(name).unwrap_or_default();
            let taken = Reuse::Earlier(run, output, elements);
            options.reuse.insert(name.clone(), taken);
        }
    }
    Ok(())
}

impl Drive {
    /// Sets the tasks that are not run, because a person, a test or a sensor has said so. Which they are.
    pub(super) async fn preset(&mut self) -> HashSet<TaskIndex> {
        let mut preset = HashSet::new();
        let now = self.parts.clock.now();
        for name in std::mem::take(&mut self.options.leave_out) {
            let Some(index) = self.plan.find(&name) else {
                continue;
            };
            preset.insert(index);
            let mut change = row(&TaskKey::task(name), TaskState::Skipped);
            (change.ended, change.note) = (Some(now), Some("left out".to_owned()));
            self.journal.task(change, now, Details::default());
            self.shelf.set_state(index, TaskState::Skipped);
            self.scheduler.restore(index, TaskState::Skipped);
        }
        for (name, reuse) in std::mem::take(&mut self.options.reuse) {
            let Some(index) = self.plan.find(&name) else {
                continue;
            };
            preset.insert(index);
            let key = TaskKey::task(name);
            let mut change = row(&key, TaskState::Success);
            change.ended = Some(now);
            let record = match reuse {
                Reuse::Earlier(run, record, elements) => {
                    change.note = Some(format!("taken from run {run}"));
                    if elements.is_empty() {
                        self.shelf.put(index, &record, Vec::new());
                    } else {
                        change.elements = u32::try_from(elements.len()).ok();
                        self.take_elements(index, elements).await;
                    }
                    *record
                }
                Reuse::Given(datasets, values) => {
                    change.note = Some("given".to_owned());
                    let record = OutputRecord {
                        values,
                        ..OutputRecord::default()
                    };
                    self.shelf.put(index, &record, datasets);
                    record
                }
            };
            let rows = record.datasets.first().map(|dataset| dataset.rows);
            self.journal.task(
                change,
                now,
                Details {
                    rows,
                    ..Details::default()
                },
            );
            self.journal.change(Change::Output {
                key,
                attempt: 0,
                output: record,
                at: now,
            });
            self.scheduler.restore(index, TaskState::Success);
        }
        preset
    }

    async fn take_elements(&mut self, index: TaskIndex, elements: Vec<(u32, OutputRecord)>) {
        for (element, output) in elements {
            self.shelf.put_element(index, element, &output, Vec::new());
        }
        self.gather_again(index).await;
    }

    /// Gathers elements that an earlier attempt or run has put out.
    pub(super) async fn gather_again(&mut self, index: TaskIndex) {
        // An element's dataset that is gone shows when it is read.
        if let Err(error) = self.shelf.gather(&self.parts, index).await {
            let task = &self.plan.graph[index].name;
            tracing::warn!(%task, error = error.full_message(), "cannot gather its elements");
        }
    }
}
