//! When a scheduled pipeline runs next, and how much a daemon that sees it for the first time would catch up with.

use pipectl_engine::{
    plan::Plan,
    time::{Interval, Timestamp},
    trigger::{Cadence, Catchup, Schedule},
};
use serde::Serialize;

/// How many of the next runs are told.
const NEXT: usize = 5;

/// Up to how many runs to catch up with are counted.
const COUNTED: usize = 100_000;

/// The next runs of a scheduled pipeline.
#[derive(Debug, Serialize)]
pub(super) struct Upcoming {
    file: String,
    pipeline: String,
    /// The moments or stretches of the schedule, as they are written.
    schedule: String,
    zone: &'static str,
    /// When it runs next, in its zone.
    next: Vec<String>,
    catchup: &'static str,
    /// How many runs a daemon that sees it for the first time makes at once.
    backlog: usize,
    #[serde(skip)]
    shown: Vec<String>,
    #[serde(skip)]
    start: Option<String>,
}

impl Upcoming {
    /// What is to be said of a pipeline that is started by time.
    pub(super) fn of(plan: &Plan, now: Timestamp) -> Option<Self> {
        let schedule = plan.schedule.as_ref()?;
        let cadence = schedule.cadence()?;
        let zone = cadence.zone();
        let next: Vec<Interval> = schedule.upcoming(now).take(NEXT).collect();
        let local = |moment: &Timestamp| moment.with_timezone(&zone);
        Some(Self {
            file: plan.source.path.to_string(),
            pipeline: plan.name.to_string(),
            schedule: cadence.to_string(),
            zone: zone.name(),
            next: next
                .iter()
                .map(|interval| local(&interval.end).to_rfc3339())
                .collect(),
            catchup: match schedule.catchup {
                Catchup::None => "none",
                Catchup::Latest => "latest",
                Catchup::All => "all",
            },
            backlog: schedule.backlog(now, COUNTED),
            shown: next
                .iter()
                .map(|interval| shown(cadence, interval.end))
                .collect(),
            start: started(schedule, now).map(|start| shown(cadence, start)),
        })
    }

    /// The same for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![if self.shown.is_empty() {
            format!("`{}` is over: it runs no more", self.schedule)
        } else {
            format!("next runs ({}): {}", self.zone, self.shown.join(", "))
        }];
        if let Some(start) = &self.start {
            lines.push(format!(
                "catching up since {start} (`catchup: {}`) makes {}",
                self.catchup,
                match self.backlog {
                    0 => "no run".to_owned(),
                    1 => "1 run".to_owned(),
                    COUNTED => format!("more than {COUNTED} runs"),
                    count => format!("{count} runs"),
                }
            ));
        }
        lines
    }
}

/// The start, when it is in the past.
fn started(schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    schedule.start.filter(|start| *start < now)
}

fn shown(cadence: &Cadence, moment: Timestamp) -> String {
    let local = moment.with_timezone(&cadence.zone());
    let format = if moment.timestamp() % 60 == 0 {
        "%F %H:%M"
    } else {
        "%F %T"
    };
    local.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use pipectl_engine::trigger::{Trigger, parse_moment};

    use super::*;

    fn plan(catchup: Catchup, start: &str, end: Option<&str>) -> Plan {
        let zone = "Europe/Berlin".parse().unwrap();
        let at = |text: &str| parse_moment(text, zone);
        let noon = Cadence::cron("0 12 * * *", zone).unwrap();
        let mut plan = pipectl_engine::plan::testing::plan("noon");
        plan.schedule = Some(Schedule {
            catchup,
            start: at(start),
            end: end.and_then(at),
            ..Schedule::new(Trigger::Time(noon))
        });
        plan
    }

    #[test]
    fn people_read_when_and_how_many() {
        let now = "2026-03-27T13:00:00Z".parse().unwrap();
        let next = "next runs (Europe/Berlin): 2026-03-28 12:00, 2026-03-29 12:00, \
            2026-03-30 12:00, 2026-03-31 12:00, 2026-04-01 12:00";
        for (catchup, runs) in [
            (Catchup::None, "`catchup: none`) makes no run"),
            (Catchup::Latest, "`catchup: latest`) makes 1 run"),
            (Catchup::All, "`catchup: all`) makes 85 runs"),
        ] {
            let upcoming = Upcoming::of(&plan(catchup, "2026-01-01", None), now).unwrap();
            let since = format!("catching up since 2026-01-01 00:00 ({runs}");
            assert_eq!(upcoming.lines(), [next.to_owned(), since]);
            let document = serde_json::to_value(&upcoming).unwrap();
            assert_eq!(document["next"][0], "2026-03-28T12:00:00+01:00");
            assert_eq!(document["next"][1], "2026-03-29T12:00:00+02:00");
        }
        let future = Upcoming::of(&plan(Catchup::All, "2026-04-01", None), now).unwrap();
        assert_eq!(future.lines().len(), 1);
        let over = plan(Catchup::None, "2026-01-01", Some("2026-02-01"));
        let over = Upcoming::of(&over, now).unwrap().lines();
        assert_eq!(
            over[0],
            "`0 12 * * * Europe/Berlin` is over: it runs no more"
        );
    }
}
