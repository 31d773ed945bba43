//! How good a model is on rows whose answers are known: by the same metrics as in training.

use polars::prelude::{DataFrame, DataType, Series};

use crate::data::{Table, Target};
use crate::error::{ModelError, Result};
use crate::metrics::Metric;
use crate::onnx::MetricValue;
use crate::scorer::{Answer, Model};

/// What a model is worth on a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The rows that were scored.
    pub rows: usize,
    /// Its metrics; a value is absent where it is not defined, as a ranking of one class.
    pub metrics: Vec<MetricValue>,
    /// Whether the model has learned from exactly these rows, so that its metrics say nothing of new ones.
    pub learned: bool,
}

/// Scores a table and compares with the answers in the column `target`, by default that of the training.
pub fn measure(model: &Model, frame: &DataFrame, target: Option<&str>) -> Result<Measured> {
    let metadata = model.metadata();
    let target = target.unwrap_or(&metadata.target);
    if frame.height() == 0 {
        return Err(ModelError::data("there are no rows to compare with"));
    }
    let column = frame.column(target).map_err(|_| {
        ModelError::data(format!(
            "there is no column `{target}`, which has the right answers"
        ))
    })?;
    let series = column.as_materialized_series();
    let answer = model.predict(frame, None)?;
    let value: Box<dyn Fn(Metric) -> f64> = match &answer {
        Answer::Classes(prediction) => {
            let classes = metadata.classes.names();
            let codes = codes(series, &classes)?;
            Box::new(move |metric| {
                metric.of_classes(
                    &codes,
                    &prediction.codes,
                    &prediction.probabilities,
                    classes.len(),
                )
            })
        }
        Answer::Quantity(predicted) => {
            let truth = quantities(series)?;
            Box::new(move |metric| metric.of_numbers(&truth, predicted))
        }
        Answer::Clusters { .. } | Answer::Anomalies { .. } => {
            return Err(ModelError::settings(
                "groups and odd rows are found without right answers: there is nothing to compare with",
            ));
        }
    };
    let metrics = Metric::of_goal(metadata.goal).iter().map(|metric| {
        let value = value(*metric);
        MetricValue {
            metric: *metric,
            value: value.is_finite().then_some(value),
            interval: None,
        }
    });
    Ok(Measured {
        rows: frame.height(),
        metrics: metrics.collect(),
        learned: has_learned_from(model, frame, target),
    })
}

/// Whether these are the rows of the training, column by column. Where it cannot be told, they are not.
fn has_learned_from(model: &Model, frame: &DataFrame, target: &str) -> bool {
    let metadata = model.metadata();
    let positive = metadata.classes.names().pop();
    let Ok(truth) = Target::read(frame, metadata.goal, target, positive.as_deref()) else {
        return false;
    };
    let all = Table::from_frame(frame, &[target]);
    let read = Table::for_model(frame, &metadata.columns);
    let mut tables = [all, read].into_iter().flatten();
    tables.any(|table| table.fingerprint(Some(&truth)) == metadata.fingerprint)
}

/// The number of every row.
fn quantities(answers: &Series) -> Result<Vec<f64>> {
    let name = answers.name();
    let numbers = answers.cast(&DataType::Float64)?;
    if numbers.null_count() > 0 {
        return Err(ModelError::data(format!(
            "the answer `{name}` is no number in {} of {} rows",
            numbers.null_count(),
            numbers.len()
        )));
    }
    Ok(numbers.f64()?.iter().flatten().collect())
}

