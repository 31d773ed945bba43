//! Tests that live in a pipeline's file.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::TaskIndex;
use crate::{spec::Place, state::TaskState};

/// A test: a run with some outputs given, and what must come of it.
#[derive(Clone, Debug)]
pub struct TestCase {
    /// The parameters of its run.
    pub params: Map<String, Value>,
    /// The tasks that do not run, with what they are said to have put out.
    pub given: IndexMap<TaskIndex, Given>,
    /// What tasks must have come to.
    pub expect: IndexMap<TaskIndex, Expectation>,
    /// Where it stands.
    pub place: Place,
}

/// What a task is said to have put out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// Its datasets by name; the main one is [`Outputs::MAIN`](crate::operator::Outputs::MAIN) or its own first name.
    pub datasets: IndexMap<String, GivenData>,
    /// Its values.
    pub values: Map<String, Value>,
}

/// Where a given dataset comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum GivenData {
    /// A CSV file, relative to the project.
    Csv(String),
    /// A Parquet file, relative to the project.
    Parquet(String),
    /// A JSON file, relative to the project.
    Json(String),
    /// Rows written in the test.
    Rows(Vec<Map<String, Value>>),
}

/// What a task must have come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expectation {
    /// Its state; `success` when nothing is said.
    pub state: Option<TaskState>,
    /// How many rows its main dataset has.
    pub rows: Option<u64>,
    /// The rows of its main dataset, in any order, as far as the named columns go.
    pub equals: Option<GivenData>,
    /// The columns of its main dataset.
    pub columns: Option<Vec<String>>,
    /// Its values.
    pub values: Map<String, Value>,
    /// Its measures: exact, or between two bounds.
    pub metrics: BTreeMap<String, (f64, f64)>,
}
