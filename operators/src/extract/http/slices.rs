//! The run's interval cut into slices, one series of calls each.

use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta};
use chrono_tz::Tz;
use pipectl_engine::{
    operator::{Complaints, DurationText, Interval, TaskError},
    time::Timestamp,
    trigger::parse_moment,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// More slices are taken for a mistake.
const MOST: usize = 100_000;
const DAY: Duration = Duration::from_secs(86_400);

/// How the run's interval is cut, and how the API is told of a slice.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slice {
    /// How long a slice is, as in `1d` or `6h`; the last one may be shorter.
    pub(super) every: DurationText,
    /// The parameter that gets a slice's first moment.
    pub(super) start: Option<String>,
    /// The parameter that gets a slice's end.
    pub(super) end: Option<String>,
    /// How moments are written: `rfc3339` (`2026-03-01T00:00:00Z`), `date` (`2026-03-01`), `unix` (seconds), `unix_ms`, or
    /// a pattern as in `%Y-%m-%d %H:%M`.
    #[serde(default = "rfc3339")]
    pub(super) format: String,
    /// Whether the API counts the end itself as within: it then gets the last day (`date`), second or millisecond of the
    /// slice instead.
    #[serde(default)]
    pub(super) end_inclusive: bool,
    /// The zone whose days are meant and in which moments are written; the pipeline's when it is left out.
    pub(super) timezone: Option<String>,
}

fn rfc3339() -> String {
    "rfc3339".to_owned()
}

/// One slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) start: String,
    pub(super) end: String,
}

impl Slice {
    pub(super) fn check(&self, path: &str, found: &mut Complaints) {
        if self.every.0 < Duration::from_secs(1) {
            found
                .error(
                    &["slice", "every"],
                    "slices of less than a second are too many",
                )
                .hint("write `1d`");
        }
        if self.start.is_none()
            && self.end.is_none()
            && !path.contains("{start}")
            && !path.contains("{end}")
        {
            found
                .error(
                    &["slice"],
                    "the API is not told of the slice: each would get the same answer",
                )
                .hint("name its parameters as `start:` and `end:`, or write `{start}` in the path");
        }
        if self.zone(Tz::UTC).is_none() {
            found
                .error(&["slice", "timezone"], "there is no such zone")
                .hint("write one of the IANA zones, as in `Europe/Berlin`");
        }
        if !self.readable() {
            found
                .error(&["slice", "format"], format!("`{}` is no way to write a moment", self.format))
                .hint("write `rfc3339`, `date`, `unix`, `unix_ms`, or a pattern as in `%Y-%m-%d %H:%M`");
        }
    }

    fn readable(&self) -> bool {
        match self.format.as_str() {
            "rfc3339" | "date" | "unix" | "unix_ms" => true,
            pattern => {
                let mut items = chrono::format::StrftimeItems::new(pattern);
                pattern.contains('%') && !items.any(|item| item == chrono::format::Item::Error)
            }
        }
    }

    fn zone(&self, of_pipeline: Tz) -> Option<Tz> {
        let given = self.timezone.as_deref();
        given.map_or(Some(of_pipeline), |zone| zone.parse().ok())
    }

    /// The slices of an interval.
    pub(super) fn cuts(&self, interval: Interval, of_pipeline: Tz) -> Result<Vec<Cut>, TaskError> {
        let zone = self
            .zone(of_pipeline)
            .ok_or_else(|| TaskError::user("the time zone of `slice` is not known"))?;
        if !self.readable() {
            return Err(TaskError::user(format!(
                "`{}` is no way to write a moment",
                self.format
            )));
        }
        let mut cuts = Vec::new();
        let mut start = interval.start;
        while start < interval.end {
            if cuts.len() == MOST {
                return Err(
                    TaskError::user(format!("the interval has more than {MOST} slices"))
                        .hint("make `slice.every` longer"),
                );
            }
            let end = self
                .step(interval.start, cuts.len() + 1, zone)
                .filter(|end| *end > start);
            let end = end.unwrap_or(interval.end).min(interval.end);
            cuts.push(Cut {
                start: self.written(start, zone),
                end: self.written(self.last(end), zone),
            });
            start = end;
        }
        Ok(cuts)
    }

