//! What waits for a collector: up to a limit, so that one that hangs fills no memory and holds up no run.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::measures::Measures;

/// Where what is to be told is put.
#[derive(Debug)]
pub(super) struct Queue<T> {
    sender: mpsc::Sender<T>,
    pub(super) tally: Arc<Tally>,
}

/// Where it is taken out.
#[derive(Debug)]
pub(super) struct Outlet<T> {
    receiver: mpsc::Receiver<T>,
    closing: CancellationToken,
}

/// Counts what a collector has taken and what was left out, and says once that it takes nothing.
#[derive(Debug)]
pub(super) struct Tally {
    to: &'static str,
    measures: Arc<Measures>,
    away: AtomicBool,
}

impl<T> Queue<T> {
    /// A queue for so many; what stands in it when `closing` is told is still taken out.
    pub(super) fn new(
        limit: usize,
        closing: CancellationToken,
        tally: Arc<Tally>,
    ) -> (Self, Outlet<T>) {
        let (sender, receiver) = mpsc::channel(limit);
        (Self { sender, tally }, Outlet { receiver, closing })
    }

    /// Puts something in, or leaves it out when there is no room.
    pub(super) fn put(&self, item: T) {
        if self.sender.try_send(item).is_err() {
            let limit = self.sender.max_capacity();
            self.tally
                .left_out(1, &format!("{limit} wait for the collector already"));
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }
}

impl<T> Outlet<T> {
    /// The next one; nothing when there will be none any more.
    pub(super) async fn next(&mut self) -> Option<T> {
        tokio::select! {
            biased;
            item = self.receiver.recv() => item,
            () = self.closing.cancelled() => {
                self.receiver.close();
                self.receiver.recv().await
            }
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}

impl Tally {
    pub(super) fn new(to: &'static str, measures: Arc<Measures>) -> Self {
        measures.exported(to, 0, 0);
        Self {
            to,
            measures,
            away: AtomicBool::new(false),
        }
    }

    /// The collector has taken one; `all` when nothing waits any more.
    pub(super) fn taken(&self, all: bool) {
        self.measures.exported(self.to, 1, 0);
        if all && self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("the collector takes the export to {} again", self.to);
        }
    }

    /// So many were left out; said once, until the collector has caught up.
    pub(super) fn left_out(&self, count: u64, why: &str) {
        self.measures.exported(self.to, 0, count);
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "left out of the export to {}: {why}; `pipectl_exports_dropped_total` counts what else is",
                self.to
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_is_bounded_and_emptied_at_the_end() {
        let (measures, closing) = (Arc::new(Measures::default()), CancellationToken::new());
        let tally = Arc::new(Tally::new("somebody", Arc::clone(&measures)));
        let (queue, mut outlet) = Queue::new(2, closing.clone(), tally);
        (1..=5).for_each(|item| queue.put(item));
        assert_eq!(queue.waiting(), 2);
        let text = measures.text(&[]);
        assert!(
            text.contains("pipectl_exports_dropped_total{to=\"somebody\"} 3\n"),
            "{text}"
        );
        closing.cancel();
        let taken = [
            outlet.next().await,
            outlet.next().await,
            outlet.next().await,
        ];
        assert_eq!(taken, [Some(1), Some(2), None]);
    }
}
