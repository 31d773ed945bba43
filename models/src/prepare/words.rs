//! Text becomes the weights of its words and n-grams: scikit-learn's `TfidfVectorizer` with its defaults.
//!
//! Lower case, words of two letters or digits and more, a count of each term weighed by how rare it is (`idf` smoothed by
//! one row that has every term), rows of Euclidean length 1 (Salton, Buckley: Term-weighting approaches, 1988).

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::data::{Column, TextColumn, lower};
use crate::error::{ModelError, Result};
use crate::prepare::encoding::places;
use crate::prepare::recipe::Recipe;

/// Terms that are features when not said.
const MOST_TERMS: usize = 1_000;
/// A word, as the graph's `Tokenizer` finds it too.
pub(crate) const WORD: &str = r"[\pL\pN_]{2,}";

static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(WORD).ok());

/// The terms that count, and what they weigh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Vocabulary {
    /// Words, or several words with a space between, sorted.
    pub(crate) terms: Vec<String>,
    /// How much each of them weighs.
    pub(crate) weights: Vec<f64>,
    /// Words in the shortest and in the longest term.
    pub(crate) lengths: [usize; 2],
    /// Whether the logarithm of a count is taken.
    pub(crate) sublinear: bool,
}

/// Learns the vocabulary of a column; nothing of one that has no value.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub(super) fn learn(
    column: &Column,
    text: &TextColumn,
    recipe: &Recipe,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Vocabulary>> {
    let lengths = recipe.ngram_range.unwrap_or([1, 1]);
    let mut rows_of = vec![0usize; text.levels.len()];
    for &code in &text.codes {
        rows_of[code as usize] += 1;
    }
    // Of every term the rows that have it, and how often it is there in all.
    let mut found: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (level, rows) in text
        .levels
        .iter()
        .zip(&rows_of)
        .filter(|(_, rows)| **rows > 0)
    {
        let mut here: HashMap<String, usize> = HashMap::new();
        each_term(level, lengths, |term| match here.get_mut(term) {
            Some(count) => *count += 1,
            None => drop(here.insert(term.to_owned(), 1)),
        });
        for (term, count) in here {
            let sums = found.entry(term).or_default();
            *sums = (sums.0 + rows, sums.1 + rows * count);
        }
    }
    if found.is_empty() {
        warn(format!(
            "column `{}` has no words and is left out",
            column.name
        ));
        return Ok(None);
    }
    let rows = text.codes.len() as f64;
    let least = match recipe.min_df.unwrap_or(1.0) {
        share if share < 1.0 => share * rows,
        count => count,
    };
    found.retain(|_, (with, _)| *with as f64 >= least);
    if found.is_empty() {
        return Err(ModelError::data(format!(
            "`preprocess` of `{}`: no word is in {} rows (`min_df`)",
            column.name,
            least.ceil()
        )));
    }
    let mut terms: Vec<(String, (usize, usize))> = found.into_iter().collect();
    let most = recipe.max_features.unwrap_or(MOST_TERMS);
    if terms.len() > most {
        if recipe.max_features.is_none() {
            warn(format!(
                "column `{}` has {} different words: the {MOST_TERMS} most frequent are features (`max_features`)",
                column.name,
                terms.len()
            ));
        }
        // Stable: of equally frequent ones the first in sort order.
        terms.sort_by_key(|(_, (_, count))| std::cmp::Reverse(*count));
        terms.truncate(most);
        terms.sort_unstable();
    }
    let weight = |with: usize| ((1.0 + rows) / (1.0 + with as f64)).ln() + 1.0;
    Ok(Some(Vocabulary {
        weights: terms.iter().map(|(_, (with, _))| weight(*with)).collect(),
        terms: terms.into_iter().map(|(term, _)| term).collect(),
        lengths,
        sublinear: recipe.sublinear_tf.unwrap_or(false),
    }))
}

/// Every term of a text, as often as it is there.
fn each_term(text: &str, lengths: [usize; 2], mut hear: impl FnMut(&str)) {
    let text = lower(text);
    let words: Vec<&str> = WORDS
        .iter()
        .flat_map(|words| words.find_iter(&text))
        .map(|found| found.as_str())
        .collect();
    let mut term = String::new();
    for length in lengths[0]..=lengths[1] {
        for words in words.windows(length) {
            term.clear();
            for (place, word) in words.iter().enumerate() {
                if place > 0 {
                    term.push(' ');
                }
                term.push_str(word);
            }
            hear(&term);
        }
    }
}

