//! What a daemon counts, in Prometheus' text format. Names are those of the field: seconds, totals; labels are bounded.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use pipectl_engine::{
    event::{Listener, RunEvent, What},
    state::{RunState, TaskState},
};

/// The upper bounds of the buckets of seconds.
const BOUNDS: [f64; 10] = [
    0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0,
];

/// Counts what happens in runs.
#[derive(Debug, Default)]
pub struct Measures(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    runs: BTreeMap<(String, RunState), u64>,
    attempts: BTreeMap<(String, TaskState), u64>,
    seconds: BTreeMap<String, Histogram>,
    lag: Histogram,
    /// What collectors have taken, and what was left out.
    exports: BTreeMap<&'static str, [u64; 2]>,
}

#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    sum: f64,
    count: u64,
}

impl Histogram {
    fn add(&mut self, value: f64) {
        for (bucket, bound) in self.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(value <= bound);
        }
        self.sum += value;
        self.count += 1;
    }

    fn write(&self, text: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS) {
            line(
                text,
                format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {bucket}"),
            );
        }
        line(
            text,
            format_args!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", self.count),
        );
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{labels}}}")
        };
        line(text, format_args!("{name}_sum{labels} {}", self.sum));
        line(text, format_args!("{name}_count{labels} {}", self.count));
    }
}

impl Measures {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How late a scheduled run was made.
    pub(crate) fn late(&self, seconds: f64) {
        self.lock().lag.add(seconds);
    }

    /// So many of what is exported to a collector were taken, so many left out.
    pub(crate) fn exported(&self, to: &'static str, taken: u64, left_out: u64) {
        let mut counts = self.lock();
        let [all_taken, all_left_out] = counts.exports.entry(to).or_default();
        *all_taken += taken;
        *all_left_out += left_out;
    }

    /// What was counted, and what is given with it: `(name, help, labels, value)`.
    pub(crate) fn text(&self, gauges: &[Gauge]) -> String {
        let counts = self.lock();
        let mut text = String::new();
        head(
            &mut text,
            "pipectl_runs_total",
            "counter",
            "Runs that have ended, by pipeline and state.",
        );
        for ((pipeline, state), count) in &counts.runs {
            line(
                &mut text,
                format_args!(
                    "pipectl_runs_total{{pipeline=\"{pipeline}\",state=\"{state}\"}} {count}"
                ),
            );
        }
        head(
            &mut text,
            "pipectl_task_attempts_total",
            "counter",
            "Attempts that have ended, by pipeline and state.",
        );
        for ((pipeline, state), count) in &counts.attempts {
            let state = state.name();
            line(
                &mut text,
                format_args!(
                    "pipectl_task_attempts_total{{pipeline=\"{pipeline}\",state=\"{state}\"}} {count}"
                ),
            );
        }
        head(
            &mut text,
            "pipectl_task_seconds",
            "histogram",
            "How long attempts took, by pipeline.",
        );
        for (pipeline, histogram) in &counts.seconds {
            histogram.write(
                &mut text,
                "pipectl_task_seconds",
                &format!("pipeline=\"{pipeline}\""),
            );
        }
        head(
            &mut text,
            "pipectl_schedule_lag_seconds",
            "histogram",
            "From the moment a run was due to the moment it was made.",
        );
        counts
            .lag
            .write(&mut text, "pipectl_schedule_lag_seconds", "");
        write_exports(&mut text, &counts.exports);
        let mut last = "";
        for gauge in gauges {
            if gauge.name != last {
                head(&mut text, gauge.name, "gauge", gauge.help);
                last = gauge.name;
            }
            let labels = if gauge.labels.is_empty() {
                String::new()
            } else {
                format!("{{{}}}", gauge.labels)
            };
            line(
                &mut text,
                format_args!("{}{labels} {}", gauge.name, gauge.value),
            );
        }
        text
    }
}

/// What was exported, of a daemon that exports something.
fn write_exports(text: &mut String, exports: &BTreeMap<&'static str, [u64; 2]>) {
    let kinds = [
        ("sent", "Events and traces that a collector has taken."),
        (
            "dropped",
            "Events and traces that were left out, because a collector did not take them.",
        ),
    ];
    for (index, (kind, help)) in kinds.into_iter().enumerate() {
        let name = format!("pipectl_exports_{kind}_total");
        if !exports.is_empty() {
            head(text, &name, "counter", help);
        }
        for (to, counts) in exports {
            line(
                text,
                format_args!("{name}{{to=\"{to}\"}} {}", counts[index]),
            );
        }
    }
}

/// A value as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) labels: String,
    pub(crate) value: u64,
}

impl Gauge {
    pub(crate) fn new(name: &'static str, help: &'static str, value: u64) -> Self {
        let labels = String::new();
        Self {
            name,
            help,
            labels,
            value,
        }
    }

    pub(crate) fn count(name: &'static str, help: &'static str, value: usize) -> Self {
        Self::new(name, help, value as u64)
    }
}

impl Listener for Measures {
    fn hear(&self, event: &RunEvent) {
        let pipeline = || event.pipeline.to_string();
        match &event.what {
            What::Run { state, .. } if state.is_final() => {
                *self.lock().runs.entry((pipeline(), *state)).or_default() += 1;
            }
            What::Task {
                state,
                took: Some(took),
                attempt: 1..,
                ..
            } => {
                let mut counts = self.lock();
                *counts.attempts.entry((pipeline(), *state)).or_default() += 1;
                counts
                    .seconds
                    .entry(pipeline())
                    .or_default()
                    .add(took.as_secs_f64());
            }
            _ => {}
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    line(text, format_args!("# HELP {name} {help}"));
    line(text, format_args!("# TYPE {name} {kind}"));
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _written = text.write_fmt(arguments);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pipectl_engine::{
        id::{RunId, TaskKey},
        time::{Clock, SystemClock},
    };

    use super::*;

    #[test]
    fn what_happens_is_counted() {
        let measures = Measures::default();
        let now = SystemClock.now();
        let tell = |what| {
            measures.hear(&RunEvent {
                run: RunId::new(now),
                pipeline: "churn".into(),
                at: now,
                what,
            });
        };
        tell(What::Run {
            state: RunState::Running,
            error: None,
        });
        tell(What::Run {
            state: RunState::Success,
            error: None,
        });
        let task = |state, took| What::Task {
            key: TaskKey::task("a"),
            state,
            attempt: 1,
            took,
            note: None,
            hint: None,
            rows: None,
        };
        tell(task(TaskState::Running, None));
        tell(task(TaskState::Success, Some(Duration::from_millis(50))));
        measures.late(0.25);
        let gauge = Gauge::new("pipectl_daemons", "Daemons.", 2);
        let text = measures.text(&[gauge]);
        for line in [
            "pipectl_runs_total{pipeline=\"churn\",state=\"success\"} 1",
            "pipectl_task_attempts_total{pipeline=\"churn\",state=\"success\"} 1",
            "pipectl_task_seconds_bucket{pipeline=\"churn\",le=\"0.02\"} 0",
            "pipectl_task_seconds_bucket{pipeline=\"churn\",le=\"0.1\"} 1",
            "pipectl_task_seconds_count{pipeline=\"churn\"} 1",
            "pipectl_schedule_lag_seconds_bucket{le=\"0.5\"} 1",
            "pipectl_schedule_lag_seconds_sum 0.25",
            "pipectl_daemons 2",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in\n{text}"
            );
        }
        assert!(!text.contains("running"));
    }
}
