//! Two distributions as bars.

use serde::{Deserialize, Serialize};

use crate::drift::bins::{edges, ends, histogram, shares};
use crate::drift::sample::{Sample, Union, levels, runs};

/// Bars of a picture of numbers.
const BARS: usize = 20;
/// The share of the values on each side that a picture does not stretch to when they are far off.
const OUTERMOST: f64 = 0.01;
/// Levels of a picture; numbers with at most this many different values are shown like levels.
const SHOWN: usize = 12;
/// Letters of a level: a text may be as long as a book.
const LETTERS: usize = 40;

/// The shares of both samples, for a chart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Picture {
    /// What every bar stands for: a level, or the middle of a range.
    pub labels: Vec<String>,
    /// Of ranges of numbers: what stands below the first bar's left edge, the middle, and the last bar's right edge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub axis: Vec<String>,
    /// Whether bars are ranges of numbers.
    pub numeric: bool,
    /// Shares of the reference rows.
    pub reference: Vec<f64>,
    /// Shares of the current rows.
    pub current: Vec<f64>,
}

impl Picture {
    pub(crate) fn of(one: &Sample, other: &Sample) -> Self {
        match (one, other) {
            (Sample::Numbers(a), Sample::Numbers(b)) if one.distinct(other, SHOWN) > SHOWN => {
                ranges(a, b)
            }
            (Sample::Numbers(a), Sample::Numbers(b)) => Self::bars(
                Union::of(runs(a), runs(b))
                    .map(|(value, one, other)| (short(value), one, other))
                    .collect(),
            ),
            (Sample::Levels(a), Sample::Levels(b)) => frequent(a, b),
            _ => Self::default(),
        }
    }

    fn bars(levels: Vec<(String, usize, usize)>) -> Self {
        let mut picture = Self::default();
        let (mut reference, mut current) = (Vec::new(), Vec::new());
        for (label, one, other) in levels {
            picture.labels.push(label);
            reference.push(one);
            current.push(other);
        }
        picture.reference = rounded(&reference);
        picture.current = rounded(&current);
        picture
    }
}

/// Shares of bars, to six digits: nobody sees more, and a file of them stays small.
fn rounded(counts: &[usize]) -> Vec<f64> {
    let shares = shares(counts);
    shares
        .into_iter()
        .map(|share| (share * 1e6).round() / 1e6)
        .collect()
}

fn ranges(one: &[f64], other: &[f64]) -> Picture {
    let (least, greatest) = ends(one, other);
    let (low, high) = bulk(one, other, least, greatest);
    let edges = edges(low, high, BARS);
    let mut axis = [low, f64::midpoint(low, high), high].map(short);
    if low > least {
        axis[0] = format!("≤ {}", axis[0]);
    }
    if high < greatest {
        axis[2] = format!("≥ {}", axis[2]);
    }
    let counts = |sorted: &[f64]| {
        let mut counts = histogram(sorted, &edges);
        counts[0] += sorted.partition_point(|value| *value < low);
        counts[BARS - 1] += sorted.len() - sorted.partition_point(|value| *value <= high);
        rounded(&counts)
    };
    Picture {
        labels: edges
            .windows(2)
            .map(|pair| short(f64::midpoint(pair[0], pair[1])))
            .collect(),
        numeric: true,
        reference: counts(one),
        current: counts(other),
        axis: axis.to_vec(),
    }
}

/// From where to where most values are: a few that are far off would squeeze the others into one bar. The outermost bars
/// hold those too.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place among rows"
)]
fn bulk(one: &[f64], other: &[f64], least: f64, greatest: f64) -> (f64, f64) {
    let at = |share: f64| {
        let places = [one, other].map(|sorted| {
            let place = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
            sorted.get(place).copied()
        });
        places.into_iter().flatten()
    };
    let low = at(OUTERMOST).fold(f64::INFINITY, f64::min);
    let high = at(1.0 - OUTERMOST).fold(f64::NEG_INFINITY, f64::max);
    let far = (high - low) / 2.0;
    if far <= 0.0 {
        return (least, greatest);
    }
    (
        if low - least > far { low } else { least },
        if greatest - high > far {
            high
        } else {
            greatest
        },
    )
}

