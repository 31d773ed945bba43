//! What goes to an attempt and what comes back.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{cache::Wanted, log::AttemptLog, persist::Persisted};
use crate::{
    id::RunId,
    operator::{
        ChildResult, DynOperator, ErasedConfig, IsolatedTask, TaskContext, TaskError, Wait, Woken,
    },
    scheduler::Unit,
    slot::Slot,
    store::ArtifactRecord,
    time::Timestamp,
};

/// An attempt that is ready to start.
pub(super) struct Job {
    pub(super) unit: Unit,
    pub(super) operator: &'static dyn DynOperator,
    pub(super) config: ErasedConfig,
    /// Set when it runs in a process of its own.
    pub(super) isolated: Option<IsolatedTask>,
    pub(super) context: TaskContext,
    /// Set when what an earlier run has put out will do.
    pub(super) cache: Option<Wanted>,
    /// When it has taken too long.
    pub(super) due: Option<Timestamp>,
    pub(super) slot: Arc<Slot>,
    pub(super) log: Arc<AttemptLog>,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum End {
    Done(Box<Persisted>),
    Skipped(String),
    Wait(Wait),
    Failed(TaskError, Vec<ArtifactRecord>),
}

/// What the loop hears.
#[derive(Debug)]
pub(super) enum Message {
    Attempt {
        unit: Unit,
        end: End,
        log: Arc<AttemptLog>,
    },
    Child {
        unit: Unit,
        attempt: u32,
        result: Result<Box<ChildResult>, TaskError>,
    },
    /// The other pipeline's run that was waited for has succeeded, or the pipeline is idle.
    Other {
        unit: Unit,
        attempt: u32,
        run: Option<RunId>,
    },
    Changed {
        unit: Unit,
        attempt: u32,
    },
}

/// What the loop knows of a unit.
#[derive(Debug, Default)]
pub(super) struct UnitState {
    /// The last attempt, counted from 1.
    pub(super) attempt: u32,
    /// How many tries of the retry limit are used up.
    pub(super) tries: u32,
    /// How many attempts were lost with the process that worked on them.
    pub(super) losses: u32,
    /// Whether an attempt was under way when the run was taken up.
    pub(super) was_running: bool,
    pub(super) started: Option<Timestamp>,
    /// When the attempt has taken too long.
    pub(super) due: Option<Timestamp>,
    pub(super) settings: Option<serde_json::Value>,
    /// What an attempt that waits does: "waits for …".
    pub(super) waits: Option<String>,
    /// Set when the next start goes on with an attempt that waited.
    pub(super) woken: Option<Woken>,
    /// Set while an attempt is under way.
    pub(super) cancel: Option<CancellationToken>,
}
