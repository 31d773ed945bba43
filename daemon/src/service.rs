//! The daemon: everything that works beside runs, started together and ended together.

use std::{sync::Arc, time::Duration};

use pipectl_engine::{
    event::Listener,
    project::Project,
    runner::Runner,
    state::RunState,
    store::{Store, StoreError},
    time::Timestamp,
};
use tokio::time::{Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    active::Active,
    alarm::Alarm,
    catalogue::Library,
    chores,
    desk::Desk,
    dispatch::Dispatcher,
    heart, late,
    measures::{Gauge, Measures},
    schedules::Scheduler,
    sensing::Sensing,
};

/// How long the history may take to answer when somebody asks how the daemon is: who scrapes measures does not wait long.
const ANSWER: Duration = Duration::from_secs(2);
/// The measure to alert on, and what it is.
const DAEMONS_ALIVE: (&str, &str) = ("pipectl_daemons_alive", "Daemons that are alive.");
/// How long the work that was told to stop may take before the process ends anyway.
const LAST: Duration = Duration::from_secs(10);

/// For how long no attempt may be under way before a daemon that stops leaves runs that only wait.
const RESTING: Duration = Duration::from_secs(1);

/// How a daemon is to work.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long runs may go on after it was told to stop, before they are left to the next daemon.
    pub grace: Duration,
}

/// A daemon.
#[derive(Debug)]
pub struct Daemon {
    desk: Desk,
    dispatcher: Dispatcher,
    measures: Arc<Measures>,
    settings: Settings,
    started: Timestamp,
    /// Told when it works.
    works: CancellationToken,
}

/// What a daemon hears of its runs: given to the runner before the daemon is made of it.
#[derive(Clone, Debug, Default)]
pub struct Ears {
    active: Arc<Active>,
    pub(crate) measures: Arc<Measures>,
}

impl Listener for Ears {
    fn hear(&self, event: &pipectl_engine::event::RunEvent) {
        self.active.hear(event);
        self.measures.hear(event);
    }
}

impl Daemon {
    /// A daemon that works with `runner`, one of whose listeners is `ears`.
    pub fn new(runner: Runner, ears: &Ears, library: Arc<dyn Library>, settings: Settings) -> Self {
        let started = runner.parts().clock.now();
        let desk = Desk::new(runner, library);
        let dispatcher = dispatcher(&desk, ears, None);
        Self {
            desk,
            dispatcher,
            measures: Arc::clone(&ears.measures),
            settings,
            started,
            works: CancellationToken::new(),
        }
    }

    /// Waits until it works.
    pub async fn works(&self) {
        self.works.cancelled().await;
    }

    /// What of it has stood still for longer than `limit`, though it should not, and for how long: then nothing but a new
    /// start helps.
    pub fn stuck(&self, limit: Duration) -> Option<(&'static str, Duration)> {
        self.dispatcher.pulse.stuck(limit)
    }

    /// Goes on by these settings: what begins from now on, and what is watched and sent. The history, the artifacts and the
    /// pools stay what they were.
    pub fn take(&self, project: Arc<Project>) {
        self.desk.current.set(project);
        self.desk.catalogue.tell();
    }

    /// Waits no longer for runs under way, once it stops: they are left to the next daemon at once.
    pub fn hurry(&self) {
        self.dispatcher.leave.cancel();
    }

