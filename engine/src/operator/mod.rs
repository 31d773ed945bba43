//! The contract of an operator, and the registry of all operators.
//!
//! An author implements [`Operator`], which is typed; the engine uses its erased twin [`DynOperator`], which every
//! operator has by a blanket implementation. One struct, the operator's `Config`, yields parsing, validation, JSON
//! Schema, the editor's completion, the page's form and the reference page.

mod channel;
mod complaint;
mod context;
mod contract;
mod erased;
mod error;
mod format;
mod isolation;

mod memory;
mod outcome;
mod outputs;
mod registry;
mod remote;
pub mod testing;
mod thing;
mod watcher;

pub use crate::{kind::Kind, time::Interval};
pub use channel::{Logger, Progress};
pub use complaint::{Complaint, Complaints};
pub(crate) use context::panic_message;
pub use context::{Inputs, RunInfo, TaskContext, TaskIdentity, Woken, connection_of};
pub use contract::{MadeOf, Operator, ProbeContext, Takes};
pub use erased::{BoxFuture, DynOperator, ErasedConfig};
pub use error::{Evidence, Fault, TaskError};
pub use format::{
    ConnectionName, DurationText, FeatureViewName, ModelRef, PromotionText, Script, SizeText,
    SqlText,
};
pub use isolation::{Isolate, IsolatedTask, Isolator};
pub use memory::{Checkpoint, CheckpointStore, Past, PastOutcome, PastStore, State, StateStore};
pub use outcome::{Artifact, ChildResult, NewModel, Outcome, Output, Promote, Wait};
pub use outputs::{DatasetOutput, Outputs, ValueOutput, ValueType};
pub use registry::{Finder, Registry};
pub use remote::{ModelPinner, RemoteModels};
pub use thing::{AfterSuccess, Existing, Senses, Thing};
pub use watcher::{WaitWatcher, Watcher};
