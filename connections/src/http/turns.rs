//! Whose turn it is: so many calls in a time, so many at once, for all that use a connection.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

/// How much time is asked for at once of those who share a limit with other processes.
const AHEAD: Duration = Duration::from_millis(500);

/// Gives turns to all processes that share a limit.
#[async_trait]
pub trait SharedTurns: Send + Sync {
    /// Reserves `count` turns of the limit `name`, `spacing` apart from each other and from all turns reserved before.
    /// Answers how long it is until the first of them.
    ///
    /// # Errors
    /// When those who share it cannot be reached, in words.
    async fn reserve(&self, name: &str, spacing: Duration, count: u32) -> Result<Duration, String>;
}

/// Whoever gives turns to all processes, as a service.
#[derive(Clone)]
pub struct Turns(pub Arc<dyn SharedTurns>);

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turns")
    }
}

/// The turns of one connection. Calls are spread evenly: five in a second are one each 200 ms.
#[derive(Debug)]
pub(super) struct Queue {
    name: String,
    spacing: Option<Duration>,
    at_once: Option<Arc<Semaphore>>,
    next: Mutex<Next>,
    shared: Option<Turns>,
}

#[derive(Debug)]
struct Next {
    /// When the next turn is.
    at: Instant,
    /// Nobody has a turn before.
    paused: Instant,
    /// Until when turns are reserved among all processes.
    until: Instant,
}

impl Queue {
    pub(super) fn new(
        name: &str,
        limit: Option<(u32, Duration)>,
        concurrency: Option<usize>,
        shared: Option<Turns>,
    ) -> Self {
        let now = Instant::now();
        Self {
            name: name.to_owned(),
            spacing: limit.map(|(requests, per)| per / requests.max(1)),
            at_once: concurrency.map(|count| Arc::new(Semaphore::new(count))),
            next: Mutex::new(Next {
                at: now,
                paused: now,
                until: now,
            }),
            shared,
        }
    }

    /// Waits for a turn. What is answered stands for being one of those that are served at once.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let place = match &self.at_once {
            // Nobody closes it.
            Some(at_once) => Arc::clone(at_once).acquire_owned().await.ok(),
            None => None,
        };
        let at = self.reserve().await;
        sleep_until(at).await;
        place
    }

    /// Nobody has a turn for so long: the server has asked for it.
    pub(super) async fn pause(&self, time: Duration) {
        let mut next = self.next.lock().await;
        next.paused = next.paused.max(Instant::now() + time);
    }

    async fn reserve(&self) -> Instant {
        loop {
            let mut next = self.next.lock().await;
            let now = Instant::now();
            let Some(spacing) = self.spacing else {
                return next.paused.max(now);
            };
            let Some(Turns(shared)) = &self.shared else {
                let at = next.at.max(next.paused).max(now);
                next.at = at + spacing;
                return at;
            };
            // What is reserved goes by while the server wants to be left alone.
            if next.paused > now {
                let until = next.paused;
                drop(next);
                sleep_until(until).await;
                continue;
            }
            let at = next.at.max(now);
            if at + spacing <= next.until {
                next.at = at + spacing;
                return at;
            }
            let count = AHEAD.as_micros() / spacing.as_micros().max(1);
            let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
            match shared.reserve(&self.name, spacing, count).await {
                Ok(wait) => {
                    next.at = Instant::now() + wait;
                    next.until = next.at + spacing * count;
                }
                // The limit still holds in this process.
                Err(error) => {
                    tracing::warn!(connection = self.name, error, "cannot share a rate limit");
                    next.at = at + spacing;
                    return at;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_spread_evenly() {
        let queue = Queue::new("api", Some((5, Duration::from_secs(1))), None, None);
        let start = Instant::now();
        for turn in 0..10_u32 {
            queue.turn().await;
            assert_eq!(start.elapsed().as_millis(), u128::from(turn) * 200);
        }
        queue.pause(Duration::from_secs(3)).await;
        queue.turn().await;
        assert_eq!(start.elapsed().as_millis(), 1_800 + 3_000);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let start = Instant::now();
        for _ in 0..3 {
            queue.turn().await;
        }
        assert_eq!(start.elapsed().as_millis(), 400);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_served_at_once() {
        let queue = Queue::new("api", None, Some(2), None);
        let first = queue.turn().await;
        let _second = queue.turn().await;
        let third = tokio::time::timeout(Duration::from_secs(1), queue.turn());
        assert!(third.await.is_err());
        drop(first);
        assert!(queue.turn().await.is_some());
    }

    /// A limit that two processes share.
    #[derive(Debug, Default)]
    struct Table(Mutex<Option<Instant>>);

    #[async_trait]
    impl SharedTurns for Table {
        async fn reserve(
            &self,
            _: &str,
            spacing: Duration,
            count: u32,
        ) -> Result<Duration, String> {
            let mut next = self.0.lock().await;
            let now = Instant::now();
            let first = next.unwrap_or(now).max(now);
            *next = Some(first + spacing * count);
            Ok(first - now)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shared_limit_holds_for_both() {
        let table = Turns(Arc::new(Table::default()));
        let limit = Some((10, Duration::from_secs(1)));
        let queues = [1, 2].map(|_| Queue::new("api", limit, None, Some(table.clone())));
        let start = Instant::now();
        let turns = |queue: &'static Queue| async move {
            let mut at = Vec::new();
            for _ in 0..20 {
                queue.turn().await;
                at.push(start.elapsed().as_millis());
            }
            at
        };
        let [first, second] = queues.map(|queue| &*Box::leak(Box::new(queue)));
        let (mut all, more) = tokio::join!(turns(first), turns(second));
        all.extend(more);
        all.sort_unstable();
        let expected: Vec<u128> = (0..40).map(|turn| turn * 100).collect();
        assert_eq!(all, expected);
    }
}
