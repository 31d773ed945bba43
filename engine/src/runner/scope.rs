//! What the expressions of a run can see.

use std::sync::Arc;

use chrono::SecondsFormat;
use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use crate::{
    operator::Interval,
    plan::Plan,
    project::Project,
    spec::{Expression, Scope},
    state::TaskState,
    store::{NewRun, Part},
};

/// The scope of a run without its tasks: `params`, `run`, `interval`, `trigger`, `env`.
pub(super) fn base(plan: &Plan, run: &NewRun, project: &Project) -> Arc<Scope> {
    let mut scope = Scope::default();
    // A run that is done again by a newer version may lack its newest parameters.
    let defaults = plan.params.iter();
    let defaults = defaults.filter_map(|(name, spec)| Some((name.clone(), spec.default.clone()?)));
    let mut params: Map<String, Value> = defaults.collect();
    params.extend(run.params.clone());
    scope.set("params", Value::Object(params));
    scope.set(
        "run",
        json!({"id": run.id, "kind": run.kind, "pipeline": plan.name}),
    );
    if let Some(interval) = run.interval {
        let zone = plan.zone();
        scope.set(
            "interval",
            json!({"start": moment(interval, zone, true), "end": moment(interval, zone, false)}),
        );
    }
    // What a person leaves out is nothing that has triggered the run.
    let trigger = Part::of(run).map_or_else(|| run.trigger.clone(), |_| Value::Null);
    scope.set("trigger", trigger);
    scope.set("env", allowed_env(project));
    Arc::new(scope)
}

/// What a setting can see that is needed outside any run: `params` and `env`.
pub fn first(params: &Map<String, Value>, project: &Project) -> Scope {
    let mut scope = Scope::default();
    scope.set("params", Value::Object(params.clone()));
    scope.set("env", allowed_env(project));
    scope
}

fn allowed_env(project: &Project) -> Value {
    let allowed = project.allowed_env.iter();
    let found =
        allowed.filter_map(|name| Some((name.clone(), Value::from(project.env.get(name)?))));
    Value::Object(found.collect())
}

fn moment(interval: Interval, zone: Tz, start: bool) -> String {
    let moment = if start { interval.start } else { interval.end };
    moment
        .with_timezone(&zone)
        .to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// What `tasks.<name>` shows of a task.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskView {
    pub(super) state: TaskState,
    pub(super) rows: Option<u64>,
    pub(super) metrics: std::collections::BTreeMap<String, f64>,
    pub(super) values: Map<String, Value>,
}

impl TaskView {
    pub(super) fn to_json(&self) -> Value {
        let mut map = self.values.clone();
        map.insert("state".to_owned(), json!(self.state));
        map.insert("rows".to_owned(), json!(self.rows));
        map.insert("metrics".to_owned(), json!(self.metrics));
        Value::Object(map)
    }
}

/// The base scope with the tasks that `expressions` mention.
pub(super) fn with_tasks<'a>(
    base: &Scope,
    expressions: impl IntoIterator<Item = &'a Expression>,
    view: impl Fn(&str) -> Option<Value>,
) -> Scope {
    let mut scope = base.clone();
    for name in expressions.into_iter().flat_map(Expression::tasks) {
        if let Some(value) = view(name) {
            scope.set_task(name, value);
        }
    }
    scope
}
