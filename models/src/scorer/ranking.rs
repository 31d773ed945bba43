//! Beyond the predicted class: the classes in the order of their probability, and how sure an answer is.

use polars::prelude::{NamedFrom, Series};

use crate::scorer::answer::{Answer, Prediction};

impl Prediction {
    /// The columns `top_1`, `top_1_probability`, `top_2` and so on: the most probable classes of every row; of equally
    /// probable ones the first.
    pub fn top(&self, count: usize) -> Vec<Series> {
        let width = self.classes.len();
        let orders: Vec<Vec<usize>> = self
            .probabilities
            .chunks_exact(width.max(1))
            .map(|row| {
                let mut order: Vec<usize> = (0..width).collect();
                order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
                order
            })
            .collect();
        (0..count.min(width))
            .flat_map(|place| {
                let codes: Vec<u32> = orders
                    .iter()
                    .map(|order| u32::try_from(order[place]).unwrap_or(u32::MAX))
                    .collect();
                let rows = self.probabilities.chunks_exact(width).zip(&orders);
                let shares: Vec<f64> = rows.map(|(row, order)| row[order[place]]).collect();
                let name = format!("top_{}", place + 1);
                [
                    self.classes.series(&name, &codes),
                    Series::new(format!("{name}_probability").into(), shares),
                ]
            })
            .collect()
    }
}

impl Answer {
    /// The answers to some of the rows.
    #[must_use]
    pub fn part(&self, start: usize, length: usize) -> Self {
        let rows = start..start + length;
        match self {
            Self::Classes(prediction) => {
                let width = prediction.classes.len();
                Self::Classes(Prediction {
                    classes: prediction.classes.clone(),
                    codes: prediction.codes[rows].to_vec(),
                    probabilities: prediction.probabilities
                        [start * width..(start + length) * width]
                        .to_vec(),
                })
            }
            Self::Quantity(values) => Self::Quantity(values[rows].to_vec()),
            Self::Clusters {
                codes,
                distances,
                clusters,
            } => Self::Clusters {
                codes: codes[rows.clone()].to_vec(),
                distances: distances[rows].to_vec(),
                clusters: *clusters,
            },
            Self::Anomalies { scores, threshold } => Self::Anomalies {
                scores: scores[rows].to_vec(),
                threshold: *threshold,
            },
        }
    }

    /// How sure the answer to every row is: of two classes how far the probability is from the threshold, of more how far
    /// the most probable class is before the next one, of anomalies how far the score is from its threshold. Nothing of
    /// quantities and groups.
    pub fn certainty(&self, threshold: f64) -> Option<Vec<f64>> {
        match self {
            Self::Classes(prediction) => {
                let rows = prediction
                    .probabilities
                    .chunks_exact(prediction.classes.len().max(1));
                let each = rows.map(|row| match row {
                    [_, positive] => (positive - threshold).abs(),
                    row => {
                        let mut sorted = row.to_vec();
                        sorted.sort_by(|a, b| b.total_cmp(a));
                        sorted.first().unwrap_or(&1.0) - sorted.get(1).unwrap_or(&0.0)
                    }
                });
                Some(each.collect())
            }
            Self::Anomalies { scores, threshold } => {
                let each = scores.iter().map(|score| (score - threshold).abs());
                Some(each.collect())
            }
            Self::Quantity(_) | Self::Clusters { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::{DataFrame, IntoColumn, df};

    use super::*;
    use crate::data::Classes;

    #[test]
    fn the_most_probable_classes_come_first_and_what_is_close_is_uncertain() {
        let classes = Classes::Text(["a", "b", "c"].map(str::to_owned).to_vec());
        let probabilities = vec![0.25, 0.5, 0.25, 0.75, 0.0, 0.25];
        let prediction = Prediction::new(classes, probabilities, 0.5);
        let columns = prediction.top(2).into_iter().map(IntoColumn::into_column);
        let expected = df!(
            "top_1" => ["b", "a"], "top_1_probability" => [0.5, 0.75],
            "top_2" => ["a", "c"], "top_2_probability" => [0.25, 0.25],
        );
        let found = DataFrame::new(2, columns.collect()).unwrap();
        assert!(found.equals(&expected.unwrap()), "{found}");
        assert_eq!(
            Answer::Classes(prediction).certainty(0.5),
            Some(vec![0.25, 0.5])
        );
        let two = Prediction::new(Classes::Boolean(vec![false, true]), vec![0.25, 0.75], 0.5);
        assert_eq!(two.top(5).len(), 4);
        assert_eq!(Answer::Classes(two).certainty(0.5), Some(vec![0.25]));
        assert_eq!(Answer::Quantity(vec![1.0]).certainty(0.5), None);
    }
}
