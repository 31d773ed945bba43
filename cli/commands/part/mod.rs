//! A part of a pipeline: what runs of it, what is taken from an earlier run, and from which.

mod source;

use std::collections::{BTreeSet, HashSet};

use pipectl_engine::{
    plan::{Plan, TaskIndex},
    spec::suggest,
    store::Part,
};

pub(super) use self::source::{Source, Wanted};
use crate::exit::Problem;

/// What is to run of a pipeline.
#[derive(Debug)]
pub(super) struct Chosen {
    runs: HashSet<TaskIndex>,
    taken: Vec<TaskIndex>,
    left_out: Vec<TaskIndex>,
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

    fn names(&self, plan: &Plan) -> String {
        let names = self.taken.iter();
        let names: Vec<String> = names
            .map(|task| format!("`{}`", plan.graph[*task].name))
            .collect();
        names.join(", ")
    }
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
    use crate::project::registry;

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
}
