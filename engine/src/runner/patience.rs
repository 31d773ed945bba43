//! A history that is away for a moment is asked again: that is nobody's failed attempt.

use std::{future::Future, time::Duration};

use crate::failure::StoreError;

/// How long it is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What `ask` answers, asked again while the history cannot be reached. It must do no harm to ask twice.
pub(super) async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let (mut pause, mut left) = (FIRST_PAUSE, PATIENCE);
    loop {
        match ask().await {
            Err(StoreError::Unavailable { .. }) if !left.is_zero() => {}
            answer => return answer,
        }
        pause = pause.min(left);
        tokio::time::sleep(pause).await;
        left -= pause;
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
        let started = tokio::time::Instant::now();
        let away =
            patiently(|| async { Err::<(), _>(StoreError::unavailable("away", "refused")) }).await;
        assert!(matches!(away, Err(StoreError::Unavailable { .. })));
        assert!(started.elapsed() >= PATIENCE);
    }
}
