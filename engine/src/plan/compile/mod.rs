//! From the authored file to the plan, in steps; all complaints at once.

mod conditions;
mod edges;
mod expressions;
mod inputs;
mod names;
mod passing;
mod scope;
mod settings;
mod shape;
mod sql;
mod tests_section;
mod walk;
mod wanted;

use std::{collections::HashMap, sync::Arc};

use indexmap::IndexMap;
use petgraph::graph::{DiGraph, NodeIndex};
use sha2::{Digest, Sha256};

pub use self::shape::sample_settings;
use self::{expressions::Mention, scope::Names, shape::Shapes};
use super::{
    Cache, Foreach, InputBinding, Isolation, OutputSource, Plan, PlannedTask, RetryPolicy, Source,
    TestCase,
};
use crate::{
    operator::{DynOperator, Kind, Outputs, Registry},
    project::Project,
    spec::{
        Diagnostics, Expression, Found, Mark, PipelineFile, Template,
        file::{CacheFile, Defaults, TaskFile},
    },
};

/// Checks a file and makes a plan of it, with the warnings that remain.
///
/// # Errors
/// All complaints, when one of them is an error.
pub fn compile(
    file: &PipelineFile,
    operators: &Registry,
    project: &Project,
) -> Result<(Plan, Diagnostics), Diagnostics> {
    let mut compiler = Compiler::new(file, operators, project);
    compiler.check_names();
    compiler.check_settings();
    compiler.check_conditions();
    compiler.check_inputs();
    let outputs = compiler.check_outputs();
    compiler.check_passing();
    compiler.check_mentions();
    compiler.check_edges();
    compiler.check_unused_params();
    let tests = compiler.check_tests();
    let mut complaints = file.complaints.clone();
    complaints.append(
        std::mem::replace(&mut compiler.found, Found::new(file.source.name.clone()))
            .into_diagnostics(),
    );
    let complaints = complaints.sorted();
    if complaints.has_errors() {
        return Err(complaints);
    }
    Ok((compiler.plan(outputs, tests), complaints))
}

/// A file on its way to a plan.
struct Compiler<'a> {
    file: &'a PipelineFile,
    operators: &'a Registry,
    project: &'a Project,
    found: Found,
    names: Names<'a>,
    drafts: Vec<Draft<'a>>,
    mentions: Vec<Mention>,
    shapes: HashMap<(Kind, &'static str), Arc<Shapes>>,
}

/// A task on its way.
struct Draft<'a> {
    file: &'a TaskFile,
    operator: Option<&'static dyn DynOperator>,
    with: Template,
    models: Vec<Vec<String>>,
    connections: Vec<String>,
    condition: Option<Expression>,
    foreach: Option<Foreach>,
    from: Vec<InputBinding>,
    upstream: Vec<(usize, Mark)>,
    /// `None` when the settings do not tell yet.
    outputs: Option<Outputs>,
}

impl<'a> Compiler<'a> {
    fn new(file: &'a PipelineFile, operators: &'a Registry, project: &'a Project) -> Self {
        let drafts = file
            .tasks
            .iter()
            .map(|task| Draft {
                file: task,
                operator: None,
                with: Template::literal(serde_json::Value::Object(serde_json::Map::new())),
                models: Vec::new(),
                connections: Vec::new(),
                condition: None,
                foreach: None,
                from: Vec::new(),
                upstream: Vec::new(),
                outputs: None,
            })
            .collect();
        Self {
            file,
            operators,
            project,
            found: Found::new(file.source.name.clone()),
            names: Names::of(file, project),
            drafts,
            mentions: Vec::new(),
            shapes: HashMap::new(),
        }
    }

