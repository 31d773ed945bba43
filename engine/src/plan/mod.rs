//! The checked pipeline: a petgraph graph of tasks. Only a plan can run.

mod model;
mod path;
pub mod testing;

pub use crate::alert::{Alert, AlertKind};
pub use model::{
    Backoff, Foreach, InputBinding, OutputSource, ParamSpec, ParamType, Plan, PlanError,
    PlannedTask, RetryPolicy, Source, TaskIndex, TriggerRule, type_name,
};
pub use path::longest_paths;
