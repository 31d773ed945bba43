//! What somebody reaches who does not look at the rows.

use super::Metadata;
use crate::metrics::Metric;

/// Always the same answer, beside the candidate that was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// What the two are compared by.
    pub metric: Metric,
    /// The class that is always guessed, where it is to be said.
    pub class: Option<String>,
    /// What that reaches.
    pub reaches: f64,
    /// What the chosen candidate reaches in cross-validation, and the standard deviation of that.
    pub chosen: (f64, f64),
}

impl Guess {
    /// Of which answer one speaks.
    pub fn answer(&self) -> String {
        self.class
            .as_ref()
            .map_or_else(|| "the same".to_owned(), |class| format!("“{class}”"))
    }

    /// Whether the candidate is better.
    pub fn is_beaten(&self) -> bool {
        self.metric.better(self.chosen.0, self.reaches)
    }
}

impl Metadata {
    /// What guessing reaches by the metric that has decided: of F1 the positive class is guessed, for without it F1 is 0.
    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    pub fn guess(&self) -> Option<Guess> {
        let chosen = self.trials.iter().find(|trial| trial.chosen)?;
        let baseline = self
            .trials
            .iter()
            .find(|trial| trial.estimator == "dummy")?;
        let metric = self.metric?;
        let names = self.classes.names();
        let (class, reaches) = match (metric, names.as_slice(), self.class_counts.as_slice()) {
            (Metric::F1, [_, positive], [others, positives]) => {
                let share = *positives as f64 / (*others + *positives).max(1) as f64;
                (Some(positive.clone()), 2.0 * share / (1.0 + share))
            }
            _ => (None, baseline.mean),
        };
        Some(Guess {
            metric,
            class,
            reaches,
            chosen: (chosen.mean, chosen.deviation),
        })
    }
}
