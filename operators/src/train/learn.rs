//! From rows to a model that is kept: what the training operators share.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Artifact, Complaints, NewModel, Outcome, Output, Outputs, Promote, TaskContext, TaskError,
        ValueType,
    },
};
use pipectl_models::{
    data::Goal,
    metrics::Metric,
    onnx::Metadata,
    train::{Fit, Hooks, Progress, Settings, Trained, train},
};
use polars::prelude::DataFrame;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedSender};

use super::resume::Fits;
use crate::support::{
    frame::only_input, mlflow, model::model_error, promotion::Promotion, whole::Whole,
};

/// Where a model is kept.
pub(super) struct Keep {
    /// The name under which it is registered.
    pub(super) register: Option<String>,
    /// Where its file is also written.
    pub(super) path: Option<String>,
    /// When it becomes champion.
    pub(super) promote: Promote,
}

/// The outputs of a training task; `scored` are the rows with answers.
pub(super) fn outputs(scored: &str, registered: bool) -> Outputs {
    let outputs = Outputs::tables([scored, "trials"])
        .value(
            "model",
            ValueType::String,
            "the model, for `predict` and `report`",
        )
        .value(
            "estimator",
            ValueType::String,
            "the candidate that was chosen",
        )
        .value(
            "metric",
            ValueType::String,
            "the measure that candidates were compared by; none of anomalies",
        )
        .value(
            "threshold",
            ValueType::Number,
            "the probability or score from which a row is positive",
        );
    if registered {
        outputs.value(
            "version",
            ValueType::Integer,
            "the registered version, with `register`",
        )
    } else {
        outputs
    }
}

/// Complains of a model that is kept nowhere, and of settings that training refuses.
pub(super) fn check(
    register: Option<&str>,
    path: Option<&str>,
    promoted: bool,
    settings: &Settings,
    found: &mut Complaints,
) {
    if register.is_none() && path.is_none() {
        found
            .error(&[], "the model is kept nowhere")
            .hint("say `register: <name>`, or `path: models/<name>.onnx`");
    }
    if register.is_none() && promoted {
        found
            .error(&["promote"], "only a registered model can be promoted")
            .hint("say `register: <name>`");
    }
    if !settings.target.is_empty() && settings.exclude.contains(&settings.target) {
        found.error(&["exclude"], format!("`{}` is the target", settings.target));
    }
    for (name, flaw) in settings.check_features() {
        found.error(&["features", name], flaw);
    }
    let mut sound = true;
    if let Err(error) = settings.check_preprocess() {
        found.error(&["preprocess"], error.to_string());
        sound = false;
    }
    if let Err(error) = settings.check_pca() {
        found.error(&["pca"], error.to_string());
        sound = false;
    }
    check_candidates(settings, sound, found);
}

/// Complains of each candidate, and of all together when nothing else is wrong.
pub(super) fn check_candidates(settings: &Settings, sound: bool, found: &mut Complaints) {
    let flaws = settings.check_candidates();
    for (path, flaw) in &flaws {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        found.error(&[&["candidates"], &path[..]].concat(), flaw.as_str());
    }
    if let Err(error) = settings.check()
        && sound
        && flaws.is_empty()
    {
        found.error(&["candidates"], error.to_string());
    }
}

/// Complains of names in the rule of promotion that are no metrics.
pub(super) fn check_promotion<M: Copy>(
    promotion: Option<&Promotion<M>>,
    goal: Goal,
    found: &mut Complaints,
) {
    let names: Vec<&str> = Metric::of_goal(goal)
        .iter()
        .map(|metric| metric.name())
        .collect();
    Promotion::check(promotion, &names, found);
}

