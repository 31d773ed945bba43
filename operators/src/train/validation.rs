//! How candidates are compared, and how many of them: what the training operators' settings share.

use indexmap::IndexMap;
use pipectl_engine::operator::{Complaints, SizeText};
use pipectl_models::train::{Search, Split, Validation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Estimators with their parameters, as settings write them.
pub(crate) type Candidates = IndexMap<String, Option<IndexMap<String, Value>>>;

/// Candidates as training wants them: one without parameters has its defaults.
pub(crate) fn candidates(written: &Candidates) -> IndexMap<String, IndexMap<String, Value>> {
    written
        .iter()
        .map(|(name, parameters)| (name.clone(), parameters.clone().unwrap_or_default()))
        .collect()
}

/// How candidates are compared.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValidationConfig {
    /// Parts of the cross-validation; each is held out once.
    #[serde(default = "five")]
    #[schemars(range(min = 2, max = 100))]
    folds: usize,
    /// How often the rows are divided anew.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    repeats: usize,
    /// Only one part, of this share of the rows, is held out.
    #[serde(default)]
    #[schemars(range(min = 0.01, max = 0.5))]
    holdout: Option<f64>,
    /// Whether classes are spread evenly over the parts, or rows just drawn.
    #[serde(default)]
    split: SplitName,
    /// Rows with the same value of this column are held out together; nothing is learned from the column.
    #[serde(default)]
    group: Option<String>,
    /// Every part is judged by a model of the rows before it, by this date, time or number; nothing is learned from the
    /// column.
    #[serde(default)]
    time: Option<String>,
}

/// How rows are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SplitName {
    /// Every class is spread evenly.
    #[default]
    Stratified,
    /// Rows at random.
    Random,
}

fn five() -> usize {
    5
}

fn one() -> usize {
    1
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self {
            folds: five(),
            repeats: one(),
            holdout: None,
            split: SplitName::Stratified,
            group: None,
            time: None,
        }
    }
}

impl ValidationConfig {
    pub(crate) fn check(&self, found: &mut Complaints) {
        if self.group.is_some() && self.time.is_some() {
            found.error(
                &["validation", "time"],
                "rows are held out by group or by time, not both",
            );
        }
    }

    pub(crate) fn settings(&self) -> Validation {
        Validation {
            split: match (&self.group, &self.time, self.split) {
                (Some(column), ..) => Split::Group(column.clone()),
                (None, Some(column), _) => Split::Time(column.clone()),
                (None, None, SplitName::Stratified) => Split::Stratified,
                (None, None, SplitName::Random) => Split::Random,
            },
            folds: self.folds,
            repeats: self.repeats,
            holdout: self.holdout,
        }
    }
}

/// How many of the candidates' combinations are tried; all of them when not said.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchConfig {
    /// So many, drawn at random; a parameter may then be a range, `{from: 0.01, to: 100, log: true}`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10000))]
    random: Option<usize>,
    /// All on few rows, then in each round this many times fewer on more rows.
    #[serde(default)]
    #[schemars(range(min = 2, max = 10))]
    halving: Option<usize>,
    /// How much memory the candidates that are tried side by side may take, with their rows, as in `4GiB`. When not said as
    /// many are tried at once as there are threads.
    #[serde(default)]
    memory: Option<SizeText>,
}

impl SearchConfig {
    pub(crate) fn check(self, found: &mut Complaints) {
        if self.random.is_some() && self.halving.is_some() {
            found.error(
                &["search", "halving"],
                "the search is random or halving, not both",
            );
        }
    }

    pub(crate) fn memory(self) -> Option<u64> {
        self.memory.map(|size| size.0)
    }

    pub(crate) fn settings(self) -> Search {
        match (self.random, self.halving) {
            (Some(trials), _) => Search::Random(trials),
            (None, Some(factor)) => Search::Halving(factor),
            (None, None) => Search::Grid,
        }
    }
}
