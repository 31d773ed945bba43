//! Metrics of a classifier.

use crate::metrics::Metric;
use crate::metrics::ranking::{average_precision, roc_auc};

/// A classification metric of class codes against probabilities (row after row) and predicted codes; NaN when it is not
/// defined, as a ranking of one class.
pub(super) fn measure(
    metric: Metric,
    codes: &[u32],
    predicted: &[u32],
    probabilities: &[f64],
    classes: usize,
) -> f64 {
    let ranked =
        |rank: fn(&[bool], &[f64]) -> f64| one_against_rest(codes, probabilities, classes, rank);
    match metric {
        Metric::RocAuc => ranked(roc_auc),
        Metric::AveragePrecision => ranked(average_precision),
        Metric::LogLoss => log_loss(codes, probabilities, classes),
        Metric::Brier => brier(codes, probabilities, classes),
        _ => Confusion::new(codes, predicted, classes).metric(metric),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a number of classes")]
fn one_against_rest(
    codes: &[u32],
    probabilities: &[f64],
    classes: usize,
    rank: fn(&[bool], &[f64]) -> f64,
) -> f64 {
    let of = |class: usize| {
        let hits: Vec<bool> = codes.iter().map(|code| *code as usize == class).collect();
        let scores: Vec<f64> = probabilities
            .iter()
            .skip(class)
            .step_by(classes)
            .copied()
            .collect();
        rank(&hits, &scores)
    };
    if classes == 2 {
        of(1)
    } else {
        (0..classes).map(of).sum::<f64>() / classes as f64
    }
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn log_loss(codes: &[u32], probabilities: &[f64], classes: usize) -> f64 {
    let rows = codes.iter().zip(probabilities.chunks_exact(classes));
    let total: f64 = rows
        .map(|(code, row)| {
            -row[*code as usize]
                .clamp(f64::EPSILON, 1.0 - f64::EPSILON)
                .ln()
        })
        .sum();
    total / codes.len() as f64
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn brier(codes: &[u32], probabilities: &[f64], classes: usize) -> f64 {
    let rows = codes.iter().zip(probabilities.chunks_exact(classes));
    let total: f64 = rows
        .map(|(code, row)| {
            let all: f64 = row
                .iter()
                .enumerate()
                .map(|(class, share)| {
                    let hit = f64::from(u8::from(class == *code as usize));
                    (share - hit) * (share - hit)
                })
                .sum();
            // Of two classes both errors are the same; the score counts one of them.
            if classes == 2 { all / 2.0 } else { all }
        })
        .sum();
    total / codes.len() as f64
}

/// Counts of every true class (first index) predicted as every class (second index).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// The counts.
    pub counts: Vec<Vec<usize>>,
}

impl Confusion {
    /// Counts.
    pub fn new(codes: &[u32], predicted: &[u32], classes: usize) -> Self {
        let mut counts = vec![vec![0; classes]; classes];
        for (code, predicted) in codes.iter().zip(predicted) {
            counts[*code as usize][*predicted as usize] += 1;
        }
        Self { counts }
    }

    fn truly(&self, class: usize) -> usize {
        self.counts[class].iter().sum()
    }

    fn predicted(&self, class: usize) -> usize {
        self.counts.iter().map(|row| row[class]).sum()
    }

    fn hits(&self, class: usize) -> usize {
        self.counts[class][class]
    }

    fn metric(&self, metric: Metric) -> f64 {
        let classes = self.counts.len();
        let per_class = |of: &dyn Fn(usize) -> f64| {
            if classes == 2 {
                of(1)
            } else {
                mean((0..classes).map(of))
            }
        };
        match metric {
            Metric::Accuracy => {
                let hits: usize = (0..classes).map(|class| self.hits(class)).sum();
                ratio(hits, self.counts.iter().flatten().sum())
            }
            Metric::BalancedAccuracy => {
                let present = (0..classes).filter(|class| self.truly(*class) > 0);
                mean(present.map(|class| ratio(self.hits(class), self.truly(class))))
            }
            Metric::Precision => per_class(&|class| ratio(self.hits(class), self.predicted(class))),
            Metric::Recall => per_class(&|class| ratio(self.hits(class), self.truly(class))),
            Metric::F1 => per_class(&|class| self.f1(class)),
            Metric::F1Macro => mean((0..classes).map(|class| self.f1(class))),
            Metric::F1Weighted => self.weighted(&|class| self.f1(class)),
            Metric::Mcc => self.matthews(),
            _ => f64::NAN,
        }
    }

    fn f1(&self, class: usize) -> f64 {
        ratio(
            2 * self.hits(class),
            self.predicted(class) + self.truly(class),
        )
    }

    /// The mean over the classes, each as heavy as it has rows.
    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    fn weighted(&self, of: &dyn Fn(usize) -> f64) -> f64 {
        let rows: usize = self.counts.iter().flatten().sum();
        let sum: f64 = (0..self.counts.len())
            .map(|class| of(class) * self.truly(class) as f64)
            .sum();
        if rows == 0 { 0.0 } else { sum / rows as f64 }
    }

    /// Gorodkin's generalisation to any number of classes.
    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    fn matthews(&self) -> f64 {
        let classes = 0..self.counts.len();
        let total: f64 = self.counts.iter().flatten().sum::<usize>() as f64;
        let hits: f64 = classes.clone().map(|class| self.hits(class) as f64).sum();
        let sum = |of: &dyn Fn(usize) -> f64| classes.clone().map(of).sum::<f64>();
        let truly = |class| self.truly(class) as f64;
        let predicted = |class| self.predicted(class) as f64;
        let covariance = hits * total - sum(&|class| truly(class) * predicted(class));
        let spread = (total * total - sum(&|class| predicted(class).powi(2)))
            * (total * total - sum(&|class| truly(class).powi(2)));
        if spread == 0.0 {
            0.0
        } else {
            covariance / spread.sqrt()
        }
    }
}

/// 0 when there is nothing to divide by, as scikit-learn's `zero_division=0`.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    if count == 0.0 { 0.0 } else { sum / count }
}

#[cfg(test)]
mod tests {
    use super::Metric;

    /// Values of `sklearn.metrics` 1.9 on the same rows.
    #[test]
    fn metrics_are_scikit_learns() {
        let codes: Vec<u32> = (0..40).map(|row| u32::from(row * 7 % 10 < 4)).collect();
        let scores: Vec<f64> = (0..40)
            .map(|row: u32| {
                (f64::from(row * 13 % 21) / 21.0 + f64::from(codes[row as usize])) / 2.2
            })
            .collect();
        let predicted: Vec<u32> = scores
            .iter()
            .map(|score| u32::from(*score >= 0.5))
            .collect();
        let probabilities: Vec<f64> = scores
            .iter()
            .flat_map(|score| [1.0 - score, *score])
            .collect();
        for (metric, expected) in Metric::CLASSES.into_iter().zip(BINARY) {
            let own = metric.of_classes(&codes, &predicted, &probabilities, 2);
            assert!((own - expected).abs() < 1e-12, "{metric}: {own} {expected}");
        }
    }

    #[test]
    fn metrics_of_three_classes_are_scikit_learns() {
        let codes: Vec<u32> = (0..60).map(|row| row * 7 % 10 % 3).collect();
        let probabilities: Vec<f64> = (0..60u32)
            .flat_map(|row| {
                let raw = [row * 13 % 21 + 1, row * 5 % 17 + 1, row * 11 % 19 + 1].map(f64::from);
                let mut raw = raw;
                raw[codes[row as usize] as usize] += 9.0;
                let total: f64 = raw.iter().sum();
                raw.map(|value| value / total)
            })
            .collect();
        let predicted: Vec<u32> = probabilities
            .chunks(3)
            .map(|row| {
                (1..3).fold(0, |best, at| if row[at] > row[best] { at } else { best }) as u32
            })
            .collect();
        for (metric, expected) in Metric::CLASSES.into_iter().zip(THREE) {
            let own = metric.of_classes(&codes, &predicted, &probabilities, 3);
            assert!((own - expected).abs() < 1e-12, "{metric}: {own} {expected}");
        }
    }

    const BINARY: [f64; 12] = [
        0.925,
        0.90625,
        1.0,
        0.8125,
        0.896551724137931,
        0.9188640973630832,
        0.9233265720081135,
        1.0,
        1.0,
        0.33554961430692426,
        0.09394314199509005,
        0.8498365855987975,
    ];
    const THREE: [f64; 12] = [
        0.7833333333333333,
        0.7685185185185185,
        0.7934898097169901,
        0.7685185185185185,
        0.7743486073674752,
        0.7743486073674752,
        0.7799326145552562,
        0.931960978835979,
        0.8669966106326573,
        0.6941543740360955,
        0.39730913759603814,
        0.6737104897050323,
    ];
}
