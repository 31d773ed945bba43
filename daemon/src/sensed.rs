//! What a sensor's settings and a run of a sensed thing say of the thing.

use pipectl_connections::file_now;
use pipectl_engine::{
    operator::Senses,
    plan::{Plan, TaskIndex},
    project::Project,
    runner::first_scope,
    store::{RunRecord, Sensed},
};
use serde_json::{Map, Value};

/// How the sensor that starts a pipeline is watched.
///
/// # Errors
/// Why it cannot be, when there is no such sensor or its settings are wrong.
pub fn senses(project: &Project, plan: &Plan, task: &str) -> Result<Senses, String> {
    let index: TaskIndex = plan.find(task).ok_or("there is no such task")?;
    let task = &plan.graph[index];
    let params = plan
        .params(&Map::new())
        .map_err(|error| error.to_string())?;
    let scope = first_scope(&params, project);
    let settings = task
        .with
        .resolve(&scope)
        .map_err(|error| error.message.clone())?;
    let config = task
        .operator
        .parse(&settings)
        .map_err(|error| error.to_string())?;
    task.operator
        .senses(&config)
        .ok_or_else(|| "it is not a sensor that can be watched".to_owned())
}

/// What makes the run of a thing the only one.
pub(crate) fn thing_key(task: &str, identity: &str) -> String {
    format!("thing:{task}:{identity}")
}

/// Why the run of a thing has nothing to do any more: the file is there and is not as it was sensed. Its new state is a
/// thing of its own.
pub(crate) async fn superseded(
    project: &Project,
    plan: &Plan,
    record: &RunRecord,
) -> Option<String> {
    let sensed = Sensed::of(record)?;
    let wait = senses(project, plan, &sensed.task).ok()?.wait;
    let name = sensed.values.get("file")?.as_str()?;
    let (identity, size) = file_now(project, &wait, name).await.ok()??;
    let key = record.run.trigger_key.as_ref()?;
    // The key of a long name may read back as its hash.
    let names_it = key.starts_with(&thing_key(&sensed.task, &format!("{name} ")));
    if !names_it || *key == thing_key(&sensed.task, &identity) {
        return None;
    }
    let before = sensed.values.get("size").and_then(Value::as_u64);
    Some(format!(
        "`{name}` has changed since it was sensed ({} bytes then, {size} now); a run of its own takes what it is now",
        before.unwrap_or_default()
    ))
}
