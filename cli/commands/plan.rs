//! `pipectl plan FILE`: what would run, and in which order.

use std::collections::HashSet;

use pipectl_engine::plan::{Plan, TaskIndex, longest_paths};
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
        PlanFormat::Json => output.json(&document(&plan)),
        PlanFormat::Mermaid => output.print(mermaid(&plan)),
        PlanFormat::Dot => output.print(dot(&plan)),
    }
    Ok(Exit::Done)
}

/// The tasks by the earliest wave in which they can start.
fn waves(plan: &Plan) -> Vec<Vec<TaskIndex>> {
    let mut wave = vec![0_usize; plan.graph.node_count()];
    let mut waves: Vec<Vec<TaskIndex>> = Vec::new();
    // The longest way to the end tells an order in which parents come first.
    let paths = longest_paths(plan);
    let mut order: Vec<TaskIndex> = plan.graph.node_indices().collect();
    order.sort_by_key(|task| std::cmp::Reverse(paths[task.index()]));
    for task in order {
        let after = plan.upstream(task).map(|parent| wave[parent.index()] + 1);
        wave[task.index()] = after.max().unwrap_or(0);
    }
    for task in plan.graph.node_indices() {
        let number = wave[task.index()];
        if waves.len() <= number {
            waves.resize_with(number + 1, Vec::new);
        }
        waves[number].push(task);
    }
    waves
}

/// One longest way through the plan.
fn critical_path(plan: &Plan) -> Vec<TaskIndex> {
    let paths = longest_paths(plan);
    let longest = |tasks: &mut dyn Iterator<Item = TaskIndex>| {
        tasks.max_by_key(|task| (paths[task.index()], std::cmp::Reverse(task.index())))
    };
    let mut path = Vec::new();
    let mut next = longest(&mut plan.graph.node_indices());
    while let Some(task) = next {
        path.push(task);
        next = longest(&mut plan.downstream(task));
    }
    path
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

/// Prints the waves; of a partial run, what is done of them.
pub(super) fn text(output: &Output, plan: &Plan, runs: Option<&HashSet<TaskIndex>>) {
    let painter = output.out;
    let waves = waves(plan);
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
            let part = match runs {
                Some(runs) if runs.contains(task) => "runs",
                Some(_) => "does not run",
                None => "",
            };
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
    let path: Vec<&str> = critical_path(plan)
        .into_iter()
        .map(|task| name(plan, task))
        .collect();
    output.line(format_args!("Longest path: {}", path.join(" → ")));
}

fn document(plan: &Plan) -> Value {
    let waves = waves(plan);
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
        "critical_path": names(&critical_path(plan)),
    })
}

fn mermaid(plan: &Plan) -> String {
    let mut lines = vec!["flowchart LR".to_owned()];
    for (index, task) in plan.tasks() {
        lines.push(format!(
            "    t{}[\"{}<br/><small>{}</small>\"]",
            index.index(),
            task.name,
            operator(plan, index)
        ));
    }
    for edge in plan.graph.edge_indices() {
        if let Some((from, to)) = plan.graph.edge_endpoints(edge) {
            lines.push(format!("    t{} --> t{}", from.index(), to.index()));
        }
    }
    lines.join("\n") + "\n"
}

fn dot(plan: &Plan) -> String {
    let mut lines = vec![
        format!("digraph {} {{", plan.name),
        "    rankdir=LR;".to_owned(),
        "    node [shape=box, style=rounded, fontname=\"sans-serif\"];".to_owned(),
    ];
    for (index, task) in plan.tasks() {
        lines.push(format!(
            "    {} [label=\"{}\\n{}\"];",
            task.name,
            task.name,
            operator(plan, index)
        ));
    }
    for edge in plan.graph.edge_indices() {
        if let Some((from, to)) = plan.graph.edge_endpoints(edge) {
            lines.push(format!("    {} -> {};", name(plan, from), name(plan, to)));
        }
    }
    lines.join("\n") + "\n}\n"
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{operator::Kind, plan::testing};

    use super::*;

    /// `a → b → d`, `c → d`.
    fn diamond() -> Plan {
        let noop = crate::project::registry().get(Kind::Run, "noop").unwrap();
        let mut plan = testing::plan("diamond");
        let a = testing::add(&mut plan, "a", noop, json!({}), &[]);
        let b = testing::add(&mut plan, "b", noop, json!({}), &[a]);
        let c = testing::add(&mut plan, "c", noop, json!({}), &[]);
        testing::add(&mut plan, "d", noop, json!({}), &[b, c]);
        plan
    }

    #[test]
    fn tasks_stand_in_the_earliest_wave_and_the_longest_path_is_one_of_them() {
        let plan = diamond();
        let names = |tasks: &[TaskIndex]| -> String {
            tasks.iter().map(|task| name(&plan, *task)).collect()
        };
        let waves: Vec<String> = waves(&plan).iter().map(|wave| names(wave)).collect();
        assert_eq!(waves, ["ac", "b", "d"]);
        assert_eq!(names(&critical_path(&plan)), "abd");
    }

    #[test]
    fn graphs_have_every_task_and_edge() {
        let plan = diamond();
        assert_eq!(mermaid(&plan).matches("-->").count(), 3);
        assert_eq!(dot(&plan).matches("->").count(), 3);
        assert_eq!(dot(&plan).matches("label=").count(), 4);
    }
}
