//! Evens out the classes of the rows that are learned from; rows that are held out stay as they are.

use crate::data::Truth;
use crate::random::Random;
use crate::train::{Problem, Resample};

/// The rows, ascending; of rarer classes several times, or of more frequent ones fewer.
pub(crate) fn resampled(problem: &Problem<'_>, rows: &[u32]) -> Vec<u32> {
    match (problem.settings.resample, &problem.target.truth) {
        (Some(how), Truth::Classes { classes, codes }) => {
            even(rows, codes, classes.len(), how, problem.settings.seed)
        }
        _ => rows.to_vec(),
    }
}

fn even(rows: &[u32], codes: &[u32], classes: usize, how: Resample, seed: u64) -> Vec<u32> {
    let mut by_class = vec![Vec::new(); classes];
    for &row in rows {
        by_class[codes[row as usize] as usize].push(row);
    }
    let sizes = by_class.iter().map(Vec::len).filter(|size| *size > 0);
    let wanted = match how {
        Resample::Over => sizes.max(),
        Resample::Under => sizes.min(),
    }
    .unwrap_or(0);
    let mut even = Vec::new();
    for (class, mut rows) in (0u64..).zip(by_class) {
        let mut random = Random::new(seed, 0xE7E0 + class);
        let own = rows.len();
        if own > wanted {
            random.shuffle(&mut rows);
            rows.truncate(wanted);
        }
        while own > 0 && rows.len() < wanted {
            rows.push(rows[random.below(own)]);
        }
        even.append(&mut rows);
    }
    even.sort_unstable();
    even
}

#[cfg(test)]
mod tests {
    use super::even;
    use crate::train::Resample;

    #[test]
    fn classes_become_equally_frequent() {
        let codes: Vec<u32> = (0..100).map(|row| u32::from(row % 10 == 0)).collect();
        let rows: Vec<u32> = (0..100).collect();
        for (how, wanted) in [(Resample::Over, 90), (Resample::Under, 10)] {
            let drawn = even(&rows, &codes, 2, how, 1);
            let positive = drawn
                .iter()
                .filter(|row| codes[**row as usize] == 1)
                .count();
            assert_eq!((positive, drawn.len()), (wanted, 2 * wanted));
            assert_eq!(drawn, even(&rows, &codes, 2, how, 1));
        }
    }
}
