//! `schedule:` and `interval:`.

use std::sync::Arc;

use chrono_tz::Tz;

use super::{
    super::{
        Mark, codes,
        file::Placed,
        suggest,
        yaml::{Node, NodeValue},
    },
    Reader, Section,
};
use crate::{
    time::{Timestamp, parse_duration},
    trigger::{Cadence, CadenceError, Catchup, Overlap, Schedule, Trigger, parse_moment},
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
    /// What starts a pipeline, and the names in it with their places.
    pub(super) fn schedule(&mut self, node: &Node) -> Option<(Schedule, Vec<Placed<Arc<str>>>)> {
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
        let mut names = Vec::new();
        let trigger = self.trigger(&section, zone, &mut names);
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
        self.fits_trigger(&section);
        let schedule = Schedule {
            trigger: trigger?,
            catchup: catchup.unwrap_or_default(),
            start,
            end,
            overlap: overlap.unwrap_or_default(),
        };
        self.fires_in_time(&section, &schedule);
        Some((schedule, names))
    }

    /// Only what goes by time can miss an interval or be too early: what was sensed, or has succeeded, is never left out.
    fn fits_trigger(&mut self, section: &Section<'_>) {
        let Some(trigger) = ["sensor", "after"]
            .into_iter()
            .find(|key| section.get(key).is_some())
        else {
            return;
        };
        for key in ["catchup", "overlap"] {
            let Some(entry) = section.entry(key) else {
                continue;
            };
            let message = format!("`{key}` belongs to `cron` and `every`, not to `{trigger}`");
            self.found
                .error(codes::SCHEDULE, entry.key_mark, message)
                .hint("each thing that is sensed, and each success, has its run: they wait for their turn, `max_active_runs` at once");
        }
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

    fn trigger(
        &mut self,
        section: &Section<'_>,
        zone: Tz,
        names: &mut Vec<Placed<Arc<str>>>,
    ) -> Option<Trigger> {
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
            "every" => Some(Trigger::Time(self.every(node)?.shown_in(zone))),
            "after" => {
                *names = self.some_texts(node, only)?;
                let all = section
                    .get("match")
                    .and_then(|node| self.choice(node, &[("all", true), ("any", false)]))
                    .unwrap_or(true);
                let pipelines = plain(names);
                Some(Trigger::After { pipelines, all })
            }
            _ => {
                *names = self.some_texts(node, only)?;
                Some(Trigger::Sensor(plain(names)))
            }
        }
    }

    /// At least one text.
    fn some_texts(&mut self, node: &Node, key: &str) -> Option<Vec<Placed<Arc<str>>>> {
        let texts = self.texts(node);
        if texts.is_empty() {
            self.nothing(node, key);
            return None;
        }
        Some(texts)
    }

    fn nothing(&mut self, node: &Node, key: &str) {
        if self.items(node).is_empty() {
            let message = format!("`{key}` names nothing");
            self.found.error(codes::SCHEDULE, node.mark, message);
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
                    (None, Some(every)) => Some(self.every(every)?.shown_in(zone)),
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

    /// A cron line or a list of them; each is judged where it stands.
    fn cron(&mut self, node: &Node, zone: Tz) -> Option<Cadence> {
        let lines = self.texts(node);
        self.nothing(node, "cron");
        let mut sound = !lines.is_empty();
        for line in &lines {
            if let Err(error) = Cadence::cron(&line.value, zone) {
                self.bad_cron(line.mark, &error);
                sound = false;
            }
        }
        let lines = lines.iter().map(|line| &*line.value);
        Cadence::crons(lines, zone).ok().filter(|_| sound)
    }

    fn bad_cron(&mut self, mark: Mark, error: &CadenceError) {
        let (code, hint) = match error {
            CadenceError::NeverFires(_) => (codes::NEVER_FIRES, "there is no such date"),
            _ => (
                codes::CRON,
                "minute hour day month weekday, such as `0 12 * * *`; or `@daily`",
            ),
        };
        self.found.error(code, mark, error.to_string()).hint(hint);
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

fn plain(names: &[Placed<Arc<str>>]) -> Vec<String> {
    names.iter().map(|name| name.value.to_string()).collect()
}
