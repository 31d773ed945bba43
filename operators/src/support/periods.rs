//! Days, weeks and months: which period a moment is in.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate};
use chrono_tz::Tz;
use pipectl_models::performance::PeriodRows;
use polars::prelude::{Column, DataType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::instants::Scale;

/// More periods than this between the first and the last prediction are not filled up.
const PERIODS: usize = 10_000;

/// How long a period is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeriodLength {
    /// A day.
    Day,
    /// A week, which begins on Monday.
    Week,
    /// A month.
    #[default]
    Month,
}

impl PeriodLength {
    /// The first day of the period that a day is in.
    fn start(self, day: NaiveDate) -> NaiveDate {
        let start = match self {
            Self::Day => Some(day),
            Self::Week => {
                day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday())))
            }
            Self::Month => day.with_day(1),
        };
        start.unwrap_or(day)
    }

    /// The first day of the period after that.
    fn next(self, start: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Day => start.checked_add_days(Days::new(1)),
            Self::Week => start.checked_add_days(Days::new(7)),
            Self::Month => start.checked_add_months(Months::new(1)),
        }
    }

    fn name(self, start: NaiveDate) -> String {
        let form = match self {
            Self::Day => "%Y-%m-%d",
            Self::Week => "%G-W%V",
            Self::Month => "%Y-%m",
        };
        start.format(form).to_string()
    }
}

/// Which day a moment is in.
pub(crate) struct Day {
    scale: Scale,
    zone: Tz,
    /// Whether moments are in UTC; else they are where they are.
    zoned: bool,
}

impl Day {
    /// The days of a column's moments, which begin in `zone` where moments have one.
    pub(crate) fn new(scale: Scale, zone: Tz, column: &Column) -> Self {
        Self {
            scale,
            zone,
            zoned: matches!(column.dtype(), DataType::Datetime(_, Some(_))),
        }
    }

    fn of(&self, moment: i64) -> NaiveDate {
        let micros = match self.scale {
            Scale::Nanoseconds => moment.div_euclid(1_000),
            _ => moment,
        };
        let moment = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        if self.zoned {
            moment.with_timezone(&self.zone).date_naive()
        } else {
            moment.date_naive()
        }
    }

    /// The periods of joined rows and of waiting predictions; those between without any are there too.
    pub(crate) fn periods(
        &self,
        length: PeriodLength,
        joined: impl Iterator<Item = i64>,
        waiting: impl Iterator<Item = i64>,
    ) -> PeriodRows {
        let start = |moment: i64| length.start(self.of(moment));
        let of: Vec<NaiveDate> = joined.map(start).collect();
        let waits: Vec<NaiveDate> = waiting.map(start).collect();
        let mut starts: Vec<NaiveDate> = of.iter().chain(&waits).copied().collect();
        starts.sort_unstable();
        starts.dedup();
        if let (Some(first), Some(last)) = (starts.first().copied(), starts.last().copied()) {
            let all = std::iter::successors(Some(first), |start| length.next(*start));
            let all: Vec<NaiveDate> = all
                .take_while(|start| *start <= last)
                .take(PERIODS)
                .collect();
            if all.len() < PERIODS {
                starts = all;
            }
        }
        let place = |start: &NaiveDate| starts.partition_point(|other| other < start);
        let mut rows = PeriodRows {
            names: starts.iter().map(|start| length.name(*start)).collect(),
            of: of.iter().map(place).collect(),
            waiting: vec![0; starts.len()],
        };
        for start in &waits {
            rows.waiting[place(start)] += 1;
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_and_days_have_names_and_begin_in_the_pipelines_zone() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let week = PeriodLength::Week;
        assert_eq!(week.start(day("2026-01-01")), day("2025-12-29"));
        assert_eq!(week.name(day("2025-12-29")), "2026-W01");
        assert_eq!(
            PeriodLength::Month.next(day("2026-12-01")),
            Some(day("2027-01-01"))
        );
        let in_zone = |zoned| Day {
            scale: Scale::Microseconds,
            zone: chrono_tz::Europe::Berlin,
            zoned,
        };
        // 2026-01-31 23:30 UTC is in February in Berlin.
        let moment = 1_769_902_200_000_000;
        assert_eq!(in_zone(true).of(moment), day("2026-02-01"));
        assert_eq!(in_zone(false).of(moment), day("2026-01-31"));
    }
}
