//! What the names in expressions can stand for.

use std::collections::{BTreeSet, HashMap};

use crate::{
    plan::ParamType,
    project::Project,
    spec::{Found, Mark, PipelineFile, codes, suggest},
    trigger::Trigger,
};

/// So many tasks are listed where one is named that does not exist.
const FEW: usize = 12;

/// What the name of a task stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A task.
    Task(usize),
    /// A task that could not be read, which has its complaint already.
    Unreadable,
    /// Nothing.
    Nothing,
}

impl Named {
    /// The task, when there is one that could be read.
    pub(super) fn index(self) -> Option<usize> {
        match self {
            Self::Task(index) => Some(index),
            Self::Unreadable | Self::Nothing => None,
        }
    }
}

/// The names that expressions can see.
pub(super) struct Names<'a> {
    pub(super) tasks: HashMap<&'a str, Option<usize>>,
    pub(super) params: HashMap<&'a str, ParamType>,
    pub(super) used_params: BTreeSet<String>,
    pub(super) all_params_used: bool,
    pub(super) interval: bool,
    pub(super) project: &'a Project,
}

impl<'a> Names<'a> {
    pub(super) fn of(file: &'a PipelineFile, project: &'a Project) -> Self {
        let mut tasks: HashMap<&str, Option<usize>> =
            file.unreadable.iter().map(|name| (&**name, None)).collect();
        tasks.extend(
            file.tasks
                .iter()
                .enumerate()
                .map(|(index, task)| (&*task.name.value, Some(index))),
        );
        Self {
            tasks,
            params: file
                .params
                .iter()
                .map(|(name, spec)| (&*name.value, spec.of))
                .collect(),
            used_params: BTreeSet::new(),
            all_params_used: false,
            interval: file.interval.is_some()
                || file
                    .schedule
                    .as_ref()
                    .is_some_and(|schedule| !matches!(schedule.value.trigger, Trigger::Sensor(_))),
            project,
        }
    }

    /// The task called `name`.
    pub(super) fn task(&self, name: &str) -> Named {
        match self.tasks.get(name) {
            Some(Some(index)) => Named::Task(*index),
            Some(None) => Named::Unreadable,
            None => Named::Nothing,
        }
    }

    /// The hint for a task that does not exist.
    pub(super) fn task_hint(&self, name: &str) -> Option<String> {
        let mut known: Vec<&str> = self.tasks.keys().copied().collect();
        if let Some(meant) = suggest::similar(name, known.iter().copied()) {
            return Some(format!("did you mean `{meant}`?"));
        }
        known.sort_unstable();
        (1..=FEW)
            .contains(&known.len())
            .then(|| format!("the tasks are `{}`", known.join("`, `")))
    }

    /// The task called `name`; a complaint when there is none.
    pub(super) fn look_up(&self, name: &str, mark: Mark, found: &mut Found) -> Option<usize> {
        let named = self.task(name);
        if named == Named::Nothing {
            self.unknown_task(name, mark, found);
        }
        named.index()
    }

    /// Complains about a task that does not exist.
    fn unknown_task(&self, name: &str, mark: Mark, found: &mut Found) {
        let complaint = found.error(
            codes::UNKNOWN_TASK,
            mark,
            format!("there is no task `{name}`"),
        );
        if let Some(hint) = self.task_hint(name) {
            complaint.hint(hint);
        }
    }
}
