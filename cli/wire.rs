//! Puts the house together: project, store, artifacts, services, runner.

use std::{collections::BTreeMap, future::Future, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use pipectl_connections::{Connector, SharedTurns, Turns};
use pipectl_daemon::{Postman, give_up_lost, note_history};
use pipectl_engine::{
    env::Env,
    event::Listener,
    id::RunId,
    operator::{Isolator, ModelPinner, WaitWatcher},
    project::Project,
    runner::{Owner, Parts, Role, Runner, Slots},
    services::Services,
    store::{ArtifactStore, MailState, MemoryStore, RunRecord, Store, StoreError, Writer},
    time::{Clock, OffsetClock, SystemClock},
};
use pipectl_operators::{FileWatcher, MlflowModels, ProcessIsolation, Shim};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;

use crate::{
    exit::{Exit, Problem},
    output::Output,
    pipelines::Files,
    project::registry,
};

/// What polars calls the number of groups that a streamed `group by` keeps as groups; rows of others it remembers one by one.
const GROUPS: &str = "POLARS_HOT_TABLE_SIZE";

/// What processes of tasks find in their environment besides ours: room for more groups, since their memory is watched.
fn of_children(env: &Env) -> Vec<(String, String)> {
    match env.get(GROUPS) {
        Some(_) => Vec::new(),
        None => vec![(GROUPS.to_owned(), "65536".to_owned())],
    }
}

/// How many attempts may be under way at once.
pub(crate) const SLOTS: u32 = 16;
/// How long a command may spend on mail before it ends.
const MAIL: Duration = Duration::from_secs(10);

/// The clock of this process: the system's, or one that tests move by a file.
pub(crate) fn clock(env: &Env) -> Arc<dyn Clock> {
    match env.get("PIPECTL_CLOCK").filter(|file| !file.is_empty()) {
        Some(file) => Arc::new(OffsetClock::new(file.into())),
        None => Arc::new(SystemClock),
    }
}

/// Does `work` on a runtime of its own. What computes in the background when it ends is left behind.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| Problem::environment("cannot start threads").because(error))?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// The connections of this process: with what speaks to drivers of ODBC, where it was built in.
pub(crate) fn connector() -> Connector {
    let connector = Connector::default();
    #[cfg(feature = "odbc")]
    let connector = connector.with_odbc(Arc::new(pipectl_odbc::Manager));
    connector
}

/// What operators share.
pub(crate) fn services() -> Services {
    let services = Services::default()
        .with(Arc::new(connector()))
        .with(Arc::new(WaitWatcher::new(Arc::new(FileWatcher))));
    // Without our own path scripts still run; only nobody stops them when we are killed.
    match std::env::current_exe() {
        Ok(program) => services.with(Arc::new(Shim {
            program,
            command: "__shim".to_owned(),
        })),
        Err(_) => services,
    }
}

/// Rate limits that all processes of a history share.
struct StoreTurns(Arc<dyn Store>);

#[async_trait]
impl SharedTurns for StoreTurns {
    async fn reserve(&self, name: &str, spacing: Duration, count: u32) -> Result<Duration, String> {
        let turns = self.0.take_turns(name, spacing * count).await;
        turns.map_err(|error| error.to_string())
    }
}

/// Everything that is opened for a run.
pub(crate) struct House {
    pub(crate) project: Arc<Project>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) artifacts: Arc<dyn ArtifactStore>,
    clock: Arc<dyn Clock>,
    files: Arc<Files>,
    /// Whether another process can open it too.
    lasting: bool,
}

impl House {
    /// The history of the project's runs.
    pub(crate) async fn store(project: &Project) -> anyhow::Result<Arc<dyn Store>> {
        if let Some(address) = &project.store {
            pipectl_store::check_address(address)
                .map_err(|error| Problem::usage(error.to_string()))?;
        }
        let store = pipectl_store::open(project.store.as_ref(), &project.state_dir).await;
        store.map_err(|error| unreachable_store(project, error).into())
    }

    pub(crate) async fn open(project: Arc<Project>) -> anyhow::Result<Self> {
        let store = Self::store(&project).await?;
        let artifacts = pipectl_store::open_artifacts(
            project.artifacts.as_deref(),
            &project.state_dir,
            &project.env,
        )
        .map_err(|error| Problem::environment("cannot open the artifact store").because(error))?;
        Ok(Self {
            clock: clock(&project.env),
            files: Arc::new(Files::new(Arc::clone(&project), registry())),
            project,
            store,
            artifacts,
            lasting: true,
        })
    }

