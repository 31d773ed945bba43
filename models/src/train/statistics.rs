//! What the columns looked like in training.

use indexmap::IndexMap;

use crate::data::{Column, Table, Values, spell_alike};
use crate::onnx::ColumnStatistics;
use crate::prepare::{DAY, Encoding, Preparation};

/// Levels that are kept of a text column.
const LEVELS: usize = 20;
/// Quantiles 0, 0.05, … 1.
const QUANTILES: usize = 20;

/// What a model tells of its columns. A free text is made of words: its levels are sentences that people wrote.
pub(crate) fn reference(table: &Table, preparation: &Preparation) -> Vec<ColumnStatistics> {
    let mut found = if preparation.ignore_case {
        let mut table = table.clone();
        for column in &mut table.columns {
            if let Values::Text(text) = &mut column.values {
                spell_alike(&mut [text]);
            }
        }
        statistics(&table)
    } else {
        statistics(table)
    };
    for prepared in &preparation.columns {
        if matches!(prepared.encoding, Encoding::Words(_))
            && let Some(one) = found.iter_mut().find(|one| one.name == prepared.name)
        {
            one.levels.clear();
        }
    }
    found
}

/// Statistics of every column.
fn statistics(table: &Table) -> Vec<ColumnStatistics> {
    table.columns.iter().map(of).collect()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a number of rows; a date to the microsecond fits"
)]
fn of(column: &Column) -> ColumnStatistics {
    let rows = column.values.len().max(1) as f64;
    let empty = ColumnStatistics {
        name: column.name.clone(),
        kind: column.kind,
        missing: 0.0,
        mean: None,
        deviation: None,
        quantiles: Vec::new(),
        levels: IndexMap::new(),
    };
    let mut values: Vec<f64> = match &column.values {
        Values::Number(values) => values
            .iter()
            .copied()
            .filter(|value| value.is_finite())
            .collect(),
        Values::Date(values) => values
            .iter()
            .filter(|value| **value != i64::MIN)
            .map(|value| *value as f64 / DAY)
            .collect(),
        Values::Text(text) => {
            let mut counts = vec![0usize; text.levels.len()];
            text.codes
                .iter()
                .for_each(|code| counts[*code as usize] += 1);
            let mut levels: Vec<(usize, &str)> = counts
                .iter()
                .zip(text.levels.iter())
                .map(|(count, level)| (*count, level.as_ref()))
                .collect();
            levels.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
            let missing = levels
                .iter()
                .find(|(_, level)| level.is_empty())
                .map_or(0, |(count, _)| *count);
            let kept = levels
                .iter()
                .filter(|(count, level)| !level.is_empty() && *count > 0)
                .take(LEVELS);
            return ColumnStatistics {
                missing: missing as f64 / rows,
                levels: kept
                    .map(|(count, level)| ((*level).to_owned(), *count as f64 / rows))
                    .collect(),
                ..empty
            };
        }
    };
    let missing = 1.0 - values.len() as f64 / rows;
    if values.is_empty() {
        return ColumnStatistics { missing, ..empty };
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len() - 1;
    ColumnStatistics {
        missing,
        mean: Some(mean),
        deviation: Some((squares / count).sqrt()),
        quantiles: (0..=QUANTILES)
            .map(|part| values[last * part / QUANTILES])
            .collect(),
        ..empty
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::statistics;
    use crate::data::Table;

    #[test]
    fn numbers_and_texts_are_summed_up() {
        let frame = df!(
            "n" => [Some(1.0), Some(3.0), None, Some(2.0)],
            "t" => [Some("b"), Some("a"), Some("b"), None],
        )
        .unwrap();
        let found = statistics(&Table::from_frame(&frame, &[]).unwrap());
        assert_eq!(found[0].mean, Some(2.0));
        assert_eq!((found[0].quantiles[0], found[0].quantiles[20]), (1.0, 3.0));
        assert!((found[0].missing - 0.25).abs() < 1e-12);
        assert_eq!(found[1].levels.iter().next(), Some((&"b".to_owned(), &0.5)));
        assert!((found[1].missing - 0.25).abs() < 1e-12);
    }
}
