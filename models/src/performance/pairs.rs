//! Predictions beside outcomes: as codes of classes with probabilities, or as numbers.

use std::collections::{BTreeSet, HashMap};

use polars::prelude::{DataType, Series};
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};

/// More classes than this are numbers to predict.
const MOST_CLASSES: usize = 100;

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Classes.
    Classifier,
    /// Numbers.
    Regressor,
}

/// The columns of joined rows.
#[derive(Debug, Clone)]
pub struct Source {
    /// What really happened.
    pub actual: Series,
    /// What was predicted.
    pub prediction: Series,
    /// The columns with probabilities.
    pub probabilities: Vec<Series>,
}

/// Predictions beside outcomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Pairs {
    /// Classes by code.
    Classes {
        /// The classes; of two, the second is the positive one.
        names: Vec<String>,
        /// The true class of every row.
        actual: Vec<u32>,
        /// The predicted class of every row.
        predicted: Vec<u32>,
        /// The probabilities of all classes, row after row.
        probabilities: Option<Vec<f64>>,
    },
    /// Numbers.
    Numbers {
        /// The true value of every row.
        actual: Vec<f64>,
        /// The predicted value of every row.
        predicted: Vec<f64>,
    },
}

impl Pairs {
    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { actual, .. } => actual.len(),
            Self::Numbers { actual, .. } => actual.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The named rows.
    pub(crate) fn take(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes {
                names,
                actual,
                predicted,
                probabilities,
            } => {
                let codes = |codes: &[u32]| rows.iter().map(|row| codes[*row]).collect();
                let width = names.len();
                let shares = |shares: &Vec<f64>| {
                    let each = rows
                        .iter()
                        .map(|row| &shares[row * width..(row + 1) * width]);
                    each.flatten().copied().collect()
                };
                Self::Classes {
                    names: names.clone(),
                    actual: codes(actual),
                    predicted: codes(predicted),
                    probabilities: probabilities.as_ref().map(shares),
                }
            }
            Self::Numbers { actual, predicted } => {
                let values = |values: &[f64]| rows.iter().map(|row| values[*row]).collect();
                Self::Numbers {
                    actual: values(actual),
                    predicted: values(predicted),
                }
            }
        }
    }
}

/// Numbers as they are; nothing where there is none.
pub(crate) fn numbers(series: &Series, what: &str) -> Result<Vec<Option<f64>>> {
    let of = series.dtype();
    if !of.is_numeric() && *of != DataType::Null {
        return Err(ModelError::data(format!(
            "{what} `{}` holds {of}, not numbers",
            series.name()
        )));
    }
    let values = series.cast(&DataType::Float64)?;
    let values = values.f64()?.iter();
    Ok(values
        .map(|value| value.filter(|value| value.is_finite()))
        .collect())
}

/// Class labels as text, so that `1`, `1.0` and `"1"` are the same; nothing where there is none.
pub(crate) fn labels(series: &Series, what: &str) -> Result<Vec<Option<String>>> {
    let of = series.dtype();
    if of.is_float() || of.is_integer() {
        let values = numbers(series, what)?.into_iter();
        return Ok(values
            .map(|value| value.map(|value| value.to_string()))
            .collect());
    }
    if !matches!(
        of,
        DataType::String
            | DataType::Categorical(..)
            | DataType::Enum(..)
            | DataType::Boolean
            | DataType::Null
    ) {
        return Err(ModelError::data(format!(
            "{what} `{}` holds {of}; a class label is text, a whole number or a boolean",
            series.name()
        )));
    }
    let text = series.cast(&DataType::String)?;
    let text = text.str()?.iter();
    Ok(text
        .map(|label| {
            label
                .map(str::trim)
                .filter(|label| !label.is_empty())
                .map(str::to_owned)
        })
        .collect())
}

/// The classes that labels name, in their order: numbers by size, else by text; `positive` last.
pub(crate) fn classes<'a>(
    labels: impl Iterator<Item = &'a String>,
    positive: Option<&str>,
) -> Result<Vec<String>> {
    let mut names: BTreeSet<&str> = labels.map(String::as_str).collect();
    let known = names.iter().copied().collect::<Vec<_>>().join(", ");
    if names.len() > MOST_CLASSES {
        return Err(ModelError::data(format!(
            "there are {} different values: these are no class labels (at most {MOST_CLASSES} classes)",
            names.len()
        )));
    }
    if let Some(positive) = positive
        && names.len() != 1
        && !names.contains(positive)
    {
        return Err(ModelError::settings(format!(
            "`positive: {positive}` is no class: there are {known}"
        )));
    }
    names.extend(positive);
    let mut sorted: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let number = |label: &String| label.parse::<f64>().ok();
    if sorted.iter().all(|label| number(label).is_some()) {
        sorted.sort_by(|a, b| {
            number(a)
                .unwrap_or(0.0)
                .total_cmp(&number(b).unwrap_or(0.0))
        });
    }
    if let Some(place) = sorted
        .iter()
        .position(|label| Some(label.as_str()) == positive)
    {
        sorted[place..].rotate_left(1);
    }
    Ok(sorted)
}

