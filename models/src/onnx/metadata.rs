//! What a model file says about itself, as JSON in its metadata.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{Classes, ColumnKind, ColumnSpec, Goal};
use crate::error::{ModelError, Result};
use crate::metrics::Metric;
use crate::onnx::proto::{ModelProto, StringStringEntryProto};

/// The metadata property that holds [`Metadata`].
pub const METADATA_KEY: &str = "pipectl";

/// Everything that is known about a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The version of pipectl that wrote it.
    pub pipectl: String,
    /// What it is for.
    #[serde(default)]
    pub goal: Goal,
    /// The estimator's name.
    pub estimator: String,
    /// Its parameters.
    pub parameters: IndexMap<String, Value>,
    /// The raw columns that the graph reads.
    pub columns: Vec<ColumnSpec>,
    /// Derived features: name and SQL expression.
    pub features: IndexMap<String, String>,
    /// What a missing value of a column becomes.
    pub imputed: IndexMap<String, Value>,
    /// Whether levels of texts that differ by case alone count as one; not known of older files and of others' models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_case: Option<bool>,
    /// The name of the target.
    pub target: String,
    /// The class labels in the order of the probabilities; of two, the second is the positive one. None but of a
    /// classifier.
    pub classes: Classes,
    /// Of two classes: from which probability of the positive one it is predicted; of anomalies: from which score.
    pub threshold: f64,
    /// What candidates were compared by; anomalies are not compared.
    pub metric: Option<Metric>,
    /// Metrics on held-out rows.
    pub metrics: Vec<MetricValue>,
    /// All candidates that were tried.
    pub trials: Vec<Trial>,
    /// Curves and the confusion matrix, from held-out rows.
    pub evaluation: Evaluation,
    /// How much the metric falls when a column is shuffled, largest first.
    pub importances: Vec<Importance>,
    /// How far columns and derived features move the score, on average, largest first; of trees and linear models, unless
    /// the trees are so large that it would take long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// How the answer depends on the most important columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependence: Vec<Dependence>,
    /// The metric over the number of rows that were learned from, when that was asked for.
    #[serde(default, skip_serializing_if = "Curve::is_empty")]
    pub learning: Curve,
    /// Rows that were learned from.
    pub rows: usize,
    /// Rows of every class.
    pub class_counts: Vec<usize>,
    /// SHA-256 over the data that was learned from.
    pub fingerprint: String,
    /// The seed of all randomness.
    pub seed: u64,
    /// Folds of the cross-validation.
    pub folds: usize,
    /// The largest difference between the file's probabilities and those in memory, on a sample.
    pub max_difference: f64,
    /// What reasons are compared with; none of groups and anomalies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<Background>,
    /// What the columns looked like in training.
    pub reference: Vec<ColumnStatistics>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl Metadata {
    /// What is known of a model by its inputs and outputs alone.
    pub(crate) fn unmeasured(goal: Goal, columns: Vec<ColumnSpec>, classes: Classes) -> Self {
        Self {
            pipectl: String::new(),
            goal,
            estimator: String::new(),
            parameters: IndexMap::new(),
            columns,
            features: IndexMap::new(),
            imputed: IndexMap::new(),
            ignore_case: None,
            target: String::new(),
            classes,
            threshold: 0.5,
            metric: None,
            metrics: Vec::new(),
            trials: Vec::new(),
            evaluation: Evaluation::default(),
            importances: Vec::new(),
            effects: Vec::new(),
            dependence: Vec::new(),
            learning: Curve::default(),
            rows: 0,
            class_counts: Vec::new(),
            fingerprint: String::new(),
            seed: 0,
            folds: 0,
            max_difference: 0.0,
            background: None,
            reference: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// What columns have become for the estimator, and what that was in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Background {
    /// The name of the matrix in the graph.
    pub matrix: String,
    /// The name of its principal components, when the estimator reads those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projected: Option<String>,
    /// The columns and derived features, in the matrix's order.
    pub columns: Vec<ColumnMeans>,
}

/// What a column has become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnMeans {
    /// The column or derived feature.
    pub name: String,
    /// The mean of every number that it has become.
    pub means: Vec<f64>,
}

/// A metric with its value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricValue {
    /// Which.
    pub metric: Metric,
    /// Its value over all held-out rows; absent when it is not defined.
    pub value: Option<f64>,
    /// The 95 % interval, by the bootstrap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

/// A candidate with one set of parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The estimator's name; `dummy` is the baseline.
    pub estimator: String,
    /// The parameters that were given.
    pub parameters: IndexMap<String, Value>,
    /// The metric in every fold.
    pub folds: Vec<f64>,
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation over the folds.
    pub deviation: f64,
    /// The means of all metrics.
    #[serde(default)]
    pub metrics: Vec<MetricValue>,
    /// Rows that it learned from, where halving left it behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// Whether this one was taken.
    pub chosen: bool,
}

