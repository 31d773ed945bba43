//! A model file, loaded: scores frames and single rows.

use std::collections::HashMap;

use polars::prelude::DataFrame;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::data::{Column, ColumnKind, ColumnSpec, Goal, Table, TextColumn, Values, hexadecimal};
use crate::error::{ModelError, Result};
use crate::onnx::{Metadata, read_metadata};
use crate::scorer::answer::Answer;
use crate::scorer::graph::{ElementKind, Graph, Session, decode};
use crate::scorer::tensor::{Elements, Tensor};

/// Rows that go through the graph together.
const CHUNK: usize = 1024;

/// A value of a single row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing: it is imputed as in training.
    Null,
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text; also of a number.
    Text(String),
    /// A date in microseconds since 1970.
    Date(i64),
}

/// The answer for one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The predicted class, number or group; of anomalies whether the row is odd.
    pub label: String,
    /// The index of the predicted class or group; 1 of an odd row.
    pub class: usize,
    /// The numbers behind it: the probability of every class, the number, the distance to every centre, the score.
    pub values: Vec<f64>,
}

/// A model that can score.
pub struct Model {
    metadata: Metadata,
    session: Box<dyn Session>,
    digest: String,
    places: HashMap<String, usize>,
    /// Which of the graph's outputs is the answer.
    output: usize,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Model")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Loads a model file that pipectl has written.
    pub fn load(bytes: &[u8]) -> Result<Self> {
        let stored = decode(bytes)?;
        let metadata = read_metadata(&stored)?.ok_or_else(|| {
            ModelError::format("it was not written by pipectl: its columns and classes are unknown")
        })?;
        let session = Box::new(Graph::load(&stored)?);
        let output = check_ports(&metadata, session.as_ref())?;
        let places = metadata
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| (column.name.clone(), place))
            .collect();
        Ok(Self {
            metadata,
            session,
            digest: hexadecimal(&Sha256::digest(bytes)),
            places,
            output,
        })
    }

    /// What the model says about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// SHA-256 of the file.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Scores every row of a frame; columns that it lacks are imputed as in training.
    pub fn predict(&self, frame: &DataFrame, threshold: Option<f64>) -> Result<Answer> {
        let table = Table::for_model(frame, &self.metadata.columns)?;
        Ok(self.answer(self.values(&table)?, threshold))
    }

    fn answer(&self, values: Vec<f64>, threshold: Option<f64>) -> Answer {
        let threshold = threshold.unwrap_or(self.metadata.threshold);
        Answer::new(
            self.metadata.goal,
            &self.metadata.classes,
            values,
            threshold,
        )
    }

    /// Columns of the model that a frame does not have.
    pub fn missing_columns(&self, frame: &DataFrame) -> Vec<&str> {
        let names = self
            .metadata
            .columns
            .iter()
            .map(|column| column.name.as_str());
        names.filter(|name| frame.column(name).is_err()).collect()
    }

    /// The numbers behind the answers to a table that has the model's columns in its order.
    pub(crate) fn values(&self, table: &Table) -> Result<Vec<f64>> {
        run_rows(self.session.as_ref(), table, self.output)
    }

    /// Scores one row; columns that are left out are imputed, a name that the model does not have is an error.
    pub fn predict_row<'a>(
        &self,
        cells: impl IntoIterator<Item = (&'a str, Cell)>,
        threshold: Option<f64>,
    ) -> Result<Score> {
        let mut given = vec![Cell::Null; self.metadata.columns.len()];
        for (name, cell) in cells {
            let place = self
                .places
                .get(name)
                .ok_or_else(|| ModelError::data(format!("the model has no column `{name}`")))?;
            given[*place] = cell;
        }
        let inputs = self
            .metadata
            .columns
            .iter()
            .zip(given)
            .map(|(column, cell)| cell_tensor(column, &cell))
            .collect::<Result<_>>()?;
        let values = numbers(self.session.run(inputs)?, self.output, 1)?;
        let (label, class) = match self.answer(values.clone(), threshold) {
            Answer::Classes(prediction) => {
                let class = prediction.codes.first().map_or(0, |code| *code as usize);
                (prediction.classes.names()[class].clone(), class)
            }
            Answer::Quantity(values) => (
                values.first().map(ToString::to_string).unwrap_or_default(),
                0,
            ),
            Answer::Clusters { codes, .. } => {
                let class = codes.first().map_or(0, |code| *code as usize);
                (class.to_string(), class)
            }
            Answer::Anomalies { scores, threshold } => {
                let odd = scores.first().is_some_and(|score| *score >= threshold);
                (odd.to_string(), usize::from(odd))
            }
        };
        Ok(Score {
            label,
            class,
            values,
        })
    }
}

