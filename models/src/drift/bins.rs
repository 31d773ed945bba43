//! Two samples as shares of the same bins.

use std::collections::BTreeMap;

/// Numbers with more distinct values in the reference than this are binned; else every value is a bin.
const DISTINCT: usize = 20;

/// The shares of two samples in the same bins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shares {
    pub(crate) reference: Vec<f64>,
    pub(crate) current: Vec<f64>,
}

/// A number as a key that sorts like the number.
pub(crate) fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

/// The number of distinct values.
pub(crate) fn distinct<'a>(values: impl IntoIterator<Item = &'a f64>) -> usize {
    let mut keys: Vec<u64> = values.into_iter().map(|value| key(*value)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.len()
}

/// Shares of numbers: bins by numpy's rule `sturges` over both samples, or a bin for every value.
pub(crate) fn of_numbers(reference: &[f64], current: &[f64]) -> Shares {
    if distinct(reference) <= DISTINCT {
        let keys = |values: &[f64]| values.iter().map(|value| key(*value)).collect::<Vec<_>>();
        return of_levels(&keys(reference), &keys(current));
    }
    let edges = sturges(reference, current);
    Shares {
        reference: shares(&histogram(reference, &edges), reference.len()),
        current: shares(&histogram(current, &edges), current.len()),
    }
}

/// Shares of levels, in sort order.
pub(crate) fn of_levels<L: Ord>(reference: &[L], current: &[L]) -> Shares {
    let counts = counts(reference, current);
    let of = |pick: fn(&(usize, usize)) -> usize, rows| {
        shares(&counts.values().map(pick).collect::<Vec<_>>(), rows)
    };
    Shares {
        reference: of(|count| count.0, reference.len()),
        current: of(|count| count.1, current.len()),
    }
}

/// For every level of either sample its count in both.
pub(crate) fn counts<'a, L: Ord>(
    reference: &'a [L],
    current: &'a [L],
) -> BTreeMap<&'a L, (usize, usize)> {
    let mut counts: BTreeMap<&L, (usize, usize)> = BTreeMap::new();
    for level in reference {
        counts.entry(level).or_default().0 += 1;
    }
    for level in current {
        counts.entry(level).or_default().1 += 1;
    }
    counts
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn shares(counts: &[usize], rows: usize) -> Vec<f64> {
    counts
        .iter()
        .map(|count| *count as f64 / rows as f64)
        .collect()
}

/// numpy's `histogram_bin_edges(bins="sturges")` over both samples.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small number of bins"
)]
pub(crate) fn sturges(reference: &[f64], current: &[f64]) -> Vec<f64> {
    let all = || reference.iter().chain(current);
    let low = all().copied().fold(f64::INFINITY, f64::min);
    let high = all().copied().fold(f64::NEG_INFINITY, f64::max);
    let width = (high - low) / (((reference.len() + current.len()) as f64).log2() + 1.0);
    let bins = if width > 0.0 {
        ((high - low) / width).ceil().max(1.0) as usize
    } else {
        1
    };
    edges(low, high, bins)
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

/// Counts between edges; the last bin holds its upper edge.
pub(crate) fn histogram(values: &[f64], edges: &[f64]) -> Vec<usize> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
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
