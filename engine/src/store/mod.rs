//! What a run leaves behind: the traits that every store implements, and their records.
//!
//! A change of a run is a [`Change`]; the changes that belong together are one [`RunWrite`], which carries the run's
//! fencing token; [`RunStore::commit`] makes any number of writes, of any number of runs, durable in one transaction.

pub mod conformance;
mod memory;
mod promotion;
mod record;
#[cfg(test)]
mod testing;
mod traits;
mod writer;

pub use crate::{
    artifact::{ArtifactStore, sha256},
    failure::StoreError,
    model::{ModelRegistry, ModelVersion},
};
pub use memory::MemoryStore;
pub use promotion::{CHAMPION, promotion};
pub use record::{
    ArtifactRecord, AttemptRecord, Change, Claim, Created, ErrorRecord, EventRecord, MailState,
    NewMail, NewRun, OutputRecord, ParentTask, PendingMail, PipelineVersion, RegisterModel,
    RunChange, RunFilter, RunKind, RunRecord, RunWrite, TaskChange, TaskRecord, UNCONFIGURED_KEPT,
    UNCONFIGURED_PAUSE, WriteOutcome,
};
pub use traits::{Outbox, RunStore, Store};
pub use writer::Writer;
