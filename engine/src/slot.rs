//! How many attempts may be under way at once: in all, and by pool.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// The slots of a process.
#[derive(Debug)]
pub struct Slots {
    all: u32,
    free: Mutex<Free>,
    /// How often one was given back, and who waits for the next.
    times: AtomicU64,
    freed: Notify,
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
            times: AtomicU64::new(0),
            freed: Notify::new(),
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
    pub fn freed(self: &Arc<Self>) -> Freed {
        Freed {
            slots: Arc::clone(self),
            seen: self.times.load(Ordering::SeqCst),
        }
    }
}

/// Says when slots are given back: to those who wait in the order in which they came, which a `watch` does not.
#[derive(Debug)]
pub struct Freed {
    slots: Arc<Slots>,
    seen: u64,
}

impl Freed {
    /// What was given back until now does not count.
    pub fn mark(&mut self) {
        self.seen = self.slots.times.load(Ordering::SeqCst);
    }

    /// Waits until one is given back that does not count yet.
    pub async fn changed(&mut self) {
        loop {
            // Whoever is told of from here on is not missed.
            let next = self.slots.freed.notified();
            let times = self.slots.times.load(Ordering::SeqCst);
            if times != self.seen {
                self.seen = times;
                return;
            }
            next.await;
        }
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
        self.slots.times.fetch_add(1, Ordering::SeqCst);
        self.slots.freed.notify_waiters();
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

    #[tokio::test]
    async fn what_is_given_back_is_told_once() {
        let slots = Slots::new(2, BTreeMap::new());
        let mut freed = slots.freed();
        drop(slots.try_take(None));
        freed.changed().await;
        drop(slots.try_take(None));
        freed.mark();
        let taken = slots.try_take(None);
        let mut waits = std::pin::pin!(freed.changed());
        assert!(futures::poll!(&mut waits).is_pending());
        drop(taken);
        waits.await;
    }
}
