//! A history that is away for a moment is asked again: that is nobody's failed attempt.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use crate::failure::StoreError;

/// How long it is asked again, the time that it takes to answer included.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What `ask` answers, asked again while the history cannot be reached. It must do no harm to ask twice.
pub(super) async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let (mut pause, end) = (FIRST_PAUSE, Instant::now() + PATIENCE);
    loop {
        match ask().await {
            Err(StoreError::Unavailable { .. }) if Instant::now() < end => {}
            answer => return answer,
        }
        tokio::time::sleep_until(end.min(Instant::now() + pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_history_that_is_away_is_asked_again() {
        let asked = Cell::new(0);
        let answer = patiently(|| async {
            asked.set(asked.get() + 1);
            if asked.get() < 4 {
                return Err(StoreError::unavailable("away", "refused"));
            }
            Ok(asked.get())
        });
        assert_eq!(answer.await.unwrap(), 4);
        let refused = patiently(|| async { Err::<(), _>(StoreError::Stale) }).await;
        assert!(matches!(refused, Err(StoreError::Stale)));
        let started = Instant::now();
        let away =
            patiently(|| async { Err::<(), _>(StoreError::unavailable("away", "refused")) }).await;
        assert!(matches!(away, Err(StoreError::Unavailable { .. })));
        assert!(started.elapsed() >= PATIENCE);
        // A history that lets one wait for its refusals is not waited for longer.
        let started = Instant::now();
        let slow = patiently(|| async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Err::<(), _>(StoreError::unavailable("away", "refused"))
        });
        assert!(slow.await.is_err());
        assert!(started.elapsed() <= PATIENCE + Duration::from_secs(10));
    }
}
