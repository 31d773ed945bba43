//! The page about a model, as data.

use serde::Serialize;

/// A metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricRow {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Its 95 % interval.
    pub interval: String,
    /// What it means.
    pub meaning: &'static str,
    /// Whether candidates were compared by it.
    pub chosen: bool,
}

/// A candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CandidateRow {
    /// The estimator.
    pub name: String,
    /// Its parameters.
    pub parameters: String,
    /// The mean of the metric over the folds.
    pub mean: String,
    /// Its standard deviation.
    pub deviation: String,
    /// Whether it was taken.
    pub chosen: bool,
    /// Whether it is the baseline.
    pub baseline: bool,
}

/// A row of the confusion matrix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfusionRow {
    /// The true class.
    pub class: String,
    /// For every predicted class the count, its share of the row, and whether that is right.
    pub cells: Vec<ConfusionCell>,
}

/// A cell of the confusion matrix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfusionCell {
    /// Rows.
    pub count: String,
    /// Share of the true class.
    pub share: String,
    /// Predicted right.
    pub right: bool,
}

/// How much a column matters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportanceRow {
    /// The column.
    pub column: String,
    /// How much the metric loses.
    pub loss: String,
    /// The length of its bar, in percent.
    pub width: u32,
    /// How far it moves the score, on average.
    pub effect: String,
    /// The length of that bar, in percent.
    pub effect_width: u32,
}

/// A column in training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnRow {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Share of missing values.
    pub missing: String,
    /// What a missing value becomes.
    pub imputed: String,
    /// What its values are like.
    pub typical: String,
}

/// A derived feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureRow {
    /// Its name.
    pub name: String,
    /// Its expression.
    pub sql: String,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelPage {
    /// The model's name, or its file.
    pub title: String,
    /// What it predicts.
    pub target: String,
    /// The estimator.
    pub estimator: String,
    /// Its parameters.
    pub parameters: String,
    /// What it is worth, in sentences.
    pub summary: Vec<String>,
    /// Whether guessing is no worse.
    pub useless: bool,
    /// The metrics that say most, on held-out rows.
    pub metrics: Vec<MetricRow>,
    /// The others.
    pub more_metrics: Vec<MetricRow>,
    /// The metric that candidates were compared by.
    pub metric: &'static str,
    /// Candidates.
    pub candidates: Vec<CandidateRow>,
    /// The class names.
    pub classes: Vec<String>,
    /// The confusion matrix.
    pub confusion: Vec<ConfusionRow>,
    /// Of two classes: the charts, as SVG.
    pub charts: Vec<Chart>,
    /// The columns that matter most.
    pub importances: Vec<ImportanceRow>,
    /// In which unit they move the score; empty when that is not known.
    pub unit: &'static str,
    /// Why that is not known, where one expects it.
    pub unexplained: &'static str,
    /// How the answer depends on the most important columns.
    pub dependence: Vec<Chart>,
    /// The columns.
    pub columns: Vec<ColumnRow>,
    /// Derived features.
    pub features: Vec<FeatureRow>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Facts about the training: name and value.
    pub facts: Vec<(&'static str, String)>,
}

/// A chart with its title.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// The drawing.
    pub svg: String,
}
