//! Work that may hang, beside the loop that has it done: one errand at a time for each place.

use std::{collections::HashMap, fmt};

use tokio::task::{Id, JoinSet};

/// Errands under way.
pub(crate) struct Errands<K, T> {
    tasks: JoinSet<T>,
    keys: HashMap<Id, K>,
}

impl<K: fmt::Debug, T> fmt::Debug for Errands<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.values()).finish()
    }
}

impl<K: Eq, T: Send + 'static> Errands<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            keys: HashMap::new(),
        }
    }

    /// Whether somebody is under way for `key`.
    pub(crate) fn busy(&self, key: &K) -> bool {
        self.keys.values().any(|busy| busy == key)
    }

    pub(crate) fn start(&mut self, key: K, errand: impl Future<Output = T> + Send + 'static) {
        let id = self.tasks.spawn(errand).id();
        self.keys.insert(id, key);
    }

    /// The next one that is over, with what it brings; nothing when it panicked. Waits for ever when none is under way.
    pub(crate) async fn next(&mut self) -> (K, Option<T>) {
        loop {
            let (id, brought) = match self.tasks.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, brought))) => (id, Some(brought)),
                Some(Err(error)) => (error.id(), None),
            };
            if let Some(key) = self.keys.remove(&id) {
                return (key, brought);
            }
        }
    }

    /// Waits for all.
    pub(crate) async fn all(&mut self) {
        while !self.tasks.is_empty() {
            self.next().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_hangs_holds_up_nothing_else() {
        let mut errands = Errands::new();
        errands.start("hangs", std::future::pending());
        errands.start("panics", async { panic!("on purpose") });
        errands.start("works", async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            7
        });
        assert!(errands.busy(&"works"));
        let mut brought = [errands.next().await, errands.next().await];
        brought.sort_unstable();
        assert_eq!(brought, [("panics", None), ("works", Some(7))]);
        assert!(errands.busy(&"hangs") && !errands.busy(&"works"));
    }
}
