//! Why a model says of a row what it says: Shapley values of trees and linear models, read from the model's file.
//!
//! The values of a row add up to its score: of gradient boosting and logistic regression the log odds of the class, of
//! forests and trees the probability, of quantities the number itself. What a model compares with is in its file: the
//! training rows that came through every node, and the means of what the estimator reads. Of a file that tells neither,
//! because others have written it, some of the rows at hand take that place.

mod linear;
mod mean;
mod origin;
mod read;
mod trees;

use indexmap::IndexSet;
use polars::prelude::{AnyValue, DataFrame};
use serde_json::{Value, json};

use crate::data::{Goal, Table};
use crate::error::{ModelError, Result};
use crate::estimators::ensemble::Ensemble;
use crate::onnx::Background as Told;
use crate::onnx::proto::{GraphProto, ModelProto};
use crate::scorer::{Answer, Graph, Model, Questions, decode};
use linear::Lines;
pub(crate) use mean::mean_effects;
use read::{Found, Learned, find, part, unmixed};
use trees::Forest;

/// Rows that stand for the training rows of a file which tells nothing of them.
const BACKGROUND: usize = 1_000;

enum Scores {
    Trees(Forest),
    Linear(Lines),
}

/// Explains the answers of a model.
pub struct Explainer {
    /// Computes what the estimator reads.
    reads: Graph,
    targets: usize,
    parts: Parts,
}

/// Scores, and the columns that are behind what they read.
struct Parts {
    scores: Scores,
    width: usize,
    names: Vec<String>,
    /// For every number that is read the column in `names` that it belongs to.
    owners: Vec<usize>,
}

impl std::fmt::Debug for Explainer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Explainer")
            .field("names", &self.parts.names)
            .finish_non_exhaustive()
    }
}

/// How far columns move the answers to rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    /// The columns and derived features.
    pub names: Vec<String>,
    /// For every row what its score would be if nothing were known of it.
    pub base: Vec<f64>,
    /// For every row, and in it for every column, how far it moves the score; of two classes towards the second, of more
    /// towards the predicted one.
    pub values: Vec<f64>,
}

impl Explainer {
    /// Reads from a model's file what can be explained; `rows` are the background of a file that tells none.
    ///
    /// # Errors
    /// When the model is neither linear nor made of trees.
    pub fn new(bytes: &[u8], model: &Model, rows: &DataFrame) -> Result<Self> {
        let stored = decode(bytes)?;
        let metadata = model.metadata();
        if matches!(metadata.goal, Goal::Clusters | Goal::Anomalies) {
            return Err(ModelError::settings(
                "there are reasons for classes and quantities, not for groups and anomalies",
            ));
        }
        let graph = stored
            .graph
            .as_ref()
            .ok_or_else(|| ModelError::format("it has no graph"))?;
        let told = metadata.background.as_ref();
        let Found { learned, matrix } = found(graph, told)?;
        let reads = Graph::load(&part(&stored, &[matrix]))?;
        let table = Table::for_model(&rows.head(Some(BACKGROUND)), &metadata.columns)?;
        let (names, owners) = match told {
            Some(told) => owners(told),
            None => named(&stored, matrix, model, &table)?,
        };
        if owners.is_empty() {
            return Err(ModelError::format("its estimator reads nothing"));
        }
        let background = Background {
            reads: &reads,
            questions: model.questions(),
            table: &table,
        };
        let (scores, targets) = match learned {
            Learned::Trees { trees, cover } => {
                let ensemble = &trees.ensemble;
                if ensemble.width > owners.len() {
                    return Err(ModelError::format("trees that read more than there is"));
                }
                let cover = cover.map_or_else(|| background.cover(ensemble, owners.len()), Ok)?;
                let forest = Forest::new(ensemble, trees.combine, &cover)?;
                (Scores::Trees(forest), ensemble.targets)
            }
            Learned::Linear {
                weights,
                intercepts,
            } => {
                let targets = intercepts.len();
                let means = match told {
                    Some(told) => {
                        let columns = told.columns.iter();
                        columns.flat_map(|column| column.means.clone()).collect()
                    }
                    None => means(&background.matrix(owners.len())?, owners.len()),
                };
                if weights.iter().any(|weights| weights.len() != owners.len()) {
                    return Err(ModelError::format("a linear score of other columns"));
                }
                let lines = Lines {
                    weights,
                    intercepts,
                    means,
                };
                (Scores::Linear(lines), targets)
            }
        };
        Ok(Self {
            reads,
            targets,
            parts: Parts {
                scores,
                width: owners.len(),
                names,
                owners,
            },
        })
    }

    /// How far every column moves the model's answers to these rows.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn explain(&self, model: &Model, frame: &DataFrame, answer: &Answer) -> Result<Effects> {
        let table = Table::for_model(frame, &model.metadata().columns)?;
        let rows = model
            .questions()
            .matrix(&self.reads, &table, self.parts.width)?;
        let targets: Vec<usize> = match answer {
            Answer::Classes(prediction) if self.targets > 2 => prediction
                .codes
                .iter()
                .map(|code| (*code as usize).min(self.targets - 1))
                .collect(),
            _ => vec![self.targets.saturating_sub(1).min(1); table.rows],
        };
        Ok(self.parts.effects(&rows, &targets))
    }
}

