//! `pipectl plan FILE`: what would run, and in which order.

use pipectl_engine::plan::{Plan, TaskIndex};
use serde_json::{Value, json};

use crate::{
    arguments::{self, PlanFormat},
    exit::Exit,
    output::{BOLD, DIM, Output},
    project::Context,
    table::{Cell, Table},
};

pub(crate) fn run(context: &Context, arguments: &arguments::Plan) -> anyhow::Result<Exit> {
    let project = context.project()?;
    let plan = context.plan(&project, &arguments.pipeline)?;
    let output = &context.output;
    match arguments.format {
        PlanFormat::Text => text(output, &plan, None),
        PlanFormat::Json => json(output, &plan, None),
        PlanFormat::Mermaid => output.print(plan.mermaid()),
        PlanFormat::Dot => output.print(plan.dot()),
    }
    Ok(Exit::Done)
}

fn name(plan: &Plan, task: TaskIndex) -> &str {
    &plan.graph[task].name
}

fn operator(plan: &Plan, task: TaskIndex) -> String {
    let operator = plan.graph[task].operator;
    format!("{}: {}", operator.kind(), operator.name())
}

/// The names of the tasks that a task waits for, in the order of the file.
fn upstream(plan: &Plan, task: TaskIndex) -> Vec<&str> {
    let mut parents: Vec<TaskIndex> = plan.upstream(task).collect();
    parents.sort();
    parents.dedup();
    parents
        .into_iter()
        .map(|parent| name(plan, parent))
        .collect()
}

/// Prints the waves; of a run, what becomes of each task.
pub(super) fn text(output: &Output, plan: &Plan, says: Option<&dyn Fn(TaskIndex) -> String>) {
    let painter = output.out;
    let waves = plan.waves();
    let count =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let about = plan.description.as_deref().unwrap_or_default();
    let about = if about.is_empty() {
        String::new()
    } else {
        format!(": {}", about.trim())
    };
    output.line(format_args!("{}{about}", painter.paint(BOLD, &plan.name)));
    output.line(painter.paint(
        DIM,
        format_args!(
            "{} in {}",
            count(plan.graph.node_count(), "task"),
            count(waves.len(), "wave")
        ),
    ));
    output.line("");
    let mut table = Table::new(["Wave", "Task", "Operator", "After", "Condition", "This run"]);
    for (number, wave) in waves.iter().enumerate() {
        for (place, task) in wave.iter().enumerate() {
            let planned = &plan.graph[*task];
            let wave = if place == 0 {
                (number + 1).to_string()
            } else {
                String::new()
            };
            let condition = planned
                .condition
                .as_ref()
                .map(|condition| condition.source().to_owned());
            let repeated = planned
                .foreach
                .is_some()
                .then(|| "for each item".to_owned());
            let part = says.map_or_else(String::new, |says| says(*task));
            table.row([
                Cell::right(wave),
                name(plan, *task).into(),
                operator(plan, *task).into(),
                upstream(plan, *task).join(", ").into(),
                [repeated, condition]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(", if ")
                    .into(),
                part.into(),
            ]);
        }
    }
    output.print(table.render(painter));
    output.line("");
    let path: Vec<&str> = plan
        .critical_path()
        .into_iter()
        .map(|task| name(plan, task))
        .collect();
    output.line(format_args!("Longest path: {}", path.join(" → ")));
}

/// Prints the plan as a document; of a run, with what becomes of each task.
pub(super) fn json(output: &Output, plan: &Plan, says: Option<&dyn Fn(TaskIndex) -> String>) {
    output.json(&document(plan, says));
}

fn document(plan: &Plan, says: Option<&dyn Fn(TaskIndex) -> String>) -> Value {
    let waves = plan.waves();
    let names = |tasks: &[TaskIndex]| -> Vec<String> {
        tasks
            .iter()
            .map(|task| name(plan, *task).to_owned())
            .collect()
    };
    let tasks: Vec<Value> = plan
        .tasks()
        .map(|(index, task)| {
            json!({
                "name": &*task.name,
                "operator": operator(plan, index),
                "description": task.description,
                "after": upstream(plan, index),
                "if": task.condition.as_ref().map(|condition| condition.source().to_owned()),
                "foreach": task.foreach.is_some(),
                "trigger_rule": task.trigger_rule,
                "retries": task.retry.limit,
                "this_run": says.map(|says| says(index)),
                "line": task.place.line,
            })
        })
        .collect();
    json!({
        "pipeline": &*plan.name,
        "description": plan.description,
        "file": &*plan.source.path,
        "version": plan.source.hash,
        "tasks": tasks,
        "waves": waves.iter().map(|wave| names(wave)).collect::<Vec<_>>(),
        "critical_path": names(&plan.critical_path()),
    })
}
