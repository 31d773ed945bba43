//! Repetition in time: cron lines in a zone, and fixed stretches.

use std::time::Duration;

use chrono::{TimeDelta, TimeZone};
use chrono_tz::Tz;
use croner::{Cron, errors::CronError};

use crate::time::{Interval, Timestamp};

/// A repetition in time.
#[derive(Clone, Debug, PartialEq)]
pub enum Cadence {
    /// A cron line in a zone.
    Cron {
        /// The line.
        line: String,
        /// The zone.
        zone: Tz,
    },
    /// Every so often, counted from midnight of 1970-01-01 UTC.
    Every(Duration),
}

/// Why a repetition cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CadenceError {
    /// The cron line cannot be read.
    #[error("`{line}` is not a cron line: {reason}")]
    Cron {
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It never fires.
    #[error("`{0}` never fires")]
    NeverFires(String),
    /// A stretch of no length.
    #[error("`every` must be at least a second")]
    TooShort,
}

impl Cadence {
    /// A cron line with five or six fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    ///
    /// # Errors
    /// When it cannot be read, or never fires.
    pub fn cron(line: &str, zone: Tz) -> Result<Self, CadenceError> {
        let cron = parse(line)?;
        // Twenty-eight years and the leap year that a century leaves out: every date that exists comes by.
        let start = zone
            .timestamp_opt(0, 0)
            .single()
            .unwrap_or_else(|| Timestamp::UNIX_EPOCH.with_timezone(&zone));
        match cron.find_next_occurrence(&start, false) {
            Ok(_) => Ok(Self::Cron {
                line: line.to_owned(),
                zone,
            }),
            Err(_) => Err(CadenceError::NeverFires(line.to_owned())),
        }
    }

    /// Every so often.
    ///
    /// # Errors
    /// When it is shorter than a second.
    pub fn every(stretch: Duration) -> Result<Self, CadenceError> {
        if stretch < Duration::from_secs(1) {
            Err(CadenceError::TooShort)
        } else {
            Ok(Self::Every(stretch))
        }
    }

    /// The zone in which its moments are shown.
    pub fn zone(&self) -> Tz {
        match self {
            Self::Cron { zone, .. } => *zone,
            Self::Every(_) => Tz::UTC,
        }
    }

    /// The first moment after `moment` at which it fires.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron { line, zone } => {
                let next = parse(line)
                    .ok()?
                    .find_next_occurrence(&moment.with_timezone(zone), false);
                next.ok().map(|next| next.with_timezone(&chrono::Utc))
            }
            Self::Every(stretch) => floor(moment, *stretch)?.checked_add_signed(delta(*stretch)?),
        }
    }

    /// The last moment at which it fired, `moment` itself included.
    pub fn last_until(&self, moment: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron { line, zone } => {
                let last = parse(line)
                    .ok()?
                    .find_previous_occurrence(&moment.with_timezone(zone), true);
                last.ok().map(|last| last.with_timezone(&chrono::Utc))
            }
            Self::Every(stretch) => floor(moment, *stretch),
        }
    }

    /// The last interval that was over at `now`: between the last two moments at which it fired.
    pub fn last_complete_interval(&self, now: Timestamp) -> Option<Interval> {
        let end = self.last_until(now)?;
        let start = self.last_until(end.checked_sub_signed(TimeDelta::milliseconds(1))?)?;
        Some(Interval { start, end })
    }

    /// The interval that begins at the first moment at or after `moment`.
    pub fn interval_from(&self, moment: Timestamp) -> Option<Interval> {
        let start = self.next_after(moment.checked_sub_signed(TimeDelta::milliseconds(1))?)?;
        Some(Interval {
            start,
            end: self.next_after(start)?,
        })
    }
}

fn parse(line: &str) -> Result<Cron, CadenceError> {
    line.parse::<Cron>().map_err(|error| CadenceError::Cron {
        line: line.to_owned(),
        reason: reason(&error),
    })
}

fn reason(error: &CronError) -> String {
    match error {
        CronError::InvalidPattern(reason)
        | CronError::IllegalCharacters(reason)
        | CronError::ComponentError(reason) => reason.trim_end_matches('.').to_lowercase(),
        CronError::EmptyPattern => "it is empty".to_owned(),
        other => other.to_string().trim_end_matches('.').to_lowercase(),
    }
}

fn delta(stretch: Duration) -> Option<TimeDelta> {
    TimeDelta::from_std(stretch).ok()
}

fn floor(moment: Timestamp, stretch: Duration) -> Option<Timestamp> {
    let stretch = i64::try_from(stretch.as_millis())
        .ok()
        .filter(|stretch| *stretch > 0)?;
    let millis = moment.timestamp_millis();
    Timestamp::from_timestamp_millis(millis - millis.rem_euclid(stretch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_manual_run_takes_the_last_complete_interval() {
        let noon = Cadence::cron("0 12 * * *", Tz::Europe__Berlin).unwrap();
        let interval = noon
            .last_complete_interval(at("2026-07-10T09:59:00Z"))
            .unwrap();
        assert_eq!(
            (interval.start, interval.end),
            (at("2026-07-08T10:00:00Z"), at("2026-07-09T10:00:00Z"))
        );
        let interval = noon
            .last_complete_interval(at("2026-07-10T10:00:00Z"))
            .unwrap();
        assert_eq!(
            (interval.start, interval.end),
            (at("2026-07-09T10:00:00Z"), at("2026-07-10T10:00:00Z"))
        );
        let hourly = Cadence::every(Duration::from_secs(3600)).unwrap();
        let interval = hourly
            .last_complete_interval(at("2026-07-10T10:30:00Z"))
            .unwrap();
        assert_eq!(
            (interval.start, interval.end),
            (at("2026-07-10T09:00:00Z"), at("2026-07-10T10:00:00Z"))
        );
    }

    #[test]
    fn moments_follow_each_other() {
        let daily = Cadence::cron("@daily", Tz::UTC).unwrap();
        assert_eq!(
            daily.next_after(at("2026-01-01T00:00:00Z")),
            Some(at("2026-01-02T00:00:00Z"))
        );
        assert_eq!(
            daily.last_until(at("2026-01-01T00:00:00Z")),
            Some(at("2026-01-01T00:00:00Z"))
        );
        let interval = daily.interval_from(at("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(interval.start, at("2026-01-01T00:00:00Z"));
        let seconds = Cadence::cron("*/10 * * * * *", Tz::UTC).unwrap();
        assert_eq!(
            seconds.next_after(at("2026-01-01T00:00:01Z")),
            Some(at("2026-01-01T00:00:10Z"))
        );
    }

    #[test]
    fn bad_lines_say_why() {
        for line in ["", "61 * * * *", "* * *", "a b c d e"] {
            assert!(
                matches!(Cadence::cron(line, Tz::UTC), Err(CadenceError::Cron { .. })),
                "{line}"
            );
        }
        for line in ["0 0 30 2 *", "0 0 31 4 *"] {
            assert!(
                matches!(
                    Cadence::cron(line, Tz::UTC),
                    Err(CadenceError::NeverFires(_))
                ),
                "{line}"
            );
        }
        assert!(Cadence::cron("0 0 29 2 *", Tz::UTC).is_ok());
        assert_eq!(
            Cadence::every(Duration::from_millis(10)),
            Err(CadenceError::TooShort)
        );
    }
}
