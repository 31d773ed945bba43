//! Preparation as settings spell it out, by column.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{Column, ColumnKind, lower};
use crate::error::{ModelError, Result};
use crate::prepare::parts::Part;

/// Recipes by column; a column without one is prepared as usual.
pub type Recipes = IndexMap<String, Recipe>;

/// How a column is prepared.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// What a missing value becomes.
    pub impute: Option<Impute>,
    /// The value of `impute: constant`.
    pub fill_value: Option<Value>,
    /// How numbers are scaled.
    pub scale: Option<Scale>,
    /// How text becomes numbers.
    pub encode: Option<Encode>,
    /// The levels of `encode: ordinal` from the least to the greatest.
    pub order: Option<Vec<String>>,
    /// Which parts of a date are features, instead of its days since 1970.
    pub parts: Option<Vec<Part>>,
    /// Levels in fewer rows count as not seen.
    pub min_frequency: Option<usize>,
    /// Of more levels than these the most frequent count, the others as not seen.
    pub max_categories: Option<usize>,
    /// Of words: how many make the shortest and the longest term.
    pub ngram_range: Option<[usize; 2]>,
    /// Of words: in how many rows a term must be; below 1 in which share of them.
    pub min_df: Option<f64>,
    /// Of words: of more terms than these the most frequent count.
    pub max_features: Option<usize>,
    /// Of words: whether the logarithm of a term's count is taken.
    pub sublinear_tf: Option<bool>,
}

/// What a missing value becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impute {
    /// The mean of the training rows.
    Mean,
    /// Their median.
    Median,
    /// Their most frequent value.
    MostFrequent,
    /// A given value.
    Constant,
}

/// How numbers are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// To mean 0 and deviation 1, where the estimator compares features.
    Standard,
    /// To 0 and 1 as the least and the greatest of the training rows.
    Minmax,
    /// Not at all.
    None,
}

/// How text becomes numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encode {
    /// A 0/1 feature for every level.
    OneHot,
    /// The place of the level in their order.
    Ordinal,
    /// The mean of the target in the rows with the level.
    Target,
    /// The weights of its words.
    Tfidf,
}

fn wrong<T>(column: &str, what: &str) -> Result<T> {
    Err(ModelError::settings(format!(
        "`preprocess` of `{column}`: {what}"
    )))
}

impl Recipe {
    /// Checks what can be checked without data.
    pub(crate) fn check(&self, column: &str) -> Result<()> {
        if (self.impute == Some(Impute::Constant)) != self.fill_value.is_some() {
            return wrong(column, "`impute: constant` and `fill_value` go together");
        }
        if self.order.is_some() && self.encode != Some(Encode::Ordinal) {
            return wrong(column, "`order` goes with `encode: ordinal`");
        }
        if let Some(order) = &self.order {
            let mut sorted: Vec<&String> = order.iter().collect();
            sorted.sort_unstable();
            if order.is_empty() || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                return wrong(column, "`order` names every level once");
            }
            if self.min_frequency.is_some() || self.max_categories.is_some() {
                return wrong(column, "`order` says which levels count already");
            }
        }
        if let Some(parts) = &self.parts {
            let repeated = parts
                .iter()
                .enumerate()
                .any(|(at, part)| parts[..at].contains(part));
            if parts.is_empty() || repeated {
                return wrong(column, "`parts` names every part that is wanted once");
            }
            if self.scale.is_some() || self.encode.is_some() || self.fill_value.is_some() {
                return wrong(
                    column,
                    "`parts` goes with `impute` mean, median or most_frequent alone",
                );
            }
        }
        self.check_words(column)?;
        if self.max_categories == Some(0) {
            return wrong(column, "`max_categories` must be at least 1");
        }
        let text =
            self.encode.is_some() || self.min_frequency.is_some() || self.max_categories.is_some();
        if text && self.scale.is_some() {
            return wrong(column, "`scale` goes with numbers, `encode` with text");
        }
        Ok(())
    }

    /// Names levels as text that is read in small letters has them.
    pub(crate) fn lower(&mut self) {
        for level in self.order.iter_mut().flatten() {
            *level = lower(level);
        }
        if let Some(Value::String(level)) = &mut self.fill_value {
            *level = lower(level);
        }
    }

    /// Checks what is said of words.
    fn check_words(&self, column: &str) -> Result<()> {
        if self.encode != Some(Encode::Tfidf) {
            let said = self.ngram_range.is_some()
                || self.min_df.is_some()
                || self.max_features.is_some()
                || self.sublinear_tf.is_some();
            return if said {
                wrong(
                    column,
                    "`ngram_range`, `min_df`, `max_features` and `sublinear_tf` go with `encode: tfidf`",
                )
            } else {
                Ok(())
            };
        }
        if self.impute.is_some() {
            return wrong(
                column,
                "`encode: tfidf` imputes nothing: missing text has no words",
            );
        }
        if self.min_frequency.is_some() || self.max_categories.is_some() {
            return wrong(
                column,
                "of words `min_df` and `max_features` say which count",
            );
        }
        if let Some([least, most]) = self.ngram_range
            && (least == 0 || most < least)
        {
            return wrong(
                column,
                "`ngram_range` is the words of the shortest and of the longest term, as in [1, 2]",
            );
        }
        if let Some(least) = self.min_df
            && !(least > 0.0 && (least < 1.0 || least.fract() == 0.0))
        {
            return wrong(
                column,
                "`min_df` is a number of rows, or below 1 a share of them",
            );
        }
        if self.max_features == Some(0) {
            return wrong(column, "`max_features` must be at least 1");
        }
        Ok(())
    }

    /// Checks that the column is one for which this is meant.
    pub(crate) fn fits(&self, column: &Column) -> Result<()> {
        let name = &column.name;
        if self.parts.is_some() && column.kind != ColumnKind::Date {
            return wrong(name, "it is no date, and `parts` are of dates");
        }
        if column.kind == ColumnKind::Text {
            if self.scale.is_some() {
                return wrong(name, "it is text, and `scale` goes with numbers");
            }
            if matches!(self.impute, Some(Impute::Mean | Impute::Median)) {
                return wrong(name, "it is text: `impute` most_frequent or constant");
            }
            if self
                .fill_value
                .as_ref()
                .is_some_and(|value| !value.is_string())
            {
                return wrong(name, "it is text, so `fill_value` must be text");
            }
            return Ok(());
        }
        if self.encode.is_some() || self.min_frequency.is_some() || self.max_categories.is_some() {
            return wrong(
                name,
                "it is no text, and levels are encoded of text: cast it in a transform before",
            );
        }
        if self.fill_value.is_some() && self.constant(column.kind).is_none() {
            return wrong(
                name,
                "`fill_value` must be a number, or true or false of such a column",
            );
        }
        Ok(())
    }

    /// The constant that fills a column of numbers.
    pub(crate) fn constant(&self, kind: ColumnKind) -> Option<f64> {
        match self.fill_value.as_ref()? {
            Value::Bool(flag) if kind == ColumnKind::Boolean => Some(f64::from(u8::from(*flag))),
            Value::Number(number) if kind != ColumnKind::Boolean => number.as_f64(),
            _ => None,
        }
    }
}
