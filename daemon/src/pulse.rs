//! Whether the loops on which all work depends go round: a supervisor starts a daemon anew that stands still.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::heart::BEAT;

/// The loops that must not stand still. One that is told that the history is away goes round; only one that waits for ever does not.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    pub(crate) heart: Rounds,
    pub(crate) dispatcher: Rounds,
}

/// When a loop last went round; nothing while it does not run.
#[derive(Debug, Default)]
pub(crate) struct Rounds(Mutex<Option<Instant>>);

impl Rounds {
    /// The loop goes round.
    pub(crate) fn next(&self) {
        self.set(Some(Instant::now()));
    }

    /// The loop has ended, as it was told.
    pub(crate) fn end(&self) {
        self.set(None);
    }

    fn set(&self, last: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    fn still(&self) -> Duration {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map_or(Duration::ZERO, |last| last.elapsed())
    }
}

impl Pulse {
    /// What has stood still for longer than `limit`, and for how long. A heart that rests between two beats does not.
    pub(crate) fn stuck(&self, limit: Duration) -> Option<(&'static str, Duration)> {
        let limit = limit.max(2 * BEAT);
        [("heart", &self.heart), ("queue", &self.dispatcher)]
            .into_iter()
            .map(|(name, rounds)| (name, rounds.still()))
            .find(|(_, still)| *still > limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_stuck_when_it_does_not_go_round_though_it_should() {
        let pulse = Pulse::default();
        let limit = Duration::from_secs(10);
        let wait = async |seconds| tokio::time::sleep(Duration::from_secs(seconds)).await;
        wait(60).await;
        assert_eq!(pulse.stuck(limit), None, "nothing runs yet");
        pulse.heart.next();
        pulse.dispatcher.next();
        wait(9).await;
        pulse.heart.next();
        assert_eq!(pulse.stuck(limit), None);
        wait(2).await;
        assert_eq!(pulse.stuck(limit), Some(("queue", Duration::from_secs(11))));
        pulse.dispatcher.end();
        assert_eq!(pulse.stuck(Duration::ZERO), None, "a heart rests");
        wait(5).await;
        assert_eq!(
            pulse.stuck(Duration::ZERO),
            Some(("heart", Duration::from_secs(7)))
        );
    }
}
