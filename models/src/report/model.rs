//! What the page about a model shows.

use serde_json::Value;

use crate::data::{ColumnKind, Goal};
use crate::error::Result;
use crate::metrics::Metric;
use crate::onnx::{ColumnStatistics, Metadata, Trial};
use crate::report::charts::{probabilities, scatter, unit_curve};
use crate::report::explained;
use crate::report::numbers::{count, metric, percent, score};
use crate::report::page::{
    CandidateRow, Chart, ColumnRow, ConfusionCell, ConfusionRow, FeatureRow, MetricRow, ModelPage,
};

/// The metrics that most people ask for first, beside the one that candidates were compared by.
const FIRST: [&str; 8] = [
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "mae",
    "rmse",
    "r2",
];

impl ModelPage {
    /// The page about a model; `digest` is that of its file.
    pub fn new(title: &str, metadata: &Metadata, digest: &str) -> Result<Self> {
        let classes = metadata.classes.names();
        let trials = metadata.trials.iter();
        let (metrics, more_metrics) = metrics(metadata)
            .into_iter()
            .partition(|row| row.chosen || FIRST.contains(&row.name));
        Ok(Self {
            title: title.to_owned(),
            target: metadata.target.clone(),
            estimator: plain(&metadata.estimator),
            parameters: parameters(&metadata.parameters),
            summary: summary(metadata, &classes),
            metrics,
            more_metrics,
            metric: metadata.metric.map_or("", Metric::name),
            useless: metadata.guess().is_some_and(|guess| !guess.is_beaten()),
            candidates: trials.map(|trial| candidate(trial, metadata)).collect(),
            confusion: confusion(&metadata.evaluation.confusion, &classes),
            charts: charts(metadata, &classes)?,
            importances: explained::importances(metadata),
            unit: explained::unit(metadata),
            unexplained: explained::unexplained(metadata),
            dependence: explained::dependence(metadata, &classes)?,
            columns: metadata
                .reference
                .iter()
                .map(|column| column_row(column, metadata))
                .collect(),
            features: metadata
                .features
                .iter()
                .map(|(name, sql)| FeatureRow {
                    name: name.clone(),
                    sql: sql.clone(),
                })
                .collect(),
            warnings: metadata.warnings.clone(),
            facts: facts(metadata, digest),
            classes,
        })
    }
}

