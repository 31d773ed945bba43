//! The checked pipeline: a petgraph graph of tasks. Only a plan can run.

mod children;
mod compile;
mod draw;
mod load;
mod model;
mod params;
mod path;
mod references;
mod schema;
mod test_case;
pub mod testing;

pub use crate::{
    alert::{Alert, AlertKind},
    spec::words::{Backoff, ParamSpec, ParamType, TriggerRule, type_name},
};
pub use compile::{compile, sample_settings};
pub use load::{display_name, load_pipeline};
pub use model::{
    Cache, Foreach, InputBinding, Isolation, NameIndex, OutputSource, Plan, PlanError, PlannedTask,
    RetryPolicy, Source, TaskIndex,
};
pub use path::longest_paths;
pub use references::{Neighbours, names_pipelines};
pub use schema::pipeline_schema;
pub use test_case::{Expectation, Given, GivenData, TestCase};
