//! A daemon as a process: a tokio runtime of its own whose time is virtual. It is killed by dropping it, and frozen by
//! not running it while the time of the others goes on.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use pipectl_daemon::{Daemon, Ears, Library, Settings};
use pipectl_engine::{
    project::Project,
    runner::{Owner, Parts, Pipelines, Role, Runner, Slots},
    services::Services,
    store::{
        MemoryStore, Writer,
        testing::{NoArtifacts, Wrapped},
    },
    time::{Clock, Timestamp},
};
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    chance::Chance,
    connection::Connection,
    witness::Witness,
    world::{Ledger, Plans},
};

/// What all processes share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) witness: Arc<Witness>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) plans: Arc<Plans>,
    pub(crate) project: Arc<Project>,
}

/// A clock that follows the virtual time of the runtime in which it is asked.
#[derive(Debug)]
struct Virtual {
    base: Instant,
    origin: Timestamp,
}

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        self.origin + self.base.elapsed()
    }
}

/// A process.
pub(crate) struct Process {
    runtime: Runtime,
    base: Instant,
    origin: Timestamp,
    stop: CancellationToken,
}

impl Process {
    pub(crate) fn start(
        shared: &Shared,
        locks: &Path,
        host: &str,
        now: Timestamp,
        chance: Chance,
    ) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let stop = CancellationToken::new();
        let (shared, stopping) = (shared.clone(), stop.clone());
        let owner = Owner::new(locks, host, Role::Daemon).expect("an owner");
        let base = runtime.block_on(async move {
            let base = Instant::now();
            let clock = Arc::new(Virtual { base, origin: now });
            let ears = Ears::default();
            let runner = runner(&shared, clock, owner, &ears, chance);
            let library: Arc<dyn Library> = shared.plans;
            let settings = Settings {
                grace: Duration::from_secs(2),
            };
            let daemon = Daemon::new(runner, &ears, library, settings);
            let edited = Arc::default();
            drop(TaskTracker::new().spawn(async move {
                while daemon.run(&stopping, Arc::clone(&edited)).await.is_err() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }));
            base
        });
        Self {
            runtime,
            base,
            origin: now,
            stop,
        }
    }

    /// Lets it work until its time is `until`, step by step.
    pub(crate) fn work(&self, until: Timestamp) {
        let until = self.base + (until - self.origin).to_std().unwrap_or_default();
        self.runtime
            .block_on(async { tokio::time::sleep_until(until).await });
    }

    /// Its time jumps to `now`, as for a process that was stopped and goes on.
    pub(crate) fn thaw(&self, now: Timestamp) {
        let until = self.base + (now - self.origin).to_std().unwrap_or_default();
        self.runtime.block_on(async {
            let missed = until.saturating_duration_since(Instant::now());
            tokio::time::advance(missed).await;
        });
    }

    /// Tells it to stop.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

fn runner(
    shared: &Shared,
    clock: Arc<dyn Clock>,
    owner: Owner,
    ears: &Ears,
    chance: Chance,
) -> Runner {
    let store = Arc::new(Wrapped(Connection {
        daemon: owner.name().to_owned(),
        store: Arc::clone(&shared.store),
        witness: Arc::clone(&shared.witness),
        chance,
    }));
    Runner::new(Parts {
        writer: Writer::start(Arc::clone(&store) as _),
        store: store as _,
        artifacts: Arc::new(NoArtifacts),
        project: Arc::clone(&shared.project),
        services: Services::default().with(Arc::clone(&shared.ledger)),
        clock,
        listeners: vec![Arc::new(ears.clone())],
        pipelines: Arc::clone(&shared.plans) as Arc<dyn Pipelines>,
        owner: Arc::new(owner),
        slots: Slots::new(6, BTreeMap::new()),
        tasks: TaskTracker::new(),
    })
}
