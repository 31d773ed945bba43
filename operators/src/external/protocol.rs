//! What a program is asked by `run`, and what it answers.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use pipectl_engine::operator::{Interval, TaskContext};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::description::PROTOCOL;

/// The request, one JSON document on standard input.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    protocol: u32,
    settings: &'a Value,
    /// The datasets it reads, as Parquet files.
    inputs: IndexMap<&'a str, Table>,
    /// The directory for what it puts out.
    output: String,
    /// The addresses of the connections that its settings name, with their credentials.
    connections: BTreeMap<&'a str, String>,
    run: Run<'a>,
    task: Task<'a>,
    /// The element of a repeated task.
    item: Option<&'a Value>,
    /// The same in every run.
    seed: u64,
    /// The project's directory, in which it runs.
    project: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Table {
    pub(super) path: String,
    pub(super) rows: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Run<'a> {
    id: String,
    pipeline: &'a str,
    interval: Option<Interval>,
    redo: u32,
}

#[derive(Debug, Serialize)]
struct Task<'a> {
    name: &'a str,
    element: Option<u32>,
    attempt: u32,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        context: &'a TaskContext,
        settings: &'a Value,
        inputs: IndexMap<&'a str, Table>,
        connections: BTreeMap<&'a str, String>,
        output: String,
    ) -> Self {
        let (run, task) = (&context.run, &context.task);
        Self {
            protocol: PROTOCOL,
            settings,
            inputs,
            output,
            connections,
            run: Run {
                id: run.id.to_string(),
                pipeline: &run.pipeline,
                interval: run.interval,
                redo: run.redo,
            },
            task: Task {
                name: &task.key.task,
                element: task.key.element,
                attempt: task.attempt,
            },
            item: context.item.as_ref(),
            seed: context.seed,
            project: context.project.root.display().to_string(),
        }
    }
}

/// The answer, one JSON document on standard output.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// Files within the output directory, by the dataset's name, the main one first.
    #[serde(default)]
    pub(super) datasets: IndexMap<String, String>,
    #[serde(default)]
    pub(super) values: Map<String, Value>,
    #[serde(default)]
    pub(super) metrics: BTreeMap<String, f64>,
    #[serde(default)]
    pub(super) warnings: Vec<String>,
    #[serde(default)]
    pub(super) artifacts: IndexMap<String, File>,
    /// Why there was nothing to do.
    pub(super) skipped: Option<String>,
    /// Why it has failed.
    pub(super) error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) path: String,
    #[serde(default = "octets")]
    pub(super) media_type: String,
}

fn octets() -> String {
    "application/octet-stream".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Whether something outside failed, so that another try may help.
    #[serde(default)]
    pub(super) retryable: bool,
}