/// The most frequent levels of both, the rest as one.
fn frequent(
    one: &[(std::sync::Arc<str>, usize)],
    other: &[(std::sync::Arc<str>, usize)],
) -> Picture {
    let mut all: Vec<(&str, usize, usize)> = Union::of(levels(one), levels(other)).collect();
    all.sort_by(|a, b| (b.1 + b.2).cmp(&(a.1 + a.2)).then(a.0.cmp(b.0)));
    let rest = if all.len() > SHOWN {
        all.split_off(SHOWN - 1)
    } else {
        Vec::new()
    };
    let mut bars: Vec<(String, usize, usize)> = all
        .into_iter()
        .map(|(level, one, other)| (cut(level), one, other))
        .collect();
    if !rest.is_empty() {
        let sum = |pick: fn(&(&str, usize, usize)) -> usize| rest.iter().map(pick).sum();
        bars.push((
            format!("({} others)", rest.len()),
            sum(|level| level.1),
            sum(|level| level.2),
        ));
    }
    Picture::bars(bars)
}

fn cut(text: &str) -> String {
    if text.chars().nth(LETTERS).is_none() {
        return text.to_owned();
    }
    text.chars().take(LETTERS - 1).chain(['…']).collect()
}

/// A number in few characters.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.2e}")
    } else if size >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Picture;
    use crate::drift::sample::Sample;

    #[test]
    fn values_that_are_far_off_are_in_the_outermost_bars() {
        let usual = (0..1000).map(f64::from);
        let sorted: Vec<f64> = usual.chain([9e4, 9e5]).collect();
        let sample = Sample::Numbers(sorted);
        let picture = Picture::of(&sample, &sample);
        assert_eq!(picture.axis[0], "0");
        assert!(picture.axis[2].starts_with("≥ 99"), "{:?}", picture.axis);
        assert!((picture.reference.iter().sum::<f64>() - 1.0).abs() < 1e-4);
        assert!(picture.reference[19] < 0.08 && picture.reference[10] > 0.04);
    }

    #[test]
    fn many_levels_and_long_ones_make_a_small_picture() {
        let levels: Vec<(Arc<str>, usize)> = (0..10_000)
            .map(|level| {
                (
                    Arc::from(format!("{level:05}{}", "ä".repeat(1_000))),
                    1 + level % 3,
                )
            })
            .collect();
        let sample = Sample::Levels(levels);
        let picture = Picture::of(&sample, &sample);
        assert_eq!(picture.labels.len(), 12);
        assert_eq!(picture.labels[11], "(9989 others)");
        assert!(
            picture
                .labels
                .iter()
                .all(|label| label.chars().count() <= 40)
        );
        assert!((picture.current.iter().sum::<f64>() - 1.0).abs() < 1e-4);
    }

    #[test]
    fn numbers_are_ranges_or_each_its_own() {
        let few = Sample::Numbers(vec![1.0, 1.0, 2.5]);
        let picture = Picture::of(&few, &few);
        assert_eq!(
            (picture.labels, picture.numeric),
            (vec!["1".into(), "2.50".into()], false)
        );
        assert_eq!(picture.reference, [0.666667, 0.333333]);
        let many = Sample::Numbers((0..100).map(f64::from).collect());
        let picture = Picture::of(&many, &few);
        assert!(picture.numeric && picture.labels.len() == 20);
        assert_eq!(picture.current[0], 1.0);
        // Nothing on one side is no picture of it.
        let picture = Picture::of(&many, &Sample::Numbers(Vec::new()));
        assert_eq!(picture.current, [0.0; 20]);
    }
}
