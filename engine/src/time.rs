//! The door to the clock, and durations as people write them.

use std::{fmt, path::PathBuf, sync::Mutex, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A moment, in UTC.
pub type Timestamp = DateTime<Utc>;

/// The stretch of time that a run is about: from `start` (included) to `end` (excluded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

/// Where the time comes from. Nothing else in the project reads the system's clock.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;
    /// Whether somebody can move it, so that sleeping until a moment is not sure to end then.
    fn can_jump(&self) -> bool {
        false
    }
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the door to the system's clock"
    )]
    fn now(&self) -> Timestamp {
        Utc::now()
    }
}

/// The system's clock, moved by an offset that stands in a file: whole seconds, perhaps with a sign. For tests of days and
/// years; the file is read again every second.
#[derive(Debug)]
pub struct OffsetClock {
    file: PathBuf,
    read: Mutex<(Option<Timestamp>, TimeDelta)>,
}

impl OffsetClock {
    /// A clock whose offset stands in `file`; none while there is no such file, or no number in it.
    pub fn new(file: PathBuf) -> Self {
        Self {
            file,
            read: Mutex::new((None, TimeDelta::zero())),
        }
    }

    fn offset(&self) -> TimeDelta {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let seconds = text.trim().parse().ok();
        seconds.and_then(TimeDelta::try_seconds).unwrap_or_default()
    }
}

impl Clock for OffsetClock {
    fn now(&self) -> Timestamp {
        let real = SystemClock.now();
        let mut known = self
            .read
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if known
            .0
            .is_none_or(|at| (real - at).abs() >= TimeDelta::seconds(1))
        {
            *known = (Some(real), self.offset());
        }
        real + known.1
    }

    fn can_jump(&self) -> bool {
        true
    }
}

/// A clock that stands still until it is moved, for tests.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *now += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Reads a duration: a whole number and a unit, `10s 5m 2h 1d` or `500ms`.
///
/// # Errors
/// Says what a duration looks like when `text` is not one.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a duration; write for example `10s`, `5m`, `2h` or `1d`");
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let too_long = || format!("`{text}` is too long: at most `36600d`");
    if number.len() > 19 {
        return Err(too_long());
    }
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => None,
    };
    if !["ms", "s", "m", "h", "d"].contains(&unit) {
        return Err(wrong());
    }
    milliseconds
        .filter(|ms| *ms <= 100 * 366 * 86_400_000)
        .map(Duration::from_millis)
        .ok_or_else(too_long)
}

/// A duration as it is written in a file: a whole number and the largest unit that fits, `90m`, `1d`.
pub fn written_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let fits = units
        .into_iter()
        .find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    match fits {
        Some((unit, letter)) => format!("{}{letter}", ms / unit),
        None => format!("{ms}ms"),
    }
}

/// A duration for people: its largest two units, `1 h 4 m`, `41 s`, `12 ms`.
pub fn human_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let (d, h, m, s) = (
        ms / 86_400_000,
        ms / 3_600_000 % 24,
        ms / 60_000 % 60,
        ms / 1_000 % 60,
    );
    match () {
        () if d > 0 => format!("{d} d {h} h"),
        () if h > 0 => format!("{h} h {m} m"),
        () if m > 0 => format!("{m} m {s} s"),
        () if s >= 10 => format!("{s} s"),
        () if s > 0 => format!("{s}.{} s", ms / 100 % 10),
        () => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_in_a_file_moves_the_clock() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("clock");
        for (text, hours) in [("3600", 1_i64), ("-7200\n", -2), ("soon", 0)] {
            std::fs::write(&file, text).unwrap();
            let moved = OffsetClock::new(file.clone()).now() - SystemClock.now();
            assert_eq!(
                (moved.num_seconds() + hours.signum() * 60) / 3600,
                hours,
                "{text}"
            );
        }
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in [("10s", 10), ("5m", 300), ("2h", 7_200), ("1d", 86_400)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for text in [
            "",
            "10",
            "s",
            "1.5h",
            "-1s",
            "10 s",
            "99999999999999999999d",
            "9999999d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        for text in ["500ms", "90s", "90m", "2h", "36h", "7d", "0ms"] {
            assert_eq!(written_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn people_read_two_units() {
        for (ms, text) in [
            (12, "12 ms"),
            (1_250, "1.2 s"),
            (41_000, "41 s"),
            (64_000, "1 m 4 s"),
            (3_900_000, "1 h 5 m"),
        ] {
            assert_eq!(human_duration(Duration::from_millis(ms)), text);
        }
    }
}