/// The labels of a source, before it is known which classes there are.
pub(crate) struct Labelled<'a> {
    source: &'a Source,
    pub(crate) actual: Vec<Option<String>>,
    pub(crate) predicted: Vec<Option<String>>,
}

impl<'a> Labelled<'a> {
    pub(crate) fn of(source: &'a Source) -> Result<Self> {
        Ok(Self {
            source,
            actual: labels(&source.actual, "the outcome")?,
            predicted: labels(&source.prediction, "the prediction")?,
        })
    }

    /// The complete rows as codes, and which they are. `name` is what probabilities are called.
    pub(crate) fn pairs(
        &self,
        names: &[String],
        name: &str,
        wanted: bool,
    ) -> Result<(Pairs, Vec<usize>)> {
        let codes: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
        let shares = self.probabilities(names, name, wanted)?;
        let code = |label: &Option<String>| {
            label
                .as_ref()
                .and_then(|label| codes.get(label.as_str()))
                .copied()
        };
        let (mut rows, mut actual, mut predicted, mut probabilities) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (row, (truth, guess)) in self.actual.iter().zip(&self.predicted).enumerate() {
            let (Some(truth), Some(guess)) = (code(truth), code(guess)) else {
                continue;
            };
            if let Some(shares) = &shares {
                let row: Option<Vec<f64>> = shares.iter().map(|shares| shares[row]).collect();
                let Some(row) = row else { continue };
                probabilities.extend(row);
            }
            rows.push(row);
            actual.push(truth);
            predicted.push(guess);
        }
        let pairs = Pairs::Classes {
            names: names.to_vec(),
            actual,
            predicted,
            probabilities: shares.map(|_| probabilities),
        };
        Ok((pairs, rows))
    }

    /// For every class its probabilities; `wanted` ones have to be there.
    fn probabilities(
        &self,
        names: &[String],
        name: &str,
        wanted: bool,
    ) -> Result<Option<Vec<Vec<Option<f64>>>>> {
        let find = |name: &str| {
            let mut all = self.source.probabilities.iter();
            all.find(|series| series.name().as_str() == name)
        };
        let read = |series: &Series| -> Result<Vec<Option<f64>>> {
            let values = numbers(series, "the probability")?;
            let odd = values
                .iter()
                .position(|value| value.is_some_and(|value| !(0.0..=1.0).contains(&value)));
            match odd {
                Some(row) => Err(ModelError::data(format!(
                    "`{}` holds {} (row {}): a probability lies between 0 and 1",
                    series.name(),
                    values[row].unwrap_or_default(),
                    row + 1
                ))),
                None => Ok(values),
            }
        };
        let positive = names.last().map_or("", String::as_str);
        let single = find(name).or_else(|| find(&format!("{name}_{positive}")));
        let lacks = |what: String| {
            if wanted {
                Err(ModelError::settings(what))
            } else {
                Ok(None)
            }
        };
        match (names.len(), single) {
            (1, Some(_)) => Err(ModelError::settings(format!(
                "only `{positive}` occurs, so that it is unknown which class `{name}` is the probability of: name the positive one (`positive`)"
            ))),
            (0, _) | (1, None) => Ok(None),
            (2, Some(series)) => {
                let shares = read(series)?;
                let others = shares
                    .iter()
                    .map(|share| share.map(|share| 1.0 - share))
                    .collect();
                Ok(Some(vec![others, shares]))
            }
            (2, None) => lacks(format!("there is no column `{name}` with probabilities")),
            _ => {
                let columns: Vec<String> = names
                    .iter()
                    .map(|class| format!("{name}_{class}"))
                    .collect();
                match columns.iter().find(|column| find(column).is_none()) {
                    Some(missing) => lacks(format!(
                        "there is no column `{missing}`: of {} classes each has its probabilities in a column of its own",
                        names.len()
                    )),
                    None => columns
                        .iter()
                        .filter_map(|column| find(column))
                        .map(read)
                        .collect::<Result<_>>()
                        .map(Some),
                }
            }
        }
    }
}

