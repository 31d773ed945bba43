//! What a column's preparation learns from the training rows.

use std::collections::HashMap;

use crate::data::{Column, ColumnKind, TextColumn, Truth, Values};
use crate::error::{ModelError, Result};
use crate::prepare::recipe::{Encode, Impute, Recipe, Scale};
use crate::prepare::{DAY, Encoding, Meaning, number};
use crate::random::Random;

/// Levels of a text column that get a feature of their own.
const MOST_LEVELS: usize = 100;
/// A text column with more levels than this, in more than half of the rows, is an identifier.
const FEW_LEVELS: usize = 50;
/// Rows' worth of the overall mean that a level's mean is mixed with (Micci-Barreca 2001).
const SMOOTH: f64 = 10.0;
/// Parts of the training rows; a row's own part has no say in its level's mean (scikit-learn's `TargetEncoder`).
const PARTS: usize = 5;

/// Learns how a column becomes numbers; nothing of one that has no value.
pub(super) fn learn(
    column: &Column,
    recipe: &Recipe,
    truth: &Truth,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Encoding>> {
    recipe.fits(column)?;
    match &column.values {
        Values::Text(text) => levels(column, text, recipe, truth, warn),
        _ => Ok(numbers(column, recipe, warn)),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn numbers(column: &Column, recipe: &Recipe, warn: &mut dyn FnMut(String)) -> Option<Encoding> {
    let rows = column.values.len();
    let mut values: Vec<f64> = (0..rows)
        .map(|row| number(&column.values, row))
        .filter(|value| value.is_finite())
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else {
        warn(format!(
            "column `{}` has no value and is left out",
            column.name
        ));
        return None;
    };
    let usual = if column.kind == ColumnKind::Boolean {
        Impute::MostFrequent
    } else {
        Impute::Median
    };
    let fill = match recipe.impute.unwrap_or(usual) {
        Impute::Mean => values.iter().sum::<f64>() / values.len() as f64,
        Impute::Median => median(&values),
        Impute::MostFrequent => most_frequent(&values),
        Impute::Constant => recipe.constant(column.kind).unwrap_or(first),
    };
    if let Some(parts) = &recipe.parts {
        return Some(Encoding::Parts {
            parts: parts.clone(),
            fill: (fill * DAY).round(),
        });
    }
    let varies = first < last;
    let usual = if column.kind == ColumnKind::Boolean {
        Scale::None
    } else {
        Scale::Standard
    };
    let scale = recipe.scale.unwrap_or(usual);
    let (shift, unit) = if scale == Scale::Minmax && varies {
        (first, last - first)
    } else {
        (0.0, 1.0)
    };
    Some(Encoding::Number {
        fill,
        missing_seen: values.len() < rows,
        scaled: scale == Scale::Standard && varies,
        shift,
        unit,
    })
}

/// The most frequent of sorted values; of equally frequent ones the greatest.
fn most_frequent(sorted: &[f64]) -> f64 {
    let runs = sorted.chunk_by(|a, b| a.total_cmp(b).is_eq());
    let longest = runs.max_by_key(|run| run.len());
    longest
        .and_then(<[f64]>::first)
        .copied()
        .unwrap_or(f64::NAN)
}

/// The median of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

fn levels(
    column: &Column,
    text: &TextColumn,
    recipe: &Recipe,
    truth: &Truth,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Encoding>> {
    let Some((levels, most_frequent)) = kept(column, text, recipe, warn)? else {
        return Ok(None);
    };
    let place = |wanted: &str| levels.iter().position(|level| level == wanted);
    let filled = match &recipe.fill_value {
        Some(value) => {
            let wanted = value.as_str().unwrap_or_default();
            Some(place(wanted).ok_or_else(|| {
                ModelError::data(format!(
                    "`preprocess` of `{}`: `fill_value: {wanted}` is no level of it in the rows that are learned from",
                    column.name
                ))
            })?)
        }
        None => place(&most_frequent),
    };
    let encoded = |encoding: Encoding| Ok(Some(encoding));
    match recipe.encode.unwrap_or(Encode::OneHot) {
        Encode::OneHot => encoded(Encoding::OneHot {
            levels,
            fill: filled.unwrap_or(0),
        }),
        Encode::Ordinal => {
            let values: Vec<f64> = (0u32..).take(levels.len()).map(f64::from).collect();
            encoded(Encoding::Levels {
                missing: filled.map_or(-1.0, |place| values[place]),
                values,
                levels,
                unknown: -1.0,
                meaning: Meaning::Order,
            })
        }
        Encode::Target => {
            let truth = numbers_of(column, truth)?;
            let means = Means::of(text, &truth, |_| true);
            let values: Vec<f64> = levels
                .iter()
                .map(|level| means.of_level(text, level))
                .collect();
            encoded(Encoding::Levels {
                missing: match (recipe.impute, filled) {
                    (Some(_), Some(place)) => values[place],
                    _ => means.of_level(text, ""),
                },
                values,
                levels,
                unknown: means.overall,
                meaning: Meaning::Target,
            })
        }
    }
}

/// The levels that count, in their order, and the most frequent one.
fn kept(
    column: &Column,
    text: &TextColumn,
    recipe: &Recipe,
    warn: &mut dyn FnMut(String),
) -> Result<Option<(Vec<String>, String)>> {
    let mut counts = vec![0usize; text.levels.len()];
    for &code in &text.codes {
        counts[code as usize] += 1;
    }
    let mut levels: Vec<(usize, &str)> = text
        .levels
        .iter()
        .zip(&counts)
        .filter(|(level, count)| !level.is_empty() && **count > 0)
        .map(|(level, count)| (*count, level.as_ref()))
        .collect();
    if levels.is_empty() {
        warn(format!(
            "column `{}` has no value and is left out",
            column.name
        ));
        return Ok(None);
    }
    // The most frequent first; of equally frequent ones the first in sort order.
    levels.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let most_frequent = levels[0].1.to_owned();
    if let Some(order) = &recipe.order {
        return Ok(Some((order.clone(), most_frequent)));
    }
    if *recipe == Recipe::default()
        && levels.len() > FEW_LEVELS
        && levels.len() * 2 > text.codes.len()
    {
        return Err(ModelError::data(format!(
            "column `{}` has {} different texts in {} rows: that is an identifier or free text; add it to `exclude`",
            column.name,
            levels.len(),
            text.codes.len()
        )));
    }
    if let Some(least) = recipe.min_frequency {
        levels.retain(|(count, _)| *count >= least);
        if levels.is_empty() {
            return Err(ModelError::data(format!(
                "`preprocess` of `{}`: no level is in {least} rows (`min_frequency`)",
                column.name
            )));
        }
    }
    let most = recipe.max_categories.unwrap_or(match recipe.encode {
        None | Some(Encode::OneHot) => MOST_LEVELS,
        Some(_) => usize::MAX,
    });
    if levels.len() > most {
        if recipe.max_categories.is_none() {
            warn(format!(
                "column `{}` has {} different texts: the {MOST_LEVELS} most frequent are features, the others count as not seen",
                column.name,
                levels.len()
            ));
        }
        levels.truncate(most);
    }
    let mut levels: Vec<String> = levels
        .into_iter()
        .map(|(_, level)| level.to_owned())
        .collect();
    levels.sort_unstable();
    Ok(Some((levels, most_frequent)))
}

/// What a level's mean is taken of: a quantity, or 1 for rows of the second class.
fn numbers_of(column: &Column, truth: &Truth) -> Result<Vec<f64>> {
    match truth {
        Truth::Quantity(values) => Ok(values.clone()),
        Truth::Classes { classes, codes } if classes.len() == 2 => {
            Ok(codes.iter().map(|code| f64::from(*code)).collect())
        }
        _ => Err(ModelError::settings(format!(
            "`preprocess` of `{}`: `encode: target` goes with numbers and with two classes",
            column.name
        ))),
    }
}

/// Means of the target by level, mixed with the overall one.
struct Means {
    overall: f64,
    means: HashMap<u32, f64>,
}

impl Means {
    fn of(text: &TextColumn, truth: &[f64], counts: impl Fn(usize) -> bool) -> Self {
        let (mut sums, mut all) = (HashMap::<u32, (f64, f64)>::new(), (0.0, 0.0));
        for (row, code) in text
            .codes
            .iter()
            .enumerate()
            .filter(|(row, _)| counts(*row))
        {
            let sum = sums.entry(*code).or_default();
            *sum = (sum.0 + truth[row], sum.1 + 1.0);
            all = (all.0 + truth[row], all.1 + 1.0);
        }
        let overall = all.0 / f64::max(all.1, 1.0);
        let mix = |(sum, rows): (f64, f64)| (sum + SMOOTH * overall) / (rows + SMOOTH);
        Self {
            overall,
            means: sums
                .into_iter()
                .map(|(code, sum)| (code, mix(sum)))
                .collect(),
        }
    }

    fn of_code(&self, code: u32) -> f64 {
        self.means.get(&code).copied().unwrap_or(self.overall)
    }

    fn of_level(&self, text: &TextColumn, wanted: &str) -> f64 {
        let place = text
            .levels
            .iter()
            .position(|level| level.as_ref() == wanted);
        let code = place.and_then(|place| u32::try_from(place).ok());
        code.map_or(self.overall, |code| self.of_code(code))
    }
}

/// The means of levels for the training rows themselves, each by the rows of the other parts: else a rare level would
/// tell its rows their own target.
pub(super) fn honest_means(column: &Column, levels: &[String], truth: &Truth) -> Result<Vec<f64>> {
    let Values::Text(text) = &column.values else {
        return Err(ModelError::internal("levels of a column that is no text"));
    };
    let truth = numbers_of(column, truth)?;
    let mut order: Vec<usize> = (0..text.codes.len()).collect();
    Random::new(0, 0x7A26).shuffle(&mut order);
    let mut part_of = vec![0; order.len()];
    for (place, row) in order.into_iter().enumerate() {
        part_of[row] = place % PARTS;
    }
    let counts = |level: &str| level.is_empty() || levels.iter().any(|known| known == level);
    let known: Vec<bool> = text.levels.iter().map(|level| counts(level)).collect();
    let parts: Vec<Means> = (0..PARTS)
        .map(|part| Means::of(text, &truth, |row| part_of[row] != part))
        .collect();
    Ok(text
        .codes
        .iter()
        .zip(&part_of)
        .map(|(code, part)| {
            if known[*code as usize] {
                parts[*part].of_code(*code)
            } else {
                parts[*part].overall
            }
        })
        .collect())
}
