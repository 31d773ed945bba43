//! Training: candidates, honest validation, the best one refitted and written as a model file.

mod folds;
mod grid;
mod importance;
mod outcome;
mod search;
mod statistics;
mod threshold;

use indexmap::IndexMap;
use polars::prelude::DataFrame;
use serde_json::Value;

use crate::data::{Classes, ColumnKind, ColumnSpec, Table, Target};
use crate::error::{ModelError, Result};
use crate::estimators::Cancel;
use crate::features::{Feature, extend};
use crate::metrics::Metric;
use crate::onnx::Metadata;

/// What to learn, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The column to learn.
    pub target: String,
    /// The positive class; the last in sort order when not said.
    pub positive: Option<String>,
    /// Columns not to learn from.
    pub exclude: Vec<String>,
    /// Derived features: name and SQL expression.
    pub features: IndexMap<String, String>,
    /// Estimators with parameters; a parameter that is a list is tried with each of its values. When empty, logistic
    /// regression, random forest and gradient boosting are tried with their defaults.
    pub candidates: IndexMap<String, IndexMap<String, Value>>,
    /// Folds of the stratified cross-validation.
    pub folds: usize,
    /// What candidates are compared by.
    pub metric: Metric,
    /// The probability from which the positive class is predicted.
    pub threshold: Threshold,
    /// The seed of all randomness.
    pub seed: u64,
}

/// How the threshold of two classes is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// Given.
    Fixed(f64),
    /// The one that is best by a metric on held-out rows.
    Best(Metric),
}

/// How far training is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Fits that are done.
    pub done: usize,
    /// Fits in all.
    pub total: usize,
    /// What was done last.
    pub message: String,
}

/// How training talks to its caller.
pub struct Hooks<'a> {
    /// Hears of every fit.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Asked often whether to stop.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl std::fmt::Debug for Hooks<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Hooks")
    }
}

impl Hooks<'_> {
    /// Hooks that hear nothing and never stop.
    pub fn silent() -> Hooks<'static> {
        Hooks {
            progress: &|_| (),
            cancelled: &|| false,
        }
    }
}

/// A trained model.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The model file.
    pub bytes: Vec<u8>,
    /// What it says about itself.
    pub metadata: Metadata,
    /// The training rows with the predictions of models that had not seen them.
    pub out_of_fold: DataFrame,
}

impl Settings {
    /// Checks what can be checked without data.
    pub fn check(&self) -> Result<()> {
        if self.folds < 2 {
            return Err(ModelError::settings("`folds` must be at least 2"));
        }
        if let Threshold::Fixed(threshold) = self.threshold
            && !(0.0..=1.0).contains(&threshold)
        {
            return Err(ModelError::settings(
                "`threshold` is a probability, from 0 to 1",
            ));
        }
        grid::expand(&self.candidates).map(drop)
    }
}

/// The data of a training, read and checked.
pub(crate) struct Problem<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) target: Target,
    /// The raw columns that the model may read.
    pub(crate) table: Table,
    pub(crate) features: Vec<Feature>,
    /// Raw and derived columns, without those that only features read.
    pub(crate) extended: Table,
    pub(crate) warnings: Vec<String>,
}

impl<'a> Problem<'a> {
    fn read(frame: &DataFrame, settings: &'a Settings) -> Result<Self> {
        let target = Target::read(frame, &settings.target, settings.positive.as_deref())?;
        check_names(frame, settings, &target.classes)?;
        let specs: Vec<ColumnSpec> = frame
            .columns()
            .iter()
            .filter(|column| *column.name() != settings.target)
            .filter_map(|column| {
                let kind = ColumnKind::of(column.dtype())?;
                Some(ColumnSpec {
                    name: column.name().to_string(),
                    kind,
                })
            })
            .collect();
        let features = Feature::compile_all(&settings.features, &specs)?;
        let excluded = |name: &str| settings.exclude.iter().any(|excluded| excluded == name);
        let read = |name: &str| {
            features
                .iter()
                .any(|feature| feature.columns().contains(&name))
        };
        let mut skipped = vec![settings.target.as_str()];
        skipped.extend(
            settings
                .exclude
                .iter()
                .map(String::as_str)
                .filter(|name| !read(name)),
        );
        let table = Table::from_frame(frame, &skipped)?;
        let mut extended = extend(&table, &features)?;
        extended.columns.retain(|column| !excluded(&column.name));
        Ok(Self {
            settings,
            target,
            table,
            features,
            extended,
            warnings: Vec::new(),
        })
    }
}

fn check_names(frame: &DataFrame, settings: &Settings, classes: &Classes) -> Result<()> {
    for name in &settings.exclude {
        if frame.column(name).is_err() {
            return Err(ModelError::settings(format!(
                "`exclude` names `{name}`, which is no column"
            )));
        }
    }
    let mut reserved = vec!["prediction".to_owned()];
    if classes.len() == 2 {
        reserved.push("probability".to_owned());
    } else {
        reserved.extend(
            classes
                .names()
                .iter()
                .map(|name| format!("probability_{name}")),
        );
    }
    match reserved.iter().find(|name| frame.column(name).is_ok()) {
        None => Ok(()),
        Some(name) => Err(ModelError::data(format!(
            "the data already has a column `{name}`, which the model adds: rename or drop it before"
        ))),
    }
}

/// Trains. Equal data, settings and seed give equal bytes, on any number of threads.
pub fn train(frame: &DataFrame, settings: &Settings, hooks: &Hooks<'_>) -> Result<Trained> {
    settings.check()?;
    let mut problem = Problem::read(frame, settings)?;
    let cancel = Cancel(hooks.cancelled);
    let folds = folds::stratified(&problem.target, settings.folds, settings.seed)?;
    let found = search::search(&mut problem, &folds, hooks, &cancel)?;
    let importances = importance::importances(&problem, &folds[0], &found, &cancel)?;
    outcome::finish(frame, &problem, &found, importances, &cancel)
}
