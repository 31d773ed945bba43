//! A level becomes the mean of the target in its rows, of more than two classes the share of each.
//!
//! Micci-Barreca: A preprocessing scheme for high-cardinality categorical attributes (2001); scikit-learn's
//! `TargetEncoder`.

use crate::data::{Column, TextColumn, Truth, Values};
use crate::error::{ModelError, Result};
use crate::prepare::encoding::{Encoding, Meaning, places};
use crate::random::Random;

/// Rows' worth of the overall mean that a level's mean is mixed with.
const SMOOTH: f64 = 10.0;
/// Parts of the training rows; a row's own part has no say in its level's mean.
const PARTS: usize = 5;

/// The means of a column's levels; missing text becomes the level at `filled`, or else has a mean of its own.
pub(super) fn learn(
    column: &Column,
    text: &TextColumn,
    levels: Vec<String>,
    filled: Option<usize>,
    truth: &Truth,
) -> Result<Encoding> {
    let truths = numbers_of(column, truth)?;
    let means: Vec<Means> = truths
        .iter()
        .map(|truth| Means::of(text, truth, |_| true))
        .collect();
    let of_level = |level: &str| {
        means
            .iter()
            .map(|means| means.of_level(text, level))
            .collect()
    };
    let values: Vec<f64> = levels
        .iter()
        .flat_map(|level| -> Vec<f64> { of_level(level) })
        .collect();
    let width = means.len();
    Ok(Encoding::Levels {
        missing: match filled {
            Some(place) => values[place * width..][..width].to_vec(),
            None => of_level(""),
        },
        values,
        levels,
        unknown: means.iter().map(|means| means.overall).collect(),
        meaning: Meaning::Target,
    })
}

/// What means are taken of: a quantity, or 1 for rows of a class: of the second of two, else of each.
fn numbers_of(column: &Column, truth: &Truth) -> Result<Vec<Vec<f64>>> {
    match truth {
        Truth::Quantity(values) => Ok(vec![values.clone()]),
        Truth::Classes { classes, codes } => {
            let first = usize::from(classes.len() == 2);
            let of_class = |class: usize| {
                let hits = codes.iter().map(|code| *code as usize == class);
                hits.map(|hit| f64::from(u8::from(hit))).collect()
            };
            Ok((first..classes.len()).map(of_class).collect())
        }
        Truth::Unknown(_) => Err(ModelError::settings(format!(
            "`preprocess` of `{}`: `encode: target` goes with classes and numbers that are learned",
            column.name
        ))),
    }
}

/// Means of the target by the code of the level, mixed with the overall one.
struct Means {
    overall: f64,
    /// By code, of levels with rows.
    means: Vec<Option<f64>>,
}

impl Means {
    fn of(text: &TextColumn, truth: &[f64], counts: impl Fn(usize) -> bool) -> Self {
        let mut sums = vec![(0.0, 0.0); text.levels.len()];
        let mut all = (0.0, 0.0);
        for (row, code) in text
            .codes
            .iter()
            .enumerate()
            .filter(|(row, _)| counts(*row))
        {
            let sum = &mut sums[*code as usize];
            *sum = (sum.0 + truth[row], sum.1 + 1.0);
            all = (all.0 + truth[row], all.1 + 1.0);
        }
        let overall = all.0 / f64::max(all.1, 1.0);
        let mix = |(sum, rows): (f64, f64)| {
            (rows > 0.0).then(|| (sum + SMOOTH * overall) / (rows + SMOOTH))
        };
        Self {
            overall,
            means: sums.into_iter().map(mix).collect(),
        }
    }

    fn of_code(&self, code: usize) -> f64 {
        let mean = self.means.get(code).copied().flatten();
        mean.unwrap_or(self.overall)
    }

    fn of_level(&self, text: &TextColumn, wanted: &str) -> f64 {
        let mut levels = text.levels.iter();
        let code = levels.position(|level| level.as_ref() == wanted);
        code.map_or(self.overall, |code| self.of_code(code))
    }
}

/// The means of levels for the training rows themselves, each by the rows of the other parts: else a rare level would
/// tell its rows their own target. A list for each of the numbers that a level becomes.
pub(super) fn honest_means(
    column: &Column,
    levels: &[String],
    truth: &Truth,
) -> Result<Vec<Vec<f64>>> {
    let Values::Text(text) = &column.values else {
        return Err(ModelError::internal("levels of a column that is no text"));
    };
    let mut order: Vec<usize> = (0..text.codes.len()).collect();
    Random::new(0, 0x7A26).shuffle(&mut order);
    let mut part_of = vec![0; order.len()];
    for (place, row) in order.into_iter().enumerate() {
        part_of[row] = place % PARTS;
    }
    let places = places(levels);
    let counts = |level: &str| level.is_empty() || places.contains_key(level);
    let known: Vec<bool> = text.levels.iter().map(|level| counts(level)).collect();
    let means = |truth: &Vec<f64>| -> Vec<f64> {
        let parts: Vec<Means> = (0..PARTS)
            .map(|part| Means::of(text, truth, |row| part_of[row] != part))
            .collect();
        let rows = text.codes.iter().zip(&part_of);
        let mean = |(code, part): (&u32, &usize)| {
            if known[*code as usize] {
                parts[*part].of_code(*code as usize)
            } else {
                parts[*part].overall
            }
        };
        rows.map(mean).collect()
    };
    Ok(numbers_of(column, truth)?.iter().map(means).collect())
}
