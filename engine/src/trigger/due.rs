//! Which intervals are due: of a schedule, a cursor that is stored, and the time it is now.
//!
//! The cursor is the last moment of the schedule that has been judged. It never goes back, so a clock that does makes
//! nothing twice.

use chrono::TimeDelta;

use super::{Cadence, Catchup, Schedule};
use crate::time::{Interval, Timestamp};

/// How late a moment may be judged and still count as on time, for `catchup: none`.
const ON_TIME: TimeDelta = TimeDelta::seconds(60);

/// How many moments are judged at once.
const MOST: usize = 5_000;

/// What a schedule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The intervals that get a run, the earliest first.
    pub intervals: Vec<Interval>,
    /// The new cursor.
    pub cursor: Timestamp,
    /// Whether more is due at once, from the new cursor on: years of minutes come in portions.
    pub more: bool,
}

impl Schedule {
    /// The cursor of a schedule that is seen for the first time: without a `start` in the past there is nothing to catch up with.
    pub fn first_cursor(&self, now: Timestamp) -> Timestamp {
        self.start.filter(|start| *start < now).unwrap_or(now)
    }

    /// What is due at `now`, when everything until `cursor` has been judged.
    pub fn due(&self, cursor: Timestamp, now: Timestamp) -> Due {
        let nothing = |cursor| Due {
            intervals: Vec::new(),
            cursor,
            more: false,
        };
        let Some(cadence) = self.cadence().filter(|_| now > cursor) else {
            return nothing(cursor);
        };
        let Some(last) = cadence.last_until(now).filter(|last| *last > cursor) else {
            return nothing(cursor);
        };
        match self.catchup {
            Catchup::All => self.all(cadence, cursor, last),
            Catchup::None if now - last > ON_TIME => nothing(last),
            Catchup::None | Catchup::Latest => Due {
                intervals: self.latest(cadence, cursor, last).into_iter().collect(),
                ..nothing(last)
            },
        }
    }

