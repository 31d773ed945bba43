//! Dates and times in ISO 8601's form, the only one that means the same everywhere.

use chrono::{FixedOffset, NaiveDate, NaiveTime, TimeDelta};
use polars::prelude::*;

/// What a text looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A day.
    Date,
    /// A moment without a zone.
    Naive,
    /// A moment with a zone.
    Zoned,
}

impl Form {
    /// polars' type for it.
    pub(crate) fn polars(self) -> DataType {
        match self {
            Self::Date => DataType::Date,
            Self::Naive => DataType::Datetime(TimeUnit::Microseconds, None),
            Self::Zoned => DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
        }
    }
}

/// What `text` looks like.
pub(crate) fn form(text: &str) -> Option<Form> {
    match moment(text)? {
        Moment { time: None, .. } => Some(Form::Date),
        Moment { zone: None, .. } => Some(Form::Naive),
        Moment { zone: Some(_), .. } => Some(Form::Zoned),
    }
}

struct Moment {
    date: NaiveDate,
    time: Option<NaiveTime>,
    zone: Option<FixedOffset>,
}

/// `2026-03-01`, then perhaps `T` or a space and a time, then perhaps `Z` or an offset.
fn moment(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let number = |from: usize, to: usize| digits(bytes.get(from..to)?);
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(number(0, 4)?).ok()?,
        number(5, 7)?,
        number(8, 10)?,
    )?;
    if bytes.len() == 10 {
        return Some(Moment {
            date,
            time: None,
            zone: None,
        });
    }
    if !matches!(bytes.get(10), Some(b'T' | b' ')) {
        return None;
    }
    let rest = text.get(11..)?;
    let (clock, zone) = zone(rest)?;
    Some(Moment {
        date,
        time: Some(time(clock)?),
        zone,
    })
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0_u32, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + u32::from(byte - b'0'))
    })
}

/// `12:30`, `12:30:15` or `12:30:15.123456`.
fn time(text: &str) -> Option<NaiveTime> {
    let (clock, fraction) = text
        .split_once('.')
        .map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let mut parts = clock.split(':');
    let mut part = || {
        let part = parts.next()?;
        if part.len() == 2 {
            digits(part.as_bytes())
        } else {
            None
        }
    };
    let (hour, minute) = (part()?, part()?);
    let second = if clock.len() > 5 { part()? } else { 0 };
    if parts.next().is_some() || (fraction.is_some() && clock.len() != 8) {
        return None;
    }
    let nanoseconds = match fraction {
        None => 0,
        Some(fraction) if (1..=9).contains(&fraction.len()) => {
            digits(fraction.as_bytes())? * 10_u32.pow(9 - u32::try_from(fraction.len()).ok()?)
        }
        Some(_) => return None,
    };
    NaiveTime::from_hms_nano_opt(hour, minute, second, nanoseconds)
}

/// A time without its zone, and the zone.
fn zone(text: &str) -> Option<(&str, Option<FixedOffset>)> {
    if let Some(clock) = text.strip_suffix('Z') {
        return Some((clock, Some(FixedOffset::east_opt(0)?)));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, None));
    };
    let (clock, offset) = text.split_at_checked(at)?;
    let plain: Vec<u8> = offset
        .bytes()
        .skip(1)
        .filter(|byte| *byte != b':')
        .collect();
    let (hours, minutes) = match plain.len() {
        2 => (digits(&plain)?, 0),
        4 => (digits(plain.get(..2)?)?, digits(plain.get(2..)?)?),
        _ => return None,
    };
    let seconds = i32::try_from(hours * 3_600 + minutes * 60).ok()?;
    Some((
        clock,
        Some(FixedOffset::east_opt(if offset.starts_with('-') {
            -seconds
        } else {
            seconds
        })?),
    ))
}

/// The column as `to`; else the row of the first text that is none, or what polars complains about.
pub(crate) fn converted(
    text: &StringChunked,
    to: &DataType,
) -> Result<Column, Result<usize, PolarsError>> {
    let mut values = Vec::with_capacity(text.len());
    for (row, text) in text.iter().enumerate() {
        values.push(match text {
            None => None,
            Some(text) => Some(physical(text, to).ok_or(Ok(row))?),
        });
    }
    let column = Column::new(text.name().clone(), values);
    let column = match to {
        DataType::Date => column.cast(&DataType::Int32).and_then(|days| days.cast(to)),
        _ => column.cast(to),
    };
    column.map_err(Err)
}

/// A date as polars keeps it: days since 1970.
#[inline]
pub(crate) fn day(text: &str) -> Option<i32> {
    let Moment {
        date, time: None, ..
    } = moment(text)?
    else {
        return None;
    };
    Some(date.to_epoch_days())
}

/// A text as polars keeps the type: days, microseconds, or nanoseconds of a day.
pub(crate) fn physical(text: &str, to: &DataType) -> Option<i64> {
    if *to == DataType::Time {
        let since = time(text)?.signed_duration_since(NaiveTime::MIN);
        return since.num_nanoseconds();
    }
    let moment = moment(text)?;
    if *to == DataType::Date {
        return (moment.time.is_none()).then(|| moment.date.to_epoch_days().into());
    }
    let zoned = matches!(to, DataType::Datetime(_, Some(_)));
    if moment.zone.is_some() && !zoned {
        return None;
    }
    let naive = moment.date.and_time(moment.time.unwrap_or_default());
    // What has no zone counts as UTC.
    let offset = moment.zone.map_or(0, |zone| zone.local_minus_utc());
    let utc = naive.checked_sub_signed(TimeDelta::seconds(offset.into()))?;
    Some(utc.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_iso_is_recognised() {
        for (text, expected) in [
            ("2026-03-01", Some(Form::Date)),
            ("2026-03-01T12:30", Some(Form::Naive)),
            ("2026-03-01 12:30:15.5", Some(Form::Naive)),
            ("2026-03-01T12:30:15Z", Some(Form::Zoned)),
            ("2026-03-01T12:30:15.123456+01:00", Some(Form::Zoned)),
            ("2026-03-01 12:30-0530", Some(Form::Zoned)),
            ("2026-02-30", None),
            ("01.03.2026", None),
            ("2026-3-1", None),
            ("2026-03-01T25:00", None),
            ("2026-03-01x", None),
            ("2026-03-01T12:30:15.", None),
            ("20260301", None),
            ("ä026-03-0", None),
            ("", None),
        ] {
            assert_eq!(form(text), expected, "{text}");
        }
    }

    #[test]
    fn moments_become_utc() {
        let utc = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
        let noon = physical("2026-03-01T12:00:00Z", &utc).unwrap();
        for text in [
            "2026-03-01T13:00:00+01:00",
            "2026-03-01 12:00",
            "2026-03-01T06:30:00-05:30",
        ] {
            assert_eq!(physical(text, &utc), Some(noon), "{text}");
        }
        assert_eq!(physical("1969-12-31", &DataType::Date), Some(-1));
        assert_eq!(physical("00:00:01.5", &DataType::Time), Some(1_500_000_000));
        assert_eq!(physical("2026-03-01T12:00", &DataType::Date), None);
        let naive = DataType::Datetime(TimeUnit::Microseconds, None);
        assert_eq!(physical("2026-03-01T12:00Z", &naive), None);
    }
}
