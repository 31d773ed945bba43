//! From a table to texts, and from scores to columns.

use pipectl_engine::operator::TaskError;
use pipectl_models::text::{Answers, Classification};
use polars::prelude::*;

use crate::support::{frame::polars_error, text::hint_for_name};

/// The texts of a column.
///
/// # Errors
/// When there is no such column, it holds no text, or bytes that are none.
pub(super) fn texts(
    input: &str,
    frame: &DataFrame,
    name: &str,
) -> Result<StringChunked, TaskError> {
    let column = frame.column(name).map_err(|_| {
        let names = frame.columns().iter().map(|column| column.name().as_str());
        let known: Vec<&str> = names.collect();
        TaskError::user(format!("`{input}` has no column `{name}`")).hint(hint_for_name(
            name,
            "its columns",
            known.iter().copied(),
        ))
    })?;
    let series = column.as_materialized_series();
    match series.dtype() {
        DataType::String | DataType::Categorical(..) | DataType::Enum(..) | DataType::Null => {
            let texts = series
                .cast(&DataType::String)
                .and_then(|series| series.str().cloned());
            texts.map_err(|error| polars_error(&format!("read `{name}`"), &error))
        }
        DataType::Binary => decoded(name, series),
        other => Err(
            TaskError::user(format!("the column `{name}` holds {other}, not text"))
                .hint("`transform: sql` can make text of it: `cast(… as varchar)`"),
        ),
    }
}

fn decoded(name: &str, series: &Series) -> Result<StringChunked, TaskError> {
    let bytes = series
        .binary()
        .map_err(|error| polars_error(&format!("read `{name}`"), &error))?;
    let mut texts: Vec<Option<&str>> = Vec::with_capacity(bytes.len());
    for (row, value) in bytes.iter().enumerate() {
        let text = value
            .map(std::str::from_utf8)
            .transpose()
            .map_err(|error| {
                TaskError::user(format!(
                "the column `{name}` holds bytes, and in row {} they are no UTF-8 text: {error}",
                row + 1
            ))
            .hint("read the file with its `encoding`, such as `windows-1252`")
            })?;
        texts.push(text);
    }
    Ok(StringChunked::from_iter_options(
        name.into(),
        texts.into_iter(),
    ))
}

/// Columns of an answer.
pub(super) struct Answer {
    columns: Vec<Series>,
    shares: Vec<(String, f64)>,
}

impl Answer {
    /// `prediction` and `probability` of the second of two labels, or `probability_<label>` of other numbers of them.
    pub(super) fn of(found: &Classification, threshold: Option<f64>) -> Self {
        let width = found.labels.len().max(1);
        let rows = found.scores.chunks(width);
        match found.answers {
            Answers::Number if width == 1 => {
                let values: Vec<Option<f64>> = rows.map(|row| said(row[0])).collect();
                Self {
                    columns: vec![Series::new("prediction".into(), values)],
                    shares: Vec::new(),
                }
            }
            Answers::Number => Self {
                columns: scores(found, "prediction"),
                shares: Vec::new(),
            },
            Answers::OneOf => {
                let chosen: Vec<Option<usize>> = rows
                    .map(|row| said(row[0]).map(|_| most_likely(row, threshold)))
                    .collect();
                let label =
                    |chosen: &Option<usize>| chosen.map(|place| found.labels[place].as_str());
                let labels: Vec<Option<&str>> = chosen.iter().map(label).collect();
                let shares = shares(found, |row, place| chosen[row] == Some(place));
                Self::with(Series::new("prediction".into(), labels), found, shares)
            }
            Answers::AnyOf => {
                let threshold = threshold.unwrap_or(0.5);
                let labels: Vec<Option<String>> = rows
                    .map(|row| said(row[0]).map(|_| all_likely(row, &found.labels, threshold)))
                    .collect();
                let shares = shares(found, |row, place| {
                    found.scores[row * width + place] >= threshold
                });
                Self::with(Series::new("prediction".into(), labels), found, shares)
            }
        }
    }

    fn with(prediction: Series, found: &Classification, shares: Vec<(String, f64)>) -> Self {
        let mut columns = vec![prediction];
        columns.extend(scores(found, "probability"));
        Self { columns, shares }
    }

    /// The rows with the answer's columns behind theirs.
    ///
    /// # Errors
    /// When they have a column of such a name.
    pub(super) fn append_to(&self, frame: &DataFrame) -> Result<DataFrame, TaskError> {
        let mut columns = frame.columns().to_vec();
        for series in &self.columns {
            if frame.column(series.name()).is_ok() {
                return Err(TaskError::user(format!(
                    "the input already has a column `{}`: rename or drop it before",
                    series.name()
                )));
            }
            columns.push(series.clone().into_column());
        }
        DataFrame::new(frame.height(), columns)
            .map_err(|error| polars_error("add the answers", &error))
    }

    /// Which part of the texts got each label.
    pub(super) fn shares(&self) -> Vec<(String, f64)> {
        self.shares.clone()
    }
}

