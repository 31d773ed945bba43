//! One cron line, read once, and its moments in a zone.
//!
//! `croner` searches the calendar; the zone is ours, because a job at a fixed time happens once however the clocks are
//! shifted, and one by wildcard or step follows real time.

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use croner::{
    Cron, CronComponent, Direction,
    errors::CronError,
    parser::{CronParser, Year},
};

use super::{
    CadenceError,
    zone::{meant, offset, once, shift_after, shift_before, shown},
};
use crate::time::Timestamp;

const NICKNAMES: [&str; 7] = [
    "@hourly",
    "@daily",
    "@midnight",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
];

/// A cron line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CronLine {
    text: String,
    cron: Cron,
    /// Whether its hour, minute and second are given, not a wildcard or a step.
    fixed: bool,
}

impl CronLine {
    /// Reads a line of five or six fields, or a nickname.
    pub(super) fn parse(text: &str) -> Result<Self, CadenceError> {
        let wrong = |reason: String| CadenceError::Cron {
            line: text.to_owned(),
            reason,
        };
        let trimmed = text.trim();
        if trimmed.starts_with('@') {
            if !NICKNAMES.contains(&trimmed.to_lowercase().as_str()) {
                return Err(wrong(format!("there are {}", NICKNAMES.join(", "))));
            }
        } else if !(5..=6).contains(&trimmed.split_whitespace().count()) {
            return Err(wrong(match trimmed.split_whitespace().count() {
                0 => "it is empty".to_owned(),
                1 => "it has one field, not 5 or 6".to_owned(),
                count => format!("it has {count} fields, not 5 or 6"),
            }));
        }
        let spelled = if trimmed.eq_ignore_ascii_case("@midnight") {
            "@daily"
        } else {
            trimmed
        };
        let cron = CronParser::builder()
            .year(Year::Disallowed)
            .build()
            .parse(spelled)
            .map_err(|error| wrong(reason(&error)))?;
        let pattern = &cron.pattern;
        let clock = [&pattern.seconds, &pattern.minutes, &pattern.hours];
        let fixed = clock.iter().all(|field| given(field));
        let line = Self {
            text: trimmed.to_owned(),
            cron,
            fixed,
        };
        // From an early day on, so that every date that exists comes by.
        match line.search(Timestamp::UNIX_EPOCH.naive_utc(), true, Direction::Forward) {
            Some(_) => Ok(line),
            None => Err(CadenceError::NeverFires(line.text)),
        }
    }

    /// The line as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Its first moment after `moment`.
    pub(super) fn next_after(&self, moment: Timestamp, zone: Tz) -> Option<Timestamp> {
        let from = moment.timestamp();
        let next = if self.fixed {
            self.next_fixed(from, zone)
        } else {
            self.next_real(from, zone)
        };
        Timestamp::from_timestamp(next?, 0)
    }

    /// Its last moment until `moment`, that one included.
    pub(super) fn last_until(&self, moment: Timestamp, zone: Tz) -> Option<Timestamp> {
        let until = moment.timestamp();
        let last = if self.fixed {
            self.last_fixed(until, zone)
        } else {
            self.last_real(until, zone)
        };
        Timestamp::from_timestamp(last?, 0)
    }

    /// Times on the clock come in the order in which they happen, so the first that happens later is it.
    fn next_fixed(&self, from: i64, zone: Tz) -> Option<i64> {
        let mut local = shown(from, offset(from, zone)?)?;
        loop {
            local = self.search(local, false, Direction::Forward)?;
            let at = once(local, zone)?;
            if at > from {
                return Some(at);
            }
        }
    }

    fn last_fixed(&self, until: i64, zone: Tz) -> Option<i64> {
        // Where clocks were set back within a day, they have already shown later times than they show now.
        let furthest = offset(until, zone)?.max(offset(until - 86_400, zone)?);
        let mut local = self.search(shown(until, furthest)?, true, Direction::Backward)?;
        loop {
            let at = once(local, zone)?;
            if at <= until {
                return Some(at);
            }
            local = self.search(local, false, Direction::Backward)?;
        }
    }

    /// From one shift of the clocks to the next, the calendar and real time run alike.
    fn next_real(&self, from: i64, zone: Tz) -> Option<i64> {
        let (mut from, mut inclusive) = (from, false);
        loop {
            let offset = offset(from, zone)?;
            let local = self.search(shown(from, offset)?, inclusive, Direction::Forward)?;
            let at = meant(local, offset);
            let Some(shift) = shift_after(from, at, zone) else {
                return Some(at);
            };
            (from, inclusive) = (shift, true);
        }
    }

    fn last_real(&self, until: i64, zone: Tz) -> Option<i64> {
        let mut until = until;
        loop {
            let offset = offset(until, zone)?;
            let local = self.search(shown(until, offset)?, true, Direction::Backward)?;
            let at = meant(local, offset);
            match shift_before(at, until, zone) {
                Some(shift) => until = shift - 1,
                None => return Some(at),
            }
        }
    }

    /// The nearest time in the calendar, whatever the zone.
    fn search(
        &self,
        from: NaiveDateTime,
        inclusive: bool,
        direction: Direction,
    ) -> Option<NaiveDateTime> {
        match direction {
            Direction::Forward => self.cron.find_next_occurrence(&from, inclusive).ok(),
            Direction::Backward => self.cron.find_previous_occurrence(&from, inclusive).ok(),
        }
    }
}

/// Whether a field names its values; `0-23` names all hours and is a wildcard.
fn given(field: &CronComponent) -> bool {
    let all = usize::from(field.max - field.min) + 1;
    !field.from_wildcard && field.step == 1 && field.count_set_values(ALL_VALUES) < all
}

/// The bit by which `croner` marks a plain value of a field.
const ALL_VALUES: u8 = 1;

fn reason(error: &CronError) -> String {
    match error {
        CronError::InvalidPattern(reason)
        | CronError::IllegalCharacters(reason)
        | CronError::ComponentError(reason) => reason.trim_end_matches('.').to_lowercase(),
        CronError::EmptyPattern => "it is empty".to_owned(),
        other => other.to_string().trim_end_matches('.').to_lowercase(),
    }
}
