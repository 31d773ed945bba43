//! A model file, loaded: scores frames and single rows.

use std::collections::HashMap;

use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::data::{
    Classes, Column, ColumnKind, ColumnSpec, Table, TextColumn, Values, hexadecimal,
};
use crate::error::{ModelError, Result};
use crate::onnx::{Metadata, read_metadata};
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
    /// The predicted class.
    pub label: String,
    /// The index of the predicted class.
    pub class: usize,
    /// The probability of every class.
    pub probabilities: Vec<f64>,
}

/// The answer for a frame.
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
    pub fn columns(&self) -> Vec<Series> {
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
}

/// A model that can score.
pub struct Model {
    metadata: Metadata,
    session: Box<dyn Session>,
    digest: String,
    places: HashMap<String, usize>,
    probabilities: usize,
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
        let probabilities = check_ports(&metadata, session.as_ref())?;
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
            probabilities,
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
    pub fn predict(&self, frame: &DataFrame, threshold: Option<f64>) -> Result<Prediction> {
        let table = Table::for_model(frame, &self.metadata.columns)?;
        let probabilities = self.probabilities(&table)?;
        let threshold = threshold.unwrap_or(self.metadata.threshold);
        Ok(Prediction::new(
            self.metadata.classes.clone(),
            probabilities,
            threshold,
        ))
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

    /// Probabilities of a table that has the model's columns in its order.
    pub(crate) fn probabilities(&self, table: &Table) -> Result<Vec<f64>> {
        run_rows(self.session.as_ref(), table, self.probabilities)
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
        let probabilities = numbers(self.session.run(inputs)?, self.probabilities, 1)?;
        let threshold = threshold.unwrap_or(self.metadata.threshold);
        let prediction = Prediction::new(self.metadata.classes.clone(), probabilities, threshold);
        let class = prediction.codes.first().map_or(0, |code| *code as usize);
        Ok(Score {
            label: self.metadata.classes.names()[class].clone(),
            class,
            probabilities: prediction.probabilities,
        })
    }
}

/// Compares the graph's inputs and outputs with the metadata; the place of the probabilities.
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
    if !fits || metadata.classes.len() < 2 {
        return Err(ModelError::format(
            "its graph and its metadata tell different columns",
        ));
    }
    session
        .outputs()
        .iter()
        .position(|port| port.name == "probabilities" && port.width == Some(metadata.classes.len()))
        .ok_or_else(|| ModelError::format("its graph has no output `probabilities`"))
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
