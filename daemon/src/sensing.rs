//! Watches the sensors of `schedule: {sensor: …}` outside any run: each thing that one senses makes a run.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use pipectl_connections::{Connector, Looked};
use pipectl_engine::{
    failpoint,
    operator::{Existing, Senses, TaskError, Thing, Wait},
    plan::Plan,
    store::{Created, NewRun, RunKind, Sensed, SensorKey, SensorRecord, StoreError},
    time::Timestamp,
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    alarm::Alarm,
    desk::{Desk, queued},
    errands::Errands,
    existing::Unfinished,
    looking::Seen,
    sensed::thing_key,
};

/// How long to sleep at most.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);
/// How long putting away may take when the daemon stops.
const LAST: Duration = Duration::from_secs(5);
/// How often it is written down that a sensor has looked: people want to see that it does.
const LOOKED: chrono::TimeDelta = chrono::TimeDelta::minutes(5);
/// How many things get their runs in one transaction.
const BATCH: usize = 1_000;

/// Looks for things.
#[derive(Debug)]
pub(crate) struct Sensing {
    pub(crate) desk: Desk,
    alarm: Alarm,
    pub(crate) sensors: BTreeMap<SensorKey, Sensor>,
    /// When things that stay where they are were last settled.
    pub(crate) kept: Option<Timestamp>,
    /// Wakes for changes in local directories.
    pub(crate) watchers: JoinSet<()>,
    /// Listings under way: a place that hangs delays no other, and is not listed twice at once.
    pub(crate) listings: Errands<String, Vec<Seen>>,
    /// Sensors whose things are being put away.
    pub(crate) clearing: Errands<SensorKey, ()>,
    /// Whether there was something to be put away by somebody who was busy.
    pub(crate) clear_again: bool,
    pub(crate) noticed: Arc<Notify>,
    pub(crate) hot: Arc<std::sync::Mutex<Vec<SensorKey>>>,
}

#[derive(Debug)]
pub(crate) struct Sensor {
    pub(crate) plan: Arc<Plan>,
    pub(crate) senses: Senses,
    /// What is listed for it at once with others.
    pub(crate) place: String,
    pub(crate) due: Timestamp,
    /// Whether the ledger knows it: then what is there at first has been dealt with.
    pub(crate) record: Option<SensorRecord>,
    /// Of what it leaves alone, that which is still being written; nothing before this daemon has looked.
    pub(crate) unfinished: Option<Unfinished>,
}

impl Sensor {
    /// How long it may be between two looks.
    pub(crate) fn poll(&self) -> Duration {
        match &self.senses.wait {
            Wait::Things { poll, .. } => *poll,
            _ => LONGEST,
        }
    }
}

impl Sensing {
    pub(crate) fn new(desk: Desk, alarm: Alarm) -> Self {
        Self {
            desk,
            alarm,
            sensors: BTreeMap::new(),
            kept: None,
            watchers: JoinSet::new(),
            listings: Errands::new(),
            clearing: Errands::new(),
            clear_again: false,
            noticed: Arc::default(),
            hot: Arc::default(),
        }
    }

    /// Looks until it is told to stop.
    pub(crate) async fn run(mut self, stop: &CancellationToken) {
        let mut edits = self.desk.catalogue.changes();
        self.learn();
        let mut tidy = true;
        while !stop.is_cancelled() {
            self.heat();
            let store = Arc::clone(self.desk.store());
            let changed = store.changed();
            self.look().await;
            if tidy {
                self.clear();
            }
            tidy = true;
            let (clears, pause) = (self.clears(), self.pause());
            tokio::select! {
                () = stop.cancelled() => {}
                (place, seen) = self.listings.next() => self.listed(&place, seen).await,
                // Else one would be the occasion of the next for ever.
                _ = self.clearing.next() => tidy = std::mem::take(&mut self.clear_again),
                _ = edits.changed() => self.learn(),
                () = self.noticed.notified() => {}
                () = changed, if clears => tokio::time::sleep(Duration::from_millis(100)).await,
                () = tokio::time::sleep(pause) => {}
            }
        }
        // What is being put away is either put away or as it was.
        drop(tokio::time::timeout(LAST, self.clearing.all()).await);
    }

    pub(crate) fn connector(&self) -> Arc<Connector> {
        self.desk
            .runner
            .parts()
            .services
            .get::<Connector>()
            .unwrap_or_default()
    }

    fn pause(&self) -> Duration {
        let now = self.desk.now();
        let idle = self.sensors.values();
        let idle = idle.filter(|sensor| !self.listings.busy(&sensor.place));
        let next = idle.map(|sensor| sensor.due).min();
        let pause = next.map_or(LONGEST, |next| (next - now).to_std().unwrap_or_default());
        pause.clamp(Duration::from_millis(20), LONGEST)
    }

