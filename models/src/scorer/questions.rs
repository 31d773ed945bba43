//! How the columns of a table become the inputs of a graph.

use rayon::prelude::*;

use crate::data::{Table, TextColumn, Values};
use crate::error::{ModelError, Result};
use crate::scorer::graph::{ElementKind, Session};
use crate::scorer::model::column_tensor;
use crate::scorer::tensor::{Elements, Tensor};

/// Rows that go through a graph together.
const CHUNK: usize = 1024;
/// Bytes of text that go through a graph together, if all texts were as long as the longest: words of a text take so much
/// room.
const MOST_TEXT: usize = 16 << 20;

/// For every input of a graph the columns that it takes, side by side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Questions(pub(crate) Vec<Question>);

/// What an input of a graph takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    /// How many columns.
    pub(crate) width: usize,
    /// What they become; as they are when not said.
    pub(crate) kind: Option<ElementKind>,
}

impl Questions {
    /// An input for every column.
    pub(crate) fn single(columns: usize) -> Self {
        Self(vec![
            Question {
                width: 1,
                kind: None
            };
            columns
        ])
    }

    /// How many columns every input takes.
    pub(crate) fn widths(&self) -> Vec<usize> {
        self.0.iter().map(|question| question.width).collect()
    }

    /// The inputs for some rows.
    pub(crate) fn tensors(&self, table: &Table, start: usize, end: usize) -> Result<Vec<Tensor>> {
        let mut columns = table.columns.as_slice();
        let mut tensors = Vec::with_capacity(self.0.len());
        for question in &self.0 {
            let (mine, rest) = columns
                .split_at_checked(question.width)
                .ok_or_else(|| ModelError::internal("a table with too few columns"))?;
            columns = rest;
            tensors.push(match (question.kind, mine) {
                (None, [one]) => column_tensor(one, start, end),
                (kind, many) => {
                    let joined = many.iter().map(|column| (&*column.name, &column.values));
                    join(&joined.collect::<Vec<_>>(), kind, start, end)?
                }
            });
        }
        Ok(tensors)
    }

    /// Runs a graph over the rows of a table, in chunks on all threads; the doubles of one output.
    pub(crate) fn run(
        &self,
        session: &dyn Session,
        table: &Table,
        output: usize,
    ) -> Result<Vec<f64>> {
        let chunk = chunk(table);
        let starts: Vec<usize> = (0..table.rows).step_by(chunk).collect();
        let chunks = starts
            .into_par_iter()
            .map(|start| {
                let end = (start + chunk).min(table.rows);
                numbers(
                    session.run(self.tensors(table, start, end)?)?,
                    output,
                    end - start,
                )
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(chunks.concat())
    }

    /// The rows of a graph's only output, which is `width` numbers wide.
    pub(crate) fn matrix(
        &self,
        session: &dyn Session,
        table: &Table,
        width: usize,
    ) -> Result<Vec<f64>> {
        let values = self.run(session, table, 0)?;
        if values.len() == table.rows * width {
            Ok(values)
        } else {
            Err(ModelError::format("a matrix of an unexpected width"))
        }
    }
}

/// How many rows of a table go through a graph together.
fn chunk(table: &Table) -> usize {
    let texts = table
        .columns
        .iter()
        .filter_map(|column| match &column.values {
            Values::Text(text) => Some(text.levels.iter()),
            _ => None,
        });
    let longest = texts.flatten().map(|level| level.len()).max();
    (MOST_TEXT / longest.unwrap_or(0).max(1)).clamp(1, CHUNK)
}

/// The numbers of an output.
pub(crate) fn numbers(outputs: Vec<Tensor>, output: usize, rows: usize) -> Result<Vec<f64>> {
    let tensor = outputs
        .into_iter()
        .nth(output)
        .ok_or_else(|| ModelError::format("an output is missing"))?;
    // A graph that answers one number a row may leave the second dimension out.
    let found = match tensor.shape.as_slice() {
        [rows] => *rows,
        _ => tensor.matrix_shape().0,
    };
    if found != rows {
        return Err(ModelError::format("an output with a wrong number of rows"));
    }
    match tensor.elements {
        Elements::Double(values) => Ok(values),
        _ => tensor.to_doubles(),
    }
}

/// Columns side by side, as an input wants them.
fn join(
    columns: &[(&str, &Values)],
    kind: Option<ElementKind>,
    start: usize,
    end: usize,
) -> Result<Tensor> {
    let shape = vec![end - start, columns.len()];
    let rows = start..end;
    if kind == Some(ElementKind::Text) {
        let texts = columns.iter().map(|(name, values)| match values {
            Values::Text(text) => Ok(text),
            _ => Err(ModelError::data(format!(
                "column `{name}` holds no text, which the model reads"
            ))),
        });
        let texts: Vec<&TextColumn> = texts.collect::<Result<_>>()?;
        let texts = rows.flat_map(|row| texts.iter().map(move |text| Some(text.get(row))));
        return Ok(Tensor::new(shape, Elements::Text(TextColumn::new(texts))));
    }
    let mut numbers = Vec::with_capacity(shape[0] * shape[1]);
    for row in rows {
        for (name, values) in columns {
            numbers.push(match values {
                Values::Number(values) => values[row],
                #[allow(clippy::cast_precision_loss, reason = "what the graph asks for")]
                Values::Date(values) => values[row] as f64,
                Values::Text(_) => {
                    return Err(ModelError::data(format!(
                        "column `{name}` holds text where the model reads numbers"
                    )));
                }
            });
        }
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "what the graph asks for; that numbers are whole is checked"
    )]
    let elements = match kind {
        Some(ElementKind::Float) => {
            Elements::Float(numbers.into_iter().map(|number| number as f32).collect())
        }
        Some(ElementKind::Integer) => {
            whole(columns, &numbers)?;
            Elements::Integer(numbers.into_iter().map(|number| number as i64).collect())
        }
        Some(ElementKind::Boolean) => {
            whole(columns, &numbers)?;
            Elements::Boolean(numbers.into_iter().map(|number| number != 0.0).collect())
        }
        _ => Elements::Double(numbers),
    };
    Ok(Tensor::new(shape, elements))
}

/// An error for a number that is missing or not whole.
fn whole(columns: &[(&str, &Values)], numbers: &[f64]) -> Result<()> {
    match numbers.iter().position(|number| number.fract() != 0.0) {
        None => Ok(()),
        Some(place) => {
            let (name, _) = columns[place % columns.len()];
            Err(ModelError::data(format!(
                "column `{name}` has a value that is missing or not whole, and the model reads whole numbers"
            )))
        }
    }
}