/// Learns from the task's input and keeps what came of it.
pub(super) async fn run(
    context: &TaskContext,
    settings: Settings,
    scored: &str,
    keep: Keep,
) -> Result<Outcome, TaskError> {
    let (_, frame) = only_input(context).await?;
    let trained = learn(context, frame, settings).await?;
    let metadata = Box::new(trained.metadata);
    let metrics: BTreeMap<String, f64> = metadata
        .metrics
        .iter()
        .filter_map(|entry| Some((entry.metric.name().to_owned(), entry.value?)))
        .collect();
    let trials = trials(&metadata)?;
    let mut output = Output::default()
        .dataset(scored, Dataset::from_frame(trained.scored))
        .dataset("trials", Dataset::from_frame(trials))
        .value("estimator", metadata.estimator.as_str())
        .value("threshold", metadata.threshold);
    if let Some(metric) = metadata.metric {
        output = output.value("metric", metric.name());
    }
    output.metrics.clone_from(&metrics);
    output.warnings.clone_from(&metadata.warnings);
    let Some(bytes) = trained.bytes else {
        if keep.register.is_some() || keep.path.is_some() {
            return Err(TaskError::user(format!(
                "{} assigns the rows that it is given and makes no model that could be kept",
                metadata.estimator
            ))
            .hint("leave `register` and `path` out, or choose another candidate"));
        }
        return Ok(Outcome::Done(output));
    };
    let file = Bytes::from(bytes);
    if let Some(path) = &keep.path {
        Whole::write(context, path, &file)?;
        output = output.value("model", path.as_str());
    }
    match keep.register {
        Some(name) => {
            output.model = Some(NewModel {
                name,
                content: file,
                metrics,
                card: card(&metadata, context),
                promote: keep.promote,
            });
        }
        None => {
            output = output.artifact(Artifact {
                name: "model.onnx".to_owned(),
                media_type: "application/octet-stream".to_owned(),
                content: file,
                path: keep.path.map(Into::into),
            });
        }
    }
    mlflow::track(context, &mut output).await;
    Ok(Outcome::Done(output))
}

/// What the registry shows of a model: what its file says of itself, and what went into its training data.
fn card(metadata: &Metadata, context: &TaskContext) -> Value {
    let mut card = json!(metadata);
    if !context.feature_views.is_empty() {
        card["feature_views"] = json!(context.feature_views);
    }
    card
}

/// What was tried, as a table.
fn trials(metadata: &Metadata) -> Result<DataFrame, TaskError> {
    metadata.trials_frame().map_err(model_error)
}

/// Trains, and keeps what is measured meanwhile.
async fn learn(
    context: &TaskContext,
    frame: DataFrame,
    settings: Settings,
) -> Result<Trained, TaskError> {
    let mut fits = Fits::load(context).await?;
    let known = fits.known();
    if !known.is_empty() {
        context.log.info(format!(
            "goes on after {} fits that an earlier attempt has measured",
            known.len()
        ));
    }
    let (tell, mut heard) = mpsc::unbounded_channel();
    let inner = Arc::new(context.clone());
    let mut work = pin!(context.compute(move || compute(&inner, &frame, &settings, &known, &tell)));
    loop {
        tokio::select! {
            trained = &mut work => return trained,
            more = fits.keep(&mut heard, context) => if !more? {
                return work.await;
            }
        }
    }
}

fn compute(
    context: &TaskContext,
    frame: &DataFrame,
    settings: &Settings,
    known: &[Fit],
    tell: &UnboundedSender<Fit>,
) -> Result<Trained, TaskError> {
    let progress = |progress: Progress| {
        context.log.info(progress.message);
        context
            .progress
            .set(progress.done as u64, Some(progress.total as u64));
    };
    let cancelled = || context.cancel.is_cancelled();
    let hooks = Hooks {
        progress: &progress,
        // Nobody hears it any more when the attempt has been given up.
        measured: &|fit| drop(tell.send(fit)),
        known,
        cancelled: &cancelled,
    };
    let trained = train(frame, settings, &hooks).map_err(model_error)?;
    for trial in &trained.metadata.trials {
        let mark = if trial.chosen { " (chosen)" } else { "" };
        context.log.info(format!(
            "{} {}: {} {:.4} ± {:.4}{mark}",
            trial.estimator,
            json!(trial.parameters),
            settings.metric(),
            trial.mean,
            trial.deviation
        ));
    }
    Ok(trained)
}
