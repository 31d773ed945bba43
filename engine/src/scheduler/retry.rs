//! Decides when a failed task is tried again.
//!
//! Pure: takes the number of tries and a seed, returns a delay. The runner owns the clock.

use std::time::Duration;

use crate::plan::{Backoff, RetryPolicy};

/// Whether `tries` failed tries (the first one included) leave no further one.
pub fn retry_limit_reached(policy: &RetryPolicy, tries: u32) -> bool {
    tries > policy.limit
}

/// How long to wait after the try number `tries` (from 1) failed.
///
/// Exponential back-off doubles the delay with each try and takes up to a quarter of it away again, by `seed`, so
/// that tasks that failed together do not come back together.
pub fn delay_before(policy: &RetryPolicy, tries: u32, seed: u64) -> Duration {
    let delay = match policy.backoff {
        Backoff::Fixed => policy.delay,
        Backoff::Exponential => {
            let full = policy.delay.saturating_mul(
                1_u32
                    .checked_shl(tries.saturating_sub(1))
                    .unwrap_or(u32::MAX),
            );
            let full = policy.max_delay.map_or(full, |most| full.min(most));
            full.mul_f64(1.0 - fraction(seed, tries) / 4.0)
        }
    };
    policy.max_delay.map_or(delay, |most| delay.min(most))
}

/// A number in 0..1 from a seed, by the finaliser of splitmix64.
fn fraction(seed: u64, tries: u32) -> f64 {
    let mut z = seed.wrapping_add(u64::from(tries).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let high = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(u32::MAX);
    f64::from(high) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(backoff: Backoff) -> RetryPolicy {
        RetryPolicy {
            limit: 3,
            delay: Duration::from_secs(10),
            backoff,
            max_delay: Some(Duration::from_secs(300)),
        }
    }

    #[test]
    fn the_limit_counts_tries_after_the_first() {
        let policy = policy(Backoff::Fixed);
        assert!(!retry_limit_reached(&policy, 3));
        assert!(retry_limit_reached(&policy, 4));
        assert!(retry_limit_reached(&RetryPolicy::default(), 1));
    }

    #[test]
    fn exponential_doubles_up_to_the_limit_less_jitter() {
        for seed in 0..200 {
            for (tries, full) in [(1, 10), (2, 20), (3, 40), (6, 300), (100, 300)] {
                let delay = delay_before(&policy(Backoff::Exponential), tries, seed).as_secs_f64();
                let full = f64::from(full);
                assert!(
                    delay <= full && delay > full * 0.75 - 1e-9,
                    "{tries}: {delay}"
                );
            }
            assert_eq!(
                delay_before(&policy(Backoff::Fixed), 7, seed),
                Duration::from_secs(10)
            );
        }
    }
}