    /// What a listing that was over at `now` has found for a sensor.
    pub(crate) async fn found(
        &mut self,
        key: &SensorKey,
        found: Result<Looked, TaskError>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let store = Arc::clone(self.desk.store());
        let Some(sensor) = self.sensors.get_mut(key) else {
            return Ok(());
        };
        sensor.due = now + sensor.poll();
        let first = sensor.record.is_none();
        if first {
            sensor.record = Some(store.sensor(key, now).await?);
        }
        let looked = match found {
            Ok(looked) => {
                // What is being written is looked at again as soon as it may be done.
                let next = looked.sight.next;
                sensor.due = next.map_or(sensor.due, |next| sensor.due.min(next));
                looked
            }
            Err(error) => {
                let text = error.full_message();
                let before = store.sensor(key, now).await?;
                self.alarm
                    .sensor_failed(&sensor.plan, &before, &text)
                    .await?;
                let failures = store.looked(key, now, Some(&text)).await?;
                if let Some(record) = &mut sensor.record {
                    record.failures = failures;
                }
                tracing::warn!(
                    pipeline = key.pipeline,
                    task = key.task,
                    failures,
                    "the sensor cannot look: {text}"
                );
                return Ok(());
            }
        };
        let troubled = sensor.record.as_ref();
        let troubled = troubled.is_some_and(|record| record.failures > 0);
        if troubled {
            let record = store.sensor(key, now).await?;
            self.alarm.sensor_recovered(&sensor.plan, &record).await?;
        }
        let was_new = sensor
            .record
            .as_ref()
            .is_some_and(|record| record.looked.is_none());
        if sensor.senses.existing == Existing::Ignore {
            let unfinished = match sensor.unfinished.take() {
                _ if was_new => Unfinished::first(&*store, key, &looked, now).await?,
                None => Unfinished::known(&*store, key).await?,
                Some(unfinished) => unfinished,
            };
            let unfinished = sensor.unfinished.insert(unfinished);
            unfinished.settle(&*store, key, &looked, now).await?;
        }
        let plan = Arc::clone(&sensor.plan);
        self.sense(key, &plan, looked.sight.things, now).await?;
        let told = self
            .sensors
            .get(key)
            .and_then(|sensor| sensor.record.as_ref()?.looked);
        let stale = told.is_none_or(|told| now - told >= LOOKED);
        if first || stale || troubled {
            store.looked(key, now, None).await?;
            if let Some(sensor) = self.sensors.get_mut(key) {
                sensor.record = Some(store.sensor(key, now).await?);
            }
        }
        Ok(())
    }

    /// Makes runs for those things that the ledger does not have.
    async fn sense(
        &self,
        key: &SensorKey,
        plan: &Arc<Plan>,
        things: Vec<Thing>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let store = self.desk.store();
        let identities: Vec<String> = things.iter().map(|thing| thing.identity.clone()).collect();
        let unseen = store.unseen(key, &identities).await?;
        if unseen.is_empty() {
            return Ok(());
        }
        let mut by_identity: HashMap<String, Thing> = things
            .into_iter()
            .map(|thing| (thing.identity.clone(), thing))
            .collect();
        let mut new: Vec<Thing> = unseen
            .iter()
            .filter_map(|identity| by_identity.remove(identity))
            .collect();
        new.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
        self.desk.keep(plan).await?;
        for batch in new.chunks(BATCH) {
            let mut runs = Vec::with_capacity(batch.len());
            for thing in batch {
                match run_of(plan, &key.task, thing, now) {
                    Ok(run) => runs.push((thing.clone(), run)),
                    Err(error) => {
                        tracing::error!(pipeline = key.pipeline, "cannot start: {error}");
                        return Ok(());
                    }
                }
            }
            failpoint::hit("before_sense");
            let created = store.sense(key, &runs, now).await?;
            failpoint::hit("after_sense");
            for ((thing, run), _) in runs
                .iter()
                .zip(&created)
                .filter(|(_, created)| **created == Created::New)
            {
                tracing::info!(pipeline = key.pipeline, run = %run.id, thing = thing.name, "sensed");
            }
        }
        Ok(())
    }
}

fn run_of(plan: &Plan, task: &str, thing: &Thing, now: Timestamp) -> Result<NewRun, String> {
    let run = queued(
        plan,
        RunKind::Sensor,
        thing_key(task, &thing.identity),
        None,
        now,
    )?;
    let sensed = Sensed {
        task: task.to_owned(),
        values: thing.values.clone(),
    };
    let trigger = serde_json::to_value(sensed).map_err(|error| error.to_string())?;
    Ok(NewRun { trigger, ..run })
}
