//! What to learn, and how.

use indexmap::IndexMap;
use serde_json::Value;

use crate::data::Goal;
use crate::error::{ModelError, Result};
use crate::features;
use crate::metrics::Metric;
use crate::prepare::{Pca, Recipes};
use crate::train::candidates;

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
    /// Whether small and capital letters of text are the same.
    pub ignore_case: bool,
    /// Whether estimators read principal components instead.
    pub pca: Option<Pca>,
    /// Estimators with parameters; a parameter that is a list is tried with each of its values. When empty, usual ones
    /// are tried with their defaults.
    pub candidates: IndexMap<String, IndexMap<String, Value>>,
    /// How many of the candidates' combinations are tried, and how.
    pub search: Search,
    /// Bytes that the candidates which are tried side by side may take, with their rows; as much as it takes when not
    /// said.
    pub memory: Option<u64>,
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
            ignore_case: false,
            pca: None,
            candidates: IndexMap::new(),
            search: Search::Grid,
            memory: None,
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
        self.check_pca()?;
        let candidates = candidates::expand(self)?;
        if self.pca.is_some() && candidates.iter().any(|one| one.estimator.names_columns()) {
            return wrong(
                "`pca` mixes the columns: leave `categorical_features` and `monotonic_cst`, which name some, out",
            );
        }
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

    /// What is wrong with `candidates`: each with its path, the estimator's name and that of a parameter.
    pub fn check_candidates(&self) -> Vec<(Vec<String>, String)> {
        candidates::flaws(self)
    }

    /// What is wrong with `features`, as far as it can be seen without data: each with its name.
    pub fn check_features(&self) -> Vec<(&str, String)> {
        features::flaws(&self.features)
    }

    /// Checks what can be checked of `pca` without data.
    pub fn check_pca(&self) -> Result<()> {
        self.pca.as_ref().map_or(Ok(()), Pca::check)
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
    pub(super) fn dividing(&self) -> Option<&str> {
        match &self.validation.split {
            Split::Group(column) | Split::Time(column) => Some(column),
            Split::Stratified | Split::Random => None,
        }
    }
}
