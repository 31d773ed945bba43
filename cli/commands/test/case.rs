//! One test: the tasks that it is about run on a history in memory, in a directory of their own.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use pipectl_engine::{
    dataset::Dataset,
    id::RunId,
    operator::Outputs,
    plan::{Given, Plan, TaskIndex, TestCase},
    project::Project,
    runner::{Options, Reuse},
    spec::{Template, TemplateNode},
    store::{NewRun, RunKind},
    time::{Clock as _, Interval, Timestamp},
};
use serde_json::Value;

use super::{rows, verdict};
use crate::{exit::Problem, scratch::stand_in, wire::House};

/// Runs a test and says what was not as expected.
pub(in crate::commands) async fn run(
    project: &Project,
    plan: &Arc<Plan>,
    test: &TestCase,
) -> anyhow::Result<Vec<String>> {
    let scratch = Scratch::new()?;
    let house = House::in_memory(project, &scratch.0)?;
    let params = match plan.params(&test.params) {
        Ok(params) => params,
        Err(error) => return Ok(vec![error.to_string()]),
    };
    if let Err(message) = replaceable(project, plan, test) {
        return Ok(vec![message]);
    }
    let options = match options(project, plan, test) {
        Ok(options) => options,
        Err(message) => return Ok(vec![message]),
    };
    let now = house.clock().now();
    let new = NewRun {
        id: RunId::new(now),
        pipeline: plan.name.to_string(),
        version: plan.source.hash.clone(),
        kind: RunKind::Manual,
        trigger_key: None,
        trigger: Value::Null,
        params,
        interval: Some(interval(plan, now)),
        parent: None,
        created: now,
        enqueued: false,
        max_active: None,
        backfill: None,
    };
    let runner = house.runner(Vec::new())?;
    runner.create(plan, &new).await?;
    runner.execute(Arc::clone(plan), new.id, options).await?;
    let tasks = house.store.tasks(new.id).await?;
    let mut failures = Vec::new();
    for (task, expected) in &test.expect {
        let name = &plan.graph[*task].name;
        let record = tasks
            .iter()
            .find(|record| record.key.element.is_none() && *record.key.task == **name);
        let found = verdict::judge(&house, expected, record).await?;
        failures.extend(
            found
                .into_iter()
                .map(|failure| format!("{name}: {failure}")),
        );
    }
    Ok(failures)
}

/// A test touches no real database, bucket or service: what has no stand-in must be given.
fn replaceable(project: &Project, plan: &Plan, test: &TestCase) -> Result<(), String> {
    let runs = needed(plan, test).into_iter();
    for task in runs.filter(|task| !test.given.contains_key(task)) {
        let task = &plan.graph[task];
        if let Some(address) = web_address(&task.with) {
            return Err(format!(
                "`{}` goes to {address}, for which a test has no stand-in: say under `given: {{{}: …}}` what it puts out",
                task.name, task.name
            ));
        }
        for name in &task.connections {
            let connection = project.connections.get(name);
            let Some(connection) = connection.filter(|one| stand_in(one).is_none()) else {
                continue;
            };
            return Err(format!(
                "`{}` uses the connection `{name}` ({}), for which a test has no stand-in: \
                 say under `given: {{{}: …}}` what it puts out",
                task.name,
                connection.scheme(),
                task.name
            ));
        }
    }
    Ok(())
}

/// Where on the web a task goes by its own settings, past all connections.
fn web_address(with: &Template) -> Option<String> {
    let start = |key: &str| match with.node() {
        TemplateNode::Literal(settings) => settings.get(key)?.as_str().map(ToOwned::to_owned),
        TemplateNode::Map(settings) => match &settings.iter().find(|(name, _)| name == key)?.1 {
            TemplateNode::Literal(Value::String(text)) => Some(text.clone()),
            TemplateNode::Parts(parts) => parts.first().map(|(text, _)| format!("{text}…")),
            _ => None,
        },
        _ => None,
    };
    let on_the_web = |text: &String| {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        matches!(scheme, Some("http" | "https"))
    };
    ["url", "path"]
        .into_iter()
        .filter_map(start)
        .find(on_the_web)
}

/// What is expected, and what that needs; nothing behind what is given.
fn needed(plan: &Plan, test: &TestCase) -> HashSet<TaskIndex> {
    let (mut needed, mut open) = (HashSet::new(), Vec::new());
    open.extend(test.expect.keys().copied());
    while let Some(task) = open.pop() {
        if needed.insert(task) && !test.given.contains_key(&task) {
            open.extend(plan.upstream(task));
        }
    }
    needed
}

/// Only what is expected, and what it needs, runs; what is given is not run.
fn options(project: &Project, plan: &Plan, test: &TestCase) -> Result<Options, String> {
    let needed = needed(plan, test);
    let name = |task: TaskIndex| plan.graph[task].name.to_string();
    let mut reuse = HashMap::new();
    for (task, given) in test.given.iter().filter(|(task, _)| needed.contains(*task)) {
        let main = plan.graph[*task].outputs.datasets.first();
        let main = main.map_or(Outputs::MAIN, |dataset| dataset.name.as_str());
        let given = reused(project, given, main)
            .map_err(|error| format!("what `{}` is given cannot be read: {error}", name(*task)))?;
        reuse.insert(name(*task), given);
    }
    let leave_out = plan
        .graph
        .node_indices()
        .filter(|task| !needed.contains(task));
    Ok(Options {
        reuse,
        leave_out: leave_out.map(name).collect(),
        ..Options::default()
    })
}

fn reused(project: &Project, given: &Given, main: &str) -> Result<Reuse, String> {
    let mut datasets: Vec<(String, Dataset)> = Vec::new();
    for (name, data) in &given.datasets {
        let frame = rows::frame(project, data)?;
        let name = if name == Outputs::MAIN { main } else { name };
        datasets.push((name.to_owned(), Dataset::from_frame(frame)));
    }
    Ok(Reuse::Given(datasets, given.values.clone()))
}

/// The last complete interval; of a pipeline that has none of its own, the last minute.
fn interval(plan: &Plan, now: Timestamp) -> Interval {
    let own = plan.manual_interval(now).ok().flatten();
    own.unwrap_or(Interval {
        start: now - Duration::from_secs(60),
        end: now,
    })
}

/// A directory that is gone after the test.
pub(in crate::commands) struct Scratch(pub(in crate::commands) PathBuf);

impl Scratch {
    pub(in crate::commands) fn new() -> Result<Self, Problem> {
        let id = RunId::new(pipectl_engine::time::SystemClock.now());
        let path = std::env::temp_dir().join(format!("pipectl-test-{id}"));
        std::fs::create_dir_all(&path).map_err(|error| {
            Problem::environment(format!("cannot make the directory `{}`", path.display()))
                .because(error)
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is in the system's temporary directory.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}