/// `random_forest` as `Random forest`.
fn plain(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn parameters(parameters: &indexmap::IndexMap<String, Value>) -> String {
    if parameters.is_empty() {
        return "defaults".to_owned();
    }
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    pairs.join(", ")
}

fn value_of(metadata: &Metadata, wanted: Metric) -> Option<f64> {
    metadata
        .metrics
        .iter()
        .find(|entry| entry.metric == wanted)
        .and_then(|entry| entry.value)
}

fn summary(metadata: &Metadata, classes: &[String]) -> Vec<String> {
    let rows = count(metadata.rows);
    let honest = format!(
        "judged on rows that it had not seen ({} parts, each held out once)",
        metadata.folds
    );
    let target = &metadata.target;
    let mut lines = match metadata.goal {
        Goal::Classes => vec![format!(
            "Learned from {rows} rows to tell “{target}” apart into {}; {honest}.",
            classes.join(", ")
        )],
        Goal::Quantity => vec![format!(
            "Learned from {rows} rows how large “{target}” is; {honest}."
        )],
        Goal::Clusters => vec![format!("Puts {rows} rows into {} groups.", classes.len())],
        Goal::Anomalies => vec![format!(
            "Learned from {rows} rows what is usual; a score of {} or more is odd.",
            score(metadata.threshold)
        )],
    };
    lines.extend(right_and_wrong(metadata, classes));
    if let Some(guess) = metadata.guess() {
        let (mean, deviation) = guess.chosen;
        lines.push(format!(
            "{} by cross-validation: {mean:.3} ± {deviation:.3}; always guessing {} reaches {:.3}{}.",
            guess.metric,
            guess.answer(),
            guess.reaches,
            if guess.is_beaten() { "" } else { ", which is no worse" }
        ));
    }
    lines
}

/// How often it is right, or how far off.
fn right_and_wrong(metadata: &Metadata, classes: &[String]) -> Option<String> {
    let value = |metric| value_of(metadata, metric);
    if metadata.goal == Goal::Quantity {
        let (error, explained) = (value(Metric::Mae)?, value(Metric::R2)?);
        return Some(format!(
            "On average it is off by {}; it explains {} of the differences between rows.",
            number(error),
            percent(explained)
        ));
    }
    let accuracy = value(Metric::Accuracy)?;
    if let ([_, positive], Some(recall), Some(precision)) =
        (classes, value(Metric::Recall), value(Metric::Precision))
    {
        let most = metadata.class_counts.iter().max().copied().unwrap_or(0);
        #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
        let guessing = most as f64 / metadata.rows.max(1) as f64;
        return Some(format!(
            "It is right in {} of all rows; who always said the same would be in {}. It finds {} of the rows whose “{}” is “{positive}”; when it says “{positive}”, that is right in {} of the cases.",
            percent(accuracy),
            percent(guessing),
            percent(recall),
            metadata.target,
            percent(precision)
        ));
    }
    Some(format!("It is right in {} of all rows.", percent(accuracy)))
}

fn meaning(metric: Metric) -> &'static str {
    match metric {
        Metric::Accuracy => "share of rows predicted right",
        Metric::BalancedAccuracy => "mean of the classes' recalls: 0.5 is guessing of two",
        Metric::Precision => "of the rows called positive, the share that is",
        Metric::Recall => "of the positive rows, the share that is found",
        Metric::F1 => "harmonic mean of precision and recall",
        Metric::F1Macro => "mean of every class's F1",
        Metric::F1Weighted => "mean of every class's F1, by how many rows it has",
        Metric::RocAuc => "how often a positive row ranks above a negative one: 0.5 is guessing",
        Metric::AveragePrecision => {
            "precision over all thresholds; guessing gives the share of positives"
        }
        Metric::LogLoss => "surprise about the truth; lower is better",
        Metric::Brier => "squared error of the probabilities; lower is better",
        Metric::Mcc => "correlation of prediction and truth: 0 is guessing",
        Metric::Mae => "mean distance from the truth; lower is better",
        Metric::Rmse => "the same, large errors counting more; lower is better",
        Metric::R2 => "share of the differences that is explained: 0 is guessing the mean",
        Metric::Mape => "mean error as a share of the truth; lower is better",
        Metric::Silhouette => "how well rows fit their groups: 1 is best, 0 is no groups",
    }
}

fn metrics(metadata: &Metadata) -> Vec<MetricRow> {
    metadata
        .metrics
        .iter()
        .map(|entry| MetricRow {
            name: entry.metric.name(),
            value: metric(entry.value),
            meaning: meaning(entry.metric),
            interval: entry.interval.map_or_else(String::new, |[low, high]| {
                format!("95 %: {} – {}", metric(Some(low)), metric(Some(high)))
            }),
            chosen: Some(entry.metric) == metadata.metric,
        })
        .collect()
}

