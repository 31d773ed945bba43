//! Quantile bins: every feature in one byte.

use rayon::prelude::*;

use crate::matrix::Matrix;

/// The bin of a missing value.
pub(crate) const MISSING: u8 = 255;
/// Bins for values that are not missing.
pub(crate) const MOST_BINS: usize = 255;
/// Cuts are taken from at most this many rows.
const SAMPLE: usize = 200_000;

/// A matrix of bins, column after column.
#[derive(Debug)]
pub(crate) struct Binned {
    /// Number of rows.
    pub(crate) rows: usize,
    /// Number of features.
    pub(crate) width: usize,
    bins: Vec<u8>,
    /// For every feature the ascending cuts: bin `b` holds values above `cuts[b - 1]` up to `cuts[b]`.
    pub(crate) cuts: Vec<Vec<f64>>,
    /// For every feature and bin the least and the greatest value in it.
    ends: Vec<Vec<[f64; 2]>>,
}

impl Binned {
    /// Cuts every feature at quantiles of the matrix and bins it.
    pub(crate) fn fit(matrix: &Matrix) -> Self {
        let rows = matrix.rows;
        let mut bins = vec![0; rows * matrix.width];
        let (cuts, ends) = if rows == 0 {
            (
                vec![Vec::new(); matrix.width],
                vec![Vec::new(); matrix.width],
            )
        } else {
            bins.par_chunks_mut(rows)
                .enumerate()
                .map(|(feature, bins)| {
                    let cuts = cuts(matrix, feature);
                    let mut ends = vec![[f64::INFINITY, f64::NEG_INFINITY]; cuts.len() + 1];
                    for (bin, value) in bins.iter_mut().zip(matrix.column(feature)) {
                        *bin = bin_of(&cuts, value);
                        if let Some([least, greatest]) = ends.get_mut(*bin as usize) {
                            (*least, *greatest) = (least.min(value), greatest.max(value));
                        }
                    }
                    (cuts, ends)
                })
                .unzip()
        };
        Self {
            rows,
            width: matrix.width,
            bins,
            cuts,
            ends,
        }
    }

    /// The bytes of its bins.
    pub(crate) fn bytes(&self) -> usize {
        self.bins.len()
    }

    /// The bins of one feature.
    pub(crate) fn column(&self, feature: usize) -> &[u8] {
        &self.bins[feature * self.rows..(feature + 1) * self.rows]
    }

    /// The least and the greatest value of a bin in which there are rows.
    pub(crate) fn ends(&self, feature: usize, bin: u8) -> [f64; 2] {
        self.ends[feature][bin as usize]
    }

    /// The value up to which rows go left, between two bins with none of a node's rows between them: `wanted` if it lies
    /// there, else the middle of the gap.
    pub(crate) fn between(&self, feature: usize, left: u8, right: u8, wanted: Option<f64>) -> f64 {
        let ([_, low], [high, _]) = (self.ends(feature, left), self.ends(feature, right));
        wanted
            .filter(|wanted| (low..high).contains(wanted))
            .unwrap_or_else(|| between(low, high))
    }

    /// The value up to which rows of `bin` go left; the last bin has no upper end.
    pub(crate) fn threshold(&self, feature: usize, bin: u8) -> f64 {
        self.cuts[feature]
            .get(bin as usize)
            .copied()
            .unwrap_or(f64::MAX)
    }
}

fn cuts(matrix: &Matrix, feature: usize) -> Vec<f64> {
    let step = (matrix.rows / SAMPLE).max(1);
    let mut values: Vec<f64> = matrix
        .column(feature)
        .step_by(step)
        .filter(|value| !value.is_nan())
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    let mut distinct = values.clone();
    distinct.dedup();
    if distinct.len() <= MOST_BINS {
        return distinct
            .windows(2)
            .map(|pair| between(pair[0], pair[1]))
            .collect();
    }
    let mut cuts: Vec<f64> = Vec::with_capacity(MOST_BINS - 1);
    for rank in 1..MOST_BINS {
        let low = values[rank * values.len() / MOST_BINS - 1];
        let above = distinct.partition_point(|value| *value <= low);
        if let Some(&high) = distinct.get(above) {
            let cut = between(low, high);
            if cuts.last().is_none_or(|last| *last < cut) {
                cuts.push(cut);
            }
        }
    }
    cuts
}

/// A cut that has `low` on its left and `high` on its right, also when they are neighbours.
fn between(low: f64, high: f64) -> f64 {
    let middle = low + (high - low) / 2.0;
    if middle < high { middle } else { low }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "there are at most 254 cuts"
)]
fn bin_of(cuts: &[f64], value: f64) -> u8 {
    if value.is_nan() {
        MISSING
    } else {
        cuts.partition_point(|cut| *cut < value) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::{Binned, MISSING};
    use crate::matrix::Matrix;

    fn column(values: Vec<f64>) -> Matrix {
        Matrix {
            width: 1,
            rows: values.len(),
            values,
        }
    }

    #[test]
    fn few_values_get_a_bin_each() {
        let binned = Binned::fit(&column(vec![3.0, 1.0, f64::NAN, 2.0, 1.0]));
        assert_eq!(binned.column(0), [2, 0, MISSING, 1, 0]);
        assert_eq!(binned.cuts[0], [1.5, 2.5]);
        let between = |wanted| binned.between(0, 0, 2, wanted).to_bits();
        assert_eq!(between(None), 2.0f64.to_bits());
        assert_eq!(between(Some(2.75)), 2.75f64.to_bits());
        assert_eq!(between(Some(3.0)), 2.0f64.to_bits());
    }

    #[test]
    fn a_value_is_in_the_bin_that_its_threshold_says() {
        let values: Vec<f64> = (0..5000)
            .map(|i| f64::from(i * 7919 % 5003).powi(2))
            .collect();
        let binned = Binned::fit(&column(values.clone()));
        for (row, value) in values.iter().enumerate() {
            let bin = binned.column(0)[row];
            assert!(*value <= binned.threshold(0, bin));
            assert!(bin == 0 || *value > binned.threshold(0, bin - 1));
        }
    }

    #[test]
    fn neighbouring_numbers_are_told_apart() {
        let low = 1.0f64;
        let binned = Binned::fit(&column(vec![low, low.next_up()]));
        assert_eq!(binned.column(0), [0, 1]);
    }
}
