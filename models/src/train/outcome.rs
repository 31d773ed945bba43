//! Refits the best candidate on all rows and writes the model file.

use polars::prelude::{DataFrame, IdxCa};
use prost::Message;

use crate::data::{Classes, ColumnSpec, Goal, Truth};
use crate::error::{ModelError, Result};
use crate::estimators::{Cancel, Estimator, Fitted};
use crate::explain::mean_effects;
use crate::metrics::{
    Confusion, Metric, calibration, precision_recall_curve, probability_histogram, roc_curve,
    threshold_curves,
};
use crate::onnx::{
    Curve, Evaluation, Exported, Importance, Metadata, MetricValue, Parts, export, write_metadata,
};
use crate::scorer::{Answer, Graph, Questions, Session};
use crate::train::candidates::Candidate;
use crate::train::dependence::dependence;
use crate::train::inputs::{background, imputed, inputs, narrowed};
use crate::train::intervals::intervals;
use crate::train::prepared::Prepared;
use crate::train::resample::resampled;
use crate::train::search::{Found, measures};
use crate::train::statistics::reference;
use crate::train::threshold::{honestly_called, threshold};
use crate::train::{Calibration, Problem, Trained};

/// Rows on which the file is compared with the model in memory.
const SAMPLE: usize = 1_000;
/// The file may differ by this much.
const TOLERANCE: f64 = 1e-6;
/// Points of a picture of predictions over truths.
const POINTS: usize = 500;
/// A held-out ranking this good is too good.
const SUSPICIOUS: f64 = 0.9999;

/// What was looked at before, by models of the folds.
pub(crate) struct Looked {
    pub(crate) importances: Vec<Importance>,
    pub(crate) learning: Curve,
}

/// Refits, writes, checks.
pub(crate) fn finish(
    frame: &DataFrame,
    problem: &Problem<'_>,
    found: &Found,
    looked: Looked,
    cancel: &Cancel<'_>,
) -> Result<Trained> {
    let settings = problem.settings;
    let held_out = Honest::new(problem, found);
    let threshold = threshold(settings.threshold, &held_out.truth, &held_out.values);
    let rows: Vec<u32> = (0u32..).take(problem.table.rows).collect();
    let rows = resampled(problem, &rows);
    let mut warnings = problem.warnings.clone();
    let prepared = Prepared::new(
        &problem.extended.take(&rows),
        problem.target.truth.take(&rows),
        settings,
        &[&found.chosen.estimator],
        &mut |warning| warnings.push(warning),
    )?;
    let fitted = prepared.fit(&found.chosen.estimator, settings.seed, cancel)?;
    let learned = Learned {
        estimator: &found.chosen.estimator,
        prepared: &prepared,
        fitted: &fitted,
        calibration: held_out.calibration.as_ref(),
        classes: &problem.classes,
        threshold,
    };
    let answer = Answer::new(
        settings.goal,
        &problem.classes,
        held_out.values.clone(),
        threshold,
    );
    let called = honestly_called(
        settings.threshold,
        &held_out.truth,
        &held_out.values,
        &found.held_out.folds,
    );
    let metrics = all_metrics(problem, &held_out, &called);
    if let Some(warning) = too_good(&metrics, &looked.importances) {
        warnings.push(warning);
    }
    let mut metadata = learned.metadata(problem, &found.chosen, warnings)?;
    metadata.metrics = metrics;
    metadata.trials.clone_from(&found.trials);
    metadata.warnings.extend(no_better(&metadata));
    metadata.evaluation = evaluation(&held_out, &called);
    metadata.importances = looked.importances;
    metadata.learning = looked.learning;
    metadata.dependence = dependence(problem, &learned, &metadata, cancel)?;
    Ok(Trained {
        bytes: Some(learned.write(problem, &mut metadata)?),
        metadata,
        scored: answer.append_to(&taken(frame, &found.held_out.rows)?)?,
    })
}

/// Says that whoever does not look at the rows is no worse.
fn no_better(metadata: &Metadata) -> Option<String> {
    let guess = metadata.guess().filter(|guess| !guess.is_beaten())?;
    Some(format!(
        "the model is no better than guessing: {} {:.3} in cross-validation, and always guessing {} reaches {:.3}",
        guess.metric,
        guess.chosen.0,
        guess.answer(),
        guess.reaches
    ))
}

/// The chosen candidate's answers to held-out rows, calibrated by what the other folds show.
struct Honest {
    truth: Truth,
    values: Vec<f64>,
    calibration: Option<Calibration>,
}