    /// The plan; called when nothing is wrong.
    fn plan(
        self,
        outputs: IndexMap<String, OutputSource>,
        tests: IndexMap<String, TestCase>,
    ) -> Plan {
        let file = self.file;
        let reads_interval = self
            .mentions
            .iter()
            .find(|mention| mention.reads("interval"));
        let reads_interval = reads_interval.map(|mention| file.source.place(mention.mark));
        let edges: usize = self.drafts.iter().map(|draft| draft.upstream.len()).sum();
        let mut graph = DiGraph::with_capacity(self.drafts.len(), edges);
        let mut arrows = Vec::with_capacity(edges);
        for (index, draft) in self.drafts.into_iter().enumerate() {
            arrows.extend(
                draft
                    .upstream
                    .iter()
                    .map(|(source, _)| (NodeIndex::new(*source), NodeIndex::new(index))),
            );
            if let Some(task) = draft.into_task(file) {
                graph.add_node(task);
            }
        }
        for (source, target) in arrows {
            graph.add_edge(source, target, ());
        }
        Plan {
            name: file
                .name
                .as_ref()
                .map(|name| name.value.clone())
                .unwrap_or_default(),
            description: file.description.clone(),
            tags: file.tags.clone(),
            source: Source {
                path: file.source.name.clone(),
                file: file.source.path.clone(),
                text: file.source.text.clone(),
                hash: hash(&file.source.text),
            },
            params: file
                .params
                .iter()
                .map(|(name, spec)| (name.value.to_string(), spec.clone()))
                .collect(),
            graph,
            alerts: if file.alerts.is_empty() {
                self.project.alerts.clone()
            } else {
                file.alerts.clone()
            },
            deadline: file.deadline,
            max_active_runs: file.max_active_runs.unwrap_or(1),
            history: file.history.or(self.project.history),
            outputs,
            schedule: file
                .schedule
                .as_ref()
                .map(|schedule| schedule.value.clone()),
            interval: file
                .interval
                .as_ref()
                .map(|interval| interval.value.clone()),
            reads_interval,
            tests,
            names: super::NameIndex::default(),
        }
    }
}

impl Draft<'_> {
    fn into_task(self, file: &PipelineFile) -> Option<PlannedTask> {
        let task = self.file;
        let defaults = &file.defaults;
        let sensor = task.kind.value == Kind::Sensor;
        let pool = task.pool.as_ref().or(defaults.pool.as_ref());
        Some(PlannedTask {
            name: task.name.value.clone(),
            description: task.description.clone(),
            operator: self.operator?,
            with: self.with,
            from: self.from,
            condition: self.condition,
            foreach: self.foreach,
            trigger_rule: task.trigger_rule.unwrap_or_default(),
            retry: retry(task, defaults),
            // A sensor may have to wait for days: it takes no timeout from `defaults`.
            timeout: task
                .timeout
                .or_else(|| defaults.timeout.filter(|_| !sensor)),
            pool: pool.map(|pool| (pool.value.name.clone(), pool.value.slots)),
            priority: task.priority.or(defaults.priority),
            allow_failure: task.allow_failure,
            deadline: task.deadline,
            isolation: Isolation {
                process: task.isolation.is_some() || task.memory.is_some(),
                memory: task.memory,
            },
            cache: task.cache.map(|CacheFile { keep }| Cache { keep }),
            persist: task.persist.as_ref().is_none_or(|persist| persist.value),
            alerts: task.alerts.clone(),
            models: self.models,
            connections: self.connections,
            outputs: self.outputs.unwrap_or_default(),
            place: file.source.place(task.name.mark),
        })
    }
}

fn retry(task: &TaskFile, defaults: &Defaults) -> RetryPolicy {
    let usual = RetryPolicy::default();
    let (own, common) = (task.retry, defaults.retry);
    RetryPolicy {
        limit: own.limit.or(common.limit).unwrap_or(usual.limit),
        delay: own.delay.or(common.delay).unwrap_or(usual.delay),
        backoff: own.backoff.or(common.backoff).unwrap_or(usual.backoff),
        max_delay: own.max_delay.or(common.max_delay).or(usual.max_delay),
    }
}

/// SHA-256 of a text, in hexadecimal.
fn hash(text: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            write!(hex, "{byte:02x}").unwrap_or_default();
            hex
        })
}
