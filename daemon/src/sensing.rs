//! Watches the sensors of `schedule: {sensor: …}` outside any run: each thing that one senses makes a run.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use pipectl_connections::{Connector, Sight, list_many};
use pipectl_engine::{
    operator::{Existing, Senses, TaskError, Thing, Wait, WaitWatcher},
    plan::Plan,
    store::{Created, NewRun, RunKind, Sensed, SensorKey, SensorRecord, StoreError},
    time::Timestamp,
    trigger::Trigger,
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    alarm::Alarm,
    desk::{Desk, queued},
    dispatch::say,
    sensed::{senses, thing_key},
};

/// How long to sleep at most.
const LONGEST: Duration = Duration::from_secs(5);
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
    watchers: JoinSet<()>,
    noticed: Arc<Notify>,
    hot: Arc<std::sync::Mutex<Vec<SensorKey>>>,
}

#[derive(Debug)]
pub(crate) struct Sensor {
    plan: Arc<Plan>,
    pub(crate) senses: Senses,
    due: Timestamp,
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
            noticed: Arc::default(),
            hot: Arc::default(),
        }
    }

    /// Looks until it is told to stop.
    pub(crate) async fn run(mut self, stop: &CancellationToken) {
        let mut edits = self.desk.catalogue.changes();
        self.learn();
        while !stop.is_cancelled() {
            if edits.has_changed().unwrap_or(false) {
                edits.borrow_and_update();
                self.learn();
            }
            self.heat();
            let store = Arc::clone(self.desk.store());
            let changed = store.changed();
            self.look().await;
            self.clear().await;
            tokio::select! {
                () = stop.cancelled() => {}
                _ = edits.changed() => {}
                () = self.noticed.notified() => {}
                () = changed, if self.clears() => tokio::time::sleep(Duration::from_millis(100)).await,
                () = tokio::time::sleep(self.pause()) => {}
            }
        }
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
        let next = self.sensors.values().map(|sensor| sensor.due).min();
        let pause = next.map_or(LONGEST, |next| (next - now).to_std().unwrap_or_default());
        pause.clamp(Duration::from_millis(20), LONGEST)
    }

    /// Takes over what the pipelines say now.
    fn learn(&mut self) {
        let mut before = std::mem::take(&mut self.sensors);
        self.watchers = JoinSet::new();
        for plan in self.desk.catalogue.plans() {
            let Some(Trigger::Sensor(tasks)) =
                plan.schedule.as_ref().map(|schedule| &schedule.trigger)
            else {
                continue;
            };
            for task in tasks {
                let key = SensorKey {
                    pipeline: plan.name.to_string(),
                    task: task.clone(),
                };
                match senses(&self.desk.project(), &plan, task) {
                    Ok(senses) => {
                        let old = before.remove(&key);
                        self.watch(&key, &senses.wait);
                        let sensor = Sensor {
                            plan: Arc::clone(&plan),
                            due: old
                                .as_ref()
                                .filter(|old| old.senses == senses)
                                .map_or_else(|| self.desk.now(), |old| old.due),
                            record: old.and_then(|old| old.record),
                            senses,
                        };
                        self.sensors.insert(key, sensor);
                    }
                    Err(error) => {
                        tracing::error!(
                            pipeline = &*plan.name,
                            task,
                            "the sensor cannot be watched: {error}"
                        );
                    }
                }
            }
        }
    }

    fn watch(&mut self, key: &SensorKey, wait: &Wait) {
        let Some(watcher) = self.desk.runner.parts().services.get::<WaitWatcher>() else {
            return;
        };
        let local = matches!(
            wait,
            Wait::Things {
                connection: None,
                ..
            }
        );
        if !local {
            return;
        }
        let (project, wait, key) = (self.desk.project(), wait.clone(), key.clone());
        let (noticed, hot) = (Arc::clone(&self.noticed), Arc::clone(&self.hot));
        self.watchers.spawn(async move {
            loop {
                watcher.changed(&project, &wait).await;
                hot.lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push(key.clone());
                noticed.notify_one();
                // A burst of changes is looked at once.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }

    /// Sensors where something has changed are due at once.
    fn heat(&mut self) {
        let now = self.desk.now();
        let hot = std::mem::take(
            &mut *self
                .hot
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        for key in hot {
            if let Some(sensor) = self.sensors.get_mut(&key) {
                sensor.due = sensor.due.min(now);
            }
        }
    }

    /// Looks where it is time to look. Sensors of one place share one listing.
    async fn look(&mut self) {
        let now = self.desk.now();
        let due: Vec<SensorKey> = self
            .sensors
            .iter()
            .filter(|(_, sensor)| sensor.due <= now)
            .map(|(key, _)| key.clone())
            .collect();
        let due = self.unpaused(due, now).await;
        if due.is_empty() {
            return;
        }
        let waits: Vec<Wait> = due
            .iter()
            .map(|key| self.sensors[key].senses.wait.clone())
            .collect();
        let project = self.desk.project();
        let found = list_many(&self.connector(), &project, &waits, now).await;
        for (key, found) in due.into_iter().zip(found) {
            if let Err(error) = self.found(&key, found).await {
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
