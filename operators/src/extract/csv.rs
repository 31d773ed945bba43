//! `extract: csv`: reads text files with separated values.

mod file;
mod flaws;
mod rejects;

use std::sync::Arc;

use encoding_rs::Encoding;
use indexmap::IndexMap;
use pipectl_engine::{
    dataset::Explain,
    operator::{
        Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext,
        SizeText, Takes, TaskContext, TaskError, ValueType,
    },
};
use polars::error::PolarsError;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use self::{
    file::{Source, Table, prepared},
    rejects::{Rejected, Rejects},
};
use crate::support::{
    csv::Failure,
    gather::{Gathering, Rules, SchemaRule},
    location::{Files, Wanted, check_read, open_files, probe_place},
    settings::ColumnType,
    spill::{LARGE, Reading},
    text::{count, list},
};

/// `extract: csv`.
pub(crate) struct Csv;

/// Which files, and how they are written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project, or `connection://key`, or `s3://bucket/key` (also `gs://`, `az://`); `*` stands for
    /// any name, `**` for any directories. `https://host/key` is one file of a web server. Several files become one table, in
    /// the order of their paths. What is packed (gzip, zstd, zip) is unpacked.
    pub(crate) path: String,
    /// The connection that the path is below, when it is not the project: a bucket, or a directory that is used like one.
    pub(crate) connection: Option<ConnectionName>,
    /// What stands between fields: one character, or `tab`.
    #[serde(default = "comma")]
    pub(crate) delimiter: String,
    /// What stands around a field that contains delimiters; an empty text if nothing does.
    #[serde(default = "quote")]
    pub(crate) quote: String,
    /// Whether the first line names the columns; else they are called `column_1`, `column_2`, ….
    #[serde(default = "yes")]
    pub(crate) header: bool,
    /// What stands for a missing value, besides an empty field.
    #[serde(default)]
    pub(crate) null_values: Vec<String>,
    /// Whether numbers are written with a comma, as in `3,14`.
    #[serde(default)]
    pub(crate) decimal_comma: bool,
    /// The columns to keep, in this order; all when it is left out.
    #[serde(default)]
    pub(crate) columns: Vec<String>,
    /// The types of columns; those of the others are taken from the first rows. Digits with zeros before them (`01234`), or too
    /// many for 64 bits, are text.
    #[serde(default)]
    pub(crate) types: IndexMap<String, ColumnType>,
    /// How many rows decide about the types that are not declared; 0 stands for all.
    #[serde(default = "infer_rows")]
    pub(crate) infer_rows: usize,
    /// Whether columns of texts like `2026-03-01` and `2026-03-01T12:00:00Z` become dates and times; other forms of
    /// dates stay text.
    #[serde(default = "yes")]
    pub(crate) dates: bool,
    /// How the text is encoded: `auto`, `utf-8`, `utf-16`, `windows-1252` (the same as `latin1`) or another name of
    /// <https://encoding.spec.whatwg.org>. `auto` goes by the mark at the beginning of the file; without one it is
    /// UTF-8, and Windows-1252 when that is impossible, which a warning tells.
    #[serde(default = "auto")]
    pub(crate) encoding: String,
    /// What the columns of several files have to do with each other.
    #[serde(default)]
    pub(crate) schema: SchemaRule,
    /// Whether directories like `day=2026-03-01` in the files' paths become columns. When it is left out, those that
    /// wildcards of `path` stand for.
    pub(crate) hive: Option<bool>,
    /// A column that gets the path of the file that each row comes from.
    pub(crate) file_column: Option<String>,
    /// How much may be in a packed file, as in `20GiB`. When it is left out: two hundred times its size, and 1 GiB at the
    /// least.
    pub(crate) max_unpacked: Option<SizeText>,
    /// How many columns a file may have: with more of them it is most often something else, or the delimiter is another one.
    #[serde(default = "max_columns")]
    pub(crate) max_columns: usize,
    /// Leaves out records with too few or too many fields, and those with a value that is not of its column's type. They
    /// are kept beside the run as `rejects.csv`, and a warning says how many. Without this the first one is an error.
    pub(crate) rejects: Option<Rejects>,
}

