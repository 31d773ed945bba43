//! The run that a part of a pipeline takes from.

use std::collections::BTreeSet;

use pipectl_engine::{
    id::TaskKey,
    operator::Interval,
    plan::{Plan, PlannedTask},
    state::{RunState, TaskState},
    store::{Part, RunFilter, RunRecord},
};
use serde_json::{Map, Value};

use super::Chosen;
use crate::{
    exit::Problem,
    output::{Output, YELLOW},
    pipelines,
    project::registry,
    records::{find, moment},
    wire::House,
};

/// How many runs are looked through for one to take from.
const LOOK_BACK: u32 = 200;

/// What a run must be to be taken from.
pub(in crate::commands) struct Wanted<'a> {
    pub(in crate::commands) plan: &'a Plan,
    pub(in crate::commands) params: &'a Map<String, Value>,
    /// The interval of the new run, unless that of the other one is taken too.
    pub(in crate::commands) interval: Option<Interval>,
    /// The run that a person has named.
    pub(in crate::commands) run: Option<&'a str>,
}

/// The run that is taken from.
pub(in crate::commands) struct Source {
    pub(super) record: RunRecord,
    pub(super) taken: Vec<String>,
    /// Tasks that were skipped there, and are skipped here.
    pub(super) skipped: Vec<String>,
    /// Tasks whose text has changed since.
    changed: Vec<String>,
}

impl Chosen {
    /// The run to take from, when anything is taken: the one that a person has named; else the newest one of the whole
    /// pipeline that has succeeded with the same parameters, best of the same interval.
    pub(in crate::commands) async fn source(
        &self,
        house: &House,
        wanted: &Wanted<'_>,
    ) -> anyhow::Result<Option<Source>> {
        if self.reads_nothing() {
            return Ok(None);
        }
        let source = match wanted.run {
            Some(run) => self.named_source(house, wanted, run).await?,
            None => self.newest_source(house, wanted).await?,
        };
        Ok(Some(source))
    }

    async fn named_source(
        &self,
        house: &House,
        wanted: &Wanted<'_>,
        run: &str,
    ) -> anyhow::Result<Source> {
        let record = find(&*house.store, run).await?;
        let (id, pipeline) = (record.run.id, &record.run.pipeline);
        if *pipeline != *wanted.plan.name {
            let other = format!("run {id} is of `{pipeline}`, not of `{}`", wanted.plan.name);
            return Err(Problem::usage(other).into());
        }
        let source = self.source_in(house, wanted.plan, record).await?;
        source.ok_or_else(|| {
            let names = self.names(wanted.plan);
            Problem::usage(format!("run {id} has not put out all of {names}"))
                .hint(format!(
                    "`pipectl runs show {}` shows what it has",
                    id.short()
                ))
                .into()
        })
    }

    async fn newest_source(&self, house: &House, wanted: &Wanted<'_>) -> anyhow::Result<Source> {
        let filter = RunFilter {
            pipeline: Some(wanted.plan.name.to_string()),
            state: Some(RunState::Success),
            limit: LOOK_BACK,
            ..RunFilter::default()
        };
        let read = self.params_read(wanted.plan);
        let mut records = house.store.runs(&filter).await?;
        records.retain(|record| objection(record, wanted, &read).is_none());
        // Those of the same interval first, else the newest.
        records.sort_by_key(|record| record.run.interval != wanted.interval);
        for record in records {
            if let Some(source) = self.source_in(house, wanted.plan, record).await? {
                return Ok(source);
            }
        }
        Err(self.no_source(house, wanted, &read).await?.into())
    }

    /// Says that there is no run to take from, and which one a person might name.
    async fn no_source(
        &self,
        house: &House,
        wanted: &Wanted<'_>,
        read: &Read,
    ) -> anyhow::Result<Problem> {
        let plan = wanted.plan;
        let whole = format!("run the whole pipeline: `pipectl run {}`", plan.source.path);
        let filter = RunFilter {
            pipeline: Some(plan.name.to_string()),
            limit: LOOK_BACK,
            ..RunFilter::default()
        };
        let mut hint = whole;
        for record in house.store.runs(&filter).await? {
            let Some(objection) = objection(&record, wanted, read) else {
                continue;
            };
            let id = record.run.id;
            if self.source_in(house, plan, record).await?.is_some() {
                hint = format!("{hint}; or take them with `--inputs {id}`, {objection}");
                break;
            }
        }
        let message = format!(
            "no run of `{}` that has succeeded has the outputs of {}",
            plan.name,
            self.names(plan)
        );
        Ok(Problem::usage(message).hint(hint))
    }

    /// What there is to take in a run; `None` when something is missing.
    async fn source_in(
        &self,
        house: &House,
        plan: &Plan,
        record: RunRecord,
    ) -> anyhow::Result<Option<Source>> {
        let (mut taken, mut skipped) = (Vec::new(), Vec::new());
        let tasks = house.store.tasks(record.run.id).await?;
        for index in &self.taken {
            let name = &*plan.graph[*index].name;
            let is_it = |key: &TaskKey| key.task == name && key.element.is_none();
            match tasks
                .iter()
                .find(|task| is_it(&task.key))
                .map(|task| task.state)
            {
                Some(TaskState::Success) => taken.push(name.to_owned()),
                Some(TaskState::Skipped) => skipped.push(name.to_owned()),
                _ => return Ok(None),
            }
        }
        let changed = self.changed(house, plan, &record).await?;
        Ok(Some(Source {
            record,
            taken,
            skipped,
            changed,
        }))
    }

