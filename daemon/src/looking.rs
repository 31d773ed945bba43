//! When sensors look, and with whom: those of one place share one listing.

use std::collections::{BTreeMap, HashSet};

use pipectl_connections::{Looked, list_many};
use pipectl_engine::{
    operator::{TaskError, Wait},
    store::SensorKey,
    time::Timestamp,
};

use crate::sensing::{LONGEST, Sensing, Sensor};

/// A sensor looks with others up to this part of its `poll` early.
const EARLY: u32 = 10;

/// What one sensor of a listing has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    key: SensorKey,
    wait: Wait,
    looked: Result<Looked, TaskError>,
}

impl Sensing {
    /// Has somebody look where it is time to look. Sensors of one place share one listing.
    pub(crate) async fn look(&mut self) {
        let now = self.desk.now();
        let due = self.due(now);
        let due = self.in_time(due, now);
        let due = self.unpaused(due, now).await;
        let mut places: BTreeMap<String, Vec<(SensorKey, Wait)>> = BTreeMap::new();
        for key in due {
            let Sensor { place, senses, .. } = &self.sensors[&key];
            let wait = senses.wait.clone();
            places.entry(place.clone()).or_default().push((key, wait));
        }
        for (place, sensors) in places {
            let (connector, project) = (self.connector(), self.desk.project());
            self.listings.start(place, async move {
                let (keys, waits): (Vec<_>, Vec<_>) = sensors.into_iter().unzip();
                let looked = list_many(&connector, &project, &waits, now).await;
                let seen = keys.into_iter().zip(waits).zip(looked);
                seen.map(|((key, wait), looked)| Seen { key, wait, looked })
                    .collect()
            });
        }
    }

    /// The sensors of places where one is due, with those that are due there soon: else those that were looked for at
    /// different moments would have a listing each for ever.
    fn due(&self, now: Timestamp) -> Vec<SensorKey> {
        let due = self.sensors.values().filter(|sensor| sensor.due <= now);
        let places: HashSet<&String> = due
            .map(|sensor| &sensor.place)
            .filter(|place| !self.listings.busy(place))
            .collect();
        let soon = |sensor: &Sensor| sensor.due <= now + sensor.poll() / EARLY;
        self.sensors
            .iter()
            .filter(|(_, sensor)| soon(sensor) && places.contains(&sensor.place))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// What a listing has found.
    pub(crate) async fn listed(&mut self, listed: &str, seen: Option<Vec<Seen>>) {
        let Some(seen) = seen else {
            tracing::error!("a listing panicked; it is tried again");
            let later = self.desk.now() + LONGEST;
            let of_place = |sensor: &&mut Sensor| sensor.place == listed;
            for sensor in self.sensors.values_mut().filter(of_place) {
                sensor.due = later;
            }
            return;
        };
        // One moment for all, however long it takes to write down what there is: they stay together.
        let now = self.desk.now();
        for Seen { key, wait, looked } in seen {
            // What an edit has changed meanwhile is looked for anew.
            let sensor = self.sensors.get(&key);
            if sensor.is_none_or(|sensor| sensor.senses.wait != wait) {
                continue;
            }
            if let Err(error) = self.found(&key, looked, now).await {
                self.desk.say(
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
                self.desk
                    .say("cannot read which pipelines are paused", &error);
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
}

/// What is listed at once: a connection's buckets, or a local sensor's own files.
pub(crate) fn place(key: &SensorKey, wait: &Wait) -> String {
    match wait {
        Wait::Things {
            connection: Some(connection),
            ..
        } => format!("connection {connection}"),
        _ => format!("sensor {} {}", key.pipeline, key.task),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use pipectl_engine::{
        operator::{AfterSuccess, Existing, Senses},
        plan::testing,
    };

    use super::*;
    use crate::{alarm::Alarm, testing::Bench};

    #[tokio::test]
    async fn sensors_of_one_place_look_together_when_they_would_soon() {
        let bench = Bench::new();
        let desk = bench.desk().await;
        let alarm = Alarm {
            store: Arc::clone(desk.store()),
            current: desk.current.clone(),
            clock: Arc::clone(&bench.clock) as _,
        };
        let now = bench.now();
        let mut sensing = Sensing::new(desk, alarm);
        for (pipeline, connection, seconds) in [
            ("due", "lake", 0),
            ("soon", "lake", 5),
            ("later", "lake", 7),
            ("elsewhere", "sea", 5),
        ] {
            let key = SensorKey {
                pipeline: pipeline.to_owned(),
                task: "arrived".to_owned(),
            };
            let senses = Senses {
                wait: Wait::Things {
                    connection: Some(connection.to_owned()),
                    pattern: "in/*.csv".to_owned(),
                    poll: Duration::from_secs(60),
                    settle: Duration::ZERO,
                },
                existing: Existing::Process,
                after_success: AfterSuccess::Keep,
            };
            let sensor = Sensor {
                plan: Arc::new(testing::plan(pipeline)),
                place: place(&key, &senses.wait),
                senses,
                due: now + Duration::from_secs(seconds),
                record: None,
                unfinished: None,
            };
            sensing.sensors.insert(key, sensor);
        }
        let names = |due: Vec<SensorKey>| -> Vec<String> {
            due.into_iter().map(|key| key.pipeline).collect()
        };
        assert_eq!(names(sensing.due(now)), ["due", "soon"]);
        assert!(sensing.due(now - Duration::from_secs(1)).is_empty());
        let place = "connection lake".to_owned();
        sensing.listings.start(place, std::future::pending());
        let later = now + Duration::from_secs(6);
        assert_eq!(names(sensing.due(later)), ["elsewhere"]);
    }
}
