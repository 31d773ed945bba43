//! Finds the field that is to blame when a file cannot be read, for a message that names it.

use std::{io::Cursor, ops::ControlFlow};

use bytes::Bytes;
use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{
    Config,
    file::{Source, dialect, options},
};
use crate::support::{
    csv::{Flaw, LONGEST, each_record, fields},
    frame::polars_error,
    iso::form,
    settings::type_name,
    text::{count, shortened},
};

/// Finds the field that polars could not read as its column's type.
pub(super) fn changed_type(
    source: &Source,
    body: &Bytes,
    config: &Config,
    types: &Schema,
    error: &PolarsError,
) -> TaskError {
    // The types that the first rows have.
    let first = options(config, types)
        .with_n_rows(Some(config.infer_rows.max(1)))
        .with_ignore_errors(true)
        .into_reader_with_file_handle(Cursor::new(body.clone()))
        .finish();
    if let Ok(first) = first {
        source.types.get_or_init(|| first.schema().clone());
    }
    first_wrong(source, config)
        .unwrap_or_else(|| polars_error(&format!("read `{}`", source.shown()), error))
}

/// The first field of a file that is not what its column is.
pub(super) fn first_wrong(source: &Source, config: &Config) -> Option<TaskError> {
    let types = source.types.get()?;
    let dialect = dialect(config);
    let (mut row, mut found) = (0, None);
    let mut skipped = !config.header;
    let looked = each_record(&source.plain.file.path, dialect, |record| {
        if !skipped {
            skipped = true;
            return Ok(ControlFlow::Continue(()));
        }
        row += 1;
        let fields = fields(record.text, dialect);
        let wrong = wrong_field(&fields, types, config);
        Ok(match wrong {
            None => ControlFlow::Continue(()),
            Some((name, of, value)) => {
                found = Some(type_error(name, row, value, of, config, source));
                ControlFlow::Break(())
            }
        })
    });
    looked.ok()?;
    found
}

/// The first field of a record that is not what its column is: name, type and value.
pub(super) fn wrong_field<'a>(
    fields: &'a [String],
    types: &'a Schema,
    config: &Config,
) -> Option<(&'a str, &'a DataType, &'a str)> {
    let columns = types.iter().zip(fields);
    let mut wrong = columns.filter(|((_, of), value)| !fits(value, of, config));
    wrong
        .next()
        .map(|((name, of), value)| (name.as_str(), of, value.as_str()))
}

/// Whether a field's text can be read as a value of a type.
fn fits(text: &str, of: &DataType, config: &Config) -> bool {
    if text.is_empty() || config.null_values.iter().any(|missing| missing == text) {
        return true;
    }
    match of {
        DataType::Int64 => text.parse::<i64>().is_ok(),
        DataType::Int32 => text.parse::<i32>().is_ok(),
        DataType::Float64 | DataType::Float32 if config.decimal_comma => {
            text.replace(',', ".").parse::<f64>().is_ok()
        }
        DataType::Float64 | DataType::Float32 => text.parse::<f64>().is_ok(),
        DataType::Boolean => ["true", "false"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word)),
        DataType::Time => crate::support::iso::is_time(text),
        of if of.is_temporal() => {
            form(text).is_some_and(|form| of.is_datetime() || form.polars() == *of)
        }
        _ => true,
    }
}

/// A field that is not what its column is. Rows count from 1.
pub(super) fn type_error(
    name: &str,
    row: u64,
    value: &str,
    of: &DataType,
    config: &Config,
    source: &Source,
) -> TaskError {
    let of = type_name(of);
    let message = format!(
        "row {row} of `{}`: column `{name}` is `{}`, which is no {of}",
        source.shown(),
        shortened(value, 60)
    );
    TaskError::user(message).hint(if config.types.contains_key(name) {
        format!("the column is declared as {of} under `types`; mend the row, name the value under `null_values`, or let `rejects` leave the row out")
    } else {
        format!(
            "the first {} of the column looked like {of}; declare it under `types`, as in `types: {{{name}: string}}`, \
             name the value under `null_values`, or let `rejects` leave the row out",
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
        .hint("say how it is written, as in `encoding: windows-1252`; `auto` finds out"),
        Flaw::Ragged {
            line,
            expected,
            found,
        } => TaskError::user(format!(
            "line {line} of `{file}` has {}, the first line has {expected}",
            count(*found as u64, "field")
        ))
        .hint(format!(
            "a field that contains `{}` must stand in quotes; `rejects` leaves such records out",
            config.delimiter
        )),
        Flaw::Unclosed { line } => TaskError::user(format!(
            "the quote that opens on line {line} of `{file}` is never closed"
        ))
        .hint("if quotes have no meaning in this file, write `quote: \"\"`"),
        Flaw::TooLong { line } => TaskError::user(format!(
            "the record on line {line} of `{file}` is longer than {} MiB",
            LONGEST >> 20
        ))
        .hint("is it a CSV file, or a quote that is never closed? If quotes have no meaning in it, write `quote: \"\"`"),
    }
}