impl Honest {
    fn new(problem: &Problem<'_>, found: &Found) -> Self {
        let held_out = &found.held_out;
        let truth = problem.target.truth.take(&held_out.rows);
        let mut values = held_out.values.clone();
        let (Some(method), Truth::Classes { codes, .. }, 2) =
            (problem.settings.calibration, &truth, held_out.width)
        else {
            return Self {
                truth,
                values,
                calibration: None,
            };
        };
        let shares: Vec<f64> = values.iter().skip(1).step_by(2).copied().collect();
        let hits: Vec<bool> = codes.iter().map(|code| *code == 1).collect();
        let learned = |from: &dyn Fn(u32) -> bool| {
            let rows = held_out.folds.iter().enumerate();
            let rows: Vec<usize> = rows
                .filter(|(_, fold)| from(**fold))
                .map(|(row, _)| row)
                .collect();
            let shares: Vec<f64> = rows.iter().map(|row| shares[*row]).collect();
            let hits: Vec<bool> = rows.iter().map(|row| hits[*row]).collect();
            Calibration::fit(method, &shares, &hits)
        };
        let calibration = learned(&|_| true);
        let folds = held_out.folds.iter().max().map_or(0, |last| last + 1);
        for fold in 0..folds {
            let others = if folds == 1 {
                calibration.clone()
            } else {
                learned(&|other| other != fold)
            };
            for (row, pair) in held_out.folds.iter().zip(values.chunks_exact_mut(2)) {
                if *row == fold {
                    others.apply_to(pair);
                }
            }
        }
        Self {
            truth,
            values,
            calibration: Some(calibration),
        }
    }
}

/// Some rows of a frame.
pub(crate) fn taken(frame: &DataFrame, rows: &[u32]) -> Result<DataFrame> {
    if rows.len() == frame.height() {
        return Ok(frame.clone());
    }
    Ok(frame.take(&IdxCa::from_vec("row".into(), rows.to_vec()))?)
}

/// What was learned, with all that a file needs.
pub(crate) struct Learned<'a> {
    pub(crate) estimator: &'a Estimator,
    pub(crate) prepared: &'a Prepared,
    pub(crate) fitted: &'a Fitted,
    pub(crate) calibration: Option<&'a Calibration>,
    pub(crate) classes: &'a Classes,
    pub(crate) threshold: f64,
}

impl Learned<'_> {
    /// What the file will say about itself, without what was measured.
    pub(crate) fn metadata(
        &self,
        problem: &Problem<'_>,
        chosen: &Candidate,
        warnings: Vec<String>,
    ) -> Result<Metadata> {
        let settings = problem.settings;
        let columns = inputs(problem, &self.prepared.preparation);
        Ok(Metadata {
            pipectl: env!("CARGO_PKG_VERSION").to_owned(),
            estimator: chosen.name.clone(),
            parameters: chosen.parameters.clone(),
            features: settings.features.clone(),
            imputed: imputed(self.prepared.styled(self.estimator)?),
            ignore_case: Some(self.prepared.preparation.ignore_case),
            target: problem.target.name.clone(),
            threshold: self.threshold,
            metric: match settings.goal {
                Goal::Anomalies => None,
                _ => Some(settings.metric()),
            },
            rows: problem.table.rows,
            class_counts: problem.target.counts(),
            fingerprint: problem.table.fingerprint(Some(&problem.target)),
            seed: settings.seed,
            folds: settings.validation.folds,
            reference: reference(
                &narrowed(&problem.table, &columns)?,
                &self.prepared.preparation,
            ),
            warnings,
            ..Metadata::unmeasured(settings.goal, columns, self.classes.clone())
        })
    }

    /// The model file, compared with the model in memory.
    pub(crate) fn write(&self, problem: &Problem<'_>, metadata: &mut Metadata) -> Result<Vec<u8>> {
        let rows = self.prepared.rows(self.estimator)?;
        let preparation = self.prepared.styled(self.estimator)?;
        let cover = self.fitted.cover(rows);
        let projection = self.prepared.projection(self.estimator)?;
        let Exported {
            model: mut stored,
            matrix,
            projected,
        } = export(&Parts {
            columns: &metadata.columns,
            features: &problem.features,
            preparation,
            projection,
            fitted: self.fitted,
            cover: &cover,
            calibration: self.calibration,
            goal: metadata.goal,
            classes: self.classes,
            threshold: self.threshold,
        })?;
        if matches!(metadata.goal, Goal::Classes | Goal::Quantity) {
            let means = projection.map(|projection| &*projection.scaling.means);
            let mut background = background(matrix, preparation, self.fitted, rows, means);
            background.projected = projected;
            metadata.effects = mean_effects(self.fitted, &cover, &background, rows);
            metadata.background = Some(background);
        }
        let graph = Graph::load(&stored)?;
        metadata.max_difference = self.difference(problem, &metadata.columns, &graph)?;
        write_metadata(&mut stored, metadata)?;
        Ok(stored.encode_to_vec())
    }

    /// The largest difference between the graph's answers and those in memory; of quantities as a share of the largest.
    fn difference(
        &self,
        problem: &Problem<'_>,
        columns: &[ColumnSpec],
        graph: &Graph,
    ) -> Result<f64> {
        let step = problem.table.rows.div_ceil(SAMPLE);
        let rows: Vec<u32> = (0u32..).take(problem.table.rows).step_by(step).collect();
        let sample = problem.extended.take(&rows);
        let mut memory = self
            .fitted
            .answer(&self.prepared.transform(&sample, self.estimator)?);
        if let Some(calibration) = self.calibration {
            calibration.apply_to(&mut memory);
        }
        let raw = narrowed(&problem.table.take(&rows), columns)?;
        let output = graph
            .outputs()
            .iter()
            .position(|port| port.name == problem.settings.goal.output())
            .ok_or_else(|| ModelError::internal("the model file lacks its output"))?;
        let file = Questions::single(columns.len()).run(graph, &raw, output)?;
        let unit = memory
            .iter()
            .fold(1.0, |largest: f64, value| largest.max(value.abs()));
        let largest = memory
            .iter()
            .zip(&file)
            .map(|(memory, file)| (memory - file).abs() / unit)
            .fold(0.0, f64::max);
        if memory.len() != file.len() || largest > TOLERANCE || memory.iter().any(|p| p.is_nan()) {
            return Err(ModelError::internal(format!(
                "the model file answers differently from the model in memory (by {largest:e})"
            )));
        }
        Ok(largest)
    }
}

