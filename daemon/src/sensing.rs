//! Watches the sensors of `schedule: {sensor: …}` outside any run: each thing that one senses makes a run.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use pipectl_connections::{Connector, Sight, list_many};
use pipectl_engine::{
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
    dispatch::say,
    errands::Errands,
    sensed::thing_key,
};

/// How long to sleep at most.
const LONGEST: Duration = Duration::from_secs(5);
/// How long putting away may take when the daemon stops.
const LAST: Duration = Duration::from_secs(5);
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
    listings: Errands<String, Vec<Seen>>,
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
    pub(crate) due: Timestamp,
    /// Whether the ledger knows it: then what is there at first has been dealt with.
    pub(crate) record: Option<SensorRecord>,
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
            if edits.has_changed().unwrap_or(false) {
                edits.borrow_and_update();
                self.learn();
            }
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
                _ = edits.changed() => {}
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
        let idle = self.sensors.iter();
        let idle =
            idle.filter(|(key, sensor)| !self.listings.busy(&place(key, &sensor.senses.wait)));
        let next = idle.map(|(_, sensor)| sensor.due).min();
        let pause = next.map_or(LONGEST, |next| (next - now).to_std().unwrap_or_default());
        pause.clamp(Duration::from_millis(20), LONGEST)
    }

    /// Has somebody look where it is time to look. Sensors of one place share one listing.
    async fn look(&mut self) {
        let now = self.desk.now();
        let due: Vec<SensorKey> = self
            .sensors
            .iter()
            .filter(|(key, sensor)| {
                sensor.due <= now && !self.listings.busy(&place(key, &sensor.senses.wait))
            })
            .map(|(key, _)| key.clone())
            .collect();
        let due = self.in_time(due, now);
        let due = self.unpaused(due, now).await;
        let mut places: BTreeMap<String, Vec<(SensorKey, Wait)>> = BTreeMap::new();
        for key in due {
            let wait = self.sensors[&key].senses.wait.clone();
            let place = place(&key, &wait);
            places.entry(place).or_default().push((key, wait));
        }
        for (place, sensors) in places {
            let (connector, project) = (self.connector(), self.desk.project());
            self.listings.start(place, async move {
                let (keys, waits): (Vec<_>, Vec<_>) = sensors.into_iter().unzip();
                let sights = list_many(&connector, &project, &waits, now).await;
                let seen = keys.into_iter().zip(waits).zip(sights);
                seen.map(|((key, wait), sight)| Seen { key, wait, sight })
                    .collect()
            });
        }
    }

    /// What a listing has found.
    async fn listed(&mut self, listed: &str, seen: Option<Vec<Seen>>) {
        let Some(seen) = seen else {
            tracing::error!("a listing panicked; it is tried again");
            let later = self.desk.now() + LONGEST;
            for (key, sensor) in &mut self.sensors {
                if place(key, &sensor.senses.wait) == listed {
                    sensor.due = later;
                }
            }
            return;
        };
        for Seen { key, wait, sight } in seen {
            // What an edit has changed meanwhile is looked for anew.
            let sensor = self.sensors.get(&key);
            if sensor.is_none_or(|sensor| sensor.senses.wait != wait) {
                continue;
            }
            if let Err(error) = self.found(&key, sight).await {
                say(
                    &format!(
                        "cannot write down what `{}` of `{}` senses",
                        key.task, key.pipeline
                    ),
                    &error,
                );
            }
        }
    }

    /// Those whose schedule is in force; the others are due again soon.
    fn in_time(&mut self, mut due: Vec<SensorKey>, now: Timestamp) -> Vec<SensorKey> {
        due.retain(|key| {
            let Some(sensor) = self.sensors.get_mut(key) else {
                return false;
            };
            let schedule = sensor.plan.schedule.as_ref();
            let within = schedule.is_none_or(|schedule| schedule.includes(now));
            if !within {
                sensor.due = now + LONGEST;
            }
            within
        });
        due
    }

    /// Those whose pipeline is not paused; the others are due again soon: somebody may let them go on.
    async fn unpaused(&mut self, mut due: Vec<SensorKey>, now: Timestamp) -> Vec<SensorKey> {
        if due.is_empty() {
            return due;
        }
        let paused: HashSet<String> = match self.desk.store().schedules().await {
            Ok(schedules) => schedules
                .into_iter()
                .filter(|schedule| schedule.paused)
                .map(|schedule| schedule.pipeline)
                .collect(),
            Err(error) => {
                say("cannot read which pipelines are paused", &error);
                due.iter().map(|key| key.pipeline.clone()).collect()
            }
        };
        for key in due.extract_if(.., |key| paused.contains(&key.pipeline)) {
            if let Some(sensor) = self.sensors.get_mut(&key) {
                sensor.due = now + LONGEST;
            }
        }
        due
    }

    async fn found(
        &mut self,
        key: &SensorKey,
        found: Result<Sight, TaskError>,
    ) -> Result<(), StoreError> {
        let now = self.desk.now();
        let store = Arc::clone(self.desk.store());
        let Some(sensor) = self.sensors.get_mut(key) else {
            return Ok(());
        };
        let poll = match &sensor.senses.wait {
            Wait::Things { poll, .. } => *poll,
            _ => LONGEST,
        };
        sensor.due = now + poll;
        let first = sensor.record.is_none();
        if first {
            sensor.record = Some(store.sensor(key, now).await?);
        }
        let things = match found {
            Ok(sight) => {
                // What is being written is looked at again as soon as it may be done.
                sensor.due = sight.next.map_or(sensor.due, |next| sensor.due.min(next));
                sight.things
            }
            Err(error) => {
                let text = error.full_message();
                let failures = store.looked(key, now, Some(&text)).await?;
                tracing::warn!(
                    pipeline = key.pipeline,
                    task = key.task,
                    failures,
                    "the sensor cannot look: {text}"
                );
                return self
                    .alarm
                    .sensor_failed(&sensor.plan, key, failures, &text)
                    .await;
            }
        };
        let was_new = sensor
            .record
            .as_ref()
            .is_some_and(|record| record.looked.is_none());
        if was_new && sensor.senses.existing == Existing::Ignore {
            store.ignore(key, &things, now).await?;
        }
        let plan = Arc::clone(&sensor.plan);
        self.sense(key, &plan, things, now).await?;
        if first || was_new {
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
            let created = store.sense(key, &runs, now).await?;
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

/// What one sensor of a listing has seen.
#[derive(Debug)]
struct Seen {
    key: SensorKey,
    wait: Wait,
    sight: Result<Sight, TaskError>,
}

/// What is listed at once: a connection's buckets, or a local sensor's own files.
fn place(key: &SensorKey, wait: &Wait) -> String {
    match wait {
        Wait::Things {
            connection: Some(connection),
            ..
        } => format!("connection {connection}"),
        _ => format!("sensor {} {}", key.pipeline, key.task),
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
