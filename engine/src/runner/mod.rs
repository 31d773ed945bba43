//! Runs plans: attempts, retries, waits, cancellation; one loop a run.
//!
//! A [`Runner`] is what a process needs to work on runs. [`Runner::create`] makes a run, [`Runner::execute`] works on
//! it until it is over. Within, one `Drive` owns the run's [`Scheduler`](crate::scheduler::Scheduler) and writes down
//! what happens; attempts run beside it and send it messages. What belongs together, such as a success and the start
//! of the children, is one durable write, and nothing starts before it is written.

mod alerts;
mod attempt;
mod begin;
mod cache;
mod children;
mod drive;
mod end;
mod finish;
mod inputs;
mod job;
mod journal;
mod leave;
mod log;
mod memory;
mod options;
mod owner;
mod patience;
mod persist;
mod pin;
mod preset;
mod scope;
mod start;
mod timers;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::task::TaskTracker;

pub use crate::slot::{Slot, Slots};
pub use alerts::{late_mails, mail_id, recipients};
pub use leave::GONE;
pub use log::{log_directory, log_path};
pub use options::{Options, Redo, Reuse};
pub use owner::{Owner, Role};
pub use scope::first as first_scope;

use crate::{
    event::Listener,
    failure::full_message,
    id::RunId,
    operator::BoxFuture,
    plan::Plan,
    project::Project,
    services::Services,
    state::RunState,
    store::{ArtifactStore, Claim, Created, NewRun, PipelineVersion, Store, StoreError, Writer},
    time::Clock,
};

/// How long an owner may be silent before another may take its runs.
pub const LEASE: Duration = Duration::from_secs(10);

/// Finds the plans of child runs.
#[async_trait]
pub trait Pipelines: Send + Sync {
    /// The plan of the pipeline called `name`, or what is wrong with it.
    async fn plan(&self, name: &str) -> Result<Arc<Plan>, String>;
}

/// What a process needs to work on runs.
#[derive(Clone)]
pub struct Runner(Arc<Parts>);

/// The parts of a [`Runner`].
#[derive(Clone)]
pub struct Parts {
    /// The history.
    pub store: Arc<dyn Store>,
    /// Writes to the history, in groups.
    pub writer: Writer,
    /// Where datasets and files are kept.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// The project.
    pub project: Arc<Project>,
    /// What operators share.
    pub services: Services,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who hears of what happens.
    pub listeners: Vec<Arc<dyn Listener>>,
    /// Where child runs find their plans.
    pub pipelines: Arc<dyn Pipelines>,
    /// Whose runs these are.
    pub owner: Arc<Owner>,
    /// How many attempts may be under way at once, in all and by pool.
    pub slots: Arc<Slots>,
    /// The tasks that attempts run in.
    pub tasks: TaskTracker,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("owner", &self.0.owner)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// Why a run could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The history failed.
    #[error("the run history failed")]
    Store(#[from] StoreError),
    /// Somebody else works on the run.
    #[error("run {run} is being worked on by {owner}")]
    Busy {
        /// The run.
        run: RunId,
        /// Who works on it.
        owner: String,
    },
    /// The run is not in the history.
    #[error("there is no run {0}")]
    Unknown(RunId),
    /// This process was told to leave it; the next owner goes on with it.
    #[error("run {0} was left for the next owner")]
    Left(RunId),
    /// Another owner has taken the run over.
    #[error("run {0} has been taken over by another process")]
    Lost(RunId),
}

impl Runner {
    /// A runner of `parts`.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The same runner for runs that go by the settings of `project`; those under way go on by theirs.
    #[must_use]
    pub fn with_project(&self, project: Arc<Project>) -> Self {
        Self::new(Parts {
            project,
            ..self.parts().clone()
        })
    }

    /// What it is made of.
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    /// Makes a run of `plan` and keeps the plan's source.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub async fn create(&self, plan: &Plan, run: &NewRun) -> Result<Created, RunnerError> {
        Ok(self.create_in_store(plan, run).await?)
    }

    async fn create_in_store(&self, plan: &Plan, run: &NewRun) -> Result<Created, StoreError> {
        self.0.store.put_version(&PipelineVersion::of(plan)).await?;
        self.0.store.create_run(run).await
    }

    /// Works on a run until it is over. What succeeded before is not done again.
    ///
    /// # Errors
    /// When the history fails, or somebody else works on the run.
    pub fn execute(
        &self,
        plan: Arc<Plan>,
        run: RunId,
        options: Options,
    ) -> BoxFuture<'static, Result<RunState, RunnerError>> {
        let runner = self.clone();
        Box::pin(async move {
            let claim = owner::claim(&runner.0, run).await?;
            runner.execute_claimed(plan, run, claim, options).await
        })
    }

    /// Claims a run if fewer than `most` other runs of its pipeline are under way, not counting those of owners who are
    /// `gone`. `None` when it has to wait.
    ///
    /// # Errors
    /// When the history fails, or somebody else works on the run.
    pub async fn claim_in_turn(
        &self,
        run: RunId,
        most: u32,
        gone: &[String],
    ) -> Result<Option<Claim>, RunnerError> {
        owner::claim_in_turn(&self.0, run, most, gone).await
    }

    /// Works on a run that this process has claimed until it is over, as [`execute`](Self::execute).
    ///
    /// # Errors
    /// When the history fails, when somebody has taken the run over, when this process was told to leave it.
    pub fn execute_claimed(
        &self,
        plan: Arc<Plan>,
        run: RunId,
        claim: Claim,
        mut options: Options,
    ) -> BoxFuture<'static, Result<RunState, RunnerError>> {
        let parts = Arc::clone(&self.0);
        Box::pin(async move {
            let cancel = options.cancel.child_token();
            options.cancel = cancel.clone();
            let drive =
                drive::Drive::load(Arc::clone(&parts), plan, run, claim.fence, options).await?;
            let end = owner::while_leased(&parts, run, cancel, drive.run()).await;
            if matches!(end, Ok(_) | Err(RunnerError::Left(_))) {
                release(&parts, run, claim).await;
            }
            end
        })
    }

    /// Ends a run whose process is gone and that nobody adopts: what was under way has failed, and so has the run. Mails
    /// are written as for every failure.
    ///
    /// # Errors
    /// When the history fails, or somebody works on the run.
    pub async fn give_up(&self, plan: Arc<Plan>, run: RunId) -> Result<(), RunnerError> {
        let claim = owner::claim(&self.0, run).await?;
        let parts = Arc::clone(&self.0);
        let drive = drive::Drive::load(parts, plan, run, claim.fence, Options::default()).await?;
        drive.give_up().await?;
        release(&self.0, run, claim).await;
        Ok(())
    }
}

async fn release(parts: &Parts, run: RunId, claim: Claim) {
    if let Err(error) = parts.store.release(run, claim.fence).await {
        tracing::warn!(
            error = full_message(&error),
            "cannot give the run's lease back"
        );
    }
}
