//! Does with things whose run has succeeded what is to be done with them.

use pipectl_connections::{Connector, settle_thing};
use pipectl_engine::{
    failpoint,
    operator::{AfterSuccess, Senses},
    store::{SensorKey, StoreError},
};

use crate::{desk::Desk, sensing::Sensing};

/// How often things that stay where they are count as settled: nothing hurries, but their runs may only then be pruned.
const KEPT: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// How many things are settled at once.
const SETTLED: u32 = 500;

impl Sensing {
    /// Whether anything is done with things afterwards.
    pub(crate) fn clears(&self) -> bool {
        let mut senses = self.sensors.values().map(|sensor| &sensor.senses);
        senses.any(|senses| senses.after_success != AfterSuccess::Keep)
    }

    /// Does with things whose run has succeeded what is to be done with them.
    pub(crate) fn clear(&mut self) {
        let now = self.desk.now();
        let keepers = self.kept.is_none_or(|kept| now - kept >= KEPT);
        if keepers {
            self.kept = Some(now);
        }
        for (key, sensor) in &self.sensors {
            let keeps = sensor.senses.after_success == AfterSuccess::Keep;
            if sensor.record.is_none() || (keeps && !keepers) {
                continue;
            }
            if self.clearing.busy(key) {
                // It is looked at again when that is over.
                self.clear_again = true;
                continue;
            }
            let (desk, connector) = (self.desk.clone(), self.connector());
            let (key, senses) = (key.clone(), sensor.senses.clone());
            self.clearing.start(key.clone(), async move {
                if let Err(error) = clear_of(&desk, &connector, &key, &senses).await {
                    desk.say(
                        &format!("cannot clear up after `{}` of `{}`", key.task, key.pipeline),
                        &error,
                    );
                }
            });
        }
    }
}

async fn clear_of(
    desk: &Desk,
    connector: &Connector,
    key: &SensorKey,
    senses: &Senses,
) -> Result<(), StoreError> {
    let (store, project) = (desk.store(), desk.project());
    for record in store.to_settle(key, SETTLED).await? {
        let thing = &record.thing;
        failpoint::hit("before_settle");
        let done = &senses.after_success;
        match settle_thing(connector, &project, &senses.wait, thing, done).await {
            Ok(_) => {
                failpoint::hit("after_settle");
                store.settled(key, &thing.identity).await?;
            }
            Err(error) => tracing::warn!(
                pipeline = key.pipeline,
                thing = thing.name,
                "cannot be put away: {}",
                error.full_message()
            ),
        }
    }
    Ok(())
}