/// A line of points.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Curve {
    /// Horizontal places.
    pub x: Vec<f64>,
    /// Vertical places.
    pub y: Vec<f64>,
}

impl Curve {
    /// Whether it has no points.
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }
}

/// What becomes of held-out rows at every threshold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ThresholdCurves {
    /// The thresholds.
    pub thresholds: Vec<f64>,
    /// Of the rows called positive, the share that is.
    pub precision: Vec<f64>,
    /// Of the positive rows, the share that is called so.
    pub recall: Vec<f64>,
    /// The harmonic mean of both.
    pub f1: Vec<f64>,
}

/// What held-out rows show.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evaluation {
    /// Rows of every true class (first index) that were predicted as every class (second index).
    pub confusion: Vec<Vec<usize>>,
    /// Of two classes: true positive rate over false positive rate.
    pub roc: Curve,
    /// Of two classes: precision over recall.
    pub precision_recall: Curve,
    /// Of two classes: share of positives over mean probability, in ten groups.
    pub calibration: Curve,
    /// Of two classes: how many rows of the negative and positive class got a probability in each of 20 groups.
    pub histogram: [Vec<usize>; 2],
    /// Of two classes: what becomes of rows at every threshold.
    #[serde(default)]
    pub thresholds: ThresholdCurves,
    /// Of quantities: predictions over truths, of some rows.
    #[serde(default)]
    pub predicted: Curve,
}

/// How much a column matters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The raw column.
    pub column: String,
    /// How much worse the metric becomes when the column is shuffled.
    pub loss: f64,
}

/// How far a column moves the score, by its mean absolute Shapley value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The column or derived feature.
    pub column: String,
    /// The mean over some training rows.
    pub effect: f64,
}

/// The mean answer when a column has the same value in all rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependence {
    /// The column.
    pub column: String,
    /// Its kind.
    pub kind: ColumnKind,
    /// The values of numbers, and of dates in days since 1970.
    pub places: Vec<f64>,
    /// The values of texts and booleans.
    pub levels: Vec<String>,
    /// For every value the mean answer: of two classes the probability of the second, of more that of every class, of
    /// quantities the number.
    pub answers: Vec<Vec<f64>>,
    /// The share of the rows that have each level; of numbers and dates in equally wide bars from the first place to the
    /// last.
    pub shares: Vec<f64>,
    /// The derived features that are computed from it, and so move along with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<String>,
}

/// What a column looked like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// The column's name.
    pub name: String,
    /// Its kind.
    pub kind: ColumnKind,
    /// Share of missing values.
    pub missing: f64,
    /// Of numbers, booleans and dates (in days): the mean.
    pub mean: Option<f64>,
    /// The standard deviation.
    pub deviation: Option<f64>,
    /// The 21 quantiles 0, 0.05, … 1.
    pub quantiles: Vec<f64>,
    /// Of text: the most frequent levels with their shares.
    pub levels: IndexMap<String, f64>,
}

/// Puts the metadata into the model.
pub(crate) fn write_metadata(model: &mut ModelProto, metadata: &Metadata) -> Result<()> {
    let value = serde_json::to_string(metadata)
        .map_err(|error| ModelError::internal(format!("metadata: {error}")))?;
    model
        .metadata_props
        .retain(|entry| entry.key != METADATA_KEY);
    model.metadata_props.push(StringStringEntryProto {
        key: METADATA_KEY.to_owned(),
        value,
    });
    Ok(())
}

/// The metadata of a model of ours.
pub(crate) fn read_metadata(model: &ModelProto) -> Result<Option<Metadata>> {
    let Some(entry) = model
        .metadata_props
        .iter()
        .find(|entry| entry.key == METADATA_KEY)
    else {
        return Ok(None);
    };
    serde_json::from_str(&entry.value)
        .map(Some)
        .map_err(|error| ModelError::format(format!("its metadata is damaged ({error})")))
}