    /// The end of slice `number`, counted from 1. Days are those of the zone: one may have 23 or 25 hours.
    fn step(&self, from: Timestamp, number: usize, zone: Tz) -> Option<Timestamp> {
        let length = TimeDelta::from_std(self.every.0).ok()?;
        let whole = length.checked_mul(i32::try_from(number).ok()?)?;
        if !self.every.0.as_secs().is_multiple_of(DAY.as_secs()) {
            return from.checked_add_signed(whole);
        }
        let local: NaiveDateTime = from.with_timezone(&zone).naive_local();
        parse_moment(
            &local
                .checked_add_signed(whole)?
                .format("%FT%T%.f")
                .to_string(),
            zone,
        )
    }

    fn last(&self, end: Timestamp) -> Timestamp {
        if !self.end_inclusive {
            return end;
        }
        match self.format.as_str() {
            "date" => end - TimeDelta::days(1),
            "unix_ms" => end - TimeDelta::milliseconds(1),
            _ => end - TimeDelta::seconds(1),
        }
    }

    fn written(&self, moment: Timestamp, zone: Tz) -> String {
        let local = moment.with_timezone(&zone);
        match self.format.as_str() {
            "rfc3339" if zone == Tz::UTC => moment.format("%FT%TZ").to_string(),
            "rfc3339" => local.format("%FT%T%:z").to_string(),
            "date" => local.format("%F").to_string(),
            "unix" => moment.timestamp().to_string(),
            "unix_ms" => moment.timestamp_millis().to_string(),
            pattern => local.format(pattern).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cuts(settings: Value, from: &str, to: &str) -> Vec<(String, String)> {
        let slice: Slice = serde_json::from_value(settings).unwrap();
        let interval = Interval {
            start: from.parse().unwrap(),
            end: to.parse().unwrap(),
        };
        let cuts = slice.cuts(interval, Tz::UTC).unwrap();
        cuts.into_iter().map(|cut| (cut.start, cut.end)).collect()
    }

    #[test]
    fn three_years_are_their_days() {
        let all = cuts(
            json!({"every": "1d", "start": "a", "format": "date"}),
            "2023-01-01T00:00:00Z",
            "2025-12-31T00:00:00Z",
        );
        assert_eq!(all.len(), 1_095);
        assert_eq!(all[0], ("2023-01-01".into(), "2023-01-02".into()));
        assert_eq!(all[1_094], ("2025-12-30".into(), "2025-12-31".into()));
    }

    #[test]
    fn moments_are_written_as_the_api_wants_them() {
        let (from, to) = ("2026-03-01T00:00:00Z", "2026-03-01T12:00:00Z");
        for (format, inclusive, start, end) in [
            (
                "rfc3339",
                false,
                "2026-03-01T00:00:00Z",
                "2026-03-01T12:00:00Z",
            ),
            (
                "rfc3339",
                true,
                "2026-03-01T00:00:00Z",
                "2026-03-01T11:59:59Z",
            ),
            ("unix", false, "1772323200", "1772366400"),
            ("unix_ms", true, "1772323200000", "1772366399999"),
            (
                "%d.%m.%Y %H:%M",
                false,
                "01.03.2026 00:00",
                "01.03.2026 12:00",
            ),
        ] {
            let settings =
                json!({"every": "1d", "start": "a", "format": format, "end_inclusive": inclusive});
            assert_eq!(
                cuts(settings, from, to),
                [(start.to_owned(), end.to_owned())],
                "{format}"
            );
        }
        let settings =
            json!({"every": "1d", "start": "a", "format": "date", "end_inclusive": true});
        let days = cuts(settings, from, "2026-03-03T00:00:00Z");
        assert_eq!(
            days,
            [
                ("2026-03-01".into(), "2026-03-01".into()),
                ("2026-03-02".into(), "2026-03-02".into())
            ]
        );
    }

    #[test]
    fn a_day_of_a_zone_may_have_23_hours() {
        let settings = json!({"every": "1d", "start": "a", "timezone": "Europe/Berlin"});
        let days = cuts(settings, "2026-03-27T23:00:00Z", "2026-03-29T22:00:00Z");
        let expected = [
            ("2026-03-28T00:00:00+01:00", "2026-03-29T00:00:00+01:00"),
            ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        ];
        assert_eq!(
            days,
            expected.map(|(start, end)| (start.to_owned(), end.to_owned()))
        );
    }
}
