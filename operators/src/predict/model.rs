//! `predict: model`: scores rows by a model.

mod scoring;

use std::sync::{Arc, Mutex, PoisonError};

use pipectl_engine::operator::{
    Complaints, Kind, MadeOf, ModelRef, Operator, Outcome, Output, Outputs, Takes, TaskContext,
    TaskError, ValueType,
};
use polars::prelude::DataFrame;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::scoring::{Scored, Scoring};
use crate::support::{
    frame::{batches, collect},
    model::{made_of, open},
    spill::are_large,
    text::{count, list},
};

/// `predict: model`.
pub(crate) struct Model;

/// By which model, from where on a row is positive, and what else is told of the rows.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"model": "churn", "keep": ["customerID"], "reasons": 3, "least_certain": 100}]))]
pub(crate) struct Config {
    /// The model: `churn` (its champion), `churn@challenger`, `churn:7`, `{name: churn, best: f1}` (the best of its
    /// versions), `zoo:churn` (one that ships), `mlflow://churn@champion`, an `.onnx` file, or what a `train` task puts
    /// out.
    model: ModelRef,
    /// Of two classes: the probability from which the positive one is predicted; of anomalies: the score from which a row
    /// is odd. The model's own when not said.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    threshold: Option<f64>,
    /// The columns that an imported model reads, in its order, when its file has one input for all of them and so no names.
    #[serde(default)]
    columns: Vec<String>,
    /// What becomes of rows that lack a column that the model reads.
    #[serde(default)]
    missing_columns: MissingColumns,
    /// The columns of the rows that are kept beside the answers; all when not said.
    keep: Option<Vec<String>>,
    /// Adds the column `reasons`: JSON text with so many columns that moved the row's score most, each with its value and
    /// how far it moved the score. Of trees, forests, boosting and linear models.
    #[schemars(range(min = 1, max = 100))]
    reasons: Option<usize>,
    /// Adds the most probable classes of every row, so many: `top_1`, `top_1_probability`, `top_2` and so on.
    #[schemars(range(min = 1, max = 100))]
    top_k: Option<usize>,
    /// Puts so many rows of which the model is least certain into a second dataset, `uncertain`, the least certain first:
    /// those from which it would learn most if somebody labelled them. They have a column `certainty`.
    #[schemars(range(min = 1))]
    least_certain: Option<usize>,
}

/// What becomes of rows that lack a column that the model reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MissingColumns {
    /// They are refused: a column that was renamed would make all answers alike.
    #[default]
    Refuse,
    /// They are imputed as in training, with a warning.
    Impute,
}

impl Config {
    /// What is wrong with it, and where.
    fn wrong(&self) -> Vec<(&'static str, &'static str)> {
        let mut found = Vec::new();
        let outside = |threshold| !(0.0..=1.0).contains(&threshold);
        if self.threshold.is_some_and(outside) {
            found.push(("threshold", "a threshold is a probability, from 0 to 1"));
        }
        if self
            .reasons
            .is_some_and(|reasons| !(1..=100).contains(&reasons))
        {
            found.push(("reasons", "a row has 1 to 100 reasons"));
        }
        if self.top_k.is_some_and(|top| !(1..=100).contains(&top)) {
            found.push(("top_k", "1 to 100 classes of a row can be told"));
        }
        if self.least_certain == Some(0) {
            found.push(("least_certain", "one row at least"));
        }
        found
    }
}

impl Operator for Model {
    type Config = Config;
    const KIND: Kind = Kind::Predict;
    const NAME: &'static str = "model";
    const SUMMARY: &'static str =
        "Scores rows by a model: keeps their columns, adds `prediction` and what is behind it.";
    const TAKES: Takes = Takes::One;

    fn outputs(config: &Config) -> Outputs {
        let outputs = match config.least_certain {
            Some(_) => Outputs::tables([Outputs::MAIN, "uncertain"]),
            None => Outputs::table(),
        };
        outputs
            .value("model", ValueType::String, "the model that was used")
            .value("digest", ValueType::String, "SHA-256 of its file")
    }

    fn check(config: &Config, found: &mut Complaints) {
        for (key, message) in config.wrong() {
            found.error(&[key], message);
        }
    }

    async fn made_of(config: &Config, context: &TaskContext) -> MadeOf {
        made_of(context, &config.model.0)
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        if let Some((key, message)) = config.wrong().first() {
            return Err(TaskError::user(format!("`{key}`: {message}")));
        }
        let opened = open(context, &config.model.0, &config.columns).await?;
        let (name, digest) = (config.model.0.clone(), opened.model.digest().to_owned());
        let scored = scored(context, Scoring::new(opened, config, context)?).await?;
        context
            .log
            .info(format!("{} by `{name}`", count(scored.rows as u64, "row")));
        let mut output = Output::table(scored.table)
            .value("model", name)
            .value("digest", digest);
        if let Some(uncertain) = scored.uncertain {
            output = output.dataset("uncertain", uncertain);
        }
        for (name, value) in scored.summary {
            output = output.metric(name, value);
        }
        if !scored.missing.is_empty() {
            let missing = list(scored.missing.iter().map(String::as_str));
            output = output.warning(format!(
                "the rows lack {missing}, which the model reads: imputed as in training"
            ));
        }
        for (column, rows, values) in scored.unseen.columns() {
            output = output.warning(format!(
                "{} {} a `{column}` that training never saw: {}",
                count(rows as u64, "row"),
                if rows == 1 { "has" } else { "have" },
                list(values.iter().map(String::as_str))
            ));
        }
        Ok(Outcome::Done(output))
    }
}

/// All rows with their answers: at once when they are few, else in parts, so that they are never in memory together.
async fn scored(context: &TaskContext, mut scoring: Scoring) -> Result<Scored, TaskError> {
    let dataset = context.inputs.one()?.clone();
    let name = context.inputs.iter().next();
    let name = name.map_or_else(String::new, |(name, _)| name.to_owned());
    if !are_large(&context.inputs) {
        let frame = collect(context, &name, &dataset).await?;
        return context
            .compute(move || {
                scoring.take(&frame)?;
                scoring.finish()
            })
            .await;
    }
    scoring.spill(context)?;
    context
        .compute(move || {
            let scoring = Arc::new(Mutex::new(scoring));
            let each = {
                let scoring = Arc::clone(&scoring);
                move |frame: DataFrame| {
                    let mut scoring = scoring.lock().unwrap_or_else(PoisonError::into_inner);
                    scoring.take(&frame)
                }
            };
            batches(&dataset, &format!("read `{name}`"), each)?;
            let mut scoring = scoring.lock().unwrap_or_else(PoisonError::into_inner);
            if scoring.has_seen_nothing() {
                scoring.take(&DataFrame::empty_with_schema(dataset.schema()))?;
            }
            scoring.finish()
        })
        .await
}

#[cfg(test)]
mod tests;