/// A score, unless there was no text.
fn said(score: f64) -> Option<f64> {
    (!score.is_nan()).then_some(score)
}

fn most_likely(row: &[f64], threshold: Option<f64>) -> usize {
    match (row, threshold) {
        ([_, second], Some(threshold)) => usize::from(*second >= threshold),
        _ => (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best }),
    }
}

fn all_likely(row: &[f64], labels: &[String], threshold: f64) -> String {
    let likely = row
        .iter()
        .zip(labels)
        .filter(|(score, _)| **score >= threshold);
    likely
        .map(|(_, label)| label.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// A column for the second of two labels, or the only one; else one a label.
fn scores(found: &Classification, name: &str) -> Vec<Series> {
    let width = found.labels.len().max(1);
    let of = |place: usize| -> Vec<Option<f64>> {
        found
            .scores
            .iter()
            .skip(place)
            .step_by(width)
            .map(|score| said(*score))
            .collect()
    };
    match (width, found.answers) {
        (1, _) => vec![Series::new(name.into(), of(0))],
        (2, Answers::OneOf) => vec![Series::new(name.into(), of(1))],
        _ => {
            let named = found.labels.iter().enumerate();
            named
                .map(|(place, label)| Series::new(format!("{name}_{label}").into(), of(place)))
                .collect()
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of rows")]
fn shares(found: &Classification, has: impl Fn(usize, usize) -> bool) -> Vec<(String, f64)> {
    let width = found.labels.len().max(1);
    let rows = found.scores.len() / width;
    let answered = (rows - found.silent).max(1) as f64;
    let share = |place: usize| (0..rows).filter(|row| has(*row, place)).count() as f64 / answered;
    let labels = found.labels.iter().enumerate();
    labels
        .map(|(place, label)| (label.clone(), share(place)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(answers: Answers, labels: &[&str], scores: &[f64]) -> Classification {
        Classification {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            answers,
            scores: scores.to_vec(),
            silent: scores.iter().filter(|score| score.is_nan()).count() / labels.len(),
            cut: 0,
        }
    }

    fn table(answer: &Answer) -> DataFrame {
        let rows = answer.columns[0].len();
        answer
            .append_to(&DataFrame::empty_with_height(rows))
            .unwrap()
    }

    #[test]
    fn each_kind_of_answer_has_its_columns() {
        let none = f64::NAN;
        let two = found(Answers::OneOf, &["no", "yes"], &[0.4, 0.6, none, none]);
        let wanted =
            df!["prediction" => [Some("yes"), None], "probability" => [Some(0.6), None]].unwrap();
        let answer = Answer::of(&two, None);
        assert!(table(&answer).equals_missing(&wanted));
        assert_eq!(
            answer.shares(),
            [("no".to_owned(), 0.0), ("yes".to_owned(), 1.0)]
        );
        let strict = table(&Answer::of(&two, Some(0.7)));
        assert_eq!(
            strict.column("prediction").unwrap().str().unwrap().get(0),
            Some("no")
        );

        let three = found(Answers::OneOf, &["a", "b", "c"], &[0.2, 0.7, 0.1]);
        let names: Vec<String> = table(&Answer::of(&three, None))
            .get_column_names()
            .into_iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            names,
            [
                "prediction",
                "probability_a",
                "probability_b",
                "probability_c"
            ]
        );

        let any = found(
            Answers::AnyOf,
            &["a", "b", "c"],
            &[0.6, 0.2, 0.5, 0.1, 0.2, 0.3, none, none, none],
        );
        let labels = table(&Answer::of(&any, None));
        let labels: Vec<Option<&str>> = labels
            .column("prediction")
            .unwrap()
            .str()
            .unwrap()
            .iter()
            .collect();
        assert_eq!(labels, [Some("a, c"), Some(""), None]);

        let number = found(Answers::Number, &["LABEL_0"], &[2.5, none]);
        let wanted = df!["prediction" => [Some(2.5), None]].unwrap();
        assert!(table(&Answer::of(&number, None)).equals_missing(&wanted));
    }

    #[test]
    fn texts_are_read_from_text_and_from_bytes_that_are_text() {
        let rows = df!["number" => [1], "bytes" => [b"gr\xc3\xbcn".as_slice()], "broken" => [b"gr\xfcn".as_slice()]].unwrap();
        let read =
            |name: &str| texts("rows", &rows, name).map(|texts| texts.get(0).map(str::to_owned));
        assert_eq!(read("bytes").unwrap().as_deref(), Some("grün"));
        let message = |name: &str| read(name).unwrap_err().message;
        assert!(
            message("broken").starts_with(
                "the column `broken` holds bytes, and in row 1 they are no UTF-8 text"
            )
        );
        assert_eq!(message("number"), "the column `number` holds i32, not text");
        assert_eq!(message("bytez"), "`rows` has no column `bytez`");
    }
}