fn comma() -> String {
    ",".to_owned()
}

fn quote() -> String {
    "\"".to_owned()
}

fn auto() -> String {
    "auto".to_owned()
}

fn yes() -> bool {
    true
}

fn max_columns() -> usize {
    50_000
}

fn infer_rows() -> usize {
    10_000
}

impl Config {
    fn rules(&self) -> Rules {
        Rules {
            columns: self.columns.clone(),
            schema: self.schema,
            file_column: self.file_column.clone(),
        }
    }

    /// The encoding, when it is told.
    fn told_encoding(&self) -> Option<&'static Encoding> {
        match &*self.encoding {
            "auto" => None,
            "utf-16" => Some(encoding_rs::UTF_16LE),
            label => Encoding::for_label(label.as_bytes()),
        }
    }
}

impl Operator for Csv {
    type Config = Config;
    const KIND: Kind = Kind::Extract;
    const NAME: &'static str = "csv";
    const SUMMARY: &'static str = "Reads text files with separated values.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
            .value("files", ValueType::Integer, "how many files were read")
            .value(
                "rejected",
                ValueType::Integer,
                "how many records were left out",
            )
    }

    fn check(config: &Config, found: &mut Complaints) {
        check_read(&config.path, found);
        if one_byte(&config.delimiter).is_none() {
            found
                .error(&["delimiter"], "the delimiter is one ASCII character")
                .hint("write `;`, `|` or `tab`");
        }
        if !config.quote.is_empty() && one_byte(&config.quote).is_none() {
            found
                .error(&["quote"], "the quote is one ASCII character")
                .hint("write an empty text if there is none");
        }
        if config.decimal_comma && config.delimiter == "," {
            found
                .error(
                    &["decimal_comma"],
                    "a comma cannot stand in numbers and between fields",
                )
                .hint("such files have `delimiter: \";\"` most often");
        }
        if config.encoding != "auto" && config.told_encoding().is_none() {
            found
                .error(&["encoding"], "this is no encoding")
                .hint("write `auto`, `utf-8`, `utf-16` or `windows-1252`");
        }
        for name in config
            .types
            .keys()
            .filter(|name| !config.columns.is_empty() && !config.columns.contains(name))
        {
            found.warning(
                &["types", name],
                format!("`{name}` is not among the columns that are kept"),
            );
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
            .compute(move || read(&inner, &Arc::new(config), &files).map(Outcome::Done))
            .await
    }
}

fn one_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && *byte != b'\n' => Some(*byte),
        _ if text == "tab" => Some(b'\t'),
        _ => None,
    }
}

fn read(context: &TaskContext, config: &Arc<Config>, files: &Files) -> Result<Output, TaskError> {
    let sources: Vec<Result<Vec<Source>, TaskError>> = files
        .found
        .par_iter()
        .map(|(found, partitions)| prepared(context, config, found, partitions))
        .collect();
    let mut all = Vec::with_capacity(sources.len());
    for of_file in sources {
        all.extend(of_file?);
    }
    let large = all.iter().map(Source::size).sum::<u64>() >= LARGE;
    let count_of_files = all.len();
    let (table, all, rejected) = gathered(context, config, all, large)?;
    let mut doubts = guessed_encodings(&all);
    doubts.extend_from_slice(all.first().map(Source::doubts).unwrap_or_default());
    doubts.extend(no_rows(config, &all)?);
    let all = Arc::new(all);
    let reading = Reading {
        plan: table,
        large,
        explain: Some(blame(config, &all)),
        kept: Arc::new((Arc::clone(&all), files.kept())),
    };
    let table = reading.table(context, &format!("read `{}`", config.path))?;
    let mut output = Output::table(table)
        .value("files", count_of_files)
        .value("rejected", rejected.count());
    if rejected.count() > 0 {
        let records = count(rejected.count(), "record");
        let were = if rejected.count() == 1 { "was" } else { "were" };
        output = output
            .warning(format!("{records} {were} left out: see `rejects.csv`"))
            .artifact(rejected.artifact());
    }
    Ok(doubts.into_iter().fold(output, Output::warning))
}

