//! Finds the field that is to blame when a file cannot be read, for a message that names it.

use std::io::Cursor;

use bytes::Bytes;
use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{Config, options};
use crate::support::{
    csv::{Dialect, Flaw},
    files::Found,
    frame::polars_error,
    settings::type_name,
    text::{count, shortened},
};

/// All fields as text, for a close look when something is wrong.
fn as_text(body: &Bytes, config: &Config, dialect: Dialect) -> Option<DataFrame> {
    options(config, dialect, Schema::default())
        .with_infer_schema_length(Some(0))
        .into_reader_with_file_handle(Cursor::new(body.clone()))
        .finish()
        .ok()
}

/// Finds the field that polars could not read as its column's type.
pub(super) fn changed_type(
    body: &Bytes,
    config: &Config,
    dialect: Dialect,
    types: Schema,
    file: &Found,
    error: &PolarsError,
) -> TaskError {
    let found = || -> Option<TaskError> {
        let text = as_text(body, config, dialect)?;
        let first = options(config, dialect, types)
            .with_n_rows(Some(config.infer_rows.max(1)))
            .with_ignore_errors(true)
            .into_reader_with_file_handle(Cursor::new(body.clone()))
            .finish()
            .ok()?;
        let wrong = |column: &Column| {
            first_wrong(
                text.column(column.name()).ok()?,
                column.dtype(),
                config,
                file,
            )
        };
        first.columns().iter().find_map(wrong)
    };
    found().unwrap_or_else(|| polars_error(&format!("read `{}`", file.shown), error))
}

fn first_wrong(text: &Column, of: &DataType, config: &Config, file: &Found) -> Option<TaskError> {
    if *of == DataType::String {
        return None;
    }
    let read = text.cast(of).ok()?;
    let (nulls, had) = (read.is_null(), text.is_null());
    let row = (0..text.len())
        .find(|row| nulls.get(*row) == Some(true) && had.get(*row) == Some(false))?;
    Some(type_error(text, row, of, config, file))
}

/// A field that is not what its column is.
pub(super) fn type_error(
    text: &Column,
    row: usize,
    of: &DataType,
    config: &Config,
    file: &Found,
) -> TaskError {
    let name = text.name();
    let value = text
        .str()
        .ok()
        .and_then(|values| values.get(row))
        .unwrap_or_default();
    let of = type_name(of);
    let message = format!(
        "row {} of `{}`: column `{name}` is `{}`, which is no {of}",
        row + 1,
        file.shown,
        shortened(value, 60)
    );
    TaskError::user(message).hint(if config.types.contains_key(name.as_str()) {
        format!("the column is declared as {of} under `types`; mend the row, or name the value under `null_values`")
    } else {
        format!(
            "the first {} of the column looked like {of}; declare it under `types`, as in `types: {{{name}: string}}`, \
             or name the value under `null_values`",
            count(config.infer_rows as u64, "row")
        )
    })
}

/// A flaw of the file's shape, for people.
pub(super) fn describe(flaw: &Flaw, file: &str, config: &Config) -> TaskError {
    match flaw {
        Flaw::Encoding { line, byte, found } => TaskError::user(format!(
            "line {line} of `{file}` is not UTF-8: byte {byte} is 0x{found:02X}"
        ))
        .hint("save the file as UTF-8, for example by `iconv -f latin1 -t utf-8`"),
        Flaw::Ragged {
            line,
            expected,
            found,
        } => TaskError::user(format!(
            "line {line} of `{file}` has {}, the first line has {expected}",
            count(*found as u64, "field")
        ))
        .hint(format!(
            "a field that contains `{}` must stand in quotes",
            config.delimiter
        )),
        Flaw::Unclosed { line } => TaskError::user(format!(
            "the quote that opens on line {line} of `{file}` is never closed"
        ))
        .hint("if quotes have no meaning in this file, write `quote: \"\"`"),
    }
}