    /// What is taken, and all that it was made of, whose text is another one by now.
    async fn changed(
        &self,
        house: &House,
        plan: &Plan,
        record: &RunRecord,
    ) -> anyhow::Result<Vec<String>> {
        if record.run.version == plan.source.hash {
            return Ok(Vec::new());
        }
        let version = house.store.version(&record.run.version).await?;
        let before = version.and_then(|version| {
            pipelines::check_version(&house.project, &registry(), version).plan
        });
        let Some(before) = before else {
            return Ok(Vec::new());
        };
        let text = |plan: &Plan, task: &PlannedTask| -> String {
            block(&plan.source.text, task.place.line).to_owned()
        };
        let is_same = |task: &PlannedTask| {
            let index = before.find(&task.name);
            index.is_some_and(|index| text(&before, &before.graph[index]) == text(plan, task))
        };
        let made_of = self.made_of(plan).into_iter();
        let changed = made_of
            .map(|index| &plan.graph[index])
            .filter(|task| !is_same(task));
        Ok(changed.map(|task| task.name.to_string()).collect())
    }

    /// The parameters that go into what is taken.
    fn params_read(&self, plan: &Plan) -> Read {
        let mut read = Read::Some(BTreeSet::new());
        for index in self.made_of(plan) {
            let task = &plan.graph[index];
            let items = task
                .foreach
                .iter()
                .flat_map(|foreach| foreach.items.expressions());
            let all = task
                .with
                .expressions()
                .into_iter()
                .chain(&task.condition)
                .chain(items);
            for path in all.flat_map(pipectl_engine::spec::Expression::paths) {
                let mut parts = path.split('.');
                if parts.next() != Some("params") {
                    continue;
                }
                match (parts.next(), &mut read) {
                    (Some(name), Read::Some(names)) => drop(names.insert(name.to_owned())),
                    _ => read = Read::All,
                }
            }
        }
        read
    }
}

/// Which parameters go into something.
enum Read {
    All,
    Some(BTreeSet<String>),
}

/// Why a run is not taken from unless somebody names it.
fn objection(record: &RunRecord, wanted: &Wanted<'_>, read: &Read) -> Option<String> {
    if record.state != RunState::Success {
        return Some(format!("which is {}", record.state));
    }
    if Part::of(&record.run).is_some() {
        return Some("which was of a part itself".to_owned());
    }
    let goes_in = |name: &String| match read {
        Read::All => true,
        Read::Some(names) => names.contains(name),
    };
    let other = wanted
        .params
        .iter()
        .find(|(name, value)| goes_in(name) && record.run.params.get(*name) != Some(value));
    other.map(|(name, _)| match record.run.params.get(name) {
        Some(value) => format!("which had {name}={value}"),
        None => format!("which had no parameter {name}"),
    })
}

impl Source {
    pub(in crate::commands) fn interval(&self) -> Option<Interval> {
        self.record.run.interval
    }

    /// Says what is taken from where.
    pub(in crate::commands) fn tell(&self, output: &Output, dry: bool) {
        let run = &self.record.run;
        let names = |names: &[String]| {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            names.join(", ")
        };
        let interval = run
            .interval
            .map(|interval| format!(", for its interval {} to {}", interval.start, interval.end));
        let state = self.record.state;
        let line = format!(
            "{} taken from run {} of {} (UTC): {state}{}",
            names(&self.taken),
            run.id,
            moment(run.created),
            interval.unwrap_or_default()
        );
        if dry {
            output.line(format_args!("\n{line}"));
        } else {
            output.note(line);
        }
        if !self.changed.is_empty() {
            let has = if self.changed.len() == 1 {
                "has"
            } else {
                "have"
            };
            let line = format!(
                "{} {has} changed in the file since that run: what is taken is as it was then",
                names(&self.changed)
            );
            output.note(format_args!(
                "{} {line}",
                output.err.paint(YELLOW, "warning:")
            ));
        }
    }
}

/// What stands at a line, with all that stands below it and further to the right.
fn block(text: &str, line: u32) -> &str {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut start = 0;
    let mut lines = text.split_inclusive('\n');
    for line in lines.by_ref().take(line.saturating_sub(1) as usize) {
        start += line.len();
    }
    let Some(first) = lines.next() else {
        return "";
    };
    let mut end = start + first.len();
    for line in lines {
        if !line.trim().is_empty() && depth(line) <= depth(first) {
            break;
        }
        end += line.len();
    }
    text.get(start..end).unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_task_ends_where_the_next_one_begins() {
        let text = "tasks:\n  a:\n    run: noop\n\n    # why\n  b:\n    run: noop\nx: 1\n";
        for (line, expected) in [
            (2, "  a:\n    run: noop\n\n    # why"),
            (6, "  b:\n    run: noop"),
            (9, ""),
        ] {
            assert_eq!(block(text, line), expected);
        }
    }
}
