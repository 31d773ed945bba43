//! A part of a pipeline: what runs of it, what is taken from an earlier run, and from which.

use std::collections::{BTreeSet, HashSet};

use pipectl_engine::{
    operator::Interval,
    plan::{Plan, PlannedTask, TaskIndex},
    spec::suggest,
    state::{RunState, TaskState},
    store::{Part, RunFilter, RunRecord},
};
use serde_json::{Map, Value};

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

/// What is to run of a pipeline.
#[derive(Debug)]
pub(super) struct Chosen {
    runs: HashSet<TaskIndex>,
    taken: Vec<TaskIndex>,
    left_out: Vec<TaskIndex>,
}

/// What a run must be to be taken from.
pub(super) struct Wanted<'a> {
    pub(super) plan: &'a Plan,
    pub(super) params: &'a Map<String, Value>,
    /// The interval of the new run, unless that of the other one is taken too.
    pub(super) interval: Option<Interval>,
    /// The run that a person has named.
    pub(super) run: Option<&'a str>,
}

/// The run that is taken from.
pub(super) struct Source {
    record: RunRecord,
    taken: Vec<String>,
    /// Tasks that were skipped there, and are skipped here.
    skipped: Vec<String>,
    /// Tasks whose text has changed since.
    changed: Vec<String>,
}

impl Chosen {
    pub(super) fn of(plan: &Plan, from: Option<&str>, only: Option<&str>) -> Result<Self, Problem> {
        let all = || plan.graph.node_indices();
        let mut runs: HashSet<TaskIndex> = match (from, only) {
            (Some(from), _) => with_descendants(plan, named(plan, from)?),
            (None, Some(only)) => HashSet::from([named(plan, only)?]),
            (None, None) => all().collect(),
        };
        let taken = loop {
            let read = |task: &TaskIndex| plan.upstream(*task);
            let taken: BTreeSet<TaskIndex> = runs
                .iter()
                .flat_map(read)
                .filter(|task| !runs.contains(task))
                .collect();
            // What is only passed on is kept nowhere: it is made again.
            let passed_on = |task: &&TaskIndex| !plan.graph[**task].persist;
            let again: Vec<TaskIndex> = taken.iter().filter(passed_on).copied().collect();
            if again.is_empty() {
                break taken;
            }
            runs.extend(again);
        };
        let left_out = all()
            .filter(|task| !runs.contains(task) && !taken.contains(task))
            .collect();
        Ok(Self {
            runs,
            taken: taken.into_iter().collect(),
            left_out,
        })
    }

    /// Whether all that its tasks read is made by the run itself.
    pub(super) fn reads_nothing(&self) -> bool {
        self.taken.is_empty()
    }

    /// What becomes of a task.
    pub(super) fn says(&self, task: TaskIndex, source: Option<&Source>) -> String {
        match source {
            _ if self.runs.contains(&task) => "runs".to_owned(),
            Some(source) if self.taken.contains(&task) => {
                format!("taken from run {}", source.record.run.id)
            }
            _ => "does not run".to_owned(),
        }
    }

    /// What the run keeps of it.
    pub(super) fn part(&self, plan: &Plan, source: Option<&Source>) -> Part {
        let name = |task: &TaskIndex| plan.graph[*task].name.to_string();
        let mut part = Part {
            left_out: self.left_out.iter().map(name).collect(),
            ..Part::default()
        };
        if let Some(source) = source {
            let run = source.record.run.id;
            part.left_out.extend(source.skipped.iter().cloned());
            part.taken = source
                .taken
                .iter()
                .map(|name| (name.clone(), run))
                .collect();
        }
        part
    }

