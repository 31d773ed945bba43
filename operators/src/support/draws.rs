//! Rows at random, the same ones in every run.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::keys::groups;

/// The number of each row's stratum; all are one without `stratify`.
///
/// # Errors
/// When there is no such column.
pub(crate) fn strata(
    table: &str,
    frame: &DataFrame,
    stratify: &[String],
) -> Result<Vec<u32>, TaskError> {
    groups(table, frame, stratify).map(|(strata, _)| strata)
}

/// The rows of each stratum in the order of their draws: every row draws a number from its position.
pub(crate) fn drawn(strata: &[u32], seed: u64) -> Vec<Vec<IdxSize>> {
    let mut rows: Vec<(u32, u64, IdxSize)> = strata
        .iter()
        .zip(0..)
        .map(|(stratum, row)| (*stratum, draw(seed, u64::from(row)), row))
        .collect();
    rows.sort_unstable();
    rows.chunk_by(|left, right| left.0 == right.0)
        .map(|stratum| stratum.iter().map(|(_, _, row)| *row).collect())
        .collect()
}

/// A number that looks random: `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn draw(seed: u64, position: u64) -> u64 {
    let mut state = seed.wrapping_add((position + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_drawn_once_within_its_stratum() {
        let strata = [0, 1, 0, 2, 1, 0];
        let mut found = drawn(&strata, 7);
        assert_eq!(found, drawn(&strata, 7));
        for rows in &mut found {
            rows.sort_unstable();
        }
        assert_eq!(found, [vec![0, 2, 5], vec![1, 4], vec![3]]);
        let many = vec![0; 1_000];
        assert_ne!(drawn(&many, 1), drawn(&many, 2));
    }
}
