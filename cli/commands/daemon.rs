//! `pipectl daemon`: works until it is told to stop.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use pipectl_daemon::{Daemon, Ears, Exports, Settings};
use pipectl_engine::{
    event::Listener,
    operator::{Wait, WaitWatcher},
    project::{Overrides, Project},
    runner::Role,
    spec::Severity,
    time::parse_duration,
};
use pipectl_server::{Shelf, Vitals};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    arguments,
    commands::{serve, supervisor},
    exit::{Exit, Problem},
    project::Context,
    serving,
    wire::{self, House},
};

/// How often the lock is tried again: a daemon that was killed a moment ago holds it until the system has cleared it away.
const TRIES: u32 = 20;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn run(context: &Context, arguments: &arguments::Daemon) -> anyhow::Result<Exit> {
    let grace = parse_duration(&arguments.grace)
        .map_err(|error| Problem::usage(format!("--grace: {error}")))?;
    let project = context.project()?;
    let address = serve::address(arguments.listen.as_deref(), project.serve)?;
    let _alone = alone(&project)?;
    wire::block_on(async {
        let house = House::open(Arc::clone(&project)).await?;
        let ears = Ears::default();
        let tasks = TaskTracker::new();
        let mut listeners: Vec<Arc<dyn Listener>> = vec![Arc::new(ears.clone())];
        let store = Arc::clone(&house.store);
        let exports = Exports::start(&house.project.env, store, &ears).map(Arc::new);
        if let Some(exports) = &exports {
            listeners.push(Arc::clone(exports) as _);
        }
        let runner = house.runner_as(Role::Daemon, arguments.slots, listeners)?;
        let services = runner.parts().services.clone();
        let daemon = Arc::new(Daemon::new(
            runner,
            &ears,
            house.files(),
            Settings { grace },
        ));
        let (stop, edited) = (CancellationToken::new(), Arc::new(Notify::new()));
        // Who asks how it is hears so while it stops, too.
        let drained = CancellationToken::new();
        let reload = {
            let (daemon, house, edited) = (Arc::clone(&daemon), house.files(), Arc::clone(&edited));
            let mut project = Arc::clone(&project);
            move || {
                supervisor::reloading();
                if let Some(new) = settings_anew(&project) {
                    project = Arc::new(new);
                    house.take(Arc::clone(&project));
                    daemon.take(Arc::clone(&project));
                }
                edited.notify_one();
                supervisor::ready();
            }
        };
        let hurry = {
            let daemon = Arc::clone(&daemon);
            move || daemon.hurry()
        };
        listen_to_signals(&stop, reload, hurry, &tasks)?;
        if let Some(watcher) = services.get::<WaitWatcher>() {
            tasks.spawn(watch(
                watcher,
                Arc::clone(&house.project),
                Arc::clone(&edited),
            ));
        }
        if !arguments.no_serve {
            let shelf = serving::shelf(&house, None);
            listen(context, address, (&daemon, &shelf), &drained, &tasks).await;
        }
        tasks.spawn(supervisor::tell(Arc::clone(&daemon), stop.clone()));
        let end = daemon.run(&stop, edited).await;
        if let Some(exports) = exports {
            exports.finish().await;
        }
        drained.cancel();
        end.map_err(|error| {
            Problem::environment("the run history cannot be reached").because(error)
        })?;
        Ok(Exit::Done)
    })
}

/// Whether a server holds the history, which processes on many machines may share.
pub(crate) fn shared_store(project: &Project) -> bool {
    let store = project.store.as_ref();
    store.is_some_and(|store| store.expose().starts_with("postgres"))
}

/// On SQLite one daemon works at a time; the lock is free again when this process is gone, however it ends.
pub(crate) fn alone(project: &Project) -> anyhow::Result<Option<File>> {
    if shared_store(project) {
        return Ok(None);
    }
    let path = project.state_dir.join("daemon.lock");
    let wrong = |error: std::io::Error| {
        Problem::environment(format!("cannot write `{}`", path.display())).because(error)
    };
    std::fs::create_dir_all(&project.state_dir).map_err(wrong)?;
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(wrong)?;
    let mut locked = file.try_lock();
    for _ in 0..TRIES {
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(PAUSE);
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is only told.
            let _read = file.read_to_string(&mut holder);
            return Err(Problem::usage(format!("a daemon works here already (process {})", holder.trim()))
                .hint("on SQLite there can be one; for several, put the history on Postgres: PIPECTL_STORE=postgres://…")
                .into());
        }
        Err(TryLockError::Error(error)) => return Err(wrong(error).into()),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(wrong)?;
    Ok(Some(file))
}

