//! Refits the best candidate on all rows and writes the model file.

use indexmap::IndexMap;
use polars::prelude::DataFrame;
use prost::Message;
use serde_json::Value;

use crate::data::{ColumnKind, ColumnSpec, Table};
use crate::error::{ModelError, Result};
use crate::estimators::{Cancel, Estimator, Fitted};
use crate::metrics::{
    Confusion, Metric, calibration, precision_recall_curve, probability_histogram, roc_curve,
};
use crate::onnx::{Evaluation, Importance, Metadata, MetricValue, Parts, export, write_metadata};
use crate::prepare::{Encoding, Preparation};
use crate::scorer::{Graph, Prediction, run_rows};
use crate::train::search::{Found, Prepared};
use crate::train::statistics::statistics;
use crate::train::threshold::threshold;
use crate::train::{Problem, Trained};

/// Rows on which the file is compared with the model in memory.
const SAMPLE: usize = 1_000;
/// The file may differ by this much.
const TOLERANCE: f64 = 1e-6;
/// A held-out ranking this good is too good.
const SUSPICIOUS: f64 = 0.9999;

/// Refits, writes, checks.
pub(crate) fn finish(
    frame: &DataFrame,
    problem: &Problem<'_>,
    found: &Found,
    importances: Vec<Importance>,
    cancel: &Cancel<'_>,
) -> Result<Trained> {
    let settings = problem.settings;
    let target = &problem.target;
    let estimator = &found.chosen.estimator;
    let threshold = threshold(
        settings.threshold,
        &target.codes,
        &target.classes,
        &found.out_of_fold,
    );
    let mut warnings = problem.warnings.clone();
    let prepared = Prepared::new(
        &problem.extended,
        target.codes.clone(),
        target.classes.len(),
        &[estimator],
        &mut |warning| warnings.push(warning),
    )?;
    let fitted = prepared.fit(estimator, settings.seed, cancel)?;
    let columns = inputs(problem, &prepared.preparation);
    let mut stored = export(&Parts {
        columns: &columns,
        features: &problem.features,
        preparation: &prepared.preparation,
        keep_missing: estimator.reads_missing(),
        fitted: &fitted,
        classes: &target.classes,
        threshold,
    })?;
    let graph = Graph::load(&stored)?;
    let max_difference = difference(problem, &columns, &prepared, (estimator, &fitted), &graph)?;
    let held_out = Prediction::new(target.classes.clone(), found.out_of_fold.clone(), threshold);
    let metrics = all_metrics(&target.codes, &held_out);
    if let Some(warning) = too_good(&metrics) {
        warnings.push(warning);
    }
    let metadata = Metadata {
        pipectl: env!("CARGO_PKG_VERSION").to_owned(),
        estimator: found.chosen.name.clone(),
        parameters: found.chosen.parameters.clone(),
        features: settings.features.clone(),
        imputed: imputed(&prepared.preparation),
        target: target.name.clone(),
        classes: target.classes.clone(),
        threshold,
        metric: settings.metric,
        metrics,
        trials: found.trials.clone(),
        evaluation: evaluation(&target.codes, &held_out),
        importances,
        rows: problem.table.rows,
        class_counts: target.counts(),
        fingerprint: problem.table.fingerprint(Some(target)),
        seed: settings.seed,
        folds: settings.folds,
        max_difference,
        reference: statistics(&narrowed(&problem.table, &columns)?),
        columns,
        warnings,
    };
    write_metadata(&mut stored, &metadata)?;
    Ok(Trained {
        bytes: stored.encode_to_vec(),
        metadata,
        out_of_fold: held_out.append_to(frame)?,
    })
}