fn all_metrics(problem: &Problem<'_>, held_out: &Honest, called: &[u32]) -> Vec<MetricValue> {
    let Honest { truth, values, .. } = held_out;
    let metrics = Metric::of_goal(problem.settings.goal);
    let found: Vec<Option<f64>> = measures(problem, truth, values, called)
        .into_iter()
        .map(|value| value.is_finite().then_some(value))
        .collect();
    let intervals = intervals(problem, (truth, values), called, &found);
    metrics
        .iter()
        .zip(found.into_iter().zip(intervals))
        .map(|(metric, (value, interval))| MetricValue {
            metric: *metric,
            value,
            interval,
        })
        .collect()
}

/// What is told of a model that is hardly ever wrong: the column that matters most may tell the target.
fn too_good(metrics: &[MetricValue], importances: &[Importance]) -> Option<String> {
    let suspicious = metrics.iter().any(|entry| {
        matches!(entry.metric, Metric::RocAuc | Metric::R2)
            && entry.value.is_some_and(|value| value >= SUSPICIOUS)
    });
    let which = match importances.first() {
        Some(first) => format!("does the column `{}` tell it?", first.column),
        None => "does a column tell it?".to_owned(),
    };
    suspicious.then(|| {
        format!("the target of held-out rows is predicted almost without error: {which} `exclude` leaves a column out")
    })
}

fn evaluation(held_out: &Honest, called: &[u32]) -> Evaluation {
    match &held_out.truth {
        Truth::Classes { classes, codes } => {
            let confusion = Confusion::new(codes, called, classes.len()).counts;
            if classes.len() != 2 {
                return Evaluation {
                    confusion,
                    ..Evaluation::default()
                };
            }
            let hits: Vec<bool> = codes.iter().map(|code| *code == 1).collect();
            let shares = held_out.values.iter().skip(1).step_by(2);
            let scores: Vec<f64> = shares.copied().collect();
            Evaluation {
                confusion,
                roc: roc_curve(&hits, &scores),
                precision_recall: precision_recall_curve(&hits, &scores),
                calibration: calibration(&hits, &scores),
                histogram: probability_histogram(&hits, &scores),
                thresholds: threshold_curves(&hits, &scores),
                ..Evaluation::default()
            }
        }
        Truth::Quantity(truth) => {
            let step = truth.len().div_ceil(POINTS).max(1);
            Evaluation {
                predicted: Curve {
                    x: truth.iter().step_by(step).copied().collect(),
                    y: held_out.values.iter().step_by(step).copied().collect(),
                },
                ..Evaluation::default()
            }
        }
        Truth::Unknown(_) => Evaluation::default(),
    }
}
