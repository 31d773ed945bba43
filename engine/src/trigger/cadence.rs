//! Repetition in time: cron lines in a zone, and fixed stretches.

use std::{fmt, sync::Arc, time::Duration};

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::line::CronLine;
use crate::time::{Interval, Timestamp, written_duration};

/// A repetition in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Cadence {
    rule: Rule,
    zone: Tz,
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    /// Whenever one of the lines fires; read once, shared by clones.
    Cron(Arc<[CronLine]>),
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
    /// No line at all.
    #[error("there is no cron line")]
    Empty,
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
        Self::crons([line], zone)
    }

    /// Several cron lines; it fires whenever one of them does.
    ///
    /// # Errors
    /// When there is none, or one cannot be read or never fires.
    pub fn crons<'a>(
        lines: impl IntoIterator<Item = &'a str>,
        zone: Tz,
    ) -> Result<Self, CadenceError> {
        let lines: Result<Arc<[CronLine]>, CadenceError> =
            lines.into_iter().map(CronLine::parse).collect();
        let lines = lines?;
        if lines.is_empty() {
            return Err(CadenceError::Empty);
        }
        Ok(Self {
            rule: Rule::Cron(lines),
            zone,
        })
    }

    /// Every so often, counted from midnight of 1970-01-01 UTC.
    ///
    /// # Errors
    /// When it is shorter than a second.
    pub fn every(stretch: Duration) -> Result<Self, CadenceError> {
        if stretch < Duration::from_secs(1) {
            return Err(CadenceError::TooShort);
        }
        Ok(Self {
            rule: Rule::Every(stretch),
            zone: Tz::UTC,
        })
    }

    /// The same repetition of `every`, its moments shown in another zone.
    #[must_use]
    pub fn shown_in(self, zone: Tz) -> Self {
        Self { zone, ..self }
    }

    /// The zone in which its moments are shown.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first moment after `moment` at which it fires.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Cron(lines) => lines
                .iter()
                .filter_map(|line| line.next_after(moment, self.zone))
                .min(),
            Rule::Every(stretch) => floor(moment, *stretch)?.checked_add_signed(delta(*stretch)?),
        }
    }

    /// The last moment at which it fired, `moment` itself included.
    pub fn last_until(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Cron(lines) => lines
                .iter()
                .filter_map(|line| line.last_until(moment, self.zone))
                .max(),
            Rule::Every(stretch) => floor(moment, *stretch),
        }
    }

    /// The interval that ends when it fires at `moment`.
    pub fn interval_until(&self, moment: Timestamp) -> Option<Interval> {
        let start = self.last_until(moment.checked_sub_signed(TimeDelta::milliseconds(1))?)?;
        Some(Interval { start, end: moment })
    }

    /// The last interval that was over at `now`: between the last two moments at which it fired.
    pub fn last_complete_interval(&self, now: Timestamp) -> Option<Interval> {
        self.interval_until(self.last_until(now)?)
    }

    /// The interval that begins at the first moment at or after `moment`.
    pub fn interval_from(&self, moment: Timestamp) -> Option<Interval> {
        self.intervals(moment, Timestamp::MAX_UTC).next()
    }

    /// The intervals that begin in [`from`, `to`), one after the other, made as they are asked for.
    pub fn intervals(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Interval> + use<'_> {
        let mut next = from
            .checked_sub_signed(TimeDelta::milliseconds(1))
            .and_then(|before| self.next_after(before));
        std::iter::from_fn(move || {
            let start = next.filter(|start| *start < to)?;
            let end = self.next_after(start)?;
            next = Some(end);
            Some(Interval { start, end })
        })
    }
}

impl fmt::Display for Cadence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Rule::Cron(lines) => {
                let lines: Vec<&str> = lines.iter().map(CronLine::text).collect();
                write!(formatter, "{} {}", lines.join(", "), self.zone)
            }
            Rule::Every(stretch) => write!(formatter, "every {}", written_duration(*stretch)),
        }
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
        for line in [
            "",
            "61 * * * *",
            "* * *",
            "a b c d e",
            "0 0 0 1 1 * 2030",
            "@reboot",
        ] {
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