impl Vocabulary {
    /// For every level that some row has the places of its terms, with their weights.
    #[allow(clippy::cast_precision_loss, reason = "a number of words")]
    pub(super) fn of_levels(&self, text: &TextColumn) -> Vec<Vec<(usize, f64)>> {
        let places: HashMap<&str, usize> = places(&self.terms);
        let mut used = vec![false; text.levels.len()];
        for &code in &text.codes {
            used[code as usize] = true;
        }
        let levels = text.levels.iter().zip(used);
        let weighed = levels.map(|(level, used)| {
            let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
            if used {
                each_term(level, self.lengths, |term| {
                    if let Some(place) = places.get(term) {
                        *counts.entry(*place).or_default() += 1;
                    }
                });
            }
            let weight = |(place, count): (usize, usize)| {
                let count = count as f64;
                let count = if self.sublinear {
                    count.ln() + 1.0
                } else {
                    count
                };
                (place, count * self.weights[place])
            };
            let mut weights: Vec<(usize, f64)> = counts.into_iter().map(weight).collect();
            let length = weights.iter().map(|(_, weight)| weight * weight);
            let length = length.sum::<f64>().sqrt();
            weights.iter_mut().for_each(|(_, weight)| *weight /= length);
            weights
        });
        weighed.collect()
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;
    use serde::Deserialize;

    use crate::data::{Table, Truth};
    use crate::prepare::{Preparation, Recipes};

    /// What scikit-learn's `TfidfVectorizer` makes of the texts.
    #[derive(Deserialize)]
    struct Case {
        recipe: serde_json::Value,
        width: usize,
        rows: Vec<Vec<(usize, f64)>>,
    }

    #[derive(Deserialize)]
    struct Reference {
        texts: Vec<String>,
        cases: Vec<Case>,
    }

    #[test]
    fn words_weigh_what_they_weigh_in_scikit_learn() {
        let reference = include_str!("../../tests/fixtures/preparation/words.json");
        let reference: Reference = serde_json::from_str(reference).unwrap();
        let table = Table::from_frame(&df!("text" => &reference.texts).unwrap(), &[]).unwrap();
        assert!(reference.cases.len() > 4);
        for case in reference.cases {
            let recipes: Recipes =
                serde_json::from_value(serde_json::json!({"text": case.recipe})).unwrap();
            let truth = Truth::Unknown(table.rows);
            let preparation =
                Preparation::fit(&table, &truth, &recipes, false, &mut |_| ()).unwrap();
            assert_eq!(preparation.width(), case.width, "{}", case.recipe);
            let matrix = preparation.transform(&table).unwrap();
            for (row, expected) in case.rows.iter().enumerate() {
                let found = matrix.row(row).iter().filter(|value| **value != 0.0);
                assert_eq!(found.count(), expected.len(), "{} {row}", case.recipe);
                for (place, weight) in expected {
                    let found = matrix.row(row)[*place];
                    assert!((found - weight).abs() < 1e-12, "{} {row}", case.recipe);
                }
            }
        }
    }

    #[test]
    fn most_words_are_cut_with_a_warning_and_text_without_words_is_left_out() {
        let texts: Vec<String> = (0..600)
            .map(|row| format!("common word{} other{row}", row % 7))
            .collect();
        let frame = df!("text" => texts, "odd" => vec!["? !"; 600]).unwrap();
        let table = Table::from_frame(&frame, &[]).unwrap();
        let recipe = serde_json::json!({"text": {"encode": "tfidf", "ngram_range": [1, 2]}, "odd": {"encode": "tfidf"}});
        let recipes: Recipes = serde_json::from_value(recipe).unwrap();
        let mut warnings = Vec::new();
        let truth = Truth::Unknown(table.rows);
        let warn = &mut |text| warnings.push(text);
        let preparation = Preparation::fit(&table, &truth, &recipes, false, warn).unwrap();
        assert_eq!(preparation.width(), 1_000);
        assert_eq!(
            warnings,
            [
                "column `text` has 1215 different words: the 1000 most frequent are features (`max_features`)",
                "column `odd` has no words and is left out"
            ]
        );
    }
}
