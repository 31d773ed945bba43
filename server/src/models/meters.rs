//! How much is asked, and how long it takes.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// The upper ends of the histogram's buckets, in microseconds.
const BUCKETS: [u64; 10] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000,
];

/// Counts of requests and rows.
#[derive(Debug, Default)]
pub(super) struct Meters {
    in_flight: AtomicU64,
    refused: AtomicU64,
    micros: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len() + 1],
    /// Requests and rows of each model; their names are those of loaded models, so there are few.
    models: Mutex<BTreeMap<String, (u64, u64)>>,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Timer<'a> {
    meters: &'a Meters,
    start: Instant,
}

impl Meters {
    pub(super) fn begin(&self) -> Timer<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Timer {
            meters: self,
            start: Instant::now(),
        }
    }

    /// All of it in Prometheus' text format.
    pub(super) fn text(&self) -> String {
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let mut text = String::new();
        let mut put = |line: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _written = text.write_fmt(line);
        };
        put(format_args!(
            "# HELP pipectl_inference_requests_total Requests that a model has answered.\n# TYPE pipectl_inference_requests_total counter\n"
        ));
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        for (model, (requests, _)) in models.iter() {
            put(format_args!(
                "pipectl_inference_requests_total{{model=\"{model}\"}} {requests}\n"
            ));
        }
        put(format_args!(
            "# HELP pipectl_inference_rows_total Rows that a model has scored.\n# TYPE pipectl_inference_rows_total counter\n"
        ));
        for (model, (_, rows)) in models.iter() {
            put(format_args!(
                "pipectl_inference_rows_total{{model=\"{model}\"}} {rows}\n"
            ));
        }
        put(format_args!(
            "# HELP pipectl_inference_refused_total Requests that were refused.\n# TYPE pipectl_inference_refused_total counter\npipectl_inference_refused_total {}\n",
            read(&self.refused)
        ));
        put(format_args!(
            "# HELP pipectl_inference_in_flight Requests that are being answered.\n# TYPE pipectl_inference_in_flight gauge\npipectl_inference_in_flight {}\n",
            read(&self.in_flight)
        ));
        put(format_args!(
            "# HELP pipectl_inference_seconds How long an answer takes.\n# TYPE pipectl_inference_seconds histogram\n"
        ));
        let mut sum = 0;
        for (end, count) in BUCKETS.iter().zip(&self.buckets) {
            sum += read(count);
            put(format_args!(
                "pipectl_inference_seconds_bucket{{le=\"{}\"}} {sum}\n",
                seconds(*end)
            ));
        }
        sum += self.buckets.last().map_or(0, read);
        put(format_args!(
            "pipectl_inference_seconds_bucket{{le=\"+Inf\"}} {sum}\npipectl_inference_seconds_sum {}\npipectl_inference_seconds_count {sum}\n",
            seconds(read(&self.micros))
        ));
        text
    }
}

impl Timer<'_> {
    pub(super) fn answered(self, model: &str, rows: usize) {
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.meters.micros.fetch_add(micros, Ordering::Relaxed);
        let bucket = BUCKETS.partition_point(|end| *end < micros);
        self.meters.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let models = &self.meters.models;
        let mut models = models.lock().unwrap_or_else(PoisonError::into_inner);
        let (requests, scored) = match models.get_mut(model) {
            Some(counts) => counts,
            None => models.entry(model.to_owned()).or_default(),
        };
        *requests += 1;
        *scored += rows as u64;
    }

    pub(super) fn refused(self) {
        self.meters.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.meters.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few digits of a time")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_and_refused_is_counted() {
        let meters = Meters::default();
        meters.begin().answered("churn", 3);
        meters.begin().answered("churn", 1);
        meters.begin().refused();
        let open = meters.begin();
        let text = meters.text();
        for line in [
            "pipectl_inference_requests_total{model=\"churn\"} 2",
            "pipectl_inference_rows_total{model=\"churn\"} 4",
            "pipectl_inference_refused_total 1",
            "pipectl_inference_in_flight 1",
            "pipectl_inference_seconds_bucket{le=\"+Inf\"} 2",
            "pipectl_inference_seconds_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        drop(open);
    }
}