fn candidate(trial: &Trial, metadata: &Metadata) -> CandidateRow {
    let baseline = trial.estimator == "dummy";
    // Who always guesses the class that F1 is about reaches something, and the same in all parts.
    let guess = metadata.guess().filter(|_| baseline);
    let (answer, mean, deviation) = match guess.filter(|guess| guess.class.is_some()) {
        Some(guess) => (guess.answer(), guess.reaches, 0.0),
        None => ("the same".to_owned(), trial.mean, trial.deviation),
    };
    CandidateRow {
        name: if baseline {
            format!("Baseline: always {answer}")
        } else {
            plain(&trial.estimator)
        },
        parameters: if baseline {
            String::new()
        } else {
            parameters(&trial.parameters)
        },
        mean: metric(Some(mean)),
        deviation: metric(Some(deviation)),
        chosen: trial.chosen,
        baseline,
    }
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn confusion(counts: &[Vec<usize>], classes: &[String]) -> Vec<ConfusionRow> {
    counts
        .iter()
        .zip(classes)
        .enumerate()
        .map(|(truly, (row, class))| {
            let total = row.iter().sum::<usize>().max(1) as f64;
            ConfusionRow {
                class: class.clone(),
                cells: row
                    .iter()
                    .enumerate()
                    .map(|(predicted, rows)| ConfusionCell {
                        count: count(*rows),
                        share: percent(*rows as f64 / total),
                        right: predicted == truly,
                    })
                    .collect(),
            }
        })
        .collect()
}

fn charts(metadata: &Metadata, classes: &[String]) -> Result<Vec<Chart>> {
    let mut charts = match (metadata.goal, classes) {
        (Goal::Classes, [_, positive]) => {
            let mut charts = ranking(metadata, classes)?;
            charts.extend(explained::thresholds(metadata, positive)?);
            charts
        }
        (Goal::Quantity, _) => vec![against_truth(metadata)?],
        _ => Vec::new(),
    };
    charts.extend(explained::learning(metadata)?);
    Ok(charts)
}

/// How well two classes are told apart.
fn ranking(metadata: &Metadata, classes: &[String]) -> Result<Vec<Chart>> {
    let seen = &metadata.evaluation;
    let positive = &classes[1];
    Ok(vec![
        Chart {
            title: "Receiver operating characteristic".to_owned(),
            note: "The further above the diagonal, the better; the diagonal is guessing."
                .to_owned(),
            svg: unit_curve(
                &seen.roc,
                "false positive rate",
                "true positive rate",
                true,
                false,
            )?,
        },
        Chart {
            title: "Precision and recall".to_owned(),
            note: format!(
                "How many of those called {positive} are so, when that share of them is found."
            ),
            svg: unit_curve(&seen.precision_recall, "recall", "precision", false, false)?,
        },
        Chart {
            title: "Calibration".to_owned(),
            note: "On the diagonal a probability means what it says.".to_owned(),
            svg: unit_curve(
                &seen.calibration,
                "mean probability",
                "share of positives",
                true,
                true,
            )?,
        },
        Chart {
            title: "Probabilities".to_owned(),
            note: format!(
                "Blue: rows that are {}; orange: rows that are {positive}.",
                classes[0]
            ),
            svg: probabilities(&seen.histogram)?,
        },
    ])
}

fn against_truth(metadata: &Metadata) -> Result<Chart> {
    Ok(Chart {
        title: "Predictions and truth".to_owned(),
        note: "On the diagonal the prediction is right; rows that were held out.".to_owned(),
        svg: scatter(&metadata.evaluation.predicted, "truth", "prediction")?,
    })
}

fn column_row(column: &ColumnStatistics, metadata: &Metadata) -> ColumnRow {
    let typical = if column.kind == ColumnKind::Text {
        let levels = column.levels.iter().take(3);
        let levels: Vec<String> = levels
            .map(|(level, share)| format!("{level} ({})", percent(*share)))
            .collect();
        levels.join(", ")
    } else if let [low, .., high] = column.quantiles.as_slice() {
        let middle = column.quantiles[column.quantiles.len() / 2];
        let shown = [*low, middle, *high].map(|value| value_of_kind(column.kind, value));
        shown.join(" … ")
    } else {
        String::new()
    };
    ColumnRow {
        name: column.name.clone(),
        kind: column.kind.name(),
        missing: percent(column.missing),
        imputed: match metadata.imputed.get(&column.name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(value)) => {
                let value = value.as_f64();
                value.map_or_else(String::new, |value| value_of_kind(column.kind, value))
            }
            Some(other) => other.to_string(),
            None => "–".to_owned(),
        },
        typical,
    }
}

/// Dates are days since 1970.
fn value_of_kind(kind: ColumnKind, value: f64) -> String {
    if kind == ColumnKind::Date {
        explained::date(value)
    } else {
        number(value)
    }
}

fn number(value: f64) -> String {
    crate::drift::short(value)
}

fn facts(metadata: &Metadata, digest: &str) -> Vec<(&'static str, String)> {
    let counts: Vec<String> = metadata
        .classes
        .names()
        .iter()
        .zip(&metadata.class_counts)
        .map(|(name, rows)| format!("{name}: {}", count(*rows)))
        .collect();
    let mut facts = vec![("Rows", count(metadata.rows))];
    if metadata.goal == Goal::Classes {
        facts.push(("Classes", counts.join(", ")));
    }
    if metadata.classes.len() == 2 || metadata.goal == Goal::Anomalies {
        facts.push(("Threshold", score(metadata.threshold)));
    }
    facts.extend([
        ("Folds", metadata.folds.to_string()),
        ("Seed", metadata.seed.to_string()),
        ("Data fingerprint", metadata.fingerprint.clone()),
        ("Model file (SHA-256)", digest.to_owned()),
        (
            "File against memory",
            if metadata.max_difference > 0.0 {
                format!("answers differ by {:.1e} at most", metadata.max_difference)
            } else {
                "equal answers".to_owned()
            },
        ),
        ("pipectl", metadata.pipectl.clone()),
    ]);
    facts
}