    /// Has the runs failed whose command was killed, so that nobody takes them for running.
    pub(crate) async fn give_up_lost(&self) -> anyhow::Result<()> {
        if !self.store.foreground_runs().await?.is_empty() {
            let runner = self.runner(Vec::new())?;
            give_up_lost(runner, self.files()).await?;
        }
        Ok(())
    }

    /// A house for tests: nothing of it outlasts `scratch`, and no connection of the project can be reached.
    pub(crate) fn in_memory(project: &Project, scratch: &Path) -> anyhow::Result<Self> {
        let mut project = project.clone();
        scratch.clone_into(&mut project.state_dir);
        project.outputs = Some(scratch.join("outputs"));
        project.store = None;
        project.artifacts = None;
        project.smtp = None;
        project.mlflow = None;
        project.connections = crate::scratch::connections(&project.connections, scratch)?;
        let artifacts = pipectl_store::open_artifacts(None, scratch, &project.env)
            .map_err(|error| Problem::environment("cannot keep the tests' data").because(error))?;
        let clock = clock(&project.env);
        let project = Arc::new(project);
        Ok(Self {
            files: Arc::new(Files::new(Arc::clone(&project), registry())),
            project,
            store: Arc::new(MemoryStore::new(Arc::clone(&clock))),
            artifacts,
            clock,
            lasting: false,
        })
    }

    /// A runner whose runs this process owns, for a command in the foreground.
    pub(crate) fn runner(&self, listeners: Vec<Arc<dyn Listener>>) -> anyhow::Result<Runner> {
        self.runner_as(Role::Foreground, SLOTS, listeners)
    }

    /// A runner with so many slots.
    pub(crate) fn runner_as(
        &self,
        role: Role,
        slots: u32,
        listeners: Vec<Arc<dyn Listener>>,
    ) -> anyhow::Result<Runner> {
        let owner = self.owner(role)?;
        let pools: BTreeMap<String, u32> = self.project.pools.clone();
        Ok(Runner::new(Parts {
            store: Arc::clone(&self.store),
            writer: Writer::start(Arc::clone(&self.store)),
            artifacts: Arc::clone(&self.artifacts),
            project: Arc::clone(&self.project),
            services: self.services(),
            clock: Arc::clone(&self.clock),
            listeners,
            pipelines: self.files(),
            owner: Arc::new(owner),
            slots: Slots::new(slots, pools),
            tasks: TaskTracker::new(),
        }))
    }

    fn owner(&self, role: Role) -> Result<Owner, Problem> {
        let state_dir = &self.project.state_dir;
        let owner = Owner::new(state_dir, &host(), role);
        let owner = owner.and_then(|owner| note_history(&self.project).map(|()| owner));
        owner.map_err(|error| {
            Problem::environment(format!("cannot write in `{}`", state_dir.display()))
                .because(error)
                .hint("make it writable, or name another place with --state-dir")
        })
    }

    /// Whether a daemon lives that takes runs from the queue. One of this machine that was killed just now does not, though
    /// the history still counts on it.
    pub(crate) async fn daemon_lives(&self) -> anyhow::Result<bool> {
        let owner = self.owner(Role::Foreground)?;
        let daemons = self.store.daemons().await?;
        Ok(daemons
            .iter()
            .any(|daemon| daemon.alive && !owner.is_gone(&daemon.name)))
    }

    /// Who of those that work on runs is known to be gone: daemons that are not heard of any more, processes of this machine
    /// that have ended.
    pub(crate) async fn gone(&self) -> anyhow::Result<impl Fn(&str) -> bool> {
        let owner = self.owner(Role::Foreground)?;
        let daemons = self.store.daemons().await?;
        Ok(move |name: &str| {
            let silent = daemons
                .iter()
                .any(|daemon| daemon.name == name && !daemon.alive);
            silent || owner.is_gone(name)
        })
    }

