//! `schedule:` and `interval:`.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;

use super::{
    super::{
        codes, suggest,
        yaml::{Node, NodeValue},
    },
    Reader, Section,
};
use crate::{
    time::{Timestamp, parse_duration},
    trigger::{Cadence, CadenceError, Catchup, Overlap, Schedule, Trigger},
};

const KEYS: &[&str] = &[
    "cron", "timezone", "every", "after", "match", "sensor", "catchup", "start", "end", "overlap",
];
const CATCHUP: &[(&str, Catchup)] = &[
    ("none", Catchup::None),
    ("latest", Catchup::Latest),
    ("all", Catchup::All),
];
const OVERLAP: &[(&str, Overlap)] = &[
    ("queue", Overlap::Queue),
    ("skip", Overlap::Skip),
    ("replace", Overlap::Replace),
];

impl Reader<'_> {
    /// What starts a pipeline.
    pub(super) fn schedule(&mut self, node: &Node) -> Option<Schedule> {
        if let NodeValue::Text(text) = &node.value {
            self.found
                .error(
                    codes::WRONG_TYPE,
                    node.mark,
                    "`schedule` must be a map, not text",
                )
                .hint(format!(
                    "`schedule: {{cron: \"{text}\"}}` or `{{every: 1h}}`"
                ));
            return None;
        }
        let section = self.section(node, "`schedule`", KEYS)?;
        let zone = section
            .get("timezone")
            .map_or(Some(Tz::UTC), |node| self.zone(node));
        let zone = zone.unwrap_or(Tz::UTC);
        let trigger = self.trigger(&section, zone);
        let catchup = section
            .get("catchup")
            .and_then(|node| self.choice(node, CATCHUP));
        let overlap = section
            .get("overlap")
            .and_then(|node| self.choice(node, OVERLAP));
        let start = section
            .get("start")
            .and_then(|node| self.moment(node, zone));
        let end = section.get("end").and_then(|node| self.moment(node, zone));
        let schedule = Schedule {
            trigger: trigger?,
            catchup: catchup.unwrap_or_default(),
            start,
            end,
            overlap: overlap.unwrap_or_default(),
        };
        self.fires_in_time(&section, &schedule);
        Some(schedule)
    }

    fn fires_in_time(&mut self, section: &Section<'_>, schedule: &Schedule) {
        let (Some(end), Some(node)) = (schedule.end, section.get("end")) else {
            return;
        };
        let start = schedule.start.unwrap_or(Timestamp::UNIX_EPOCH);
        let fires = schedule.cadence().is_none_or(|cadence| {
            cadence
                .interval_from(start)
                .is_some_and(|interval| interval.end <= end)
        });
        if end <= start {
            self.found.error(
                codes::NEVER_FIRES,
                node.mark,
                "the schedule ends before it starts",
            );
        } else if !fires {
            self.found.error(
                codes::NEVER_FIRES,
                node.mark,
                "no interval fits between `start` and `end`",
            );
        }
    }

    fn trigger(&mut self, section: &Section<'_>, zone: Tz) -> Option<Trigger> {
        let present: Vec<&str> = ["cron", "every", "after", "sensor"]
            .into_iter()
            .filter(|key| section.get(key).is_some())
            .collect();
        let [only] = present[..] else {
            let message = if present.is_empty() {
                "`schedule` does not say what starts the pipeline".to_owned()
            } else {
                format!("`schedule` has {}", suggest::listed(&present))
            };
            self.found
                .error(codes::SCHEDULE, section.mark, message)
                .hint("it has one of `cron`, `every`, `after` and `sensor`");
            return None;
        };
        if let Some(entry) = section.entry("match").filter(|_| only != "after") {
            self.found.error(
                codes::SCHEDULE,
                entry.key_mark,
                "`match` belongs to `after`",
            );
        }
        let node = section.get(only)?;
        match only {
            "cron" => self.cron(node, zone).map(Trigger::Time),
            "every" => self.every(node).map(Trigger::Time),
            "after" => {
                let pipelines = self
                    .texts(node)
                    .into_iter()
                    .map(|name| name.value.to_string())
                    .collect();
                let all = section
                    .get("match")
                    .and_then(|node| self.choice(node, &[("all", true), ("any", false)]))
                    .unwrap_or(true);
                Some(Trigger::After { pipelines, all })
            }
            _ => {
                let sensors = self
                    .texts(node)
                    .into_iter()
                    .map(|name| name.value.to_string())
                    .collect();
                Some(Trigger::Sensor(sensors))
            }
        }
    }

    /// A duration, a cron line, or a map of `cron` and `timezone` or `every`.
    pub(super) fn cadence(&mut self, node: &Node) -> Option<Cadence> {
        match &node.value {
            NodeValue::Text(text) if parse_duration(text).is_ok() => self.every(node),
            NodeValue::Text(_) => self.cron(node, Tz::UTC),
            NodeValue::Map(_) => {
                let section = self.section(node, "`interval`", &["cron", "timezone", "every"])?;
                let zone = section
                    .get("timezone")
                    .and_then(|node| self.zone(node))
                    .unwrap_or(Tz::UTC);
                match (section.get("cron"), section.get("every")) {
                    (Some(cron), None) => self.cron(cron, zone),
                    (None, Some(every)) => self.every(every),
                    _ => {
                        self.found.error(
                            codes::SCHEDULE,
                            section.mark,
                            "`interval` has either `cron` or `every`",
                        );
                        None
                    }
                }
            }
            _ => {
                self.wrong_type(node, "a duration or a cron line");
                None
            }
        }
    }

    fn cron(&mut self, node: &Node, zone: Tz) -> Option<Cadence> {
        let line = self.text(node)?;
        match Cadence::cron(line.value.trim(), zone) {
            Ok(cadence) => Some(cadence),
            Err(error) => {
                let code = match error {
                    CadenceError::NeverFires(_) => codes::NEVER_FIRES,
                    _ => codes::CRON,
                };
                let complaint = self.found.error(code, node.mark, error.to_string());
                if code == codes::CRON {
                    complaint
                        .hint("minute hour day month weekday, such as `0 12 * * *`; or `@daily`");
                } else {
                    complaint.hint("there is no such date");
                }
                None
            }
        }
    }

    fn every(&mut self, node: &Node) -> Option<Cadence> {
        let stretch = self.duration(node)?;
        match Cadence::every(stretch) {
            Ok(cadence) => Some(cadence),
            Err(error) => {
                self.found
                    .error(codes::OUT_OF_RANGE, node.mark, error.to_string());
                None
            }
        }
    }

    fn zone(&mut self, node: &Node) -> Option<Tz> {
        let text = self.text(node)?;
        let zone = text.value.parse::<Tz>().ok();
        if zone.is_none() {
            let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            let hint = match suggest::similar(&text.value, names) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "write it as `Europe/Berlin`".to_owned(),
            };
            self.found
                .error(
                    codes::TIMEZONE,
                    node.mark,
                    format!("`{}` is not a time zone", text.value),
                )
                .hint(hint);
        }
        zone
    }

    /// A date or a moment, in `zone` unless it says another.
    fn moment(&mut self, node: &Node, zone: Tz) -> Option<Timestamp> {
        let text = self.text(node)?;
        let moment = parse_moment(&text.value, zone);
        if moment.is_none() {
            self.found
                .error(
                    codes::TIME,
                    node.mark,
                    format!("`{}` is not a date or moment", text.value),
                )
                .hint("write `2026-01-31` or `2026-01-31T08:00:00+01:00`");
        }
        moment
    }
}

/// A date (its midnight), a local time or an RFC 3339 moment.
pub(crate) fn parse_moment(text: &str, zone: Tz) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<chrono::DateTime<chrono::FixedOffset>>() {
        return Some(moment.to_utc());
    }
    let local = text
        .parse::<NaiveDateTime>()
        .ok()
        .or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN)))?;
    zone.from_local_datetime(&local)
        .earliest()
        .map(|moment| moment.to_utc())
}
