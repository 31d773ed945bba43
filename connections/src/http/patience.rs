//! How long to wait for an API, and how often to ask again.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use chrono::DateTime;
use pipectl_engine::time::{Clock, Timestamp};

/// The first pause before another try; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(500);
/// No pause of our own is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// How long to wait, how much to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long one answer may take, to its last byte.
    pub timeout: Duration,
    /// How many tries there are after the first.
    pub retries: u32,
    /// How long a server may ask us to wait (`Retry-After`).
    pub longest_wait: Duration,
    /// How many bytes an answer may have.
    pub max_bytes: u64,
}

/// Who calls.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The clock, for servers that say until when to wait.
    pub clock: &'a dyn Clock,
    /// Hears of tries that have failed.
    pub tell: &'a (dyn Fn(String) + Send + Sync),
}

impl std::fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Caller")
    }
}

/// What a server says about another try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    None,
    /// To wait so long.
    Wait(Duration),
    /// Something that cannot be read.
    Unreadable(String),
}

/// Reads `Retry-After`: seconds, or a date.
pub(super) fn retry_after(header: Option<&str>, now: Timestamp) -> Wish {
    let Some(text) = header.map(str::trim) else {
        return Wish::None;
    };
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // More seconds than a number holds are more than anybody waits.
        return Wish::Wait(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    match DateTime::parse_from_rfc2822(text) {
        Ok(date) => Wish::Wait((date.to_utc() - now).to_std().unwrap_or_default()),
        Err(_) => Wish::Unreadable(text.chars().take(40).collect()),
    }
}

/// The pause after the `tries`th try. Callers of different things spread out.
pub(super) fn pause(tries: u32, what: &str) -> Duration {
    let whole = FIRST
        .saturating_mul(1 << tries.saturating_sub(1).min(16))
        .min(LONGEST);
    let mut hasher = DefaultHasher::new();
    (tries, what).hash(&mut hasher);
    let percent = 75 + u32::try_from(hasher.finish() % 50).unwrap_or(0);
    whole * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        for (text, wish) in [
            ("120", Wish::Wait(Duration::from_secs(120))),
            ("0", Wish::Wait(Duration::ZERO)),
            (
                "Sun, 01 Mar 2026 12:00:30 GMT",
                Wish::Wait(Duration::from_secs(30)),
            ),
            ("Sun, 01 Mar 2026 11:00:00 GMT", Wish::Wait(Duration::ZERO)),
            (
                "99999999999999999999999",
                Wish::Wait(Duration::from_secs(u64::MAX)),
            ),
            ("-5", Wish::Unreadable("-5".to_owned())),
            ("soon", Wish::Unreadable("soon".to_owned())),
            ("1.5", Wish::Unreadable("1.5".to_owned())),
            ("", Wish::Unreadable(String::new())),
        ] {
            assert_eq!(retry_after(Some(text), now), wish, "{text}");
        }
        assert_eq!(retry_after(None, now), Wish::None);
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut before = Duration::ZERO;
        for tries in 1..6 {
            let pause = pause(tries, "GET https://a/b");
            assert!(pause > before, "{tries}");
            before = pause;
        }
        assert!(pause(40, "") <= LONGEST * 5 / 4);
    }
}