    /// Works until `stop`; then no more runs are taken, those under way may go on for the grace, and what is not over by
    /// then is left to the next daemon. `edited` wakes it to look at the pipelines' files.
    ///
    /// # Errors
    /// When the history cannot be reached at the start.
    pub async fn run(
        &self,
        stop: &CancellationToken,
        edited: Arc<tokio::sync::Notify>,
    ) -> Result<(), StoreError> {
        let (desk, owner) = (&self.desk, self.desk.owner());
        desk.store()
            .beat(owner.name(), self.started, pipectl_engine::runner::LEASE)
            .await?;
        desk.catalogue.refresh(&**desk.store()).await;
        tracing::info!(
            daemon = owner.name(),
            pipelines = desk.catalogue.plans().len(),
            "the daemon works"
        );
        let heart_stop = CancellationToken::new();
        let helpers = TaskTracker::new();
        helpers.spawn({
            let (dispatcher, started, stop) =
                (self.dispatcher.clone(), self.started, heart_stop.clone());
            async move { heart::beat(&dispatcher, started, &stop).await }
        });
        helpers.spawn({
            let (scheduler, stop) = (
                Scheduler::new(desk.clone(), Arc::clone(&self.measures)),
                stop.clone(),
            );
            async move { scheduler.run(&stop).await }
        });
        helpers.spawn({
            let (sensing, stop) = (Sensing::new(desk.clone(), self.alarm()), stop.clone());
            async move { sensing.run(&stop).await }
        });
        helpers.spawn(chores::refresh(desk.clone(), edited, stop.clone()));
        helpers.spawn(chores::deliver(desk.clone(), heart_stop.clone()));
        helpers.spawn(chores::care(desk.clone(), stop.clone()));
        helpers.spawn(late::watch(desk.clone(), stop.clone()));
        helpers.close();
        let dispatcher = self.dispatcher.clone();
        let work = self
            .dispatcher
            .tasks
            .spawn(async move { dispatcher.run().await });
        self.works.cancel();
        stop.cancelled().await;
        self.drain().await;
        heart_stop.cancel();
        let ended = async {
            helpers.wait().await;
            drop(work.await);
        };
        if tokio::time::timeout(LAST, ended).await.is_err() {
            tracing::warn!("some of the work did not stop in time");
        }
        if let Err(error) = desk.store().leave(owner.name()).await {
            desk.say("cannot say that this daemon is gone", &error);
        }
        tracing::info!("the daemon has stopped");
        Ok(())
    }

    fn alarm(&self) -> Alarm {
        let parts = self.desk.runner.parts();
        Alarm {
            store: Arc::clone(&parts.store),
            current: self.desk.current.clone(),
            clock: Arc::clone(&parts.clock),
        }
    }

