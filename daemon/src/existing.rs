//! `existing: ignore`: what is there at a sensor's first look is left alone, also what is still being written then.
//!
//! What is being written has another identity when it is done. Until then the ledger has a mark of its name beside it, so
//! that a daemon that is started meanwhile knows it too.

use std::collections::{BTreeSet, HashSet};

use chrono::TimeDelta;
use pipectl_connections::Looked;
use pipectl_engine::{
    operator::Thing,
    store::{SensorKey, Store, StoreError},
    time::Timestamp,
};
use serde_json::Map;

/// What a mark's identity begins with.
const MARK: &str = "being written at the first look: ";
/// How many marks are taken away at one look: each is a write of its own.
const AT_ONCE: usize = 100;
/// How far back in the ledger marks are looked for.
const LOOK_BACK: u32 = 10_000;

/// What was being written at the first look.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    /// The names of what is not settled yet.
    names: BTreeSet<String>,
    /// The names of marks that nobody needs any more.
    over: Vec<String>,
}

impl Unfinished {
    /// Leaves alone what is there at the first look.
    pub(crate) async fn first(
        store: &dyn Store,
        key: &SensorKey,
        looked: &Looked,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let marks: Vec<Thing> = looked.unsettled.iter().map(mark).collect();
        // However many things there are, the marks are among the newest, which are looked through.
        let behind = now + TimeDelta::milliseconds(1);
        store.ignore(key, &marks, behind).await?;
        store.ignore(key, &looked.sight.things, now).await?;
        let names = looked.unsettled.iter().map(|thing| thing.name.clone());
        Ok(Self {
            names: names.collect(),
            over: Vec::new(),
        })
    }

    /// What a daemon before has left alone that was not settled when it last looked.
    pub(crate) async fn known(store: &dyn Store, key: &SensorKey) -> Result<Self, StoreError> {
        let mut found = Self::default();
        let mut settled = HashSet::new();
        for record in store.things(key, LOOK_BACK).await? {
            match record.thing.identity.strip_prefix(MARK) {
                Some(name) => found.names.insert(name.to_owned()),
                None => settled.insert(record.thing.name),
            };
        }
        found.over = found
            .names
            .extract_if(.., |name| settled.contains(name))
            .collect();
        Ok(found)
    }

    /// What somebody has had forgotten is no longer left alone.
    async fn drop_forgotten(
        &mut self,
        store: &dyn Store,
        key: &SensorKey,
    ) -> Result<(), StoreError> {
        let marks: Vec<String> = self.names.iter().map(|name| identity(name)).collect();
        for forgotten in store.unseen(key, &marks).await? {
            if let Some(name) = forgotten.strip_prefix(MARK) {
                self.names.remove(name);
            }
        }
        Ok(())
    }

    /// Leaves alone what has settled, and lets go of what has or is gone.
    pub(crate) async fn settle(
        &mut self,
        store: &dyn Store,
        key: &SensorKey,
        looked: &Looked,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if !self.names.is_empty() {
            self.drop_forgotten(store, key).await?;
            let things = looked.sight.things.iter();
            let settled: Vec<Thing> = things
                .filter(|thing| self.names.contains(&thing.name))
                .cloned()
                .collect();
            store.ignore(key, &settled, now).await?;
            let written: HashSet<&str> = looked
                .unsettled
                .iter()
                .map(|thing| thing.name.as_str())
                .collect();
            let over = self
                .names
                .extract_if(.., |name| !written.contains(name.as_str()));
            self.over.extend(over);
        }
        for _ in 0..AT_ONCE {
            let Some(name) = self.over.last() else { break };
            store.forget(key, Some(&identity(name))).await?;
            self.over.pop();
        }
        Ok(())
    }
}

/// Whether it is no thing, but the mark of one that was being written at the first look.
pub fn is_mark(thing: &Thing) -> bool {
    thing.identity.starts_with(MARK)
}

fn identity(name: &str) -> String {
    format!("{MARK}{name}")
}

fn mark(thing: &Thing) -> Thing {
    Thing {
        identity: identity(&thing.name),
        values: Map::new(),
        ..thing.clone()
    }
}

#[cfg(test)]
mod tests {
    use pipectl_connections::Sight;
    use pipectl_engine::store::{MemoryStore, ThingState, Triggers as _};

    use super::*;

    fn thing(name: &str, version: u32) -> Thing {
        Thing {
            identity: format!("{name} {version}"),
            name: name.to_owned(),
            values: Map::new(),
            size: 1,
            modified: Timestamp::UNIX_EPOCH,
        }
    }

    fn key() -> SensorKey {
        SensorKey {
            pipeline: "drop".to_owned(),
            task: "arrived".to_owned(),
        }
    }

    fn looked(things: &[Thing], unsettled: &[Thing]) -> Looked {
        Looked {
            sight: Sight {
                things: things.to_vec(),
                next: None,
            },
            unsettled: unsettled.to_vec(),
        }
    }

    async fn ignored(store: &MemoryStore, key: &SensorKey) -> Vec<String> {
        let records = store.things(key, 99).await.unwrap();
        assert!(records.iter().all(|one| one.state == ThingState::Ignored));
        let mut all: Vec<_> = records.into_iter().map(|one| one.thing.identity).collect();
        all.sort();
        all
    }

    /// Also when the daemon that has looked first is gone before what was being written is done.
    #[tokio::test]
    async fn what_was_being_written_is_left_alone_under_the_identity_that_it_gets() {
        let (store, now) = (MemoryStore::default(), Timestamp::UNIX_EPOCH);
        let key = key();
        let [old, slow, gone] = ["old", "slow", "gone"].map(|name| thing(name, 1));
        let first = looked(std::slice::from_ref(&old), &[slow, gone]);
        Unfinished::first(&store, &key, &first, now).await.unwrap();
        let mut unfinished = Unfinished::known(&store, &key).await.unwrap();
        assert_eq!(unfinished.names.len(), 2);
        let second = looked(&[old.clone(), thing("new", 1)], &[thing("slow", 2)]);
        unfinished.settle(&store, &key, &second, now).await.unwrap();
        let mark = identity("slow");
        assert_eq!(ignored(&store, &key).await, [&*mark, "old 1"]);
        let third = looked(&[old, thing("slow", 3)], &[]);
        unfinished.settle(&store, &key, &third, now).await.unwrap();
        assert_eq!(ignored(&store, &key).await, ["old 1", "slow 3"]);
        // The same name tomorrow is a new thing.
        let tomorrow = looked(&[thing("slow", 4)], &[]);
        unfinished
            .settle(&store, &key, &tomorrow, now)
            .await
            .unwrap();
        assert_eq!(ignored(&store, &key).await, ["old 1", "slow 3"]);
    }
    #[tokio::test]
    async fn what_was_forgotten_is_sensed_when_it_is_done() {
        let (store, now) = (MemoryStore::default(), Timestamp::UNIX_EPOCH);
        let key = key();
        let first = looked(&[], &[thing("slow", 1)]);
        let unfinished = Unfinished::first(&store, &key, &first, now).await;
        let mut unfinished = unfinished.unwrap();
        store.forget(&key, None).await.unwrap();
        let second = looked(&[thing("slow", 2)], &[]);
        unfinished.settle(&store, &key, &second, now).await.unwrap();
        assert_eq!(ignored(&store, &key).await, Vec::<String>::new());
    }
}
