//! `pipectl run`: makes a run and works on it in the foreground.

use std::collections::{HashMap, HashSet};

use pipectl_engine::{
    id::RunId,
    operator::Interval,
    plan::{Plan, TaskIndex},
    runner::{Options, Redo, Reuse},
    spec::suggest,
    state::{RunState, TaskState},
    store::{NewRun, RunFilter, RunKind, Store},
    time::Timestamp,
    trigger::Trigger,
};
use serde_json::Value;

use super::{execute::Execution, params, plan};
use crate::{
    arguments, console,
    exit::{Exit, Problem},
    pipelines,
    project::{Context, registry},
    records::find,
    wire::{self, House},
};

/// How many runs are looked through for outputs to be reused.
const LOOK_BACK: u32 = 100;

pub(crate) fn run(context: &Context, arguments: &arguments::Run) -> anyhow::Result<Exit> {
    match (&arguments.resume, &arguments.pipeline) {
        (Some(run), _) => resume(context, run, arguments),
        (None, Some(pipeline)) => start(context, pipeline, arguments),
        (None, None) => Err(Problem::usage("no pipeline was named").into()),
    }
}

fn start(context: &Context, pipeline: &str, arguments: &arguments::Run) -> anyhow::Result<Exit> {
    let project = context.project_of(pipeline)?;
    let plan = context.plan(&project, pipeline)?;
    let params = params::complete(&plan, &arguments.params)?;
    let part = Part::of(&plan, arguments.from.as_deref(), arguments.only.as_deref())?;
    if arguments.dry_run {
        plan::text(&context.output, &plan, Some(&part.runs));
        return Ok(Exit::Done);
    }
    let now = wire::clock(&context.env).now();
    let interval = interval(&plan, now)?;
    wire::block_on(async {
        let house = House::open(project).await?;
        let options = part.options(&plan, &*house.store).await?;
        let new = NewRun {
            id: RunId::new(now),
            pipeline: plan.name.to_string(),
            version: plan.source.hash.clone(),
            kind: RunKind::Manual,
            trigger_key: None,
            trigger: Value::Null,
            params,
            interval,
            parent: None,
            created: now,
            enqueued: false,
            max_active: None,
            backfill: None,
        };
        let listener = console::listener(&context.output, &plan, context.global.verbose > 0);
        let runner = house.runner(vec![listener])?;
        runner.create(&plan, &new).await.map_err(|error| {
            Problem::environment("the run could not be written down").because(error)
        })?;
        context
            .output
            .note(format_args!("Run {} of {}", new.id, plan.name));
        let execution = Execution {
            context,
            house: &house,
            plan,
            format: arguments.format,
        };
        execution.work(&runner, new.id, options).await
    })
}

/// Goes on with a run that was stopped, lost, or has failed.
fn resume(context: &Context, run: &str, arguments: &arguments::Run) -> anyhow::Result<Exit> {
    again(context, run, arguments.format, |state| match state {
        RunState::Success => Err(Problem::usage(
            "the run has succeeded: there is nothing to go on with",
        )
        .hint("`pipectl retry RUN` does all of it again")),
        RunState::Failed => Ok(Some(Redo::Unfinished)),
        RunState::Queued | RunState::Running | RunState::Cancelled => Ok(None),
    })
}

/// Works on an earlier run again: with its own parameters, interval and pipeline version.
pub(super) fn again(
    context: &Context,
    run: &str,
    format: arguments::Format,
    redo: impl FnOnce(RunState) -> Result<Option<Redo>, Problem>,
) -> anyhow::Result<Exit> {
    let project = context.project()?;
    wire::block_on(async {
        let house = House::open(project).await?;
        let record = find(&*house.store, run).await?;
        let redo = redo(record.state)?;
        let hash = &record.run.version;
        let version = house.store.version(hash).await?.ok_or_else(|| {
            Problem::environment(format!(
                "the pipeline version {hash} of the run is gone from the history"
            ))
        })?;
        let checked = pipelines::check_version(&house.project, &registry(), version);
        let plan = context.judged(checked)?;
        let id = record.run.id;
        let listener = console::listener(&context.output, &plan, context.global.verbose > 0);
        let runner = house.runner(vec![listener])?;
        context
            .output
            .note(format_args!("Run {id} of {}, again", plan.name));
        let options = Options {
            redo,
            ..Options::default()
        };
        let execution = Execution {
            context,
            house: &house,
            plan,
            format,
        };
        execution.work(&runner, id, options).await
    })
}

