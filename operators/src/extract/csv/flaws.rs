//! Words for what is wrong with a file.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{Config, file::Source};
use crate::support::{
    csv::{Cell, Failure, Flaw, LONGEST, fits},
    files::io_error,
    frame::polars_error,
    settings::type_name,
    text::{count, shortened},
};

/// Why rows of a file could not be read, for people.
pub(super) fn explained(
    failure: &Failure,
    source: &Source,
    types: &Schema,
    config: &Config,
) -> TaskError {
    match failure {
        Failure::Io(error) => {
            let error = std::io::Error::new(error.kind(), error.to_string());
            io_error("read", source.shown(), error)
        }
        Failure::Frame(error) => polars_error(&format!("read `{}`", source.shown()), error),
        Failure::Shape(flaw) => describe(flaw, source.shown(), config),
        Failure::Value {
            row,
            column,
            text,
            quotes,
        } => match types.get_at_index(*column) {
            Some((name, _)) if *quotes => TaskError::user(format!(
                "row {row} of `{}`: the quotes of column `{name}` end before it does: `{}`",
                source.shown(),
                shortened(text, 60)
            ))
            .hint("a quote within quotes stands there twice; if quotes have no meaning in this file, write `quote: \"\"`"),
            Some((name, of)) => type_error(name, *row, text, of, config, source),
            None => TaskError::bug(format!("`{}` has no column {column}", source.shown())),
        },
    }
}

/// What is wrong with the first field of a record that is not what its column is.
pub(super) fn wrong_field(cells: &[Cell<'_>], types: &Schema, config: &Config) -> Option<String> {
    types.iter().zip(cells).find_map(|((name, of), cell)| {
        let value = shortened(&cell.text, 60);
        if !cell.sound {
            return Some(format!(
                "the quotes of column `{name}` end before it does: `{value}`"
            ));
        }
        let missing = config
            .null_values
            .iter()
            .any(|missing| *missing == cell.text);
        let fits = missing || fits(&cell.text, of, config.decimal_comma);
        (!fits).then(|| {
            format!(
                "column `{name}` is `{value}`, which is no {}",
                type_name(of)
            )
        })
    })
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
    if let Some(hint) = otherwise_written(name, value, &of, config) {
        return TaskError::user(message).hint(hint);
    }
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

/// A number or a day as people write it, which is not how the file is read.
fn otherwise_written(name: &str, value: &str, of: &str, config: &Config) -> Option<String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = value.trim().trim_start_matches('-');
    let (whole, fraction) = value.rsplit_once(',').unwrap_or((value, ""));
    let thousands = whole.contains('.') && whole.split('.').all(digits);
    if of == "number" && !config.decimal_comma && digits(fraction) && (digits(whole) || thousands) {
        return Some(if thousands {
            format!(
                "declare it as text, `types: {{{name}: string}}`, and write `cast(replace(replace({name}, '.', ''), ',', '.') as double)` in a `transform: sql`"
            )
        } else {
            "`decimal_comma: true` reads a comma before the decimals".to_owned()
        });
    }
    if of == "number" && config.decimal_comma && thousands {
        return Some(format!(
            "points between thousands are not read: declare it as text, `types: {{{name}: string}}`, and write `cast(replace(replace({name}, '.', ''), ',', '.') as double)` in a `transform: sql`"
        ));
    }
    let day = matches!(of, "date" | "datetime");
    let [first, second, _] = value
        .split_once(' ')
        .map_or(value, |(day, _)| day)
        .split(['.', '/'])
        .collect::<Vec<_>>()
        .try_into()
        .ok()?;
    (day && digits(first) && digits(second)).then(|| {
        let point = if value.contains('.') { '.' } else { '/' };
        format!("dates are read as `2026-12-31`: declare it as text, `types: {{{name}: string}}`, and write `strptime({name}, '%d{point}%m{point}%Y')` in a `transform: sql`")
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
        .hint(if *expected == 1 {
            format!(
                "is `{}` what stands between the fields of this file? Else write `delimiter`: `;`, `|` and `tab` are usual",
                config.delimiter
            )
        } else {
            format!(
                "a field that contains `{}` must stand in quotes; `rejects` leaves such records out",
                config.delimiter
            )
        }),
        Flaw::Unclosed { line } => TaskError::user(format!(
            "the quote that opens on line {line} of `{file}` is never closed"
        ))
        .hint("if quotes have no meaning in this file, write `quote: \"\"`"),
        Flaw::Nul { line } => TaskError::user(format!(
            "line {line} of `{file}` has a NUL byte among the names of the columns"
        ))
        .hint("the file is damaged or no CSV: have it written again; of UTF-16 say `encoding: utf-16`"),
        Flaw::TooLong { line } => TaskError::user(format!(
            "the record on line {line} of `{file}` is longer than {} MiB",
            LONGEST >> 20
        ))
        .hint("is it a CSV file, or a quote that is never closed? If quotes have no meaning in it, write `quote: \"\"`"),
    }
}
