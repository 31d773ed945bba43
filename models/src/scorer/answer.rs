//! What a model says of rows.

use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};

use crate::data::{Classes, Goal};
use crate::error::{ModelError, Result};

/// Which classes rows belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The class labels.
    pub classes: Classes,
    /// For every row the index of the predicted class.
    pub codes: Vec<u32>,
    /// The probability of every class, row after row.
    pub probabilities: Vec<f64>,
}

impl Prediction {
    /// Predictions from probabilities: by threshold of two classes, else the most probable class.
    pub fn new(classes: Classes, probabilities: Vec<f64>, threshold: f64) -> Self {
        let width = classes.len();
        let codes = probabilities
            .chunks_exact(width)
            .map(|row| match row {
                [_, positive] => u32::from(*positive >= threshold),
                #[allow(clippy::cast_possible_truncation, reason = "at most a hundred classes")]
                row => (1..row.len())
                    .fold(0, |best, at| if row[at] > row[best] { at } else { best })
                    as u32,
            })
            .collect();
        Self {
            classes,
            codes,
            probabilities,
        }
    }

    /// The columns `prediction` and `probability` (of the positive class), or `probability_<class>` of more classes.
    fn columns(&self) -> Vec<Series> {
        let width = self.classes.len();
        let class = |place: usize| -> Vec<f64> {
            self.probabilities
                .iter()
                .skip(place)
                .step_by(width)
                .copied()
                .collect()
        };
        let mut columns = vec![self.classes.series("prediction", &self.codes)];
        if width == 2 {
            columns.push(Series::new("probability".into(), class(1)));
        } else {
            for (place, name) in self.classes.names().iter().enumerate() {
                columns.push(Series::new(
                    format!("probability_{name}").into(),
                    class(place),
                ));
            }
        }
        columns
    }
}

/// What a model says of rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Classes.
    Classes(Prediction),
    /// Numbers.
    Quantity(Vec<f64>),
    /// Groups.
    Clusters {
        /// For every row the index of its group.
        codes: Vec<u32>,
        /// For every row how far it is from the centre of its group.
        distances: Vec<f64>,
        /// How many groups there are.
        clusters: usize,
    },
    /// Which rows are odd.
    Anomalies {
        /// How odd every row is, from 0 to 1.
        scores: Vec<f64>,
        /// From which score a row is odd.
        threshold: f64,
    },
}

impl Answer {
    /// The answer that is made of a model's numbers, row after row.
    pub(crate) fn new(goal: Goal, classes: &Classes, values: Vec<f64>, threshold: f64) -> Self {
        match goal {
            Goal::Classes => Self::Classes(Prediction::new(classes.clone(), values, threshold)),
            Goal::Quantity => Self::Quantity(values),
            Goal::Clusters => Self::clusters(&values, classes.len()),
            Goal::Anomalies => Self::Anomalies {
                scores: values,
                threshold,
            },
        }
    }

    /// The nearest of the centres.
    #[allow(clippy::cast_possible_truncation, reason = "fewer groups than 2³²")]
    fn clusters(all: &[f64], clusters: usize) -> Self {
        let nearest = all.chunks_exact(clusters.max(1)).map(|row| {
            let first = (0, row.first().copied().unwrap_or(f64::NAN));
            row.iter()
                .enumerate()
                .fold(first, |best, (index, distance)| {
                    if *distance < best.1 {
                        (index, *distance)
                    } else {
                        best
                    }
                })
        });
        let (codes, distances) = nearest
            .map(|(code, distance)| (code as u32, distance))
            .unzip();
        Self::Clusters {
            codes,
            distances,
            clusters,
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes(prediction) => prediction.codes.len(),
            Self::Quantity(values) => values.len(),
            Self::Clusters { codes, .. } => codes.len(),
            Self::Anomalies { scores, .. } => scores.len(),
        }
    }

    /// The columns that are added to rows: `prediction`, and beside it `probability` of the positive class (or
    /// `probability_<class>` of more classes), `distance` to the centre of a group, or the `score` of an odd row.
    pub fn columns(&self) -> Vec<Series> {
        match self {
            Self::Classes(prediction) => prediction.columns(),
            Self::Quantity(values) => vec![Series::new("prediction".into(), values)],
            Self::Clusters {
                codes, distances, ..
            } => {
                let codes: Vec<i64> = codes.iter().map(|code| i64::from(*code)).collect();
                vec![
                    Series::new("prediction".into(), codes),
                    Series::new("distance".into(), distances),
                ]
            }
            Self::Anomalies { scores, threshold } => {
                let odd: Vec<bool> = scores.iter().map(|score| score >= threshold).collect();
                vec![
                    Series::new("prediction".into(), odd),
                    Series::new("score".into(), scores),
                ]
            }
        }
    }

