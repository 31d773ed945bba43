//! How columns become numbers: what the training operators' settings share.

use indexmap::IndexMap;
use pipectl_models::prepare::{Encode, Impute, Part, Pca, Recipe, Recipes, Scale};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// By column, raw or derived.
pub(crate) type Preprocess = IndexMap<String, RecipeConfig>;

/// How a column becomes numbers; learned from the rows that are learned from, part of the model.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipeConfig {
    /// What a missing value becomes. When not said the median of numbers and dates, the most frequent value of text and
    /// booleans.
    #[serde(default)]
    impute: Option<ImputeName>,
    /// The value of `impute: constant`.
    #[serde(default)]
    fill_value: Option<Value>,
    /// How numbers are scaled; `standard` when not said.
    #[serde(default)]
    scale: Option<ScaleName>,
    /// How text becomes numbers; `one_hot` when not said.
    #[serde(default)]
    encode: Option<EncodeName>,
    /// The levels of `encode: ordinal` from the least to the greatest; alphabetic when not said.
    #[serde(default)]
    order: Option<Vec<String>>,
    /// Which parts of a date are features, instead of its days since 1970.
    #[serde(default)]
    parts: Option<Vec<PartName>>,
    /// Levels in fewer rows count as not seen.
    #[serde(default)]
    min_frequency: Option<usize>,
    /// Of more levels than these the most frequent count, the others as not seen; 100 of `one_hot` when not said.
    #[serde(default)]
    max_categories: Option<usize>,
    /// Of `encode: tfidf`: the words of the shortest and of the longest term; `[1, 1]` when not said.
    #[serde(default)]
    ngram_range: Option<[usize; 2]>,
    /// Of `encode: tfidf`: the rows that a term must be in, below 1 a share of them; 1 when not said.
    #[serde(default)]
    min_df: Option<f64>,
    /// Of `encode: tfidf`: of more terms than these the most frequent count; 1000 when not said.
    #[serde(default)]
    max_features: Option<usize>,
    /// Of `encode: tfidf`: whether a term counts by the logarithm of how often it is in the row.
    #[serde(default)]
    sublinear_tf: Option<bool>,
}

/// What a missing value becomes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ImputeName {
    /// The mean.
    Mean,
    /// The median.
    Median,
    /// The most frequent value.
    MostFrequent,
    /// `fill_value`.
    Constant,
}

/// How numbers are scaled.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ScaleName {
    /// To mean 0 and deviation 1, for estimators that compare features.
    Standard,
    /// To 0 for the least and 1 for the greatest value.
    Minmax,
    /// Not at all.
    None,
}

/// How text becomes numbers.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum EncodeName {
    /// A feature of 0 and 1 for every level; a level that was not seen is all zeros.
    OneHot,
    /// The place of the level in the order; -1 of one that was not seen.
    Ordinal,
    /// The mean of the target in the rows with the level, mixed with the mean of all, which a level that was not seen gets.
    Target,
    /// Free text: a feature for every word, or term of several, that weighs more the oftener it is in the row and the rarer in
    /// the others.
    Tfidf,
}

/// A part of a date, in UTC.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PartName {
    /// The year.
    Year,
    /// The month, from 1.
    Month,
    /// The day of the month, from 1.
    Day,
    /// The day of the week, from 0 for Monday.
    Weekday,
    /// The hour, from 0.
    Hour,
}

impl PartName {
    fn part(self) -> Part {
        match self {
            Self::Year => Part::Year,
            Self::Month => Part::Month,
            Self::Day => Part::Day,
            Self::Weekday => Part::Weekday,
            Self::Hour => Part::Hour,
        }
    }
}

/// Features become fewer that vary most; learned from the rows that are learned from, part of the model.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PcaConfig {
    /// How many components are kept; below 1: as many as tell more than this share of the variance. All that vary when not
    /// said.
    #[serde(default)]
    n_components: Option<f64>,
    /// Whether every component gets the variance 1.
    #[serde(default)]
    whiten: bool,
}

impl PcaConfig {
    /// The same as training wants it.
    pub(crate) fn pca(&self) -> Pca {
        Pca {
            n_components: self.n_components,
            whiten: self.whiten,
        }
    }
}

/// The recipes as training wants them.
pub(crate) fn recipes(written: &Preprocess) -> Recipes {
    let recipe = |config: &RecipeConfig| Recipe {
        impute: config.impute.map(|name| match name {
            ImputeName::Mean => Impute::Mean,
            ImputeName::Median => Impute::Median,
            ImputeName::MostFrequent => Impute::MostFrequent,
            ImputeName::Constant => Impute::Constant,
        }),
        fill_value: config.fill_value.clone(),
        scale: config.scale.map(|name| match name {
            ScaleName::Standard => Scale::Standard,
            ScaleName::Minmax => Scale::Minmax,
            ScaleName::None => Scale::None,
        }),
        encode: config.encode.map(|name| match name {
            EncodeName::OneHot => Encode::OneHot,
            EncodeName::Ordinal => Encode::Ordinal,
            EncodeName::Target => Encode::Target,
            EncodeName::Tfidf => Encode::Tfidf,
        }),
        order: config.order.clone(),
        parts: config
            .parts
            .as_ref()
            .map(|parts| parts.iter().map(|name| name.part()).collect()),
        min_frequency: config.min_frequency,
        max_categories: config.max_categories,
        ngram_range: config.ngram_range,
        min_df: config.min_df,
        max_features: config.max_features,
        sublinear_tf: config.sublinear_tf,
    };
    let columns = written.iter();
    columns
        .map(|(column, config)| (column.clone(), recipe(config)))
        .collect()
}
