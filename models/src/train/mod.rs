//! Training: candidates, honest validation, the best one refitted and written as a model file.

#[cfg(test)]
mod bad_input;
mod calibration;
mod candidates;
mod dependence;
mod fits;
mod folds;
mod groups;
mod held_out;
mod importance;
mod inputs;
mod intervals;
mod learning;
mod outcome;
mod prepared;
mod resample;
mod rounds;
mod search;
mod settings;
mod single;
mod statistics;
mod threshold;
mod trials;

use polars::prelude::DataFrame;

use crate::data::{Classes, ColumnKind, ColumnSpec, Goal, Table, Target, column_names};
use crate::error::{ModelError, Result};
use crate::estimators::Cancel;
use crate::features::{Feature, extend};
use crate::onnx::{Curve, Metadata};
use crate::scorer::added_columns;
pub(crate) use calibration::{Calibration, EDGE};
pub use settings::{Method, Resample, Search, Settings, Split, Threshold, Validation};
pub use single::Single;

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

/// What a candidate was worth in a fold.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The round of halving, the fold and the candidate, counted from 0; the baseline is candidate 0.
    pub place: [usize; 3],
    /// The metrics of the goal, in their order.
    pub measures: Vec<f64>,
}

/// How training talks to its caller.
pub struct Hooks<'a> {
    /// Hears of every fit.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Hears what every fit of the search was worth; given back as `known` it is not fitted again.
    pub measured: &'a (dyn Fn(Fit) + Sync),
    /// What an earlier training of the same rows with the same settings has measured.
    pub known: &'a [Fit],
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
            measured: &|_| (),
            known: &[],
            cancelled: &|| false,
        }
    }
}

/// A trained model.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The model file; none of groups that are assigned and cannot be predicted.
    pub bytes: Option<Vec<u8>>,
    /// What it says about itself.
    pub metadata: Metadata,
    /// The training rows with answers: of classes and quantities those of models that had not seen the row, without rows
    /// that never were held out.
    pub scored: DataFrame,
}

/// The data of a training, read and checked.
pub(crate) struct Problem<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) target: Target,
    pub(crate) classes: Classes,
    /// The raw columns that the model may read.
    pub(crate) table: Table,
    pub(crate) features: Vec<Feature>,
    /// Raw and derived columns, without those that only features read.
    pub(crate) extended: Table,
    pub(crate) warnings: Vec<String>,
}

impl<'a> Problem<'a> {
    fn read(frame: &DataFrame, settings: &'a Settings) -> Result<Self> {
        let goal = settings.goal;
        let target = Target::read(frame, goal, &settings.target, settings.positive.as_deref())?;
        let classes = target.classes();
        check_names(frame, settings, &classes)?;
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
        let excluded = |name: &str| {
            settings.exclude.iter().any(|excluded| excluded == name)
                || settings.dividing() == Some(name)
        };
        let read = |name: &str| {
            features
                .iter()
                .any(|feature| feature.columns().contains(&name))
        };
        let skipped: Vec<&str> = frame
            .columns()
            .iter()
            .map(|column| column.name().as_str())
            .filter(|name| *name == settings.target || (excluded(name) && !read(name)))
            .collect();
        let table = Table::from_frame(frame, &skipped)?;
        let mut extended = extend(&table, &features)?;
        extended.columns.retain(|column| !excluded(&column.name));
        if let Some(name) = settings
            .preprocess
            .keys()
            .find(|name| extended.column(name).is_none())
        {
            return Err(ModelError::settings(format!(
                "`preprocess` names `{name}`, which is no column that is learned from"
            )));
        }
        Ok(Self {
            warnings: unsaid_positive(settings, &classes)
                .into_iter()
                .chain(idle_positive(settings, &classes))
                .chain(labels_by_case(settings, &classes))
                .collect(),
            settings,
            target,
            classes,
            table,
            features,
            extended,
        })
    }
}

/// Labels that nobody takes for the other one of two.
const PLAINLY_POSITIVE: [&str; 8] = ["1", "true", "yes", "y", "t", "positive", "pos", "ja"];

/// Says which of two classes is the positive one, when nobody has said it and it is not plain.
fn unsaid_positive(settings: &Settings, classes: &Classes) -> Option<String> {
    let names = classes.names();
    let [_, positive] = names.as_slice() else {
        return None;
    };
    let plain = PLAINLY_POSITIVE.contains(&positive.to_lowercase().as_str());
    (settings.positive.is_none() && !plain).then(|| {
        format!(
            "`{positive}` is taken for the positive class, as the last of the two in sort order: f1, precision, recall and `probability` are about it; `positive` says it"
        )
    })
}

/// Says that a positive class was named where there are more than two.
fn idle_positive(settings: &Settings, classes: &Classes) -> Option<String> {
    let positive = settings.positive.as_ref()?;
    (classes.len() > 2).then(|| {
        format!(
            "`positive: {positive}` changes nothing: `{}` has {} classes, and only of two one is the positive class; a query before may make two of them",
            settings.target,
            classes.len()
        )
    })
}

/// Says which labels differ by case alone: `ignore_case` is about columns, and a label is what it is.
fn labels_by_case(settings: &Settings, classes: &Classes) -> Option<String> {
    let names = classes.names();
    let alike = |name: &&String| {
        let same = |other: &&String| other.to_lowercase() == name.to_lowercase();
        names.iter().filter(same).count() > 1
    };
    let alike: Vec<String> = names
        .iter()
        .filter(alike)
        .map(|name| format!("`{name}`"))
        .collect();
    (!alike.is_empty()).then(|| {
        let target = &settings.target;
        format!(
            "labels of `{target}` differ by case alone and are learned as different ones: {}; `lower({target})` in a query before makes them one",
            alike.join(", ")
        )
    })
}

fn check_names(frame: &DataFrame, settings: &Settings, classes: &Classes) -> Result<()> {
    for name in &settings.exclude {
        if frame.column(name).is_err() {
            return Err(ModelError::settings(format!(
                "`exclude` names `{name}`, which is no column; there are {}",
                column_names(frame)
            )));
        }
    }
    let reserved = added_columns(settings.goal, classes);
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
    if matches!(settings.goal, Goal::Clusters | Goal::Anomalies) {
        return groups::train(frame, &problem, hooks, &cancel);
    }
    let folds = folds::divide(frame, &problem)?;
    let found = search::search(&mut problem, &folds, hooks, &cancel)?;
    let importances = importance::importances(&problem, &folds[0], &found, &cancel)?;
    let learning = if settings.learning_curve {
        learning::learning_curve(&problem, &folds[0], &found, &cancel)?
    } else {
        Curve::default()
    };
    let looked = outcome::Looked {
        importances,
        learning,
    };
    outcome::finish(frame, &problem, &found, looked, &cancel)
}