    /// The project's pipelines.
    pub(crate) fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files)
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// What operators share in this house. Tasks of a test stay in this process: another one could not see its history.
    pub(crate) fn services(&self) -> Services {
        let turns = Turns(Arc::new(StoreTurns(Arc::clone(&self.store))));
        let connector = Arc::new(connector().with_turns(turns));
        let models = MlflowModels::new(Arc::clone(&connector));
        let services = services()
            .with(connector)
            .with(Arc::new(ModelPinner::new(Arc::new(models))));
        match std::env::current_exe() {
            Ok(program) if self.lasting => {
                let arguments = vec!["__task".to_owned()];
                let isolation = ProcessIsolation {
                    program,
                    arguments,
                    environment: of_children(&self.project.env),
                };
                services.with(Arc::new(Isolator::new(Arc::new(isolation))))
            }
            _ => services,
        }
    }

    /// The clock, to be shared.
    pub(crate) fn clock_of_all(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Sends the mails that are due, for at most ten seconds; what is not sent stays in the outbox. Complains only of mails
    /// about runs that are this command's own, and about their children. A signal to stop ends it at once; answers whether
    /// one came.
    pub(crate) async fn send_mail(
        &self,
        output: &Output,
        is_own: impl Fn(&RunRecord) -> bool,
    ) -> bool {
        let postman = Postman::new(
            Arc::clone(&self.store),
            Arc::clone(&self.project),
            Arc::clone(&self.clock),
        );
        let mut unsent = Vec::new();
        let tell = |run: Option<RunId>, state: &MailState| {
            if *state != MailState::Sent {
                unsent.extend(run.map(|run| (run, *state == MailState::Unconfigured)));
            }
        };
        let sent = tokio::select! {
            sent = tokio::time::timeout(MAIL, postman.deliver_telling(tell)) => sent,
            () = signalled() => {
                output.warning("stopped while mail was being sent; what is not sent waits in the outbox");
                return true;
            }
        };
        match sent {
            Ok(Ok(_)) => self.complain(output, unsent, is_own).await,
            Ok(Err(error)) => output.warning(format_args!("the outbox cannot be read: {error}")),
            Err(_) => {
                output.warning("the mail server does not answer; the mail waits in the outbox");
            }
        }
        false
    }

    async fn complain(
        &self,
        output: &Output,
        unsent: Vec<(RunId, bool)>,
        is_own: impl Fn(&RunRecord) -> bool,
    ) {
        let (mut unconfigured, mut failed) = (false, false);
        for (run, for_want_of_server) in unsent {
            if self.is_own(run, &is_own).await {
                unconfigured |= for_want_of_server;
                failed |= !for_want_of_server;
            }
        }
        if unconfigured {
            output.warning("mail was to be sent, but no mail server is configured");
            output.hint("set PIPECTL_SMTP_URL, or `smtp:` in pipectl.yaml");
        }
        if failed {
            output.warning("mail could not be sent; `pipectl doctor` says why");
        }
    }

    /// Whether a run, or one that waits for it, is the command's own.
    async fn is_own(&self, run: RunId, is_own: impl Fn(&RunRecord) -> bool) -> bool {
        let mut next = Some(run);
        while let Some(run) = next {
            // Of a run that cannot be read nothing is said.
            let Ok(Some(record)) = self.store.run(run).await else {
                return false;
            };
            if is_own(&record) {
                return true;
            }
            next = record.run.parent.map(|parent| parent.run);
        }
        false
    }
}

fn unreachable_store(project: &Project, error: StoreError) -> Problem {
    let broken = error.to_string().contains("not an SQLite database");
    let hint = if broken {
        "the file is no SQLite database, or it is damaged: put it aside, or name another place with --state-dir"
    } else if project.store.is_some() {
        "is the address in PIPECTL_STORE or under `store:` in pipectl.yaml right, and the server up?"
    } else {
        "is there room on the disk, and may you write there? --state-dir names another place"
    };
    let mut message = error.to_string();
    if !message.contains("history") {
        message = format!("cannot open the run history: {message}");
    }
    let problem = Problem::new(Exit::Environment, message).hint(hint);
    match error {
        StoreError::Unavailable {
            source: Some(cause),
            ..
        }
        | StoreError::Invalid {
            source: Some(cause),
            ..
        } => problem.because(anyhow::Error::from_boxed(cause)),
        _ => problem,
    }
}

/// Answers when somebody wants this process to stop.
async fn signalled() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// This machine's name.
pub(crate) fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