/// The raw columns that the model reads, directly or through a feature.
fn inputs(problem: &Problem<'_>, preparation: &Preparation) -> Vec<ColumnSpec> {
    let prepared = |name: &str| preparation.columns.iter().any(|column| column.name == name);
    let read = |name: &str| {
        problem
            .features
            .iter()
            .any(|feature| feature.columns().contains(&name))
    };
    let mut columns = problem.table.specs();
    columns.retain(|column| prepared(&column.name) || read(&column.name));
    columns
}

/// The table with the model's columns alone.
fn narrowed(table: &Table, columns: &[ColumnSpec]) -> Result<Table> {
    let columns = columns
        .iter()
        .map(|spec| {
            table
                .column(&spec.name)
                .cloned()
                .ok_or_else(|| ModelError::internal("a column of the model is gone"))
        })
        .collect::<Result<_>>()?;
    Ok(Table {
        rows: table.rows,
        columns,
    })
}

/// The largest difference between the graph's probabilities and those in memory.
fn difference(
    problem: &Problem<'_>,
    columns: &[ColumnSpec],
    prepared: &Prepared,
    (estimator, fitted): (&Estimator, &Fitted),
    graph: &Graph,
) -> Result<f64> {
    let step = problem.table.rows.div_ceil(SAMPLE);
    let rows: Vec<u32> = (0u32..).take(problem.table.rows).step_by(step).collect();
    let memory =
        fitted.probabilities(&prepared.transform(&problem.extended.take(&rows), estimator)?);
    let raw = narrowed(&problem.table.take(&rows), columns)?;
    let file = run_rows(graph, &raw, 1)?;
    let largest = memory
        .iter()
        .zip(&file)
        .map(|(memory, file)| (memory - file).abs())
        .fold(0.0, f64::max);
    if memory.len() != file.len() || largest > TOLERANCE || memory.iter().any(|p| p.is_nan()) {
        return Err(ModelError::internal(format!(
            "the model file answers differently from the model in memory (by {largest:e})"
        )));
    }
    Ok(largest)
}

fn all_metrics(codes: &[u32], held_out: &Prediction) -> Vec<MetricValue> {
    let classes = held_out.classes.len();
    Metric::ALL
        .into_iter()
        .map(|metric| {
            let value = metric.of(codes, &held_out.codes, &held_out.probabilities, classes);
            MetricValue {
                metric,
                value: value.is_finite().then_some(value),
            }
        })
        .collect()
}

fn too_good(metrics: &[MetricValue]) -> Option<String> {
    let ranking = metrics
        .iter()
        .find(|entry| entry.metric == Metric::RocAuc)?
        .value?;
    (ranking >= SUSPICIOUS).then(|| {
        "held-out rows are predicted almost without error: does a column tell the target?"
            .to_owned()
    })
}

fn evaluation(codes: &[u32], held_out: &Prediction) -> Evaluation {
    let classes = held_out.classes.len();
    let confusion = Confusion::new(codes, &held_out.codes, classes).counts;
    if classes != 2 {
        return Evaluation {
            confusion,
            ..Evaluation::default()
        };
    }
    let hits: Vec<bool> = codes.iter().map(|code| *code == 1).collect();
    let scores: Vec<f64> = held_out
        .probabilities
        .iter()
        .skip(1)
        .step_by(2)
        .copied()
        .collect();
    Evaluation {
        confusion,
        roc: roc_curve(&hits, &scores),
        precision_recall: precision_recall_curve(&hits, &scores),
        calibration: calibration(&hits, &scores),
        histogram: probability_histogram(&hits, &scores),
    }
}

fn imputed(preparation: &Preparation) -> IndexMap<String, Value> {
    preparation
        .columns
        .iter()
        .map(|column| {
            let value = match &column.encoding {
                Encoding::Number { fill, .. } if column.kind == ColumnKind::Boolean => {
                    Value::from(*fill != 0.0)
                }
                Encoding::Number { fill, .. } => Value::from(*fill),
                Encoding::OneHot { levels, fill } => Value::from(levels[*fill].as_str()),
            };
            (column.name.clone(), value)
        })
        .collect()
}
