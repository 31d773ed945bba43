//! What a model is for.

use serde::{Deserialize, Serialize};

/// What a model tells of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Which class it belongs to.
    #[default]
    Classes,
    /// How much: a number.
    Quantity,
    /// Which group of similar rows it belongs to.
    Clusters,
    /// Whether it is unlike the others.
    Anomalies,
}

impl Goal {
    /// The output of the model's graph that the answer is made of.
    pub fn output(self) -> &'static str {
        match self {
            Self::Classes => "probabilities",
            Self::Quantity => "prediction",
            Self::Clusters => "distances",
            Self::Anomalies => "score",
        }
    }

    /// What such a model is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classes => "classifier",
            Self::Quantity => "regressor",
            Self::Clusters => "clustering",
            Self::Anomalies => "anomaly detector",
        }
    }
}