    /// The frame with the prediction's columns added; a column of that name is an error.
    pub fn append_to(&self, frame: &DataFrame) -> Result<DataFrame> {
        let mut columns = frame.columns().to_vec();
        for series in self.columns() {
            if frame.column(series.name()).is_ok() {
                return Err(ModelError::data(format!(
                    "the input already has a column `{}`: rename or drop it before",
                    series.name()
                )));
            }
            columns.push(series.into_column());
        }
        Ok(DataFrame::new(frame.height(), columns)?)
    }

    /// What is said of all rows in a few numbers: the share of every class or group, the mean of numbers.
    #[allow(clippy::cast_precision_loss, reason = "a share of rows")]
    pub fn summary(&self) -> Vec<(String, f64)> {
        let rows = self.rows().max(1) as f64;
        let shares = |names: Vec<String>, codes: &[u32]| {
            let mut counts = vec![0usize; names.len()];
            for code in codes {
                counts[*code as usize] += 1;
            }
            let shares = names.into_iter().zip(counts);
            shares
                .map(|(name, count)| (format!("share_{name}"), count as f64 / rows))
                .collect()
        };
        match self {
            Self::Classes(prediction) => shares(prediction.classes.names(), &prediction.codes),
            Self::Quantity(values) => {
                vec![(
                    "mean_prediction".to_owned(),
                    values.iter().sum::<f64>() / rows,
                )]
            }
            Self::Clusters {
                codes, clusters, ..
            } => shares((0..*clusters).map(|code| code.to_string()).collect(), codes),
            Self::Anomalies { scores, threshold } => {
                let odd = scores.iter().filter(|score| *score >= threshold).count();
                vec![("share_anomalies".to_owned(), odd as f64 / rows)]
            }
        }
    }
}

/// The names of the columns that a model of this kind adds.
pub(crate) fn added_columns(goal: Goal, classes: &Classes) -> Vec<String> {
    let empty = match goal {
        Goal::Classes => Answer::Classes(Prediction::new(classes.clone(), Vec::new(), 0.5)),
        _ => Answer::new(goal, &Classes::Integer(vec![0]), Vec::new(), 0.5),
    };
    let columns = empty.columns();
    columns
        .iter()
        .map(|series| series.name().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::{Answer, added_columns};
    use crate::data::{Classes, Goal};

    fn names(columns: &[&str]) -> Vec<String> {
        columns.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_kind_adds_its_columns() {
        let two = Classes::Boolean(vec![false, true]);
        let three = Classes::Text(names(&["a", "b", "c"]));
        let none = Classes::none();
        let cases = [
            (Goal::Classes, &two, names(&["prediction", "probability"])),
            (
                Goal::Classes,
                &three,
                names(&[
                    "prediction",
                    "probability_a",
                    "probability_b",
                    "probability_c",
                ]),
            ),
            (Goal::Quantity, &none, names(&["prediction"])),
            (Goal::Clusters, &none, names(&["prediction", "distance"])),
            (Goal::Anomalies, &none, names(&["prediction", "score"])),
        ];
        for (goal, classes, expected) in cases {
            assert_eq!(added_columns(goal, classes), expected);
        }
    }

    #[test]
    fn the_nearest_centre_is_the_group() {
        let classes = Classes::Integer(vec![0, 1, 2]);
        let values = vec![3.0, 1.0, 2.0, 0.5, 0.5, 9.0];
        let answer = Answer::new(Goal::Clusters, &classes, values, 0.5);
        let frame = answer.append_to(&df!("id" => [1i64, 2]).unwrap()).unwrap();
        let expected = df!("id" => [1i64, 2], "prediction" => [1i64, 0], "distance" => [1.0, 0.5]);
        assert!(frame.equals(&expected.unwrap()));
        assert_eq!(answer.summary()[0], ("share_0".to_owned(), 0.5));
    }

    #[test]
    fn a_column_of_that_name_is_refused() {
        let frame = df!("prediction" => [1.0]).unwrap();
        let error = Answer::Quantity(vec![2.0]).append_to(&frame).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the input already has a column `prediction`: rename or drop it before"
        );
    }
}