/// Refuses a run that would not know its interval, before there is a run.
fn interval(plan: &Plan, now: Timestamp) -> Result<Option<Interval>, Problem> {
    plan.manual_interval(now).map_err(|error| {
        let after = match plan.schedule.as_ref().map(|schedule| &schedule.trigger) {
            Some(Trigger::After { pipelines, .. }) => {
                format!(
                    "; or run `{}`, whose interval it takes",
                    pipelines.join("`, `")
                )
            }
            _ => String::new(),
        };
        Problem::usage(error.to_string()).hint(format!(
            "declare it at the top level: `interval: 1d`{after}"
        ))
    })
}

/// The part of a pipeline that is to run.
struct Part {
    runs: HashSet<TaskIndex>,
    reuses: Vec<TaskIndex>,
    left_out: Vec<TaskIndex>,
}

impl Part {
    fn of(plan: &Plan, from: Option<&str>, only: Option<&str>) -> Result<Self, Problem> {
        let all = || plan.graph.node_indices();
        let runs: HashSet<TaskIndex> = match (from, only) {
            (Some(from), _) => with_descendants(plan, named(plan, from)?),
            (None, Some(only)) => HashSet::from([named(plan, only)?]),
            (None, None) => all().collect(),
        };
        let reuses: HashSet<TaskIndex> = runs
            .iter()
            .flat_map(|task| plan.upstream(*task))
            .filter(|task| !runs.contains(task))
            .collect();
        let mut reuses: Vec<TaskIndex> = reuses.into_iter().collect();
        reuses.sort();
        let left_out = all()
            .filter(|task| !runs.contains(task) && !reuses.contains(task))
            .collect();
        Ok(Self {
            runs,
            reuses,
            left_out,
        })
    }

    /// What is reused comes from one run: the newest in which all of it succeeded.
    async fn options(&self, plan: &Plan, store: &dyn Store) -> anyhow::Result<Options> {
        let name = |task: &TaskIndex| plan.graph[*task].name.to_string();
        let mut options = Options {
            leave_out: self.left_out.iter().map(name).collect(),
            ..Options::default()
        };
        if self.reuses.is_empty() {
            return Ok(options);
        }
        let filter = RunFilter {
            pipeline: Some(plan.name.to_string()),
            limit: LOOK_BACK,
            ..RunFilter::default()
        };
        for record in store.runs(&filter).await? {
            let run = record.run.id;
            let mut outputs: HashMap<String, Reuse> = store
                .tasks(run)
                .await?
                .into_iter()
                .filter(|task| task.state == TaskState::Success && task.key.element.is_none())
                .map(|task| {
                    let output = Box::new(task.output.unwrap_or_default());
                    (task.key.task, Reuse::Earlier(run, output))
                })
                .collect();
            let reused: Option<HashMap<String, Reuse>> = self
                .reuses
                .iter()
                .map(|task| outputs.remove_entry(&name(task)))
                .collect();
            if let Some(reused) = reused {
                options.reuse = reused;
                return Ok(options);
            }
        }
        let names: Vec<String> = self
            .reuses
            .iter()
            .map(|task| format!("`{}`", name(task)))
            .collect();
        Err(Problem::usage(format!(
            "no earlier run has the outputs of {}",
            names.join(", ")
        ))
        .hint(format!(
            "run the whole pipeline once: `pipectl run {}`",
            plan.source.path
        ))
        .into())
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
        let part = Part::of(&plan, from, only)?;
        let mut runs: Vec<TaskIndex> = part.runs.into_iter().collect();
        runs.sort();
        Ok([runs, part.reuses, part.left_out]
            .map(|tasks| tasks.iter().map(|task| &*plan.graph[*task].name).collect()))
    }

    #[test]
    fn a_part_runs_what_it_names_and_reuses_what_that_reads() {
        for (from, only, [runs, reuses, left_out]) in [
            (None, None, ["abcde", "", ""]),
            (Some("b"), None, ["bd", "ac", "e"]),
            (Some("a"), None, ["abde", "c", ""]),
            (None, Some("d"), ["d", "bc", "ae"]),
            (None, Some("c"), ["c", "", "abde"]),
        ] {
            assert_eq!(part(from, only).unwrap(), [runs, reuses, left_out]);
        }
        assert!(part(Some("x"), None).is_err());
    }
}
