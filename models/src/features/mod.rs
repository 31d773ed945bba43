//! Derived features: row-wise SQL expressions that are compiled into the model's graph.
//!
//! One meaning, three places: the expression is compiled to ONNX nodes; those nodes are run to compute the feature for
//! training; and polars' own answer to the same SQL is compared with them on a sample. Numbers are doubles, so `7 / 2`
//! is 3.5; null follows SQL (missing in, missing out); the empty text is null.

mod call;
mod compile;
mod emit;
mod expression;
mod read;
mod verify;

use indexmap::IndexMap;

use crate::data::{Column, ColumnKind, ColumnSpec, Table, Values};
use crate::error::{ModelError, Result};
use crate::onnx::proto::element;
use crate::onnx::{Builder, Value};
use crate::scorer::{Elements, Graph, Questions, Session};
use expression::{Expression, Kind};

/// What is wrong with features, as far as it can be seen before the columns are known: each with its name.
pub(crate) fn flaws(features: &IndexMap<String, String>) -> Vec<(&str, String)> {
    let flaws = features.iter().filter_map(|(name, sql)| {
        let reason = compile::check(sql).err()?;
        Some((name.as_str(), not_part(name, &reason)))
    });
    flaws.collect()
}

fn not_part(name: &str, reason: &str) -> String {
    format!(
        "the feature `{name}` cannot be part of a model: {reason}; compute it in a `transform` before"
    )
}

/// A derived feature.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) sql: String,
    expression: Expression,
}

impl Feature {
    /// Compiles features over the raw columns; what cannot be compiled is an error that says so.
    pub(crate) fn compile_all(
        features: &IndexMap<String, String>,
        columns: &[ColumnSpec],
    ) -> Result<Vec<Self>> {
        features
            .iter()
            .map(|(name, sql)| {
                if columns.iter().any(|column| column.name == *name) {
                    return Err(ModelError::settings(format!(
                        "the feature `{name}` has the name of a column: choose another"
                    )));
                }
                let expression = compile::compile(sql, columns)
                    .map_err(|reason| ModelError::settings(not_part(name, &reason)))?;
                if expression.columns().is_empty() {
                    return Err(ModelError::settings(format!(
                        "the feature `{name}` uses no column"
                    )));
                }
                Ok(Self {
                    name: name.clone(),
                    sql: sql.clone(),
                    expression,
                })
            })
            .collect()
    }

    /// The columns that it reads.
    pub(crate) fn columns(&self) -> Vec<&str> {
        self.expression.columns()
    }

    /// The kind of its column.
    pub(crate) fn kind(&self) -> ColumnKind {
        match self.expression.kind {
            Kind::Text => ColumnKind::Text,
            Kind::Boolean => ColumnKind::Boolean,
            Kind::Number | Kind::Null => ColumnKind::Number,
        }
    }

    /// Adds its nodes to a graph; the value is `[n, 1]`, a double or text.
    pub(crate) fn emit(&self, builder: &mut Builder) -> Value {
        emit::emit(builder, &self.expression, self.expression.kind)
    }

    /// Computes the feature for every row by running its nodes.
    pub(crate) fn evaluate(&self, table: &Table) -> Result<Column> {
        let specs = table.specs();
        let mut builder = Builder::new("feature", &specs);
        let value = self.emit(&mut builder);
        let text = self.kind() == ColumnKind::Text;
        let element = if text {
            element::STRING
        } else {
            element::DOUBLE
        };
        builder.output(&value, "pipectl/feature", element, &[None, Some(1)]);
        let graph = Graph::load(&builder.finish())?;
        let questions = Questions::single(table.columns.len());
        let values = if text {
            let inputs = questions.tensors(table, 0, table.rows)?;
            match graph.run(inputs)?.pop().map(|tensor| tensor.elements) {
                Some(Elements::Text(text)) => Values::Text(text),
                _ => return Err(ModelError::internal("a text feature that is no text")),
            }
        } else {
            Values::Number(questions.run(&graph, table, 0)?)
        };
        Ok(Column {
            name: self.name.clone(),
            kind: self.kind(),
            values,
        })
    }
}

/// Adds the derived columns to a table, and compares a sample of them with polars' SQL.
pub(crate) fn extend(table: &Table, features: &[Feature]) -> Result<Table> {
    let extended = extend_unchecked(table, features)?;
    verify::verify(table, &extended, features)?;
    Ok(extended)
}

/// Adds the derived columns to a table.
pub(crate) fn extend_unchecked(table: &Table, features: &[Feature]) -> Result<Table> {
    let mut extended = table.clone();
    for feature in features {
        extended.columns.push(feature.evaluate(table)?);
    }
    Ok(extended)
}
