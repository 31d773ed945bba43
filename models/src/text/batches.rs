//! Which texts go through the network together: those of about one length, so that little is padding.

/// How large a batch may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Texts.
    pub rows: usize,
    /// Tokens, padding included; a longer text goes alone.
    pub tokens: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 32,
            tokens: 2_048,
        }
    }
}

/// The places of texts of these lengths, batch after batch: long ones first, so that what does not fit into memory
/// fails at once.
pub(super) fn batches(lengths: &[usize], limits: Limits) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(lengths[place]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut width = 0;
    for place in order {
        match batches.last_mut() {
            Some(batch)
                if batch.len() < limits.rows && (batch.len() + 1) * width <= limits.tokens =>
            {
                batch.push(place);
            }
            _ => {
                width = lengths[place];
                batches.push(vec![place]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_one_length_stay_together_within_the_limits() {
        let limits = Limits {
            rows: 3,
            tokens: 20,
        };
        let found = batches(&[5, 90, 4, 5, 5, 10, 5], limits);
        assert_eq!(found, [vec![1], vec![5, 0], vec![3, 4, 6], vec![2]]);
        assert!(batches(&[], limits).is_empty());
    }

    #[test]
    fn every_text_is_in_one_batch_and_little_is_padding() {
        let lengths: Vec<usize> = (0..1_000).map(|row| 8 + row * 7_919 % 120).collect();
        let found = batches(&lengths, Limits::default());
        let mut all = found.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1_000));
        let padded: usize = found
            .iter()
            .map(|batch| batch.len() * lengths[batch[0]])
            .sum();
        let real: usize = lengths.iter().sum();
        assert!(padded * 100 < real * 105, "{padded} for {real}");
    }
}