/// `pipectl.yaml` as it is now, if that is valid. What cannot change while the daemon works stays as it was, and is named.
fn settings_anew(before: &Project) -> Option<Project> {
    let overrides = Overrides {
        state_dir: Some(before.state_dir.clone()),
        root: Some(before.root.clone()),
    };
    let read = Project::load(&before.root, &before.root, &overrides, before.env.clone());
    let mut project = match read {
        Ok((project, _)) => project,
        Err(found) => {
            let first = found
                .iter()
                .find(|complaint| complaint.severity == Severity::Error);
            let why = first.map_or_else(String::new, |complaint| {
                let place = &complaint.place;
                format!("{}:{}: {}", place.file, place.line, complaint.message)
            });
            tracing::error!("the settings in force stay, for the new ones are not valid: {why}");
            return None;
        }
    };
    let address = |project: &Project| {
        project
            .store
            .as_ref()
            .map(|store| store.expose().to_owned())
    };
    let fixed = [
        ("store", address(&project) == address(before)),
        ("artifacts", project.artifacts == before.artifacts),
        ("pools", project.pools == before.pools),
        ("serve", project.serve == before.serve),
    ];
    let changed: Vec<&str> = fixed
        .iter()
        .filter(|(_, same)| !same)
        .map(|(name, _)| *name)
        .collect();
    if !changed.is_empty() {
        tracing::warn!(
            "`{}` changes when the daemon is started anew",
            changed.join("`, `")
        );
    }
    project.store.clone_from(&before.store);
    project.artifacts.clone_from(&before.artifacts);
    project.pools.clone_from(&before.pools);
    project.serve = before.serve;
    if project.root.join("pipectl.yaml").is_file() {
        tracing::info!("pipectl.yaml is read anew");
    } else {
        tracing::info!("there is no pipectl.yaml to be read anew; the pipelines are looked at");
    }
    Some(project)
}

/// SIGTERM and SIGINT stop the daemon, SIGHUP has it look at its files.
fn listen_to_signals(
    stop: &CancellationToken,
    mut reload: impl FnMut() + Send + 'static,
    hurry: impl FnOnce() + Send + 'static,
    tasks: &TaskTracker,
) -> anyhow::Result<()> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| Problem::environment("cannot listen for signals").because(error))
    };
    let (mut terminate, mut interrupt, mut hangup) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
        listen(SignalKind::hangup())?,
    );
    let stop = stop.clone();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => reload(),
            }
        }
        stop.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop again: runs under way are left to the next daemon now");
        hurry();
    });
    Ok(())
}

/// Says when something has changed among the pipelines' files.
async fn watch(watcher: Arc<WaitWatcher>, project: Arc<Project>, edited: Arc<Notify>) {
    let wait = Wait::Things {
        connection: None,
        pattern: "pipelines/**".to_owned(),
        poll: Duration::from_secs(60),
        settle: Duration::ZERO,
    };
    loop {
        watcher.changed(&project, &wait).await;
        edited.notify_one();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

struct Pulse(Arc<Daemon>, Arc<Shelf>);

#[async_trait]
impl Vitals for Pulse {
    async fn ready(&self) -> Result<(), String> {
        self.0.ready().await
    }

    async fn metrics(&self) -> String {
        self.0.metrics().await + &self.1.measures()
    }
}

/// Health and metrics, and models for who is on this machine. A port that is taken is no reason not to work.
async fn listen(
    context: &Context,
    address: SocketAddr,
    (daemon, shelf): (&Arc<Daemon>, &Arc<Shelf>),
    drained: &CancellationToken,
    tasks: &TaskTracker,
) {
    match TcpListener::bind(address).await {
        Ok(listener) => {
            let pulse = Pulse(Arc::clone(daemon), Arc::clone(shelf));
            let mut routes = pipectl_server::routes(Arc::new(pulse));
            if address.ip().is_loopback() {
                routes = routes.merge(pipectl_server::model_routes(Arc::clone(shelf)));
            }
            let (drained, follows) = (drained.clone(), drained.clone());
            let shelf = Arc::clone(shelf);
            tasks.spawn(async move { shelf.follow(&follows).await });
            tracing::info!("http://{address}/health and /metrics");
            tasks.spawn(async move {
                if let Err(error) = pipectl_server::serve(listener, routes, drained).await {
                    tracing::error!(%error, "the port has failed");
                }
            });
        }
        Err(error) => {
            context.output.warning_with(
                format_args!(
                    "cannot listen on {address}: {error}; the daemon works without its port"
                ),
                "--listen names another one, --no-serve does without",
            );
        }
    }
}