/// The class of every row.
fn codes(answers: &Series, classes: &[String]) -> Result<Vec<u32>> {
    let name = answers.name();
    let nulls = answers.null_count();
    if nulls > 0 {
        return Err(ModelError::data(format!(
            "the answer `{name}` is null in {nulls} of {} rows",
            answers.len()
        )));
    }
    // A label that is a whole number is one, however the file has it.
    let whole = match answers.dtype() {
        dtype if dtype.is_float() => answers.cast(&DataType::Int64)?,
        _ => answers.clone(),
    };
    let text = whole.cast(&DataType::String)?;
    text.str()?
        .iter()
        .flatten()
        .map(|label| {
            let class = classes.iter().position(|class| class == label);
            let class = class.and_then(|class| u32::try_from(class).ok());
            class.ok_or_else(|| {
                ModelError::data(format!(
                    "the answer `{label}` in `{name}` is no class of the model: it knows {}",
                    classes.join(", ")
                ))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use polars::prelude::*;

    use super::*;
    use crate::data::Goal;
    use crate::onnx::inspect;
    use crate::train::{Hooks, Settings, Validation, train};

    fn rows(count: i64) -> DataFrame {
        let n: Vec<f64> = (0..count).map(|row| (row * 7 % 20) as f64).collect();
        let answer: Vec<i64> = (0..count)
            .map(|row| i64::from((row * 7 % 20) + (row % 3) > 10))
            .collect();
        df!["n" => n, "answer" => answer].unwrap()
    }

    fn bytes() -> Vec<u8> {
        let settings = Settings {
            candidates: [("logistic_regression".to_owned(), IndexMap::new())]
                .into_iter()
                .collect(),
            validation: Validation {
                folds: 2,
                ..Validation::default()
            },
            seed: 1,
            ..Settings::new(Goal::Classes, "answer")
        };
        train(&rows(200), &settings, &Hooks::silent())
            .unwrap()
            .bytes
            .unwrap()
    }

    #[test]
    fn a_model_is_measured_on_other_rows() {
        let model = Model::load(&bytes()).unwrap();
        let measured = measure(&model, &rows(90), None).unwrap();
        assert_eq!(
            (measured.rows, measured.metrics.len()),
            (90, Metric::CLASSES.len())
        );
        let f1 = measured.metrics.iter().find(|one| one.metric == Metric::F1);
        let f1 = f1.unwrap().value.unwrap();
        assert!(f1 > 0.9, "{f1}");
        let mut renamed = rows(90);
        renamed.rename("answer", "truth".into()).unwrap();
        let truth = renamed.column("truth").unwrap().cast(&DataType::Float64);
        renamed.with_column(truth.unwrap()).unwrap();
        assert_eq!(measure(&model, &renamed, Some("truth")).unwrap(), measured);
    }

    #[test]
    fn rows_that_were_learned_from_are_told() {
        let model = Model::load(&bytes()).unwrap();
        let learned = |frame: &DataFrame| measure(&model, frame, None).unwrap().learned;
        assert!(learned(&rows(200)));
        assert!(!learned(&rows(199)));
        let mut more = rows(200);
        more.with_column(Column::new("id".into(), (0..200).collect::<Vec<i64>>()))
            .unwrap();
        assert!(learned(&more));
    }

    #[test]
    fn rows_without_answers_measure_nothing() {
        let model = Model::load(&bytes()).unwrap();
        for (frame, message) in [
            (
                df!["n" => [1.0]].unwrap(),
                "there is no column `answer`, which has the right answers",
            ),
            (
                df!["n" => [1.0, 2.0], "answer" => [Some(1), None]].unwrap(),
                "the answer `answer` is null in 1 of 2 rows",
            ),
            (
                df!["n" => [1.0], "answer" => ["often"]].unwrap(),
                "the answer `often` in `answer` is no class of the model: it knows 0, 1",
            ),
            (rows(0), "there are no rows to compare with"),
        ] {
            let error = measure(&model, &frame, None).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn a_file_says_what_it_is() {
        let bytes = bytes();
        let found = inspect(&bytes).unwrap();
        assert_eq!(found.inputs, ["n"]);
        assert!(found.outputs.contains(&"probabilities".to_owned()));
        assert!(found.producer.starts_with("pipectl "), "{}", found.producer);
        assert_eq!(found.bytes, bytes.len());
        let card = found.card.unwrap();
        assert_eq!(card["target"], "answer");
        assert_eq!(card["estimator"], "logistic_regression");
    }
}