    /// The end of the first interval after `after` that gets a run, which is when it gets it.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.upcoming(after).next().map(|interval| interval.end)
    }

    /// The intervals that get a run after `after`, the next one first.
    pub fn upcoming(&self, after: Timestamp) -> impl Iterator<Item = Interval> + use<'_> {
        let cadence = self.cadence();
        let first = cadence.and_then(|cadence| match self.start.filter(|start| *start > after) {
            Some(start) => cadence.interval_from(start),
            None => cadence
                .interval_until(cadence.next_after(after)?)
                // The first moment after the start may end an interval that began before it.
                .filter(|interval| self.start.is_none_or(|start| interval.start >= start))
                .or_else(|| cadence.interval_from(cadence.next_after(after)?)),
        });
        std::iter::successors(first, move |last| {
            let end = cadence?.next_after(last.end)?;
            Some(Interval {
                start: last.end,
                end,
            })
        })
        .take_while(|interval| self.end.is_none_or(|end| interval.end <= end))
    }

    /// How many runs are due at `now` for a schedule that is seen for the first time; counted up to `limit`.
    pub fn backlog(&self, now: Timestamp, limit: usize) -> usize {
        let mut count = 0;
        let mut cursor = self.first_cursor(now);
        loop {
            let due = self.due(cursor, now);
            count += due.intervals.len();
            if !due.more || count >= limit {
                return count.min(limit);
            }
            cursor = due.cursor;
        }
    }

    fn all(&self, cadence: &Cadence, cursor: Timestamp, last: Timestamp) -> Due {
        let mut intervals: Vec<Interval> = Vec::new();
        // Nothing that is over by the start counts, nor what is over after the end.
        let mut from = self
            .start
            .map_or(cursor, |start| cursor.max(start.min(last)));
        let until = self.end.map_or(last, |end| end.min(last));
        for _ in 0..MOST {
            let Some(moment) = cadence.next_after(from).filter(|moment| *moment <= until) else {
                return Due {
                    intervals,
                    cursor: last,
                    more: false,
                };
            };
            let interval = match intervals.last() {
                Some(before) => Some(Interval {
                    start: before.end,
                    end: moment,
                }),
                None => cadence.interval_until(moment),
            };
            intervals.extend(interval.filter(|interval| self.admits(interval)));
            from = moment;
        }
        Due {
            intervals,
            cursor: from,
            more: from < last,
        }
    }

    fn latest(&self, cadence: &Cadence, cursor: Timestamp, last: Timestamp) -> Option<Interval> {
        // After the end, the last one that was over by then.
        let last = match self.end {
            Some(end) if end < last => cadence.last_until(end)?,
            _ => last,
        };
        let interval = cadence.interval_until(last)?;
        (last > cursor && self.admits(&interval)).then_some(interval)
    }

    fn admits(&self, interval: &Interval) -> bool {
        self.start.is_none_or(|start| interval.start >= start)
            && self.end.is_none_or(|end| interval.end <= end)
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;
    use crate::trigger::Trigger;

    fn at(text: &str) -> Timestamp {
        crate::trigger::parse_moment(text, Tz::UTC).unwrap()
    }

    fn schedule(catchup: Catchup, start: Option<&str>, end: Option<&str>) -> Schedule {
        let daily = Cadence::cron("@daily", Tz::UTC).unwrap();
        Schedule {
            catchup,
            start: start.map(at),
            end: end.map(at),
            ..Schedule::new(Trigger::Time(daily))
        }
    }

    #[test]
    fn off_for_three_years() {
        let (left, back) = (at("2023-01-01T00:00:01Z"), at("2026-01-01T12:00:00Z"));
        for (catchup, count) in [
            (Catchup::None, 0),
            (Catchup::Latest, 1),
            (Catchup::All, 1_096),
        ] {
            let due = schedule(catchup, None, None).due(left, back);
            assert_eq!(due.intervals.len(), count, "{catchup:?}");
            assert_eq!(due.cursor, at("2026-01-01"));
            assert!(!due.more);
            assert_eq!(
                schedule(catchup, None, None)
                    .due(due.cursor, back)
                    .intervals,
                []
            );
        }
    }

    #[test]
    fn on_time_each_catchup_gives_the_interval_that_has_just_ended() {
        for catchup in [Catchup::None, Catchup::Latest, Catchup::All] {
            let due =
                schedule(catchup, None, None).due(at("2026-03-04"), at("2026-03-05T00:00:02Z"));
            assert_eq!(
                due.intervals,
                [Interval {
                    start: at("2026-03-04"),
                    end: at("2026-03-05")
                }]
            );
            assert_eq!(due.cursor, at("2026-03-05"));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing() {
        for catchup in [Catchup::None, Catchup::Latest, Catchup::All] {
            let due = schedule(catchup, None, None).due(at("2026-03-05"), at("2026-03-01"));
            assert_eq!((due.intervals, due.cursor), (vec![], at("2026-03-05")));
        }
    }

    #[test]
    fn start_and_end_are_respected() {
        // (start, end, now, how many with `all`, the first begins, the last ends)
        let table = [
            (
                "2026-01-01",
                None,
                "2026-01-04T06:00:00Z",
                3,
                "2026-01-01",
                "2026-01-04",
            ),
            (
                "2026-01-01T00:00:01Z",
                None,
                "2026-01-04T06:00:00Z",
                2,
                "2026-01-02",
                "2026-01-04",
            ),
            (
                "2026-01-01",
                Some("2026-01-03"),
                "2026-02-01",
                2,
                "2026-01-01",
                "2026-01-03",
            ),
            (
                "2026-01-01",
                Some("2026-01-03T12:00:00Z"),
                "2026-02-01",
                2,
                "2026-01-01",
                "2026-01-03",
            ),
        ];
        for (start, end, now, count, first, last) in table {
            let all = schedule(Catchup::All, Some(start), end);
            let cursor = all.first_cursor(at(now));
            assert_eq!(cursor, at(start));
            let due = all.due(cursor, at(now));
            assert_eq!(due.intervals.len(), count, "{start}");
            assert_eq!(due.intervals[0].start, at(first), "{start}");
            assert_eq!(due.intervals[count - 1].end, at(last), "{start}");
            let latest = schedule(Catchup::Latest, Some(start), end).due(cursor, at(now));
            assert_eq!(latest.intervals, due.intervals[count - 1..], "{start}");
            let seen: Vec<Interval> = all
                .upcoming(cursor)
                .take_while(|interval| interval.end <= at(now))
                .collect();
            assert_eq!(seen, due.intervals, "{start}");
            assert_eq!(all.backlog(at(now), 1_000), count);
        }
        let future = schedule(Catchup::All, Some("2027-01-01"), None);
        assert_eq!(future.first_cursor(at("2026-01-01")), at("2026-01-01"));
        assert_eq!(future.due(at("2026-01-01"), at("2026-05-01")).intervals, []);
        assert_eq!(future.next(at("2026-01-01")), Some(at("2027-01-02")));
        let over = schedule(Catchup::Latest, None, Some("2026-01-01"));
        assert_eq!(over.next(at("2026-01-01")), None);
        assert_eq!(over.due(at("2026-01-01"), at("2026-05-01")).intervals, []);
    }

    #[test]
    fn next_is_the_first_moment_that_gets_a_run() {
        let daily = schedule(Catchup::Latest, None, None);
        assert_eq!(daily.next(at("2026-01-01")), Some(at("2026-01-02")));
        assert_eq!(
            daily.next(at("2026-01-01T23:59:59Z")),
            Some(at("2026-01-02"))
        );
        let started = schedule(Catchup::Latest, Some("2026-01-01T12:00:00Z"), None);
        assert_eq!(
            started.next(at("2026-01-01T13:00:00Z")),
            Some(at("2026-01-03"))
        );
        let after = Schedule::new(Trigger::After {
            pipelines: vec!["a".to_owned()],
            all: true,
        });
        assert_eq!(after.next(at("2026-01-01")), None);
        assert_eq!(after.due(at("2026-01-01"), at("2027-01-01")).intervals, []);
    }

    #[test]
    fn years_of_seconds_come_in_portions() {
        let every = Cadence::every(std::time::Duration::from_secs(1)).unwrap();
        let schedule = Schedule {
            catchup: Catchup::All,
            ..Schedule::new(Trigger::Time(every))
        };
        let now = at("2026-01-01T03:00:00Z");
        let mut cursor = at("2026-01-01");
        let mut seen: Vec<Interval> = Vec::new();
        loop {
            let due = schedule.due(cursor, now);
            assert!(due.intervals.len() <= MOST);
            seen.extend(due.intervals);
            cursor = due.cursor;
            if !due.more {
                break;
            }
        }
        assert_eq!(seen.len(), 3 * 3_600);
        assert!(seen.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(cursor, now);
    }

    proptest! {
        /// However often and irregularly it is asked, by whatever clock: with `all` each interval comes once, and with
        /// `latest` none comes twice.
        #[test]
        fn each_interval_comes_once(
            line in prop::sample::select(vec!["0 * * * *", "30 2 * * *", "*/20 1-4 * * *", "0 0 1 * *"]),
            steps in prop::collection::vec(-7_200_i64..400_000, 1..40),
        ) {
            let cadence = Cadence::cron(line, Tz::Australia__Lord_Howe).unwrap();
            let first = at("2026-03-20T10:10:10Z");
            for catchup in [Catchup::All, Catchup::Latest, Catchup::None] {
                let schedule = Schedule {
                    catchup,
                    ..Schedule::new(Trigger::Time(cadence.clone()))
                };
                let (mut now, mut cursor, mut latest) = (first, schedule.first_cursor(first), first);
                let mut seen: Vec<Interval> = Vec::new();
                for step in &steps {
                    now += TimeDelta::seconds(*step);
                    latest = latest.max(now);
                    let due = schedule.due(cursor, now);
                    prop_assert!(due.cursor >= cursor);
                    seen.extend(due.intervals);
                    cursor = due.cursor;
                }
                let ends: Vec<Timestamp> = seen.iter().map(|interval| interval.end).collect();
                prop_assert!(ends.windows(2).all(|pair| pair[0] < pair[1]));
                if catchup == Catchup::All {
                    let all = schedule.upcoming(first).take_while(|interval| interval.end <= latest);
                    prop_assert_eq!(seen, all.collect::<Vec<_>>());
                }
            }
        }
    }
}
