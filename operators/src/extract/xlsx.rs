//! `extract: xlsx`: reads a sheet of a workbook.

mod book;
mod columns;
mod sheet;
mod xml;

use std::sync::Arc;

use indexmap::IndexMap;
use pipectl_engine::operator::{
    Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext, Takes,
    TaskContext, TaskError, ValueType,
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use self::{
    book::{Area, Book, Cell},
    columns::table,
};
use crate::support::{
    files::{Found, io_error},
    gather::{Gathering, Rules, SchemaRule},
    location::{Files, Wanted, check_read, open_files, probe_place},
    settings::ColumnType,
    spill::Reading,
    text::{count, hint_for_name},
};

/// `extract: xlsx`.
pub(crate) struct Xlsx;

/// Which workbook, and where in it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project, or `connection://key`, or `s3://bucket/key` (also `gs://`, `az://`); `*` stands for
    /// any name, `**` for any directories. `https://host/key` is one file of a web server. Several files become one table, in
    /// the order of their paths.
    path: String,
    /// The connection that the path is below, when it is not the project: a bucket, or a directory that is used like one.
    connection: Option<ConnectionName>,
    /// The sheet, by its name or by its number from 1; the first one when it is left out.
    sheet: Option<Sheet>,
    /// The part of the sheet to read, as in `B3:F200` or, for all rows from the third on, `B3:F`.
    range: Option<String>,
    /// Whether the first row names the columns; else they are called by their letters.
    #[serde(default = "yes")]
    header: bool,
    /// Texts that stand for a missing value, besides an empty cell.
    #[serde(default)]
    null_values: Vec<String>,
    /// The columns to keep, in this order; all when it is left out.
    #[serde(default)]
    columns: Vec<String>,
    /// The types of columns. The others have that of their cells, and are text where cells differ.
    #[serde(default)]
    types: IndexMap<String, ColumnType>,
    /// What the columns of several files have to do with each other.
    #[serde(default)]
    schema: SchemaRule,
    /// Whether directories like `day=2026-03-01` in the files' paths become columns. When it is left out, those that
    /// wildcards of `path` stand for.
    hive: Option<bool>,
    /// A column that gets the path of the file that each row comes from.
    file_column: Option<String>,
}

/// A sheet, by name or number.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Sheet {
    /// Its number, from 1.
    Number(usize),
    /// Its name.
    Name(String),
}

fn yes() -> bool {
    true
}

impl Config {
    fn rules(&self) -> Rules {
        Rules {
            columns: self.columns.clone(),
            schema: self.schema,
            file_column: self.file_column.clone(),
        }
    }

    fn area(&self) -> Option<Area> {
        self.range.as_deref().map_or(Some(Area::ALL), Area::read)
    }
}

impl Operator for Xlsx {
    type Config = Config;
    const KIND: Kind = Kind::Extract;
    const NAME: &'static str = "xlsx";
    const SUMMARY: &'static str = "Reads a sheet of a workbook.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table().value("files", ValueType::Integer, "how many files were read")
    }

    fn check(config: &Config, found: &mut Complaints) {
        check_read(&config.path, found);
        if config.area().is_none() {
            found
                .error(&["range"], "this is no part of a sheet")
                .hint("write `B3:F200`, or `B3:F` for all rows from the third on");
        }
        if matches!(config.sheet, Some(Sheet::Number(0))) {
            found.error(&["sheet"], "sheets count from 1");
        }
        config.rules().check(found);
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        probe_place(config.connection.as_ref(), &config.path, context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let wanted = Wanted {
            connection: config.connection.as_ref(),
            path: &config.path,
            hive: config.hive,
            condition: None,
        };
        let files = open_files(context, wanted).await?;
        let inner = context.clone();
        context
            .compute(move || read(&inner, &config, &files).map(Outcome::Done))
            .await
    }
}

fn read(context: &TaskContext, config: &Config, files: &Files) -> Result<Output, TaskError> {
    let mut gathering = Gathering::new(config.rules());
    let total = files.found.len();
    for (index, (file, partitions)) in files.found.iter().enumerate() {
        let frame = of_file(config, file)?;
        let rows = count(frame.height() as u64, "row");
        context.log.info(format!("{}: {rows}", file.shown));
        let schema = frame.schema().clone();
        gathering.add(&file.shown, frame.lazy(), schema, partitions.clone())?;
        context.progress.set(index as u64 + 1, Some(total as u64));
    }
    let reading = Reading {
        plan: gathering.finish()?,
        // A sheet has a million rows at most, and was read as a whole.
        large: false,
        kept: Arc::new(()),
        explain: None,
    };
    let table = reading.table(context, &format!("read `{}`", config.path))?;
    Ok(Output::table(table).value("files", total))
}

fn of_file(config: &Config, file: &Found) -> Result<DataFrame, TaskError> {
    let unread = |error: std::io::Error| {
        match error.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => {
            TaskError::user(format!("`{}` is no workbook that can be read", file.shown))
                .because(error)
                .hint("is it an .xlsx file, and was it written to its end? An .xls file has to be saved anew as .xlsx")
        }
        _ => io_error("read", &file.shown, error),
    }
    };
    let book = Book::open(&file.path).map_err(unread)?;
    let names: Vec<&str> = book.sheets().collect();
    let known = |wrong: &str| hint_for_name(wrong, "its sheets are", names.iter().copied());
    let sheet = match &config.sheet {
        None => 0,
        Some(Sheet::Number(number)) if (1..=names.len()).contains(number) => number - 1,
        Some(Sheet::Number(number)) => {
            let message = format!("`{}` has no sheet {number}", file.shown);
            return Err(TaskError::user(message).hint(known("")));
        }
        Some(Sheet::Name(name)) => {
            let Some(sheet) = names.iter().position(|own| own == name) else {
                let message = format!("`{}` has no sheet `{name}`", file.shown);
                return Err(TaskError::user(message).hint(known(name)));
            };
            sheet
        }
    };
    let area = config.area().unwrap_or(Area::ALL);
    let rows = book.rows(sheet, area).map_err(unread)?;
    let name = names.get(sheet).copied().unwrap_or_default();
    let shown = format!("sheet `{name}` of `{}`", file.shown);
    table(config, &shown, area, rows)
}

#[cfg(test)]
mod tests;
