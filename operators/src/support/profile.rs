//! What is in a table, column by column.

use std::collections::HashMap;

use pipectl_engine::operator::TaskError;
use polars::prelude::*;
use serde::Serialize;

use super::{
    chart,
    frame::polars_error,
    settings::type_name,
    text::{shortened, thousands},
};

/// How many bars a histogram has.
const BARS: usize = 24;
/// How many of the most frequent values are shown.
const FREQUENT: usize = 6;

/// A table, ready to be shown.
#[derive(Debug, Serialize)]
pub(crate) struct Profile {
    title: String,
    rows: String,
    width: usize,
    missing: String,
    duplicates: String,
    columns: Vec<ColumnProfile>,
    names: Vec<String>,
    sample: Vec<Vec<String>>,
    /// The share of cells that are empty.
    #[serde(skip)]
    pub(crate) gaps: f64,
}

#[derive(Debug, Serialize)]
struct ColumnProfile {
    name: String,
    kind: String,
    missing: String,
    gaps: bool,
    distinct: String,
    facts: Vec<(&'static str, String)>,
    svg: String,
}

impl Profile {
    /// The profile of a table, with its first `sample` rows.
    ///
    /// # Errors
    /// When the table cannot be computed with.
    pub(crate) fn of(title: &str, frame: &DataFrame, sample: usize) -> Result<Self, TaskError> {
        let fail = |error: PolarsError| polars_error("describe the table", &error);
        let cells = frame.height() * frame.width();
        let empty: usize = frame.columns().iter().map(Column::null_count).sum();
        let plain = frame
            .columns()
            .iter()
            .all(|column| !column.dtype().is_nested());
        let duplicates = if plain && frame.height() > 0 {
            let unique = frame
                .unique_stable(None, UniqueKeepStrategy::First, None)
                .map_err(fail)?;
            thousands((frame.height() - unique.height()) as u64)
        } else {
            "0".to_owned()
        };
        let head = frame.head(Some(sample));
        let row = |row: usize| {
            head.columns()
                .iter()
                .map(|column| cell(column, row))
                .collect()
        };
        Ok(Self {
            title: title.to_owned(),
            rows: thousands(frame.height() as u64),
            width: frame.width(),
            missing: percent(share(empty, cells)),
            duplicates,
            columns: frame
                .columns()
                .iter()
                .map(ColumnProfile::of)
                .collect::<Result<_, _>>()?,
            names: frame
                .get_column_names()
                .into_iter()
                .map(ToString::to_string)
                .collect(),
            sample: (0..head.height()).map(row).collect(),
            gaps: share(empty, cells),
        })
    }
}

impl ColumnProfile {
    fn of(column: &Column) -> Result<Self, TaskError> {
        let fail =
            |error: PolarsError| polars_error(&format!("describe `{}`", column.name()), &error);
        let of = column.dtype();
        let nulls = column.null_count();
        let distinct = if of.is_nested() {
            None
        } else {
            Some(column.n_unique().map_err(fail)?)
        };
        let (facts, svg) = if of.is_numeric() || of.is_decimal() {
            numbers(column)?
        } else if of.is_temporal() && *of != DataType::Time {
            moments(column)?
        } else if of.is_nested() {
            (Vec::new(), String::new())
        } else {
            texts(column)?
        };
        Ok(Self {
            name: column.name().to_string(),
            kind: type_name(of),
            missing: percent(share(nulls, column.len())),
            gaps: nulls > 0,
            // A gap is no value of its own.
            distinct: distinct.map_or_else(
                || "–".to_owned(),
                |count| thousands(count.saturating_sub(usize::from(nulls > 0)) as u64),
            ),
            facts,
            svg,
        })
    }
}

type Described = (Vec<(&'static str, String)>, String);

fn numbers(column: &Column) -> Result<Described, TaskError> {
    let fail = |error: PolarsError| polars_error(&format!("describe `{}`", column.name()), &error);
    let values = column.cast(&DataType::Float64).map_err(fail)?;
    let values = values.f64().map_err(fail)?;
    let mut finite: Vec<f64> = values
        .iter()
        .flatten()
        .filter(|value| value.is_finite())
        .collect();
    finite.sort_unstable_by(f64::total_cmp);
    let (Some(low), Some(high)) = (finite.first().copied(), finite.last().copied()) else {
        return Ok((Vec::new(), String::new()));
    };
    let mean = finite.iter().sum::<f64>() / count(finite.len());
    let spread = finite
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / count(finite.len());
    let upper = finite.get(finite.len() / 2).copied().unwrap_or(low);
    let lower = finite.get((finite.len() - 1) / 2).copied().unwrap_or(low);
    let mut facts = vec![
        ("least", number(low)),
        ("median", number(f64::midpoint(lower, upper))),
        ("mean", number(mean)),
        ("greatest", number(high)),
        ("deviation", number(spread.sqrt())),
    ];
    let odd = values.len() - values.null_count() - finite.len();
    if odd > 0 {
        facts.push(("not finite", thousands(odd as u64)));
    }
    Ok((
        facts,
        chart::histogram(&bins(&finite, low, high), &number(low), &number(high))?,
    ))
}

fn moments(column: &Column) -> Result<Described, TaskError> {
    let fail = |error: PolarsError| polars_error(&format!("describe `{}`", column.name()), &error);
    let physical = column
        .to_physical_repr()
        .cast(&DataType::Float64)
        .map_err(fail)?;
    let physical = physical.f64().map_err(fail)?;
    let mut values: Vec<f64> = physical.iter().flatten().collect();
    values.sort_unstable_by(f64::total_cmp);
    let (Some(low), Some(high)) = (values.first().copied(), values.last().copied()) else {
        return Ok((Vec::new(), String::new()));
    };
    let shown = |wanted: f64| {
        let row = physical
            .iter()
            .position(|value| value == Some(wanted))
            .unwrap_or(0);
        cell(column, row)
    };
    let facts = vec![("earliest", shown(low)), ("latest", shown(high))];
    Ok((facts, chart::histogram(&bins(&values, low, high), "", "")?))
}

fn texts(column: &Column) -> Result<Described, TaskError> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for row in 0..column.len() {
        if let Ok(value) = column.get(row)
            && !value.is_null()
        {
            *counts.entry(shown(&value)).or_default() += 1;
        }
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_unstable_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    // Values that all differ, such as names, have no distribution.
    if counts
        .first()
        .is_none_or(|(_, most)| *most == 1 && counts.len() > FREQUENT)
    {
        return Ok((Vec::new(), String::new()));
    }
    counts.truncate(FREQUENT);
    let facts = counts.first().map(|(value, times)| {
        (
            "most frequent",
            format!("{} ({})", shortened(value, 40), thousands(*times)),
        )
    });
    let bars: Vec<_> = counts
        .iter()
        .map(|(value, times)| (shortened(value, 22), *times))
        .collect();
    Ok((facts.into_iter().collect(), chart::ranking(&bars)?))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the quotient lies between 0 and the number of bars"
)]
fn bins(sorted: &[f64], low: f64, high: f64) -> Vec<u32> {
    let mut counts = vec![0; BARS];
    let width = (high - low) / count(BARS);
    for value in sorted {
        let bin = if width > 0.0 {
            ((value - low) / width) as usize
        } else {
            0
        };
        if let Some(count) = counts.get_mut(bin.min(BARS - 1)) {
            *count += 1;
        }
    }
    counts
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of rows is far below 2^53"
)]
fn count(value: usize) -> f64 {
    value as f64
}

fn share(part: usize, whole: usize) -> f64 {
    count(part) / count(whole.max(1))
}

fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.001 {
        "< 0.1 %".to_owned()
    } else {
        format!("{:.1} %", share * 100.0)
    }
}

