//! Training: candidates, honest validation, the best one refitted and written as a model file.

#[cfg(test)]
mod bad_input;
mod calibration;
mod candidates;
mod dependence;
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
mod single;
mod statistics;
mod threshold;
mod trials;

use indexmap::IndexMap;
use polars::prelude::DataFrame;
use serde_json::Value;

use crate::data::{Classes, ColumnKind, ColumnSpec, Goal, Table, Target, column_names};
use crate::error::{ModelError, Result};
use crate::estimators::Cancel;
use crate::features::{Feature, extend};
use crate::metrics::Metric;
use crate::onnx::{Curve, Metadata};
use crate::prepare::Recipes;
use crate::scorer::added_columns;
pub(crate) use calibration::{Calibration, EDGE};
pub use single::Single;

/// What to learn, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What the model is for.
    pub goal: Goal,
    /// The column to learn; empty of clusters and anomalies.
    pub target: String,
    /// The positive class; the last in sort order when not said.
    pub positive: Option<String>,
    /// Columns not to learn from.
    pub exclude: Vec<String>,
    /// Derived features: name and SQL expression.
    pub features: IndexMap<String, String>,
    /// How columns, raw or derived, become numbers where not as usual.
    pub preprocess: Recipes,
    /// Estimators with parameters; a parameter that is a list is tried with each of its values. When empty, usual ones
    /// are tried with their defaults.
    pub candidates: IndexMap<String, IndexMap<String, Value>>,
    /// How many of the candidates' combinations are tried, and how.
    pub search: Search,
    /// How candidates are compared.
    pub validation: Validation,
    /// What candidates are compared by; anomalies are not compared.
    pub metric: Option<Metric>,
    /// Whether rare classes are drawn more often, or frequent ones less, in what is learned from.
    pub resample: Option<Resample>,
    /// Of two classes: how probabilities are made to mean what they say.
    pub calibration: Option<Method>,
    /// The probability from which the positive class is predicted.
    pub threshold: Threshold,
    /// Whether it is also told what the chosen candidate is worth when it learns from fewer rows: three fits more, of at
    /// most half the rows.
    pub learning_curve: bool,
    /// The seed of all randomness.
    pub seed: u64,
}

/// How the rows are divided to compare candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// Which rows are held out together.
    pub split: Split,
    /// How many parts; each is held out once.
    pub folds: usize,
    /// How often they are divided anew.
    pub repeats: usize,
    /// Only one part, of this share, is held out.
    pub holdout: Option<f64>,
}

impl Default for Validation {
    fn default() -> Self {
        Self {
            split: Split::Stratified,
            folds: 5,
            repeats: 1,
            holdout: None,
        }
    }
}

/// Which rows are held out together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// Rows at random, every class spread evenly.
    Stratified,
    /// Rows at random.
    Random,
    /// All rows with the same value of this column.
    Group(String),
    /// Later rows by this column; learned from are those before them.
    Time(String),
}

/// How many combinations of parameters are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Search {
    /// All of them.
    #[default]
    Grid,
    /// So many, drawn at random.
    Random(usize),
    /// All of them on few rows, then the better ones on more, this many times fewer in each round.
    Halving(usize),
}

/// How classes are evened out in the rows that are learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resample {
    /// Rows of the smaller classes are repeated.
    Over,
    /// Rows of the larger classes are left out.
    Under,
}

/// How probabilities are calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By a sigmoid of the log odds (Platt).
    Sigmoid,
    /// By a rising line with steps.
    Isotonic,
}

/// How the threshold of two classes is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// Given.
    Fixed(f64),
    /// The one that is best by a metric on held-out rows.
    Best(Metric),
    /// The one that costs least on held-out rows.
    Cheapest {
        /// What it costs to miss a positive row.
        false_negative: f64,
        /// What it costs to call a negative row positive.
        false_positive: f64,
    },
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
    /// The model file; none of groups that are assigned and cannot be predicted.
    pub bytes: Option<Vec<u8>>,
    /// What it says about itself.
    pub metadata: Metadata,
    /// The training rows with answers: of classes and quantities those of models that had not seen the row, without rows
    /// that never were held out.
    pub scored: DataFrame,
}

impl Settings {
    /// The usual settings for a goal and a target.
    pub fn new(goal: Goal, target: impl Into<String>) -> Self {
        Self {
            goal,
            target: target.into(),
            positive: None,
            exclude: Vec::new(),
            features: IndexMap::new(),
            preprocess: Recipes::new(),
            candidates: IndexMap::new(),
            search: Search::Grid,
            validation: Validation::default(),
            metric: None,
            resample: None,
            calibration: None,
            threshold: Threshold::Fixed(0.5),
            learning_curve: false,
            seed: 0,
        }
    }

    /// Checks what can be checked without data.
    pub fn check(&self) -> Result<()> {
        let wrong = |message: &str| Err(ModelError::settings(message));
        let validation = &self.validation;
        if validation.folds < 2 {
            return wrong("`folds` must be at least 2");
        }
        if validation.repeats == 0 {
            return wrong("`repeats` must be at least 1");
        }
        if let Some(share) = validation.holdout
            && !(share > 0.0 && share < 1.0)
        {
            return wrong("`holdout` is the share of rows that is held out, between 0 and 1");
        }
        if validation.repeats > 1 && matches!(validation.split, Split::Time(_)) {
            return wrong("rows that are divided by time are divided once: leave `repeats` out");
        }
        if let Threshold::Fixed(threshold) = self.threshold
            && !(0.0..=1.0).contains(&threshold)
        {
            return wrong("`threshold` is a probability, from 0 to 1");
        }
        self.check_preprocess()?;
        let candidates = candidates::expand(self)?;
        if self.goal == Goal::Anomalies && candidates.len() > 1 {
            return wrong(
                "anomalies are found without a truth to compare by: name one candidate with one set of parameters",
            );
        }
        Ok(())
    }

    /// Checks what can be checked of `preprocess` without data.
    pub fn check_preprocess(&self) -> Result<()> {
        let mut recipes = self.preprocess.iter();
        recipes.try_for_each(|(column, recipe)| recipe.check(column))
    }

    /// What candidates are compared by; the field's usual one when not said.
    pub fn metric(&self) -> Metric {
        self.metric.unwrap_or(match self.goal {
            Goal::Classes | Goal::Anomalies => Metric::Accuracy,
            Goal::Quantity => Metric::R2,
            Goal::Clusters => Metric::Silhouette,
        })
    }

    /// The columns that say which rows are held out together.
    fn dividing(&self) -> Option<&str> {
        match &self.validation.split {
            Split::Group(column) | Split::Time(column) => Some(column),
            Split::Stratified | Split::Random => None,
        }
    }
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
            warnings: unsaid_positive(settings, &classes).into_iter().collect(),
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
