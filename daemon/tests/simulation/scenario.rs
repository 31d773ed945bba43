//! One simulation: daemons that are killed, frozen and restarted, and people who want things.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta};
use pipectl_daemon::{Wish, create_backfill, preview_backfill};
use pipectl_engine::{
    failpoint::{self, Mistake},
    id::RunId,
    plan::Plan,
    project::Project,
    random,
    state::RunState,
    store::{
        Backfill, BackfillState, MemoryStore, NewRun, PipelineVersion, Queue, Redo, Reprocess,
        RunFilter, RunKind, RunRecord, RunStore, Triggers,
    },
    time::{Clock, ManualClock, Timestamp},
};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{
    chance::Chance,
    check,
    process::{Process, Shared},
    witness::{Broken, Witness},
    world::{Ledger, Plans, plans},
};

/// How long things go wrong.
const TROUBLE: TimeDelta = TimeDelta::seconds(75);
/// How long all may take afterwards.
const CALM: TimeDelta = TimeDelta::minutes(10);
/// How many daemons there are.
const DAEMONS: usize = 3;

/// What a simulation is to find.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planted {
    pub(crate) store: Option<Broken>,
    pub(crate) engine: Option<Mistake>,
}

/// What a simulation has come to.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) complaints: Vec<String>,
    pub(crate) runs: Vec<RunRecord>,
    pub(crate) commits: u64,
}

struct Place {
    process: Option<Process>,
    /// When it is started again, or goes on.
    again: Timestamp,
    frozen: bool,
    /// Whether it was told to stop; it is started again too.
    stopped: bool,
    host: usize,
}

/// A simulation.
pub(crate) struct Scenario {
    pub(crate) shared: Shared,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    locks: TempDir,
    /// Where people act.
    people: Runtime,
    places: Vec<Place>,
    chance: Chance,
    wanted: u32,
}

/// Runs the simulation of a seed.
pub(crate) fn simulate(seed: u64, planted: Planted) -> Verdict {
    failpoint::plant(planted.engine);
    random::seed(Some(seed));
    let verdict = Scenario::new(seed, planted.store).run();
    random::seed(None);
    failpoint::plant(None);
    verdict
}

impl Scenario {
    fn new(seed: u64, broken: Option<Broken>) -> Self {
        let chance = Chance::new(seed);
        let start = DateTime::from_timestamp(1_704_067_200, 0).expect("a moment");
        let end = start + TimeDelta::seconds(60);
        let clock = Arc::new(ManualClock::at(start));
        let plans = plans(start, end);
        let mut witness = Witness::new(broken);
        for plan in &plans {
            witness
                .most
                .insert(plan.name.to_string(), plan.max_active_runs);
            for (_, task) in plan.tasks() {
                let key = (plan.name.to_string(), task.name.to_string());
                witness.limits.insert(key, task.retry.limit);
            }
        }
        let named = plans
            .into_iter()
            .map(|plan| (plan.name.to_string(), Arc::new(plan)));
        let project = Project {
            // No log is written.
            state_dir: "/dev/null/state".into(),
            pools: BTreeMap::from([("narrow".to_owned(), 1)]),
            ..Project::default()
        };
        let shared = Shared {
            store: Arc::new(MemoryStore::new(Arc::clone(&clock) as _)),
            witness: Arc::new(witness),
            ledger: Arc::new(Ledger::new(chance.branch())),
            plans: Arc::new(Plans(named.collect())),
            project: Arc::new(project),
        };
        let places = (0..DAEMONS).map(|_| Place {
            process: None,
            again: start,
            frozen: false,
            stopped: false,
            host: 0,
        });
        Self {
            shared,
            clock,
            start,
            end,
            locks: tempfile::tempdir().expect("a directory"),
            people: Builder::new_current_thread().build().expect("a runtime"),
            places: places.collect(),
            chance,
            wanted: 0,
        }
    }

    fn run(mut self) -> Verdict {
        while self.clock.now() < self.start + TROUBLE {
            self.step(150);
            self.upset();
            self.want();
        }
        self.shared.witness.set_trouble(0);
        let most = self.start + TROUBLE + CALM;
        loop {
            for place in &mut self.places {
                place.again = self.clock.now();
            }
            for _ in 0..20 {
                self.step(500);
            }
            let runs = self.runs();
            if Self::is_over(&runs) || self.clock.now() > most {
                let complaints = check::all(&self, &runs);
                return Verdict {
                    complaints,
                    runs,
                    commits: self.shared.witness.seen().commits,
                };
            }
        }
    }

    fn is_over(runs: &[RunRecord]) -> bool {
        let followed = runs
            .iter()
            .filter(|record| record.run.pipeline == "follower")
            .count();
        let loaded = |record: &&RunRecord| {
            record.run.pipeline == "load" && record.state == RunState::Success
        };
        runs.iter().all(|record| record.state.is_final())
            && followed >= runs.iter().filter(loaded).count()
    }

    pub(crate) fn runs(&self) -> Vec<RunRecord> {
        let filter = RunFilter {
            limit: 10_000,
            ..RunFilter::default()
        };
        self.people
            .block_on(self.shared.store.runs(&filter))
            .expect("runs")
    }

    pub(crate) fn ask<T>(&self, question: impl Future<Output = T>) -> T {
        self.people.block_on(question)
    }

