//! Totals of windows that move forward, without ever taking anything away: two stacks, as a queue is made of them. So
//! no rounding error builds up, and least and greatest values work too.

/// Something that can be put together: associative, with a beginning.
pub(super) trait Total: Clone {
    /// That of nothing.
    const NOTHING: Self;
    /// That of this one and a later one.
    fn and(&self, later: &Self) -> Self;
}

/// A window over values.
pub(super) struct Sliding<T> {
    /// Totals from each value to the end of the older part, the oldest on top.
    older: Vec<T>,
    newer: Vec<T>,
    newer_total: T,
}

impl<T: Total> Sliding<T> {
    pub(super) fn new() -> Self {
        Self {
            older: Vec::new(),
            newer: Vec::new(),
            newer_total: T::NOTHING,
        }
    }

    fn push(&mut self, value: T) {
        self.newer_total = self.newer_total.and(&value);
        self.newer.push(value);
    }

    fn pop(&mut self) {
        if self.older.is_empty() {
            let mut total = T::NOTHING;
            while let Some(value) = self.newer.pop() {
                total = value.and(&total);
                self.older.push(total.clone());
            }
            self.newer_total = T::NOTHING;
        }
        self.older.pop();
    }

    fn total(&self) -> T {
        match self.older.last() {
            Some(older) => older.and(&self.newer_total),
            None => self.newer_total.clone(),
        }
    }

    /// The totals of windows whose ends only move forward, until one begins behind the end of the one before.
    pub(super) fn totals(frames: &[(usize, usize)], value: impl Fn(usize) -> T) -> Vec<T> {
        let mut window = Self::new();
        let (mut first, mut next) = (0, 0);
        let mut totals = Vec::with_capacity(frames.len());
        for (start, end) in frames {
            if *start >= next || *start < first || *end < next {
                // Another group.
                window = Self::new();
                (first, next) = (*start, *start);
            }
            while next < *end {
                window.push(value(next));
                next += 1;
            }
            while first < *start {
                window.pop();
                first += 1;
            }
            totals.push(window.total());
        }
        totals
    }
}

/// A count and a sum of whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WholeSum(pub(super) u64, pub(super) i128);

impl Total for WholeSum {
    const NOTHING: Self = Self(0, 0);
    fn and(&self, later: &Self) -> Self {
        Self(self.0 + later.0, self.1 + later.1)
    }
}

/// Count, sum, mean and the sum of squared distances from the mean (Chan, Golub, `LeVeque`: Updating formulae and a
/// pairwise algorithm for computing sample variances, 1979).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) sum: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    pub(super) fn of(value: Option<f64>) -> Self {
        value.map_or(Self::NOTHING, |value| Self {
            count: 1.0,
            sum: value,
            mean: value,
            squares: 0.0,
        })
    }

    /// The standard deviation of a sample.
    pub(super) fn deviation(&self) -> Option<f64> {
        (self.count > 1.0).then(|| (self.squares / (self.count - 1.0)).sqrt())
    }
}

impl Total for Moments {
    const NOTHING: Self = Self {
        count: 0.0,
        sum: 0.0,
        mean: 0.0,
        squares: 0.0,
    };
    fn and(&self, later: &Self) -> Self {
        if self.count == 0.0 || later.count == 0.0 {
            return if self.count == 0.0 { later } else { self }.clone();
        }
        let count = self.count + later.count;
        let apart = later.mean - self.mean;
        Self {
            count,
            sum: self.sum + later.sum,
            mean: self.mean + apart * later.count / count,
            squares: self.squares
                + later.squares
                + apart * apart * self.count * later.count / count,
        }
    }
}

/// The row with the least place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Least(pub(super) Option<(u32, u32)>);

impl Total for Least {
    const NOTHING: Self = Self(None);
    fn and(&self, later: &Self) -> Self {
        match (self.0, later.0) {
            (Some(one), Some(other)) if other.0 < one.0 => Self(Some(other)),
            (None, other) => Self(other),
            (one, _) => Self(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_move_over_groups() {
        let values = [3, 1, 4, 1, 5, 9, 2, 6];
        let frames = [
            (0, 1),
            (0, 2),
            (1, 3),
            (3, 3),
            (3, 4),
            (4, 6),
            (4, 6),
            (6, 7),
            (6, 8),
        ];
        let found = Sliding::totals(&frames, |place| WholeSum(1, values[place]));
        let obvious: Vec<_> = frames
            .iter()
            .map(|(start, end)| WholeSum((end - start) as u64, values[*start..*end].iter().sum()))
            .collect();
        assert_eq!(found, obvious);
    }

    #[test]
    fn deviations_are_those_of_samples() {
        let all = [1.0, 2.0, 4.0, 9.0].map(|value| Moments::of(Some(value)));
        let total = all
            .iter()
            .fold(Moments::NOTHING, |total, one| total.and(one));
        assert!((total.deviation().unwrap() - 3.559_026_084_010_437).abs() < 1e-12);
        assert_eq!(all[0].deviation(), None);
    }
}
