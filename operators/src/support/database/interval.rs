//! Rows by the run's interval.

use chrono::{DateTime, NaiveDate};
use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{
    bound::moment,
    fit::plain,
    job::{Job, RowsInterval},
    table::{Holds, TableColumn},
};
use crate::support::{frame::polars_error, settings::type_name, text::hint_for_name};

/// The run's interval as a column of dates or times knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The first value, as text.
    pub(super) start: String,
    /// The first value after it, as text.
    pub(super) end: String,
    /// The same in microseconds.
    range: (i64, i64),
}

impl Bounds {
    /// The interval for a column that holds days or moments: days in the pipeline's zone, moments in UTC.
    ///
    /// # Errors
    /// When the column holds something else, or the interval is shorter than its days.
    pub(super) fn of(interval: &RowsInterval, holds: Holds) -> Result<Self, TaskError> {
        let RowsInterval { column, start, end } = interval;
        let broken = || TaskError::bug("the run's interval is none");
        if holds == Holds::Date {
            let day = |text: &str| {
                let moment = DateTime::parse_from_rfc3339(text).ok()?;
                Some(moment.date_naive())
            };
            let (first, past) = (day(start).ok_or_else(broken)?, day(end).ok_or_else(broken)?);
            if first >= past {
                return Err(TaskError::user(format!(
                    "the run's interval from {start} to {end} is no whole day, and `{column}` holds days"
                ))
                .hint("name a column that holds moments"));
            }
            let micros = |day: NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc();
            return Ok(Self {
                start: first.to_string(),
                end: past.to_string(),
                range: (
                    micros(first).timestamp_micros(),
                    micros(past).timestamp_micros(),
                ),
            });
        }
        let (first, past) = (moment(start), moment(end));
        let (first, past) = (first.ok_or_else(broken)?, past.ok_or_else(broken)?);
        let text = |moment: DateTime<chrono::Utc>| match holds {
            Holds::TimestampTz => moment.to_rfc3339(),
            _ => moment.naive_utc().to_string(),
        };
        Ok(Self {
            start: text(first),
            end: text(past),
            range: (first.timestamp_micros(), past.timestamp_micros()),
        })
    }
}

impl Job {
    /// The interval whose rows are to be deleted.
    ///
    /// # Errors
    /// When there is no such column, or it holds no dates or times.
    pub(super) fn bounds(
        &self,
        interval: &RowsInterval,
        columns: &[TableColumn],
    ) -> Result<Bounds, TaskError> {
        let name = interval.column.as_str();
        let position = columns.iter().position(|column| column.name == name);
        let Some((target, column)) = position.and_then(|position| {
            Some((columns.get(position)?, self.rows.columns().get(position)?))
        }) else {
            return Err(TaskError::user(format!(
                "`{}` has no column `{name}`, which is named under `interval_column`",
                self.name
            ))
            .hint(hint_for_name(name, "its columns are", self.rows.names())));
        };
        if !matches!(column.dtype(), DataType::Date | DataType::Datetime(_, _)) {
            return Err(TaskError::user(format!(
                "`{name}` of `{}` is {}: an interval has dates or times",
                self.name,
                type_name(column.dtype())
            ))
            .hint(format!(
                "make it one in a `transform: sql`: `cast({name} as date) as {name}`"
            )));
        }
        Bounds::of(interval, target.holds)
    }

    /// Refuses rows that are not in the interval. `before` rows come before the part.
    ///
    /// # Errors
    /// Names the first that is outside.
    pub(super) fn all_within(
        &self,
        part: &DataFrame,
        before: usize,
        bounds: &Bounds,
    ) -> Result<(), TaskError> {
        let fail = |error: PolarsError| polars_error("look at the rows' interval", &error);
        let Some(interval) = &self.interval else {
            return Ok(());
        };
        let column = part.column(&interval.column).map_err(fail)?;
        let micros = column
            .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
            .and_then(|moments| moments.cast(&DataType::Int64))
            .map_err(fail)?;
        let micros = micros.i64().map_err(fail)?;
        let (start, end) = bounds.range;
        let outside = micros
            .iter()
            .position(|moment| moment.is_none_or(|moment| moment < start || moment >= end));
        let Some(row) = outside else { return Ok(()) };
        let value = column.get(row).map_err(fail)?;
        Err(TaskError::user(format!(
            "row {} of `{}`: `{}` is {}, which is not in the run's interval from {} to {}",
            before + row + 1,
            self.name,
            column.name(),
            plain(&value),
            interval.start,
            interval.end
        ))
        .hint("a later run of the same interval would not find the row; leave it out in a `transform: sql`"))
    }
}