    /// Lets the time go on for everybody who is not frozen.
    fn step(&mut self, most: u64) {
        self.clock
            .advance(Duration::from_millis(1 + self.chance.below(most)));
        let now = self.clock.now();
        let first = usize::try_from(self.chance.below(DAEMONS as u64)).expect("small");
        for index in 0..DAEMONS {
            let number = (first + index) % DAEMONS;
            let place = &mut self.places[number];
            if place.again <= now {
                if std::mem::take(&mut place.stopped) {
                    place.process = None;
                }
                match &place.process {
                    None => {
                        let host = format!("host{number}x{}", place.host);
                        let chance = self.chance.branch();
                        place.process = Some(Process::start(
                            &self.shared,
                            self.locks.path(),
                            &host,
                            now,
                            chance,
                        ));
                    }
                    Some(process) if place.frozen => process.thaw(now),
                    Some(_) => {}
                }
                place.frozen = false;
            }
            if let Some(process) = place.process.as_ref().filter(|_| !place.frozen) {
                process.work(now);
            }
        }
    }

    /// Something happens to a daemon, or to the way to the history.
    fn upset(&mut self) {
        let now = self.clock.now();
        let number = usize::try_from(self.chance.below(DAEMONS as u64)).expect("small");
        let soon =
            now + TimeDelta::milliseconds(i64::try_from(self.chance.below(20_000)).expect("small"));
        let place = &mut self.places[number];
        match self.chance.below(400) {
            // Killed. On another host the lock file says nothing, and the lease has to end.
            0..2 => {
                place.process = None;
                place.again = soon;
                place.host += usize::from(self.chance.one_in(2));
            }
            // Stopped and forgotten for a while, perhaps past the lease.
            2..4 if place.process.is_some() && !place.frozen => {
                place.frozen = true;
                place.again = soon;
            }
            4 => {
                if let Some(process) = &place.process {
                    process.stop();
                    (place.stopped, place.again) = (true, soon);
                }
            }
            5 => self.shared.witness.set_trouble(2 + self.chance.below(4)),
            6..10 => self.shared.witness.set_trouble(0),
            10..13 => self.shared.witness.set_trouble(30),
            _ => {}
        }
    }

    /// Somebody wants something.
    fn want(&mut self) {
        match self.chance.below(160) {
            0 => self.start_run("parent"),
            1 => self.start_run("doomed"),
            2 => self.cancel(),
            3 => self.again(),
            4 if self.wanted < 3 => self.backfill(),
            _ => {}
        }
    }

    fn start_run(&mut self, name: &str) {
        let now = self.clock.now();
        let plan = Arc::clone(&self.shared.plans.0[name]);
        let run = NewRun {
            id: RunId::new(now),
            pipeline: name.to_owned(),
            version: plan.source.hash.clone(),
            kind: RunKind::Manual,
            trigger_key: None,
            trigger: Value::Null,
            params: Map::new(),
            interval: None,
            parent: None,
            created: now,
            enqueued: true,
            max_active: Some(plan.max_active_runs),
            backfill: None,
        };
        let store = &self.shared.store;
        self.people.block_on(async {
            store
                .put_version(&PipelineVersion::of(&plan))
                .await
                .expect("kept");
            store.create_run(&run).await.expect("made");
        });
    }

    fn any(&self, wanted: impl Fn(&RunRecord) -> bool) -> Option<RunRecord> {
        let mut runs = self.runs();
        runs.retain(wanted);
        let index = usize::try_from(self.chance.below(runs.len() as u64)).expect("small");
        runs.into_iter().nth(index)
    }

    fn cancel(&mut self) {
        // A cancelled load would leave an interval without its effects: those are counted.
        let chosen = self.any(|record| !record.state.is_final() && record.run.pipeline != "load");
        if let Some(record) = chosen {
            let cancelled = self.shared.store.cancel(record.run.id, self.clock.now());
            self.people.block_on(cancelled).expect("cancelled");
        }
    }

    fn again(&mut self) {
        let redo = if self.chance.one_in(2) {
            Redo::All
        } else {
            Redo::Unfinished
        };
        let chosen =
            self.any(|record| record.state.is_final() && record.run.kind == RunKind::Manual);
        if let Some(record) = chosen {
            let Shared { store, witness, .. } = &self.shared;
            let requeued = witness.requeue(store, record.run.id, redo, None);
            self.people.block_on(requeued).expect("requeued");
        }
    }

    fn backfill(&mut self) {
        self.wanted += 1;
        let plan: Arc<Plan> = Arc::clone(&self.shared.plans.0["history"]);
        let wish = Wish {
            from: self.start - TimeDelta::hours(2 + i64::from(self.wanted)),
            to: self.start - TimeDelta::hours(1),
            max_active: 1 + self.wanted % 2,
            reprocess: Reprocess::None,
            backwards: self.chance.one_in(2),
            cascade: false,
            params: Map::new(),
        };
        let (store, now) = (&self.shared.store, self.clock.now());
        let stop = self.chance.one_in(4);
        self.people.block_on(async {
            let Ok(preview) = preview_backfill(&**store, &plan, &wish, now).await else {
                return;
            };
            create_backfill(&**store, &plan, &preview)
                .await
                .expect("made");
            let Backfill { id, .. } = preview.backfill;
            if stop {
                store
                    .set_backfill(id, BackfillState::Cancelled, now)
                    .await
                    .expect("cancelled");
            }
        });
    }
}