/// Compares the graph's inputs and outputs with the metadata; the place of the answer.
fn check_ports(metadata: &Metadata, session: &dyn Session) -> Result<usize> {
    let inputs = session.inputs();
    let fits = inputs.len() == metadata.columns.len()
        && inputs.iter().zip(&metadata.columns).all(|(port, column)| {
            let kind = match column.kind {
                ColumnKind::Number | ColumnKind::Boolean => ElementKind::Double,
                ColumnKind::Text => ElementKind::Text,
                ColumnKind::Date => ElementKind::Integer,
            };
            port.name == column.name && port.kind == Some(kind)
        });
    let wanted = metadata.goal.output();
    let width = match metadata.goal {
        Goal::Classes | Goal::Clusters => metadata.classes.len(),
        Goal::Quantity | Goal::Anomalies => 1,
    };
    if !fits || width == 0 || (metadata.goal == Goal::Classes && width < 2) {
        return Err(ModelError::format(
            "its graph and its metadata tell different columns",
        ));
    }
    session
        .outputs()
        .iter()
        .position(|port| port.name == wanted && port.width == Some(width))
        .ok_or_else(|| ModelError::format(format!("its graph has no output `{wanted}`")))
}

/// Runs a graph over the rows of a table, in chunks on all threads; the doubles of one output.
pub(crate) fn run_rows(session: &dyn Session, table: &Table, output: usize) -> Result<Vec<f64>> {
    let starts: Vec<usize> = (0..table.rows).step_by(CHUNK).collect();
    let chunks = starts
        .into_par_iter()
        .map(|start| {
            let end = (start + CHUNK).min(table.rows);
            let inputs = table
                .columns
                .iter()
                .map(|column| column_tensor(column, start, end))
                .collect();
            numbers(session.run(inputs)?, output, end - start)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(chunks.concat())
}

fn numbers(outputs: Vec<Tensor>, output: usize, rows: usize) -> Result<Vec<f64>> {
    let tensor = outputs
        .into_iter()
        .nth(output)
        .ok_or_else(|| ModelError::format("an output is missing"))?;
    if tensor.matrix_shape().0 != rows {
        return Err(ModelError::format("an output with a wrong number of rows"));
    }
    match tensor.elements {
        Elements::Double(values) => Ok(values),
        _ => tensor.to_doubles(),
    }
}

/// Rows of a column as a `[n, 1]` tensor.
pub(crate) fn column_tensor(column: &Column, start: usize, end: usize) -> Tensor {
    let elements = match &column.values {
        Values::Number(values) => Elements::Double(values[start..end].to_vec()),
        Values::Date(values) => Elements::Integer(values[start..end].to_vec()),
        Values::Text(text) => Elements::Text(TextColumn {
            levels: text.levels.clone(),
            codes: text.codes[start..end].to_vec(),
        }),
    };
    Tensor::new(vec![end - start, 1], elements)
}

fn cell_tensor(column: &ColumnSpec, cell: &Cell) -> Result<Tensor> {
    let wrong = |cell: &Cell| {
        ModelError::data(format!(
            "column `{}` wants a {}, not {cell:?}",
            column.name,
            column.kind.name()
        ))
    };
    let elements = match column.kind {
        ColumnKind::Number | ColumnKind::Boolean => Elements::Double(vec![match cell {
            Cell::Null => f64::NAN,
            Cell::Number(value) => *value,
            Cell::Boolean(value) => f64::from(u8::from(*value)),
            Cell::Text(text) if text.trim().is_empty() => f64::NAN,
            Cell::Text(text) => text.trim().parse().map_err(|_| wrong(cell))?,
            Cell::Date(_) => return Err(wrong(cell)),
        }]),
        ColumnKind::Text => Elements::Text(TextColumn::new([match cell {
            Cell::Null => None,
            Cell::Text(text) => Some(text.as_str()),
            _ => return Err(wrong(cell)),
        }])),
        ColumnKind::Date => Elements::Integer(vec![match cell {
            Cell::Null => i64::MIN,
            Cell::Date(instant) => *instant,
            _ => return Err(wrong(cell)),
        }]),
    };
    Ok(Tensor::new(vec![1, 1], elements))
}
