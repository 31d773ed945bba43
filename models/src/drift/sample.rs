//! The values of a column that are there, in the form in which tests are quick: numbers sorted, levels counted.

use std::sync::Arc;

use crate::data::{Column, ColumnKind, Values};
use crate::drift::sort::sorted;
use crate::prepare::DAY;

/// Numbers beyond this are like infinite ones: their squares are.
const HUGE: f64 = 1e150;

/// What is there of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sample {
    /// Finite numbers in their order; dates are days since 1970.
    Numbers(Vec<f64>),
    /// Levels in the order of their texts, with how often each occurs.
    Levels(Vec<(Arc<str>, usize)>),
}

/// A value of either sample, with how often it occurs in the reference and now.
pub(crate) type Counted<K> = (K, usize, usize);

impl Sample {
    /// The sample of a column, and how many of its numbers are infinite or as good as that. Booleans are categories.
    pub(crate) fn of(column: &Column) -> (Self, usize) {
        match &column.values {
            Values::Number(values) if column.kind == ColumnKind::Boolean => {
                let count = |wanted: bool| {
                    let there = values.iter().filter(|value| !value.is_nan());
                    there.filter(|value| (**value != 0.0) == wanted).count()
                };
                let levels = [("false", count(false)), ("true", count(true))];
                let there = levels.into_iter().filter(|(_, count)| *count > 0);
                let levels = there.map(|(level, count)| (Arc::from(level), count));
                (Self::Levels(levels.collect()), 0)
            }
            Values::Number(values) => {
                let infinite = values.iter().filter(|value| value.abs() > HUGE).count();
                let finite = values.iter().copied().filter(|value| value.abs() <= HUGE);
                (Self::Numbers(sorted(finite.collect())), infinite)
            }
            Values::Date(values) => {
                let there = values.iter().filter(|value| **value != i64::MIN);
                #[allow(clippy::cast_precision_loss, reason = "a date to the microsecond fits")]
                let days = there.map(|value| *value as f64 / DAY);
                (Self::Numbers(sorted(days.collect())), 0)
            }
            Values::Text(text) => {
                let mut counts = vec![0; text.levels.len()];
                for code in &text.codes {
                    counts[*code as usize] += 1;
                }
                let mut levels: Vec<(Arc<str>, usize)> = text
                    .levels
                    .iter()
                    .zip(counts)
                    .filter(|(level, count)| !level.is_empty() && *count > 0)
                    .map(|(level, count)| (Arc::clone(level), count))
                    .collect();
                levels.sort_unstable();
                (Self::Levels(levels), 0)
            }
        }
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Levels(levels) => levels.iter().map(|(_, count)| count).sum(),
        }
    }

    /// Whether these are numbers.
    pub(crate) fn is_numeric(&self) -> bool {
        matches!(self, Self::Numbers(_))
    }

    /// How many different values both samples have together; more than `limit` are not counted to the end.
    pub(crate) fn distinct(&self, other: &Self, limit: usize) -> usize {
        match (self, other) {
            (Self::Numbers(one), Self::Numbers(other)) => {
                Union::of(runs(one), runs(other)).take(limit + 1).count()
            }
            (Self::Levels(one), Self::Levels(other)) => Union::of(levels(one), levels(other))
                .take(limit + 1)
                .count(),
            _ => 0,
        }
    }
}

/// The different values of sorted numbers with their counts.
pub(crate) fn runs(sorted: &[f64]) -> impl Iterator<Item = (f64, usize)> {
    let mut rest = sorted;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let count = rest.iter().take_while(|value| **value <= first).count();
        rest = rest.get(count..).unwrap_or_default();
        Some((first, count))
    })
}

/// Levels as [`Union`] takes them.
pub(crate) fn levels(levels: &[(Arc<str>, usize)]) -> impl Iterator<Item = (&str, usize)> {
    levels.iter().map(|(level, count)| (level.as_ref(), *count))
}

/// Two sorted lists of values with counts as one.
pub(crate) struct Union<K, A: Iterator<Item = (K, usize)>, B: Iterator<Item = (K, usize)>> {
    one: std::iter::Peekable<A>,
    other: std::iter::Peekable<B>,
}

impl<K: PartialOrd, A: Iterator<Item = (K, usize)>, B: Iterator<Item = (K, usize)>> Union<K, A, B> {
    pub(crate) fn of(one: A, other: B) -> Self {
        Self {
            one: one.peekable(),
            other: other.peekable(),
        }
    }
}

impl<K: PartialOrd, A: Iterator<Item = (K, usize)>, B: Iterator<Item = (K, usize)>> Iterator
    for Union<K, A, B>
{
    type Item = Counted<K>;

    fn next(&mut self) -> Option<Counted<K>> {
        let (first, second) = match (self.one.peek(), self.other.peek()) {
            (Some((one, _)), Some((other, _))) => (one <= other, other <= one),
            (one, other) => (one.is_some(), other.is_some()),
        };
        let one = if first { self.one.next() } else { None };
        let other = if second { self.other.next() } else { None };
        match (one, other) {
            (Some((key, count)), other) => Some((key, count, other.map_or(0, |(_, count)| count))),
            (None, Some((key, count))) => Some((key, 0, count)),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sample, Union, runs};
    use crate::data::{Column, ColumnKind, TextColumn, Values};

    #[test]
    fn two_lists_become_one() {
        let (one, other) = ([1.0, 1.0, 2.0, 5.0], [0.5, 2.0, 2.0]);
        let union: Vec<_> = Union::of(runs(&one), runs(&other)).collect();
        assert_eq!(union, [(0.5, 0, 1), (1.0, 2, 0), (2.0, 1, 2), (5.0, 1, 0)]);
    }

    #[test]
    fn what_is_not_there_is_not_in_the_sample() {
        let column = |kind, values| Column {
            name: "a".into(),
            kind,
            values,
        };
        let numbers = vec![f64::NAN, 3.0, f64::INFINITY, -1.0];
        let (sample, infinite) = Sample::of(&column(ColumnKind::Number, Values::Number(numbers)));
        assert_eq!((sample, infinite), (Sample::Numbers(vec![-1.0, 3.0]), 1));
        let text = TextColumn::new([Some("b"), None, Some(""), Some("a"), Some("b")]);
        let (sample, _) = Sample::of(&column(ColumnKind::Text, Values::Text(text)));
        assert_eq!(
            sample,
            Sample::Levels(vec![("a".into(), 1), ("b".into(), 2)])
        );
        assert_eq!((sample.count(), sample.distinct(&sample, 9)), (3, 2));
        let truths = vec![1.0, f64::NAN, 1.0];
        let (sample, _) = Sample::of(&column(ColumnKind::Boolean, Values::Number(truths)));
        assert_eq!(sample, Sample::Levels(vec![("true".into(), 2)]));
    }
}
