//! What a column's preparation learns from the training rows.

use crate::data::{Column, ColumnKind, TextColumn, Truth, Values};
use crate::error::{ModelError, Result};
use crate::prepare::recipe::{Encode, Impute, Recipe, Scale};
use crate::prepare::{DAY, Encoding, Meaning, number, target, words};

/// Levels of a text column that get a feature of their own.
const MOST_LEVELS: usize = 100;
/// A text column with more levels than this, in more than half of the rows, is an identifier.
const FEW_LEVELS: usize = 50;

/// Learns how a column becomes numbers; nothing of one that has no value.
pub(super) fn learn(
    column: &Column,
    recipe: &Recipe,
    truth: &Truth,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Encoding>> {
    recipe.fits(column)?;
    match &column.values {
        Values::Text(text) => texts(column, text, recipe, truth, warn),
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

fn texts(
    column: &Column,
    text: &TextColumn,
    recipe: &Recipe,
    truth: &Truth,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Encoding>> {
    let encode = recipe.encode.unwrap_or(Encode::OneHot);
    if encode == Encode::Tfidf {
        return Ok(words::learn(column, text, recipe, warn)?.map(Encoding::Words));
    }
    let Some((levels, filled)) = levels(column, text, recipe, warn)? else {
        return Ok(None);
    };
    let values: Vec<f64> = (0u32..).take(levels.len()).map(f64::from).collect();
    Ok(Some(match encode {
        Encode::Ordinal => Encoding::Levels {
            missing: vec![filled.map_or(-1.0, |place| values[place])],
            values,
            levels,
            unknown: vec![-1.0],
            meaning: Meaning::Order,
        },
        Encode::Target => {
            let wanted = recipe.impute.and(filled);
            target::learn(column, text, levels, wanted, truth)?
        }
        Encode::OneHot | Encode::Tfidf => Encoding::OneHot {
            levels,
            fill: filled.unwrap_or(0),
        },
    }))
}

/// The levels that count, in their order, and the place of the one that missing text becomes, when it is among them.
fn levels(
    column: &Column,
    text: &TextColumn,
    recipe: &Recipe,
    warn: &mut dyn FnMut(String),
) -> Result<Option<(Vec<String>, Option<usize>)>> {
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
    Ok(Some((levels, filled)))
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
            "column `{}` has {} different texts in {} rows: that is an identifier or free text; add it to `exclude`, or make words of it (`preprocess`, `encode: tfidf`)",
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
