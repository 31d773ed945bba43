//! Plans made by hand, for tests and benchmarks of what runs them.

use std::{path::PathBuf, sync::Arc};

use indexmap::IndexMap;
use petgraph::graph::DiGraph;
use serde_json::Value;

use super::{
    InputBinding, Isolation, Plan, PlannedTask, RetryPolicy, Source, TaskIndex, TriggerRule,
};
use crate::{
    operator::{DynOperator, Outputs},
    spec::{Place, Template},
};

/// An empty plan called `name`.
pub fn plan(name: &str) -> Plan {
    Plan {
        name: name.into(),
        description: None,
        tags: Vec::new(),
        source: Source {
            path: format!("pipelines/{name}.yaml").into(),
            file: PathBuf::from(format!("pipelines/{name}.yaml")),
            text: "".into(),
            hash: format!("hash-of-{name}"),
        },
        params: IndexMap::new(),
        graph: DiGraph::new(),
        alerts: Vec::new(),
        deadline: None,
        max_active_runs: 1,
        history: None,
        outputs: IndexMap::new(),
        schedule: None,
        interval: None,
        reads_interval: None,
        tests: IndexMap::new(),
        names: super::NameIndex::default(),
    }
}

/// Adds a task that waits for `upstream` and reads nothing.
pub fn add(
    plan: &mut Plan,
    name: &str,
    operator: &'static dyn DynOperator,
    with: Value,
    upstream: &[TaskIndex],
) -> TaskIndex {
    let task = PlannedTask {
        name: name.into(),
        description: None,
        operator,
        with: Template::literal(with),
        from: Vec::new(),
        condition: None,
        foreach: None,
        trigger_rule: TriggerRule::AllSuccess,
        retry: RetryPolicy::default(),
        timeout: None,
        pool: None,
        priority: None,
        allow_failure: false,
        deadline: None,
        isolation: Isolation::default(),
        cache: None,
        persist: true,
        alerts: Vec::new(),
        models: Vec::new(),
        connections: Vec::new(),
        outputs: Outputs::none(),
        place: Place::start_of(Arc::clone(&plan.source.path)),
    };
    let index = plan.graph.add_node(task);
    for source in upstream {
        plan.graph.update_edge(*source, index, ());
    }
    index
}

/// Lets a task read the main dataset of another one, under that one's name.
pub fn read(plan: &mut Plan, task: TaskIndex, source: TaskIndex) {
    let name = plan.graph[source].name.to_string();
    plan.graph[task].from.push(InputBinding {
        name,
        tasks: vec![source],
        dataset: None,
    });
    plan.graph.update_edge(source, task, ());
}
