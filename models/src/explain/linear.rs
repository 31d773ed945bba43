//! Shapley values of scores that are linear: weight times distance from the mean.
//!
//! Lundberg, Lee: A unified approach to interpreting model predictions (2017), corollary 1.

/// Linear scores with the means that rows are compared with.
pub(super) struct Lines {
    /// For every target the weight of every feature.
    pub(super) weights: Vec<Vec<f64>>,
    pub(super) intercepts: Vec<f64>,
    pub(super) means: Vec<f64>,
}

impl Lines {
    /// The score of a row of means.
    pub(super) fn base(&self, target: usize) -> f64 {
        let products = self.weights[target].iter().zip(&self.means);
        self.intercepts[target] + products.map(|(weight, mean)| weight * mean).sum::<f64>()
    }

    /// How far every feature moves a row's score of its target, row after row.
    pub(super) fn effects(&self, rows: &[f64], width: usize, targets: &[usize]) -> Vec<f64> {
        rows.chunks_exact(width)
            .zip(targets)
            .flat_map(|(row, target)| {
                let weights = &self.weights[*target];
                row.iter()
                    .zip(weights)
                    .zip(&self.means)
                    .map(|((value, weight), mean)| weight * (value - mean))
            })
            .collect()
    }
}
