//! Daylight saving, checked against `tests/reference/cron.py`, which walks through real time with Python's zoneinfo.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::Cadence;
use crate::time::{Interval, Timestamp};

const ZONES: [Tz; 5] = [
    Tz::Europe__Berlin,
    Tz::America__New_York,
    // Half an hour of daylight saving.
    Tz::Australia__Lord_Howe,
    // None.
    Tz::Africa__Kampala,
    // At midnight, and by rules that have changed three times.
    Tz::America__Santiago,
];

const LINES: [&[&str]; 12] = [
    // At fixed times: in the gap, at its edges, at midnight, in lists and ranges.
    &["30 2 * * *"],
    &["0 0 * * *"],
    &["15 1,2,3 * * 0"],
    &["0,30 0-3 * * *"],
    &["0 12 1 * *"],
    &["0 3 13 * 5"],
    // By wildcard and by step.
    &["*/30 0-4 * * *"],
    &["15 0-6/2 * * *"],
    &["*/20 2 * * *"],
    &["0 */3 * * *"],
    // Lists of lines, each by its own rule.
    &["0 8 * * 1-5", "0 12 * * 6", "30 2 * * 0"],
    &["30 2 * * *", "0 */6 * * *"],
];

/// The moments of all lines in all zones, as Python sees them.
fn reference() -> Vec<(Cadence, Vec<Timestamp>)> {
    let cases: Vec<(Tz, &[&str])> = ZONES
        .into_iter()
        .flat_map(|zone| LINES.map(|lines| (zone, lines)))
        .collect();
    let asked: Vec<serde_json::Value> = cases
        .iter()
        .map(|(zone, lines)| serde_json::json!({"zone": zone.name(), "lines": lines}))
        .collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/cron.py");
    let mut python = Command::new("python3")
        .args([script, "2016", "2026"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed: apt-get install python3 tzdata");
    let input = serde_json::to_vec(&asked).unwrap();
    python.stdin.take().unwrap().write_all(&input).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the reference has failed");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), cases.len());
    cases
        .into_iter()
        .zip(text.lines())
        .map(|((zone, lines), moments)| {
            let moments = moments.split(' ').map(|minute| {
                let minute: i64 = minute.parse().unwrap();
                Timestamp::from_timestamp(minute * 60, 0).unwrap()
            });
            let cadence = Cadence::crons(lines.iter().copied(), zone).unwrap();
            (cadence, moments.collect())
        })
        .collect()
}

#[test]
fn ten_years_in_five_zones_agree_with_a_walk_through_real_time() {
    for (cadence, moments) in reference() {
        let (first, last) = (moments[0], *moments.last().unwrap());
        let before = first - TimeDelta::seconds(1);
        assert_eq!(cadence.next_after(before), Some(first), "{cadence}");
        let expected: Vec<Interval> = moments
            .windows(2)
            .map(|pair| Interval {
                start: pair[0],
                end: pair[1],
            })
            .collect();
        let found: Vec<Interval> = cadence.intervals(first, last).collect();
        assert_eq!(found, expected, "{cadence}");
        for Interval { start, end } in expected {
            let just_before = end - TimeDelta::seconds(1);
            assert_eq!(cadence.last_until(just_before), Some(start), "{cadence}");
            assert_eq!(cadence.last_until(end), Some(end), "{cadence}");
        }
    }
}

#[test]
fn clocks_are_put_forward_and_back_in_berlin() {
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    // (line, from, the next moments)
    let table: [(&str, &str, &[&str]); 6] = [
        (
            "30 2 * * *",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        ),
        (
            "30 2 * * *",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        ),
        (
            "30 * * * *",
            "2026-03-29T00:00:00Z",
            &["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"],
        ),
        (
            "30 * * * *",
            "2026-10-25T00:00:00Z",
            &[
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:30:00Z",
            ],
        ),
        (
            "*/15 2 * * *",
            "2026-03-28T12:00:00Z",
            &["2026-03-30T00:00:00Z"],
        ),
        (
            "*/20 * 2 * * *",
            "2026-10-25T00:59:30Z",
            &["2026-10-25T00:59:40Z", "2026-10-25T01:00:00Z"],
        ),
    ];
    for (line, from, moments) in table {
        let cadence = Cadence::cron(line, Tz::Europe__Berlin).unwrap();
        let mut from = at(from);
        for moment in moments {
            from = cadence.next_after(from).unwrap();
            assert_eq!(from, at(moment), "{line}");
        }
    }
}

#[test]
fn a_day_that_was_left_out_runs_right_after_it() {
    let cadence = Cadence::cron("0 9 * * *", Tz::Pacific__Apia).unwrap();
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    // The clocks of Samoa went from the end of the 29th to the beginning of the 31st.
    assert_eq!(
        cadence.next_after(at("2011-12-29T20:00:00Z")),
        Some(at("2011-12-30T10:00:00Z"))
    );
    assert_eq!(
        cadence.next_after(at("2011-12-30T10:00:00Z")),
        Some(at("2011-12-30T19:00:00Z"))
    );
    assert_eq!(
        cadence.last_until(at("2011-12-30T18:00:00Z")),
        Some(at("2011-12-30T10:00:00Z"))
    );
}