/// A number with no more digits than one can read.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        format!("{value:.3e}")
    } else if size >= 1_000.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        let text = format!("{value:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn cell(column: &Column, row: usize) -> String {
    column
        .get(row)
        .map(|value| {
            if value.is_null() {
                String::new()
            } else {
                shortened(&shown(&value), 80)
            }
        })
        .unwrap_or_default()
}

fn shown(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::StringOwned(text) => text.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (1234.567, "1235"),
            (0.12345, "0.1235"),
            (1e20, "1.000e20"),
            (-3.0, "-3"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_two_in_the_middle() {
        for (values, median) in [(vec![1, 2], "1.5"), (vec![4, 1, 9], "4"), (vec![7], "7")] {
            let (facts, _) = numbers(&Column::new("a".into(), values)).unwrap();
            let found = facts.iter().find(|(name, _)| *name == "median").unwrap();
            assert_eq!(found.1, median);
        }
    }

    #[test]
    fn every_value_has_a_bar() {
        let values = [0.0, 0.1, 5.0, 9.9, 10.0];
        let counts = bins(&values, 0.0, 10.0);
        assert_eq!(counts.iter().sum::<u32>(), 5);
        assert_eq!((counts[0], counts[BARS - 1]), (2, 2));
        assert_eq!(bins(&[3.0, 3.0], 3.0, 3.0)[0], 2);
    }
}
