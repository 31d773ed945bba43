//! Makes the probabilities of two classes mean what they say.
//!
//! Sigmoid: Platt (1999), over the log odds. Isotonic: pool adjacent violators (Ayer et al. 1955), linear between its
//! steps. Both are fitted on answers to held-out rows.

use crate::estimators::{platt, sigmoid};
use crate::train::Method;

/// Probabilities are kept this far from 0 and 1 before their log odds are taken.
pub(crate) const EDGE: f64 = 1e-6;
/// Points that an isotonic line has at the most.
const MOST_POINTS: usize = 100;

/// What was learned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Calibration {
    /// `σ(slope · log odds + offset)`.
    Sigmoid { slope: f64, offset: f64 },
    /// A line from point to point, level outside.
    Isotonic { x: Vec<f64>, y: Vec<f64> },
}

impl Calibration {
    /// Learns from probabilities of the positive class and what was true.
    pub(crate) fn fit(method: Method, shares: &[f64], hits: &[bool]) -> Self {
        match method {
            Method::Sigmoid => {
                let odds: Vec<f64> = shares.iter().map(|share| log_odds(*share)).collect();
                let sides: Vec<f64> = hits
                    .iter()
                    .map(|hit| if *hit { 1.0 } else { -1.0 })
                    .collect();
                let (slope, offset) = platt(&odds, &sides);
                Self::Sigmoid { slope, offset }
            }
            Method::Isotonic => {
                let (x, y) = isotonic(shares, hits);
                Self::Isotonic { x, y }
            }
        }
    }

    /// The calibrated probability.
    pub(crate) fn apply(&self, share: f64) -> f64 {
        match self {
            Self::Sigmoid { slope, offset } => sigmoid(slope * log_odds(share) + offset),
            Self::Isotonic { x, y } => {
                // As the graph computes it: the sum of what every stretch has risen so far.
                let stretches = x.windows(2).zip(y.windows(2));
                let risen: f64 = stretches
                    .map(|(x, y)| {
                        let along = (share - x[0]).max(0.0).min(x[1] - x[0]);
                        along * ((y[1] - y[0]) / (x[1] - x[0]))
                    })
                    .sum();
                y[0] + risen
            }
        }
    }

    /// Probabilities of both classes, row after row, calibrated.
    pub(crate) fn apply_to(&self, values: &mut [f64]) {
        for row in values.chunks_exact_mut(2) {
            let share = self.apply(row[1]);
            row.copy_from_slice(&[1.0 - share, share]);
        }
    }
}

fn log_odds(share: f64) -> f64 {
    let share = share.clamp(EDGE, 1.0 - EDGE);
    (share / (1.0 - share)).ln()
}

/// A level of the rising line: where it begins and ends, its weight, its height.
struct Level {
    from: f64,
    to: f64,
    rows: f64,
    hits: f64,
}

fn isotonic(shares: &[f64], hits: &[bool]) -> (Vec<f64>, Vec<f64>) {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|a, b| shares[*a].total_cmp(&shares[*b]));
    let mut levels: Vec<Level> = Vec::new();
    for row in order {
        let (share, hit) = (shares[row], f64::from(u8::from(hits[row])));
        match levels.last_mut() {
            // Equal probabilities are one point.
            Some(last)
                if last.to.total_cmp(&share).is_eq() && last.from.total_cmp(&share).is_eq() =>
            {
                last.rows += 1.0;
                last.hits += hit;
            }
            _ => levels.push(Level {
                from: share,
                to: share,
                rows: 1.0,
                hits: hit,
            }),
        }
    }
    let mut rising: Vec<Level> = Vec::new();
    for level in levels {
        rising.push(level);
        while let [.., before, last] = rising.as_mut_slice()
            && before.hits / before.rows >= last.hits / last.rows
        {
            before.to = last.to;
            before.rows += last.rows;
            before.hits += last.hits;
            rising.pop();
        }
    }
    let (mut x, mut y) = (Vec::new(), Vec::new());
    let step = rising.len().div_ceil(MOST_POINTS / 2).max(1);
    let last = rising.len().saturating_sub(1);
    for (index, level) in rising.iter().enumerate() {
        if index % step != 0 && index != last {
            continue;
        }
        for place in [level.from, level.to] {
            if x.last().is_none_or(|before| place > *before) {
                x.push(place);
                y.push(level.hits / level.rows);
            }
        }
    }
    if x.len() == 1 {
        // A line needs a second point; the same height everywhere.
        x.push(x[0] + 1.0);
        y.push(y[0]);
    }
    (x, y)
}

#[cfg(test)]
mod tests {
    use super::Calibration;
    use crate::train::Method;

    /// Probabilities that are half as bold as the truth: three of four where half is said.
    fn timid() -> (Vec<f64>, Vec<bool>) {
        let shares = (0..400)
            .map(|row| if row < 200 { 0.4 } else { 0.6 })
            .collect();
        let hits = (0..400)
            .map(|row| {
                if row < 200 {
                    row % 4 == 0
                } else {
                    row % 4 != 0
                }
            })
            .collect();
        (shares, hits)
    }

    #[test]
    fn probabilities_mean_what_they_say() {
        let (shares, hits) = timid();
        for method in [Method::Sigmoid, Method::Isotonic] {
            let calibration = Calibration::fit(method, &shares, &hits);
            assert!((calibration.apply(0.4) - 0.25).abs() < 0.01, "{method:?}");
            assert!((calibration.apply(0.6) - 0.75).abs() < 0.01, "{method:?}");
            assert!(calibration.apply(0.0) >= 0.0 && calibration.apply(1.0) <= 1.0);
        }
    }

    /// `sklearn.isotonic.IsotonicRegression` on the same points.
    #[test]
    fn the_rising_line_is_scikit_learns() {
        let shares = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
        let hits = [false, true, false, false, true, true, true];
        let line = Calibration::fit(Method::Isotonic, &shares, &hits);
        for (at, expected) in [
            (0.05, 0.0),
            (0.15, 1.0 / 6.0),
            (0.3, 1.0 / 3.0),
            (0.45, 2.0 / 3.0),
            (0.9, 1.0),
        ] {
            assert!(
                (line.apply(at) - expected).abs() < 1e-12,
                "{at} {}",
                line.apply(at)
            );
        }
    }
}
