//! The pipeline's name, the operators, the pools.

use super::Compiler;
use crate::{
    operator::Kind,
    spec::{codes, parse::is_name, suggest},
    trigger::Trigger,
};

impl Compiler<'_> {
    /// Names that must be those of something.
    pub(super) fn check_names(&mut self) {
        self.pipeline_name();
        for index in 0..self.drafts.len() {
            let task = self.drafts[index].file;
            let (kind, name) = (task.kind.value, &task.operator.value);
            self.drafts[index].operator = self.operators.get(kind, name);
            if self.drafts[index].operator.is_none() {
                self.unknown_operator(index);
            }
        }
        self.pools();
        self.sensors();
    }

    fn pipeline_name(&mut self) {
        let Some(name) = &self.file.name else { return };
        let stem = self
            .file
            .source
            .path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        // What is no name is complained about already, and no file should be called so.
        if let Some(stem) = stem.filter(|stem| *stem != *name.value && is_name(&name.value)) {
            self.found
                .error(
                    codes::NAME_FILE,
                    name.mark,
                    format!("the pipeline `{}` stands in `{stem}.yaml`", name.value),
                )
                .hint(format!(
                    "write `name: {stem}`, or rename the file to `{}.yaml`",
                    name.value
                ));
        }
    }

    fn unknown_operator(&mut self, index: usize) {
        let task = self.drafts[index].file;
        let (kind, name) = (task.kind.value, &task.operator.value);
        let known: Vec<&str> = self
            .operators
            .of_kind(kind)
            .map(crate::operator::DynOperator::name)
            .collect();
        let elsewhere = Kind::ALL
            .into_iter()
            .find(|kind| self.operators.get(*kind, name).is_some());
        let hint = match (suggest::similar(name, known.iter().copied()), elsewhere) {
            (Some(meant), _) => {
                format!("did you mean `{meant}`? `pipectl operators` lists them all")
            }
            (None, Some(other)) => format!("there is `{other}: {name}`"),
            (None, None) if known.is_empty() => "`pipectl operators` lists them all".to_owned(),
            (None, None) => format!(
                "`{kind}` has {}, or what a program `pipectl-{kind}-{name}` on the PATH does",
                suggest::listed(&known)
            ),
        };
        // Nobody knows which parameters its settings read.
        self.names.all_params_used = true;
        self.found
            .error(
                codes::UNKNOWN_OPERATOR,
                task.operator.mark,
                format!("unknown operator `{kind}: {name}`"),
            )
            .hint(hint);
    }

    fn pools(&mut self) {
        let file = self.file;
        let used = file
            .tasks
            .iter()
            .filter_map(|task| task.pool.as_ref())
            .chain(file.defaults.pool.as_ref());
        for pool in used {
            match self.project.pools.get(&pool.value.name) {
                Some(slots) if *slots >= pool.value.slots => {}
                Some(slots) => {
                    let message = format!("the pool `{}` has {slots} slots only", pool.value.name);
                    self.found.error(codes::OUT_OF_RANGE, pool.mark, message);
                }
                None => {
                    let known = self.project.pools.keys().map(String::as_str);
                    let hint = match suggest::similar(&pool.value.name, known) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("add `pools: {{{}: 4}}` to pipectl.yaml", pool.value.name),
                    };
                    let message = format!("there is no pool `{}`", pool.value.name);
                    self.found
                        .error(codes::UNKNOWN_POOL, pool.mark, message)
                        .hint(hint);
                }
            }
        }
    }

    /// `schedule: {sensor: …}` names root sensors of this pipeline.
    fn sensors(&mut self) {
        let Some(schedule) = &self.file.schedule else {
            return;
        };
        if !matches!(schedule.value.trigger, Trigger::Sensor(_)) {
            return;
        }
        for name in &self.file.schedule_names {
            let task = self
                .names
                .task(&name.value)
                .index()
                .map(|index| self.drafts[index].file);
            let wrong = match task {
                None => "there is no such task",
                Some(task) if task.kind.value != Kind::Sensor => "it is no sensor",
                Some(task) if !task.from.is_empty() || !task.needs.is_empty() => {
                    "it waits for other tasks"
                }
                Some(_) => continue,
            };
            self.found
                .error(
                    codes::SCHEDULE,
                    name.mark,
                    format!("`{}` cannot start the pipeline: {wrong}", name.value),
                )
                .hint("`schedule: {sensor: …}` names a sensor that waits for no other task");
        }
    }
}