/// What a person should know of a table without rows: nothing says what its columns are.
fn no_rows(config: &Config, sources: &[Source]) -> Result<Option<String>, TaskError> {
    let [first, ..] = sources else {
        return Ok(None);
    };
    if sources.iter().any(|source| source.layout.records > 0) {
        return Ok(None);
    }
    let mut names = first.names(config)?;
    names.retain(|name| !config.types.contains_key(name));
    Ok((!names.is_empty()).then(|| {
        format!(
            "`{}` has no rows, so that {} {} text: `types` says what columns are",
            first.shown(),
            list(names.iter().map(String::as_str)),
            if names.len() == 1 { "is" } else { "are" }
        )
    }))
}

/// What a person should know of how files were decoded: of many only the first is told.
fn guessed_encodings(sources: &[Source]) -> Vec<String> {
    let mut guessed = sources.iter().filter_map(|source| source.guessed.as_ref());
    let Some(first) = guessed.next() else {
        return Vec::new();
    };
    let others = match guessed.count() as u64 {
        0 => String::new(),
        more => format!(
            "; so {} too",
            match more {
                1 => "is 1 file more".to_owned(),
                _ => format!("are {} more", count(more, "file")),
            }
        ),
    };
    vec![format!("{first}{others}")]
}

/// The plan of the table, and what it reads.
fn gathered(
    context: &TaskContext,
    config: &Config,
    sources: Vec<Source>,
    large: bool,
) -> Result<(polars::prelude::LazyFrame, Vec<Source>, Rejected), TaskError> {
    let mut gathering = Gathering::new(config.rules());
    let mut rejected = Rejected::new(config.rejects);
    let mut read = Vec::with_capacity(sources.len());
    let total = sources.len() as u64;
    let mut sources = sources.into_iter();
    let mut add = |source: Source, table: Table, gathering: &mut Gathering| {
        let rows = count(table.rows, "row");
        context.log.info(format!("{}: {rows}", source.shown()));
        gathering.add(
            source.shown(),
            table.plan,
            table.schema,
            source.partitions.clone(),
        )?;
        read.push(source);
        context.progress.set(read.len() as u64, Some(total));
        Ok::<(), TaskError>(())
    };
    if config.rejects.is_some() {
        for source in sources {
            let source = rejected.sifted(context, config, &source, gathering.expected())?;
            let table = source.table(config, gathering.expected(), large)?;
            add(source, table, &mut gathering)?;
        }
    } else {
        // The first file says what the others must have.
        if let Some(first) = sources.next() {
            let table = first.table(config, None, large)?;
            add(first, table, &mut gathering)?;
        }
        let expected = gathering.expected().cloned();
        let tables: Vec<(Source, Result<Table, TaskError>)> = sources
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|source| {
                let table = source.table(config, expected.as_ref(), large);
                (source, table)
            })
            .collect();
        for (source, table) in tables {
            add(source, table?, &mut gathering)?;
        }
    }
    Ok((gathering.finish()?, read, rejected))
}

/// Finds the field at which a plan fails.
fn blame(config: &Arc<Config>, sources: &Arc<Vec<Source>>) -> Explain {
    let (config, sources) = (Arc::clone(config), Arc::clone(sources));
    Arc::new(move |error: &PolarsError| {
        // Else there is nothing to be found in the files.
        if !Failure::is_behind(error) {
            return None;
        }
        let wrong = sources.iter().find_map(|source| source.blamed(&config));
        wrong.map(|wrong| Box::new(wrong) as _)
    })
}

#[cfg(test)]
mod tests;
