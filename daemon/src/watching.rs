//! Which sensors there are, and changes in local directories that wake them.

use std::{sync::Arc, time::Duration};

use pipectl_engine::{
    operator::{Wait, WaitWatcher},
    project::Project,
    store::SensorKey,
    trigger::Trigger,
};
use tokio::task::JoinSet;

use crate::{
    looking::place,
    sensed::senses,
    sensing::{Sensing, Sensor},
};

/// News of changes that a test has lost and doubled, by `PIPECTL_FAILPOINT=news_are_garbled`: of four, two are lost and one is told
/// twice.
struct Garbled(Option<u8>);

impl Garbled {
    fn of(project: &Project) -> Self {
        let wish = project.env.get("PIPECTL_FAILPOINT");
        Self((wish == Some("news_are_garbled")).then_some(0))
    }

    /// How often the next one is told.
    fn told(&mut self) -> u8 {
        let Some(count) = &mut self.0 else { return 1 };
        *count = (*count + 1) % 4;
        [1, 0, 2, 0][usize::from(*count)]
    }
}

impl Sensing {
    /// Takes over what the pipelines say now.
    pub(crate) fn learn(&mut self) {
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
                        let (record, unfinished, due) = match old {
                            None => (None, None, None),
                            Some(old) => {
                                let due = (old.senses == senses).then_some(old.due);
                                (old.record, old.unfinished, due)
                            }
                        };
                        let sensor = Sensor {
                            plan: Arc::clone(&plan),
                            place: place(&key, &senses.wait),
                            due: due.unwrap_or_else(|| self.desk.now()),
                            record,
                            unfinished,
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
        let mut garbled = Garbled::of(&project);
        self.watchers.spawn(async move {
            loop {
                watcher.changed(&project, &wait).await;
                for _ in 0..garbled.told() {
                    hot.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(key.clone());
                    noticed.notify_one();
                    // A burst of changes is looked at once.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }

    /// Sensors where something has changed are due at once.
    pub(crate) fn heat(&mut self) {
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
}