/// The complete rows of numbers, and which they are.
pub(crate) fn number_pairs(source: &Source) -> Result<(Pairs, Vec<usize>)> {
    let truths = numbers(&source.actual, "the outcome")?;
    let guesses = numbers(&source.prediction, "the prediction")?;
    let (mut rows, mut actual, mut predicted) = (Vec::new(), Vec::new(), Vec::new());
    for (row, (truth, guess)) in truths.into_iter().zip(guesses).enumerate() {
        if let Some((truth, guess)) = truth.zip(guess) {
            rows.push(row);
            actual.push(truth);
            predicted.push(guess);
        }
    }
    Ok((Pairs::Numbers { actual, predicted }, rows))
}

#[cfg(test)]
mod tests {
    use polars::prelude::*;

    use super::{Labelled, Pairs, Source, classes, labels, number_pairs};

    fn source(actual: Series, prediction: Series, probabilities: Vec<Series>) -> Source {
        Source {
            actual,
            prediction,
            probabilities,
        }
    }

    #[test]
    fn labels_are_the_same_whatever_their_type() {
        let text = |series: Series| labels(&series, "x").unwrap();
        let one = vec![Some("1".to_owned()), None];
        assert_eq!(text(Series::new("a".into(), [Some(1i64), None])), one);
        assert_eq!(text(Series::new("a".into(), [Some(1.0), None])), one);
        assert_eq!(text(Series::new("a".into(), [Some(" 1 "), Some("")])), one);
        assert_eq!(
            text(Series::new("a".into(), [true]))[0].as_deref(),
            Some("true")
        );
    }

    #[test]
    fn classes_have_an_order() {
        let all = |labels: &[&str], positive| {
            let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
            classes(labels.iter(), positive).map_err(|error| error.to_string())
        };
        assert_eq!(all(&["10", "2"], None).unwrap(), ["2", "10"]);
        assert_eq!(all(&["Yes", "No"], Some("No")).unwrap(), ["Yes", "No"]);
        assert_eq!(all(&["No"], Some("Yes")).unwrap(), ["No", "Yes"]);
        assert_eq!(
            all(&["Yes", "No"], Some("Ja")).unwrap_err(),
            "`positive: Ja` is no class: there are No, Yes"
        );
    }

    #[test]
    fn incomplete_rows_are_left_out() {
        let source = source(
            Series::new("left".into(), [Some("Yes"), Some("No"), None, Some("No")]),
            Series::new(
                "prediction".into(),
                [Some("Yes"), Some("Yes"), Some("No"), Some("No")],
            ),
            vec![Series::new(
                "probability".into(),
                [Some(0.9), Some(0.6), Some(0.1), None],
            )],
        );
        let labelled = Labelled::of(&source).unwrap();
        let names = ["No".to_owned(), "Yes".to_owned()];
        let (pairs, rows) = labelled.pairs(&names, "probability", false).unwrap();
        assert_eq!(rows, [0, 1]);
        let Pairs::Classes {
            actual,
            predicted,
            probabilities,
            ..
        } = pairs
        else {
            panic!("classes")
        };
        assert_eq!((actual, predicted), (vec![1, 0], vec![1, 1]));
        let shares = probabilities.unwrap();
        assert!((shares[0] - 0.1).abs() < 1e-12 && (shares[3] - 0.6).abs() < 1e-12);
    }

    #[test]
    fn probabilities_that_do_not_fit_say_why() {
        let text = Series::new("left".into(), ["a", "b", "c"]);
        let odd = Series::new("probability".into(), [0.5, 1.5, 0.2]);
        let source = source(text.clone(), text, vec![odd]);
        let labelled = Labelled::of(&source).unwrap();
        let error = |names: &[&str], wanted| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            labelled
                .pairs(&names, "probability", wanted)
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            error(&["a", "b"], false).unwrap_err(),
            "`probability` holds 1.5 (row 2): a probability lies between 0 and 1"
        );
        assert!(
            error(&["a"], false)
                .unwrap_err()
                .contains("name the positive one")
        );
        assert!(error(&["a", "b", "c"], false).is_ok());
        assert_eq!(
            error(&["a", "b", "c"], true).unwrap_err(),
            "there is no column `probability_a`: of 3 classes each has its probabilities in a column of its own"
        );
    }

    #[test]
    fn infinite_numbers_are_none() {
        let source = source(
            Series::new("y".into(), [1.0, f64::INFINITY, 3.0]),
            Series::new("prediction".into(), [1i64, 2, 3]),
            Vec::new(),
        );
        let (pairs, rows) = number_pairs(&source).unwrap();
        assert_eq!((pairs.len(), rows), (2, vec![0, 2]));
    }
}