impl Parts {
    fn effects(&self, rows: &[f64], targets: &[usize]) -> Effects {
        let effects = match &self.scores {
            Scores::Trees(forest) => forest.effects(rows, self.width, targets),
            Scores::Linear(lines) => lines.effects(rows, self.width, targets),
        };
        let base = |target: &usize| match &self.scores {
            Scores::Trees(forest) => forest.base(*target),
            Scores::Linear(lines) => lines.base(*target),
        };
        let mut values = vec![0.0; targets.len() * self.names.len()];
        let columns = values.chunks_exact_mut(self.names.len());
        for (columns, effects) in columns.zip(effects.chunks_exact(self.width)) {
            for (effect, owner) in effects.iter().zip(&self.owners) {
                columns[*owner] += effect;
            }
        }
        Effects {
            names: self.names.clone(),
            base: targets.iter().map(base).collect(),
            values,
        }
    }
}

/// What is learned, in terms of what columns have become.
fn found<'a>(graph: &'a GraphProto, told: Option<&'a Told>) -> Result<Found<'a>> {
    let Some(told) = told else {
        return find(graph, None);
    };
    let Some(projected) = &told.projected else {
        return find(graph, Some(&told.matrix));
    };
    let found = find(graph, Some(projected))?;
    Ok(Found {
        learned: unmixed(graph, found)?,
        matrix: &told.matrix,
    })
}

/// The columns, and for every number that the estimator reads the one that it belongs to.
fn owners(told: &Told) -> (Vec<String>, Vec<usize>) {
    let mut names = IndexSet::new();
    let mut owners = Vec::new();
    for column in &told.columns {
        let (owner, _) = names.insert_full(column.name.clone());
        owners.extend(column.means.iter().map(|_| owner));
    }
    (names.into_iter().collect(), owners)
}

/// What stands for the training rows.
struct Background<'a> {
    reads: &'a Graph,
    questions: &'a Questions,
    table: &'a Table,
}

impl Background<'_> {
    /// How many rows come through every node of trees that read the first of so many numbers.
    fn cover(&self, ensemble: &Ensemble, width: usize) -> Result<Vec<f64>> {
        let narrow = narrow(&self.matrix(width)?, width, ensemble.width);
        let cover = ensemble.cover(&narrow).into_iter();
        Ok(cover.map(f64::from).collect())
    }

    fn matrix(&self, width: usize) -> Result<Vec<f64>> {
        if self.table.rows == 0 {
            return Err(ModelError::data(
                "there are no rows to compare with, and the model's file tells none",
            ));
        }
        self.questions.matrix(self.reads, self.table, width)
    }
}

/// The first columns of rows.
fn narrow(rows: &[f64], columns: usize, width: usize) -> Vec<f64> {
    if width == 0 {
        return Vec::new();
    }
    let rows = rows.chunks_exact(columns.max(1));
    rows.flat_map(|row| &row[..width.min(row.len())])
        .copied()
        .collect()
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn means(rows: &[f64], width: usize) -> Vec<f64> {
    let count = (rows.len() / width.max(1)) as f64;
    (0..width)
        .map(|column| rows.iter().skip(column).step_by(width).sum::<f64>() / count)
        .collect()
}

/// The columns behind what the estimator of a foreign graph reads; what is made of several bears all their names.
fn named(
    stored: &ModelProto,
    matrix: &str,
    model: &Model,
    table: &Table,
) -> Result<(Vec<String>, Vec<usize>)> {
    let questions = model.questions();
    let sample = if table.rows == 0 {
        Table::for_model(&DataFrame::empty_with_height(1), &model.metadata().columns)?
    } else {
        table.take(&[0])
    };
    let widths: Vec<usize> = questions.widths();
    let origins = origin::origins(stored, matrix, &widths, questions.tensors(&sample, 0, 1)?)?;
    let (mut names, mut owners): (Vec<String>, Vec<usize>) = (Vec::new(), Vec::new());
    for origin in origins {
        let columns: Vec<&str> = origin
            .iter()
            .map(|column| model.metadata().columns[*column].name.as_str())
            .collect();
        let name = match columns.as_slice() {
            [] => "a constant".to_owned(),
            [first, second, rest @ ..] if rest.len() > 1 => {
                format!("{first} + {second} + {} more", rest.len())
            }
            few => few.join(" + "),
        };
        let place = names.iter().position(|known| *known == name);
        owners.push(place.unwrap_or(names.len()));
        if place.is_none() {
            names.push(name);
        }
    }
    Ok((names, owners))
}

impl Effects {
    /// How far every column moves the score of a row, in the order of the names.
    pub fn row(&self, row: usize) -> &[f64] {
        let width = self.names.len();
        &self.values[row * width..(row + 1) * width]
    }

    /// The columns that move a row most, as JSON: `[{"column": "tenure", "effect": -0.8, "value": 60}]`. A derived
    /// feature has no value in the rows.
    pub fn reasons(&self, frame: &DataFrame, row: usize, count: usize) -> String {
        let effects = self.row(row);
        let mut order: Vec<usize> = (0..effects.len()).collect();
        order.sort_by(|a, b| effects[*b].abs().total_cmp(&effects[*a].abs()));
        let reasons = order
            .into_iter()
            .take(count)
            .filter(|at| effects[*at] != 0.0);
        let reasons: Vec<Value> = reasons
            .map(|at| {
                let name = &self.names[at];
                let mut reason = json!({"column": name, "effect": shortened(effects[at])});
                if let Ok(column) = frame.column(name) {
                    reason["value"] = column.get(row).map_or(Value::Null, |value| cell(&value));
                }
                reason
            })
            .collect();
        Value::from(reasons).to_string()
    }
}

/// Six digits.
fn shortened(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

fn cell(value: &AnyValue<'_>) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(value) => Value::from(*value),
        AnyValue::String(text) => Value::from(*text),
        AnyValue::Float32(value) => Value::from(*value),
        AnyValue::Float64(value) => Value::from(*value),
        other => match other.extract::<i64>() {
            Some(value) if other.is_integer() => Value::from(value),
            _ => Value::from(other.str_value().as_ref()),
        },
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_trees;
