//! The end of a run: its verdict, what a parent sees of it, and the mails about it.

use serde_json::{Value, json};

use super::{RunnerError, alerts, drive::Drive, start::unresolved};
use crate::{
    operator::TaskError,
    plan::{AlertKind, OutputSource, TaskIndex},
    state::RunState,
    store::{Change, RunChange},
};

impl Drive {
    /// Puts a mail into the outbox, with the state change that is its occasion.
    pub(super) fn mail(&mut self, kind: AlertKind, task: Option<TaskIndex>, content: Value) {
        let now = self.parts.clock.now();
        let planned = task.map(|task| &self.plan.graph[task]);
        let occasion = alerts::Occasion {
            kind,
            plan: &self.plan,
            task: planned,
            run: &self.run,
            redo: self.redo,
            now,
        };
        if let Some(mail) = alerts::mail(&occasion, &self.parts.project, content) {
            self.journal.change(Change::Mail(mail));
        }
    }

    /// The run is late.
    pub(super) fn deadline_passed(&mut self) {
        self.mail(
            AlertKind::Deadline,
            None,
            json!({"message": "the run is not over at its deadline"}),
        );
    }

    /// Writes the run's own end.
    pub(super) async fn end(&mut self) -> Result<RunState, RunnerError> {
        let now = self.parts.clock.now();
        let mut state = self.scheduler.verdict();
        let outputs = if state == RunState::Success {
            self.outputs()
        } else {
            Ok(None)
        };
        let (outputs, error) = match outputs {
            Ok(outputs) => (
                outputs,
                self.first_failure
                    .clone()
                    .filter(|_| state == RunState::Failed),
            ),
            Err(error) => {
                state = RunState::Failed;
                (None, Some(self.error_record(&error).message))
            }
        };
        if state == RunState::Success
            && self
                .parts
                .store
                .previous_state(&self.plan.name, self.run.id)
                .await?
                == Some(RunState::Failed)
        {
            self.mail(
                AlertKind::Recovery,
                None,
                json!({"message": "the run succeeded after one that failed"}),
            );
        }
        let change = RunChange {
            state,
            ended: Some(now),
            error: error.clone(),
            outputs,
            ..RunChange::default()
        };
        self.journal.change(Change::Run(change));
        self.journal.run(state, error, now);
        self.flush().await?;
        Ok(state)
    }

    /// What a parent run sees: `{"values": {…}, "datasets": {…}}`.
    fn outputs(&self) -> Result<Option<Value>, TaskError> {
        if self.plan.outputs.is_empty() {
            return Ok(None);
        }
        let (mut values, mut datasets) = (serde_json::Map::new(), serde_json::Map::new());
        for (name, source) in &self.plan.outputs {
            match source {
                OutputSource::Value(template) => {
                    let scope =
                        super::scope::with_tasks(&self.base, template.expressions(), |task| {
                            self.shelf.view(self.plan.find(task)?)
                        });
                    values.insert(
                        name.clone(),
                        template
                            .resolve(&scope)
                            .map_err(|error| unresolved(&error))?,
                    );
                }
                OutputSource::Dataset(binding) => {
                    let stored = self.shelf.stored(binding).ok_or_else(|| {
                        TaskError::user(format!(
                            "the output `{name}` has no data: its task has put none out"
                        ))
                    })?;
                    datasets.insert(name.clone(), json!(stored));
                }
            }
        }
        Ok(Some(json!({"values": values, "datasets": datasets})))
    }
}
