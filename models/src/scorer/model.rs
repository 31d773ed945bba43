//! A model file, loaded: scores frames and single rows.

use std::collections::HashMap;

use polars::prelude::DataFrame;
use sha2::{Digest, Sha256};

use crate::data::{Column, ColumnKind, ColumnSpec, Goal, Table, TextColumn, Values, hexadecimal};
use crate::error::{ModelError, Result};
use crate::onnx::{Metadata, read_metadata};
use crate::rooms::{ModelFile, Rooms};
use crate::scorer::answer::Answer;
use crate::scorer::foreign;
use crate::scorer::graph::{ElementKind, Graph, Session, decode};
use crate::scorer::questions::{Questions, numbers};
use crate::scorer::tensor::{Elements, Tensor};
use crate::scorer::unseen::Unseen;

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
    /// How columns become the graph's inputs.
    questions: Questions,
    /// Which of the graph's outputs is the answer.
    output: usize,
    /// Whether others have written it, so that nothing is imputed.
    foreign: bool,
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
        let questions = Questions::single(metadata.columns.len());
        Ok(Self::new(bytes, metadata, session, questions, output))
    }

    /// Loads any ONNX file that answers to tables. Of one that others have written, `columns` names what an input
    /// reads that is several columns wide.
    ///
    /// # Errors
    /// When it cannot be run, or it is not known what it reads and answers.
    pub fn open(bytes: &[u8], rooms: &Rooms, columns: &[String]) -> Result<Self> {
        let stored = decode(bytes)?;
        if read_metadata(&stored)?.is_some() {
            if columns.is_empty() {
                return Self::load(bytes);
            }
            return Err(ModelError::settings(
                "the model knows the names of its columns: leave `columns` out",
            ));
        }
        let file = ModelFile::from_bytes(bytes.to_vec())?;
        let told = foreign::describe(&stored, &file, columns)?;
        let session = rooms.open(&file)?.session;
        let mut model = Self::new(bytes, told.metadata, session, told.questions, told.output);
        model.foreign = true;
        Ok(model)
    }

    fn new(
        bytes: &[u8],
        metadata: Metadata,
        session: Box<dyn Session>,
        questions: Questions,
        output: usize,
    ) -> Self {
        let places = metadata
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| (column.name.clone(), place))
            .collect();
        Self {
            metadata,
            session,
            digest: hexadecimal(&Sha256::digest(bytes)),
            places,
            questions,
            output,
            foreign: false,
        }
    }

    /// What the model says about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// SHA-256 of the file.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How columns become the graph's inputs.
    pub(crate) fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Scores every row of a frame; columns that it lacks are imputed as in training.
    ///
    /// # Errors
    /// When a column cannot be read, or is missing and the model, which others have written, imputes nothing.
    pub fn predict(&self, frame: &DataFrame, threshold: Option<f64>) -> Result<Answer> {
        let table = self.table(frame)?;
        Ok(self.answer(self.values(&table)?, threshold))
    }

    /// The same, and counts the values that training never saw.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_and_count(
        &self,
        frame: &DataFrame,
        threshold: Option<f64>,
        unseen: &mut Unseen,
    ) -> Result<Answer> {
        let table = self.table(frame)?;
        unseen.count(&self.metadata, &table);
        Ok(self.answer(self.values(&table)?, threshold))
    }

    /// The model's columns of a frame.
    fn table(&self, frame: &DataFrame) -> Result<Table> {
        if let (true, [missing, ..]) = (self.foreign, self.missing_columns(frame).as_slice()) {
            return Err(ModelError::data(format!(
                "the rows have no column `{missing}`, which the model reads"
            )));
        }
        Table::for_model(frame, &self.metadata.columns)
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

    /// Whether it has learned what to take for a value that is not there.
    pub fn imputes(&self) -> bool {
        !self.foreign
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
        let values = self
            .questions
            .run(self.session.as_ref(), table, self.output)?;
        if self.foreign {
            foreign::check(&self.metadata, &values, table.rows)?;
        }
        Ok(values)
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
            .collect::<Result<Vec<_>>>()?;
        let values = if self.foreign {
            self.values(&Table {
                rows: 1,
                columns: foreign::columns(&self.metadata.columns, inputs),
            })?
        } else {
            numbers(self.session.run(inputs)?, self.output, 1)?
        };
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
