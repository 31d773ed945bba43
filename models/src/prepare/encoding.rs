//! How columns become numbers, once that is learned.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::data::TextColumn;
use crate::error::{ModelError, Result};
use crate::matrix::Matrix;
use crate::prepare::parts::Part;
use crate::prepare::words::Vocabulary;

/// What was learned about a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub(crate) enum Encoding {
    /// One number.
    Number {
        /// What a missing value becomes.
        fill: f64,
        /// Whether the training rows had missing values, so that an estimator that reads them has seen some.
        missing_seen: bool,
        /// A boolean or a constant is not standardised.
        scaled: bool,
        /// What is taken off.
        shift: f64,
        /// What the rest is divided by.
        unit: f64,
    },
    /// Parts of a date.
    Parts {
        /// Which.
        parts: Vec<Part>,
        /// What a missing date becomes, in microseconds.
        fill: f64,
    },
    /// A 0/1 feature for every level.
    OneHot {
        /// The levels, sorted.
        levels: Vec<String>,
        /// The index of the level that missing text becomes.
        fill: usize,
    },
    /// A number for every level, or several.
    Levels {
        /// The levels, sorted.
        levels: Vec<String>,
        /// The numbers of every level, level after level.
        values: Vec<f64>,
        /// Those of a level that was not seen in training.
        unknown: Vec<f64>,
        /// Those of missing text.
        missing: Vec<f64>,
        /// What the number means.
        meaning: Meaning,
    },
    /// A weight for every word of a free text.
    Words(Vocabulary),
}

/// What the number of a level means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Meaning {
    /// It only names the level.
    Name,
    /// Its place in the order of levels.
    Order,
    /// The mean of the target; of more than two classes the share of each.
    Target,
}

impl Encoding {
    /// Writes the features of texts into the rows, from the column `first` on.
    pub(super) fn write(&self, text: &TextColumn, matrix: &mut Matrix, first: usize) -> Result<()> {
        let codes = text.codes.iter().enumerate();
        match self {
            Self::OneHot { levels, fill } => {
                let places = places(levels);
                let places: Vec<Option<usize>> = text
                    .levels
                    .iter()
                    .map(|level| match level.as_ref() {
                        "" => Some(*fill),
                        level => places.get(level).copied(),
                    })
                    .collect();
                for (row, code) in codes {
                    if let Some(place) = places[*code as usize] {
                        matrix.row_mut(row)[first + place] = 1.0;
                    }
                }
            }
            Self::Levels {
                levels,
                values,
                unknown,
                missing,
                ..
            } => {
                let (places, width) = (places(levels), unknown.len());
                let known = text.levels.iter().map(|level| match level.as_ref() {
                    "" => missing,
                    level => places
                        .get(level)
                        .map_or(&**unknown, |place| &values[place * width..][..width]),
                });
                let known: Vec<&[f64]> = known.collect();
                for (row, code) in codes {
                    let numbers = known[*code as usize];
                    matrix.row_mut(row)[first..first + width].copy_from_slice(numbers);
                }
            }
            Self::Words(vocabulary) => {
                let levels = vocabulary.of_levels(text);
                for (row, code) in codes {
                    for (place, weight) in &levels[*code as usize] {
                        matrix.row_mut(row)[first + place] = *weight;
                    }
                }
            }
            Self::Number { .. } | Self::Parts { .. } => {
                return Err(ModelError::internal("numbers became a text column"));
            }
        }
        Ok(())
    }

    /// Features of the column.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Number { .. } => 1,
            Self::Levels { unknown, .. } => unknown.len(),
            Self::Parts { parts, .. } => parts.len(),
            Self::OneHot { levels, .. } => levels.len(),
            Self::Words(vocabulary) => vocabulary.terms.len(),
        }
    }
}

/// Where every level stands.
pub(super) fn places(levels: &[String]) -> HashMap<&str, usize> {
    let levels = levels.iter().enumerate();
    levels.map(|(at, level)| (level.as_str(), at)).collect()
}