    /// The run to take from, when anything is taken: the one that a person has named; else the newest one of the whole
    /// pipeline that has succeeded with the same parameters, best of the same interval.
    pub(super) async fn source(
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
                .hint(format!("`pipectl runs show {id}` shows what it has"))
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
            let is_it =
                |key: &pipectl_engine::id::TaskKey| key.task == name && key.element.is_none();
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

    /// What is taken, and all that comes before it, in the order of the file.
    fn made_of(&self, plan: &Plan) -> BTreeSet<TaskIndex> {
        let (mut found, mut open) = (BTreeSet::new(), self.taken.clone());
        while let Some(task) = open.pop() {
            if found.insert(task) {
                open.extend(plan.upstream(task));
            }
        }
        found
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
            for path in all.flat_map(|expression| expression.paths()) {
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

    fn names(&self, plan: &Plan) -> String {
        let names = self.taken.iter();
        let names: Vec<String> = names
            .map(|task| format!("`{}`", plan.graph[*task].name))
            .collect();
        names.join(", ")
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
    pub(super) fn interval(&self) -> Option<Interval> {
        self.record.run.interval
    }

    /// Says what is taken from where.
    pub(super) fn tell(&self, output: &Output, dry: bool) {
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

fn named(plan: &Plan, name: &str) -> Result<TaskIndex, Problem> {
    plan.find(name).ok_or_else(|| {
        let names = plan.tasks().map(|(_, task)| &*task.name);
        let hint = suggest::similar(name, names).map_or_else(
            || format!("`pipectl plan {}` lists its tasks", plan.source.path),
            |name| format!("did you mean `{name}`?"),
        );
        Problem::usage(format!("`{}` has no task `{name}`", plan.name)).hint(hint)
    })
}

fn with_descendants(plan: &Plan, task: TaskIndex) -> HashSet<TaskIndex> {
    let (mut found, mut open) = (HashSet::new(), vec![task]);
    while let Some(task) = open.pop() {
        if found.insert(task) {
            open.extend(plan.downstream(task));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{operator::Kind, plan::testing};
    use serde_json::json;

    use super::*;

    /// `a → b → d`, `c → d`, `a → e`.
    fn plan() -> Plan {
        let noop = registry().get(Kind::Run, "noop").unwrap();
        let mut plan = testing::plan("letters");
        let a = testing::add(&mut plan, "a", noop, json!({}), &[]);
        let b = testing::add(&mut plan, "b", noop, json!({}), &[a]);
        let c = testing::add(&mut plan, "c", noop, json!({}), &[]);
        testing::add(&mut plan, "d", noop, json!({}), &[b, c]);
        testing::add(&mut plan, "e", noop, json!({}), &[a]);
        plan
    }

    fn part(from: Option<&str>, only: Option<&str>) -> Result<[String; 3], Problem> {
        let plan = plan();
        let chosen = Chosen::of(&plan, from, only)?;
        let mut runs: Vec<TaskIndex> = chosen.runs.into_iter().collect();
        runs.sort();
        Ok([runs, chosen.taken, chosen.left_out]
            .map(|tasks| tasks.iter().map(|task| &*plan.graph[*task].name).collect()))
    }

    #[test]
    fn a_part_runs_what_it_names_and_takes_what_that_reads() {
        for (from, only, [runs, taken, left_out]) in [
            (None, None, ["abcde", "", ""]),
            (Some("b"), None, ["bd", "ac", "e"]),
            (Some("a"), None, ["abde", "c", ""]),
            (None, Some("d"), ["d", "bc", "ae"]),
            (None, Some("c"), ["c", "", "abde"]),
        ] {
            assert_eq!(part(from, only).unwrap(), [runs, taken, left_out]);
        }
        assert!(part(Some("x"), None).is_err());
    }

    #[test]
    fn what_is_only_passed_on_runs_again_for_its_reader() {
        let mut plan = plan();
        let b = plan.find("b").unwrap();
        plan.graph[b].persist = false;
        let chosen = Chosen::of(&plan, None, Some("d")).unwrap();
        let names = |tasks: &[TaskIndex]| -> String {
            tasks.iter().map(|task| &*plan.graph[*task].name).collect()
        };
        assert!(chosen.runs.contains(&b));
        assert_eq!(
            (names(&chosen.taken), names(&chosen.left_out)),
            ("ac".into(), "e".into())
        );
    }

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
