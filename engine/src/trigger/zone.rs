//! Local time and real time: where they meet, and where a zone shifts its clocks.
//!
//! Whole seconds of Unix time, because zones shift on whole seconds.

use chrono::{
    DateTime, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone,
};
use chrono_tz::Tz;

use crate::time::Timestamp;

const DAY: i64 = 86_400;

/// Reads a date (its first moment in `zone`), a local time in `zone`, or an RFC 3339 moment.
pub fn parse_moment(text: &str, zone: Tz) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<DateTime<FixedOffset>>() {
        return Some(moment.to_utc());
    }
    let local = text
        .parse::<NaiveDateTime>()
        .ok()
        .or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN)))?;
    Timestamp::from_timestamp(once(local, zone)?, local.and_utc().timestamp_subsec_nanos())
}

/// What the zone's clocks show ahead of UTC, in seconds.
pub(super) fn offset(second: i64, zone: Tz) -> Option<i64> {
    let utc = DateTime::from_timestamp(second, 0)?.naive_utc();
    let offset = zone.offset_from_utc_datetime(&utc).fix();
    Some(i64::from(offset.local_minus_utc()))
}

/// What clocks show that are `offset` ahead of UTC.
pub(super) fn shown(second: i64, offset: i64) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp(second.checked_add(offset)?, 0)?.naive_utc())
}

/// The second at which clocks that are `offset` ahead of UTC show `local`.
pub(super) fn meant(local: NaiveDateTime, offset: i64) -> i64 {
    local.and_utc().timestamp() - offset
}

/// When something set for `local` happens, once: a repeated time the first time, a skipped one right after the gap.
pub(super) fn once(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.timestamp()),
        LocalResult::None => gap_end(local, zone),
    }
}

/// The first second after the gap in which `local` lies.
fn gap_end(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    let local = local.and_utc().timestamp();
    // No zone is further from UTC than this.
    let around = DAY + 2 * 3_600;
    first(local - around, local + around, |second| {
        Some(second + offset(second, zone)? > local)
    })
}

/// The first second in (`from`, `to`] at which the clocks have shifted.
pub(super) fn shift_after(from: i64, to: i64, zone: Tz) -> Option<i64> {
    let before = offset(from, zone)?;
    let mut low = from;
    // Day by day: two shifts far apart may leave the same offset.
    while low < to {
        let high = to.min(low + DAY);
        if offset(high, zone)? != before {
            return first(low, high, |second| Some(offset(second, zone)? != before));
        }
        low = high;
    }
    None
}

/// The last second in (`from`, `to`] at which the clocks have shifted.
pub(super) fn shift_before(from: i64, to: i64, zone: Tz) -> Option<i64> {
    let after = offset(to, zone)?;
    let mut high = to;
    while high > from {
        let low = from.max(high - DAY);
        if offset(low, zone)? != after {
            return first(low, high, |second| Some(offset(second, zone)? == after));
        }
        high = low;
    }
    None
}

/// The first second in (`low`, `high`] for which `is` holds; it holds from there on, and at `high`.
fn first(low: i64, high: i64, is: impl Fn(i64) -> Option<bool>) -> Option<i64> {
    let (mut low, mut high) = (low, high);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if is(middle)? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_begin_where_their_day_does() {
        let table = [
            ("2026-07-01", Tz::Europe__Berlin, "2026-06-30T22:00:00Z"),
            (
                "2026-07-01T08:30:00.25",
                Tz::Europe__Berlin,
                "2026-07-01T06:30:00.25Z",
            ),
            (
                "2026-07-01T08:30:00+05:30",
                Tz::Europe__Berlin,
                "2026-07-01T03:00:00Z",
            ),
            // Clocks in Chile are put forward at midnight: the day begins at one.
            ("2025-09-07", Tz::America__Santiago, "2025-09-07T04:00:00Z"),
            // And back at midnight: the hour before it comes twice.
            ("2025-04-06", Tz::America__Santiago, "2025-04-06T04:00:00Z"),
            // Samoa left a day out when it changed sides of the date line.
            ("2011-12-30", Tz::Pacific__Apia, "2011-12-30T10:00:00Z"),
        ];
        for (text, zone, moment) in table {
            assert_eq!(
                parse_moment(text, zone),
                moment.parse().ok(),
                "{text} {zone}"
            );
        }
        for text in ["", "tomorrow", "2026-02-30", "08:00"] {
            assert_eq!(parse_moment(text, Tz::UTC), None, "{text}");
        }
    }
}
