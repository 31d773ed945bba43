//! How many attempts may be under way at once: in all, and by pool.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// The slots of a process.
#[derive(Debug)]
pub struct Slots {
    all: u32,
    free: Mutex<Free>,
    freed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Free {
    all: u32,
    pools: BTreeMap<String, u32>,
}

/// A taken slot; dropping it gives it back.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    pool: Option<(String, u32)>,
}

impl Slots {
    /// `all` slots, of which each pool may use so many.
    pub fn new(all: u32, pools: BTreeMap<String, u32>) -> Arc<Self> {
        Arc::new(Self {
            all,
            free: Mutex::new(Free { all, pools }),
            freed: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a slot of `pool` is free; a pool that nobody has declared has no limit of its own.
    pub fn is_free(&self, pool: Option<&str>) -> bool {
        let free = self.lock();
        free.all > 0
            && pool
                .and_then(|name| free.pools.get(name))
                .is_none_or(|slots| *slots > 0)
    }

    /// Takes a slot, and `pool.1` slots of the pool.
    pub fn try_take(self: &Arc<Self>, pool: Option<&(String, u32)>) -> Option<Slot> {
        let mut free = self.lock();
        if free.all == 0 {
            return None;
        }
        if let Some((name, count)) = pool
            && let Some(slots) = free.pools.get_mut(name)
        {
            *slots = slots.checked_sub(*count)?;
        }
        free.all -= 1;
        Some(Slot {
            slots: Arc::clone(self),
            pool: pool.cloned(),
        })
    }

    /// How many slots there are.
    pub fn all(&self) -> u32 {
        self.all
    }

    /// How many slots are free, of whatever pool.
    pub fn free(&self) -> u32 {
        self.lock().all
    }

    /// Told whenever a slot is given back.
    pub fn freed(&self) -> watch::Receiver<u64> {
        self.freed.subscribe()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut free = self.slots.lock();
        free.all += 1;
        if let Some((name, count)) = &self.pool
            && let Some(slots) = free.pools.get_mut(name)
        {
            *slots += count;
        }
        drop(free);
        self.slots
            .freed
            .send_modify(|times| *times = times.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_limits_its_own_tasks_only() {
        let slots = Slots::new(3, BTreeMap::from([("db".to_owned(), 2)]));
        let db = ("db".to_owned(), 2);
        let first = slots.try_take(Some(&db)).unwrap();
        assert!(!slots.is_free(Some("db")));
        assert!(slots.is_free(None));
        assert!(slots.try_take(Some(&db)).is_none());
        let _second = slots.try_take(None).unwrap();
        let _third = slots.try_take(None).unwrap();
        assert!(slots.try_take(None).is_none());
        drop(first);
        assert!(slots.is_free(Some("db")));
    }
}