    async fn drain(&self) {
        let Dispatcher {
            active,
            tasks,
            stop,
            leave,
            ..
        } = &self.dispatcher;
        stop.cancel();
        tasks.close();
        if active.count() > 0 {
            tracing::info!(
                runs = active.count(),
                "stopping: runs under way may go on for {:?}",
                self.settings.grace
            );
        }
        let until = Instant::now() + self.settings.grace;
        let slots = &self.desk.runner.parts().slots;
        let all = slots.all();
        let mut worked = Instant::now();
        while active.count() > 0 && Instant::now() < until && !leave.is_cancelled() {
            if slots.free() < all || active.starting() > 0 {
                worked = Instant::now();
            } else if worked.elapsed() > RESTING {
                tracing::info!(runs = active.count(), "nothing works: the runs only wait");
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        leave.cancel();
        if tokio::time::timeout(LAST + Duration::from_secs(5), tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                runs = active.count(),
                "some runs did not stop; another daemon takes them up"
            );
        }
    }

    /// Whether it can do its work now.
    ///
    /// # Errors
    /// Says why not.
    pub async fn ready(&self) -> Result<(), String> {
        if self.dispatcher.stop.is_cancelled() {
            return Err("stopping".to_owned());
        }
        let asked = tokio::time::timeout(ANSWER, self.desk.store().daemons()).await;
        let answered = asked.map_err(|_| "the run history does not answer".to_owned())?;
        answered.map(drop).map_err(|error| error.to_string())
    }

    /// Its measures in Prometheus' text format.
    pub async fn metrics(&self) -> String {
        let store = self.desk.store();
        let free = self.desk.runner.parts().slots.free();
        let broken = self.desk.catalogue.broken().len();
        let mut gauges = vec![
            Gauge::new(
                "pipectl_slots_free",
                "Slots that no attempt has.",
                free.into(),
            ),
            Gauge::count(
                "pipectl_runs_active",
                "Runs that this process works on.",
                self.dispatcher.active.count(),
            ),
            Gauge::count(
                "pipectl_pipelines_broken",
                "Pipelines whose file is broken.",
                broken,
            ),
        ];
        let shared = tokio::time::timeout(ANSWER, shared_gauges(store)).await;
        let shared = shared.ok().and_then(Result::ok);
        gauges.push(Gauge::count(
            "pipectl_store_up",
            "Whether the run history answers.",
            shared.is_some().into(),
        ));
        // Of daemons that cannot reach the history none can work, whoever else knows them to be alive.
        let unknown = || vec![Gauge::count(DAEMONS_ALIVE.0, DAEMONS_ALIVE.1, 0)];
        gauges.extend(shared.unwrap_or_else(unknown));
        self.measures.text(&gauges)
    }
}

/// What the history says of all daemons.
async fn shared_gauges(store: &Arc<dyn Store>) -> Result<Vec<Gauge>, StoreError> {
    let (unfinished, daemons, mails) =
        tokio::try_join!(store.unfinished(), store.daemons(), store.counts())?;
    let queued = unfinished
        .iter()
        .filter(|((_, state), _)| *state == RunState::Queued);
    let alive = daemons.iter().filter(|daemon| daemon.alive).count();
    let mut gauges = vec![
        Gauge::new(
            "pipectl_runs_queued",
            "Runs that wait in the queue, of all daemons.",
            queued.map(|(_, count)| count).sum(),
        ),
        Gauge::count(DAEMONS_ALIVE.0, DAEMONS_ALIVE.1, alive),
    ];
    gauges.extend(mails.into_iter().map(|(state, count)| Gauge {
        labels: format!("state=\"{state}\""),
        ..Gauge::new("pipectl_mails", "Mails in the outbox, by state.", count)
    }));
    Ok(gauges)
}

/// Has the runs of commands that are gone failed.
///
/// # Errors
/// When the history cannot be reached.
pub async fn give_up_lost(runner: Runner, library: Arc<dyn Library>) -> Result<(), StoreError> {
    heart::give_up_foreground(&Desk::new(runner, library)).await
}

/// Works on the runs of one backfill in this process, until they are over or `stop`.
///
/// # Errors
/// When the history cannot be reached at the start.
pub async fn work_off(
    runner: Runner,
    ears: &Ears,
    library: Arc<dyn Library>,
    backfill: Uuid,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let started = runner.parts().clock.now();
    let desk = Desk::new(runner, library);
    desk.store()
        .beat(desk.owner().name(), started, pipectl_engine::runner::LEASE)
        .await?;
    let dispatcher = dispatcher(&desk, ears, Some(backfill));
    let heart_stop = CancellationToken::new();
    let helpers = TaskTracker::new();
    helpers.spawn({
        let (dispatcher, stop) = (dispatcher.clone(), heart_stop.clone());
        async move { heart::beat(&dispatcher, started, &stop).await }
    });
    let loop_ = dispatcher.clone();
    helpers.spawn(async move { loop_.run().await });
    helpers.close();
    while !stop.is_cancelled() {
        let changed = desk.store().changed();
        let open = desk.store().backfill(backfill).await.ok().flatten();
        if open.is_some_and(|(_, progress)| progress.queued + progress.running == 0) {
            break;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = changed => {}
            () = sleep(Duration::from_secs(1)) => {}
        }
    }
    dispatcher.stop.cancel();
    dispatcher.leave.cancel();
    dispatcher.tasks.close();
    dispatcher.tasks.wait().await;
    heart_stop.cancel();
    helpers.wait().await;
    desk.store().leave(desk.owner().name()).await
}

fn dispatcher(desk: &Desk, ears: &Ears, backfill: Option<Uuid>) -> Dispatcher {
    Dispatcher {
        desk: desk.clone(),
        active: Arc::clone(&ears.active),
        pulse: Arc::default(),
        tasks: TaskTracker::new(),
        backfill,
        stop: CancellationToken::new(),
        leave: CancellationToken::new(),
    }
}
