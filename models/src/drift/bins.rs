//! Two samples as shares of the same bins.

use crate::drift::sample::{Sample, Union, levels, runs};

/// Numbers with more distinct values in the reference than this are binned; else every value is a bin.
const DISTINCT: usize = 20;

/// The shares of two samples in the same bins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shares {
    pub(crate) reference: Vec<f64>,
    pub(crate) current: Vec<f64>,
}

impl Shares {
    /// Numbers: bins by numpy's rule `sturges` over both samples, or a bin for every value. Levels: a bin for each.
    pub(crate) fn of(reference: &Sample, current: &Sample) -> Self {
        match (reference, current) {
            (Sample::Numbers(one), Sample::Numbers(other))
                if runs(one).take(DISTINCT + 1).count() > DISTINCT =>
            {
                let edges = sturges(one, other);
                Self {
                    reference: shares(&histogram(one, &edges)),
                    current: shares(&histogram(other, &edges)),
                }
            }
            _ => {
                let (one, other): (Vec<_>, Vec<_>) = counts(reference, current).into_iter().unzip();
                Self {
                    reference: shares(&one),
                    current: shares(&other),
                }
            }
        }
    }
}

/// For every value of either sample, in their order, its count in both.
pub(crate) fn counts(reference: &Sample, current: &Sample) -> Vec<(usize, usize)> {
    match (reference, current) {
        (Sample::Numbers(one), Sample::Numbers(other)) => Union::of(runs(one), runs(other))
            .map(|(_, one, other)| (one, other))
            .collect(),
        (Sample::Levels(one), Sample::Levels(other)) => Union::of(levels(one), levels(other))
            .map(|(_, one, other)| (one, other))
            .collect(),
        // Samples of two kinds are not compared.
        _ => Vec::new(),
    }
}

/// Counts as shares of their sum.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub(crate) fn shares(counts: &[usize]) -> Vec<f64> {
    let rows = counts.iter().sum::<usize>().max(1);
    counts
        .iter()
        .map(|count| *count as f64 / rows as f64)
        .collect()
}

/// numpy's `histogram_bin_edges(bins="sturges")` over both sorted samples.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small number of bins"
)]
pub(crate) fn sturges(reference: &[f64], current: &[f64]) -> Vec<f64> {
    let (low, high) = ends(reference, current);
    let width = (high - low) / (((reference.len() + current.len()) as f64).log2() + 1.0);
    let bins = if width > 0.0 {
        ((high - low) / width).ceil().max(1.0) as usize
    } else {
        1
    };
    edges(low, high, bins)
}

/// The least and the greatest of two sorted samples.
pub(crate) fn ends(one: &[f64], other: &[f64]) -> (f64, f64) {
    let low = one.first().into_iter().chain(other.first());
    let high = one.last().into_iter().chain(other.last());
    (
        low.copied().fold(f64::INFINITY, f64::min),
        high.copied().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// `bins + 1` edges, as numpy's `linspace` makes them.
#[allow(clippy::cast_precision_loss, reason = "a small number of bins")]
pub(crate) fn edges(low: f64, high: f64, bins: usize) -> Vec<f64> {
    let step = (high - low) / bins as f64;
    (0..=bins)
        .map(|place| {
            if place == bins {
                high
            } else {
                low + place as f64 * step
            }
        })
        .collect()
}

/// Counts of a sorted sample between edges; the last bin holds its upper edge.
pub(crate) fn histogram(sorted: &[f64], edges: &[f64]) -> Vec<usize> {
    let last = edges.len() - 1;
    let places: Vec<usize> = edges
        .iter()
        .enumerate()
        .map(|(place, edge)| {
            sorted.partition_point(|value| {
                if place == last {
                    value <= edge
                } else {
                    value < edge
                }
            })
        })
        .collect();
    places.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Empty bins get a little: 0.0001, or a millionth of the smallest share when that is no larger.
pub(crate) fn filled(shares: &[f64]) -> Vec<f64> {
    let smallest = shares
        .iter()
        .copied()
        .filter(|share| *share > 0.0)
        .fold(1.0, f64::min);
    let fill = if smallest <= 1e-4 {
        smallest / 1e6
    } else {
        1e-4
    };
    shares
        .iter()
        .map(|share| if *share == 0.0 { fill } else { *share })
        .collect()
}
