//! What a run leaves behind: the traits that every store implements, and their records.
//!
//! A change of a run is a [`Change`]; the changes that belong together are one [`RunWrite`], which carries the run's
//! fencing token; [`RunStore::commit`] makes any number of writes, of any number of runs, durable in one transaction.

mod change;
pub mod conformance;
mod history;
mod memory;
mod part;
mod promotion;
mod queue;
mod record;
pub mod testing;
mod traits;
mod triggers;
mod writer;

pub use crate::{
    artifact::{ArtifactStore, sha256},
    failure::StoreError,
    model::{AliasChange, CHAMPION, ImportedModel, ModelRegistry, ModelVersion},
};
pub use change::{Change, NO_RUN, RegisterModel, RunChange, RunWrite, TaskChange, WriteOutcome};
pub use history::{History, LATE, PruneRule};
pub use memory::MemoryStore;
pub use part::Part;
pub use promotion::{Contender, Verdict, promotion};
pub use queue::{Cancelled, Claimed, Daemon, PoolRequest, Queue, Redo, Turn};
pub use record::{
    ArtifactRecord, AttemptRecord, CachedOutput, Claim, Created, ErrorRecord, EventRecord,
    MailState, NewMail, NewRun, OutputRecord, ParentTask, PendingMail, PipelineVersion, RunFilter,
    RunKind, RunRecord, TaskRecord, UNCONFIGURED_KEPT, UNCONFIGURED_PAUSE,
};
pub use traits::{Outbox, RunStore, Store};
pub use triggers::{
    Backfill, BackfillState, Progress, Reprocess, ScheduleRecord, Sensed, SensorKey, SensorRecord,
    Thing, ThingRecord, ThingState, Triggers,
};
pub use writer::Writer;
