//! One file: how it is written, which columns it has, and its rows.

use std::{
    collections::HashSet,
    fs::File,
    io::Read as _,
    ops::ControlFlow,
    sync::{Arc, OnceLock},
};

use encoding_rs::{UTF_8, WINDOWS_1252};
use pipectl_engine::operator::{Fault, TaskContext, TaskError};
use polars::prelude::*;

use super::{
    Config,
    flaws::{describe, explained},
    one_byte,
};
use crate::support::{
    csv::{Dialect, Failure, Flaw, Guesses, Layout, Reader, Writing, cells, each_record},
    files::{Found, io_error},
    frame::polars_error,
    partitions::Partitions,
    plain::{Plain, decoded, marked, unpacked},
    text::{count, hint_for_name, list, thousands},
};

/// How much of a file is looked at for UTF-16.
const UTF_16_SAMPLE: usize = 1_024;

/// A file that is ready to be read: unpacked, and UTF-8.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) plain: Plain,
    pub(super) partitions: Partitions,
    pub(super) layout: Layout,
    /// What reads it, once its columns are known.
    reader: OnceLock<Arc<Reader>>,
    /// Columns that are text because of a few of their values.
    doubts: OnceLock<Vec<String>>,
    /// What a person should know of how it was decoded.
    pub(super) guessed: Option<String>,
}

/// A file's rows.
pub(super) struct Table {
    pub(super) plan: LazyFrame,
    pub(super) schema: SchemaRef,
    pub(super) rows: u64,
}

/// How the settings say that files are written.
pub(super) fn dialect(config: &Config) -> Dialect {
    Dialect {
        delimiter: one_byte(&config.delimiter).unwrap_or(b','),
        quote: one_byte(&config.quote),
    }
}

/// Makes a file ready to be read; an archive may hold several.
pub(super) fn prepared(
    context: &TaskContext,
    config: &Config,
    found: &Found,
    partitions: &Partitions,
) -> Result<Vec<Source>, TaskError> {
    let ready = |plain| {
        let (plain, layout, guessed) = inspected(context, config, plain)?;
        let mut source = Source::new(plain, partitions.clone(), layout);
        source.guessed = guessed;
        Ok(source)
    };
    unpacked(context, found.clone(), config.max_unpacked)?
        .into_iter()
        .map(ready)
        .collect()
}

/// Looks at a file from beginning to end.
pub(super) fn layout(
    context: &TaskContext,
    config: &Config,
    plain: &Plain,
) -> Result<Result<Layout, Flaw>, TaskError> {
    let stopped = || context.cancel.is_cancelled();
    Layout::of(&plain.file.path, dialect(config), config.header, &stopped)
        .map_err(|error| io_error("read", &plain.file.shown, error))
}

fn inspected(
    context: &TaskContext,
    config: &Config,
    mut plain: Plain,
) -> Result<(Plain, Layout, Option<String>), TaskError> {
    let told = config.told_encoding();
    let encoding = marked(&plain.file)?.or(told).unwrap_or(UTF_8);
    if encoding == UTF_8 {
        unmarked_utf_16(&plain)?;
    } else {
        plain = decoded(context, &plain, encoding)?;
    }
    let mut seen = layout(context, config, &plain)?;
    let mut guessed = None;
    if let Err(Flaw::Encoding { line, byte, found }) = seen
        && encoding == UTF_8
        && config.encoding == "auto"
    {
        let place = format!("line {line}, byte {byte}: 0x{found:02X}");
        guessed = Some(format!(
            "`{}` is not UTF-8 ({place}) and was read as Windows-1252: write `encoding: windows-1252` if that is right, \
             else what it is, as in `encoding: shift_jis`",
            plain.file.shown
        ));
        plain = decoded(context, &plain, WINDOWS_1252).map_err(|mut error| match error.fault {
            Fault::User => {
                error.message = format!("{}, and not UTF-8 either ({place})", error.message);
                error.hint("say what it is by `encoding`, as in `encoding: shift_jis`")
            }
            // It was stopped, or there was no room.
            _ => error,
        })?;
        seen = layout(context, config, &plain)?;
    }
    let layout = seen.map_err(|flaw| describe(&flaw, &plain.file.shown, config))?;
    if layout.fields == 0 {
        return Err(
            TaskError::user(format!("`{}` is empty", plain.file.shown)).hint(if config.header {
                "a table without rows still needs its header line"
            } else {
                "a table without rows and header has no columns"
            }),
        );
    }
    if let Some(other) = other_delimiter(&layout, config) {
        let (header, shown) = (String::from_utf8_lossy(&layout.first), &plain.file.shown);
        return Err(TaskError::user(format!(
            "`{shown}` has one column, called `{}`",
            header.trim_end()
        ))
        .hint(format!(
            "say `delimiter: {other}`; if it is one column, name it in `columns`"
        )));
    }
    if layout.fields > config.max_columns {
        return Err(TaskError::user(format!(
            "`{}` has {}, and {} are allowed",
            plain.file.shown,
            count(layout.fields as u64, "column"),
            thousands(config.max_columns as u64)
        ))
        .hint("raise `max_columns`; or is the `delimiter` or `quote` another one?"));
    }
    if layout.records == 0 && layout.first.trim_ascii_end().contains(&b'\r') {
        return Err(TaskError::user(format!(
            "the lines of `{}` end with a carriage return alone",
            plain.file.shown
        ))
        .hint("write them anew with line feeds, as in `tr '\\r' '\\n' < old.csv > new.csv`"));
    }
    Ok((plain, layout, guessed))
}

/// Text in UTF-16 has a NUL in every second place, as long as it is mostly of Latin letters; nothing else has.
///
/// # Errors
/// When the file is such a text and has no mark that says so.
fn unmarked_utf_16(plain: &Plain) -> Result<(), TaskError> {
    let file = &plain.file;
    let mut start = Vec::with_capacity(UTF_16_SAMPLE);
    File::open(&file.path)
        .and_then(|content| content.take(UTF_16_SAMPLE as u64).read_to_end(&mut start))
        .map_err(|error| io_error("read", &file.shown, error))?;
    let pairs = start.len() / 2;
    let nuls = |place: usize| {
        let bytes = start.iter().skip(place).step_by(2);
        bytes.filter(|byte| **byte == 0).count()
    };
    let mostly = |place: usize, other: usize| {
        pairs > 1 && nuls(place) * 4 >= pairs * 3 && nuls(other) * 10 <= pairs
    };
    let encoding = if mostly(1, 0) {
        "utf-16le"
    } else if mostly(0, 1) {
        "utf-16be"
    } else {
        return Ok(());
    };
    Err(TaskError::user(format!(
        "`{}` looks like UTF-16 without a mark at its beginning: every second byte is NUL",
        file.shown
    ))
    .hint(format!("say `encoding: {encoding}`")))
}

/// What stands between the names of a header that would be one name otherwise, as a setting says it.
fn other_delimiter(layout: &Layout, config: &Config) -> Option<&'static str> {
    let one = config.header && layout.fields == 1;
    if !one || !config.columns.is_empty() || !config.types.is_empty() {
        return None;
    }
    let others = [
        (b';', "\";\""),
        (b'\t', "tab"),
        (b'|', "\"|\""),
        (b',', "\",\""),
    ];
    let found = others.iter().find(|(byte, _)| layout.first.contains(byte));
    found.map(|(_, setting)| *setting)
}

impl Source {
    pub(super) fn new(plain: Plain, partitions: Partitions, layout: Layout) -> Self {
        Self {
            plain,
            partitions,
            layout,
            reader: OnceLock::new(),
            doubts: OnceLock::new(),
            guessed: None,
        }
    }

    /// How to speak of it.
    pub(super) fn shown(&self) -> &str {
        &self.plain.file.shown
    }

    /// What a person should know of how its columns were taken.
    pub(super) fn doubts(&self) -> &[String] {
        self.doubts.get().map_or(&[], Vec::as_slice)
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.plain.file.size
    }

    /// Its rows; `earlier` are the columns of the files before it. Those of a `large` table are read when its plan is run.
    pub(super) fn table(
        &self,
        config: &Config,
        earlier: Option<&SchemaRef>,
        large: bool,
    ) -> Result<Table, TaskError> {
        let names = self.names(config)?;
        let declared = self.declared(config, &names, earlier)?;
        let types = Arc::new(self.types(config, &names, &declared, config.dates)?);
        let writing = Writing {
            dialect: dialect(config),
            missing: config.null_values.clone(),
            decimal_comma: config.decimal_comma,
        };
        let reader = Reader::new(&self.plain.file.path, &self.layout, writing, types.clone());
        let reader = Arc::clone(self.reader.get_or_init(|| Arc::new(reader)));
        let plan = if large {
            let fail = |error| polars_error(&format!("read `{}`", self.shown()), &error);
            reader.plan().map_err(fail)?
        } else {
            let fail = |failure: Failure| explained(&failure, self, &types, config);
            reader.frame().map_err(fail)?.lazy()
        };
        Ok(Table {
            plan,
            schema: types,
            rows: self.layout.records,
        })
    }

    /// Why its rows cannot be read.
    pub(super) fn blamed(&self, config: &Config) -> Option<TaskError> {
        let reader = self.reader.get()?;
        let failure = reader.first_failure()?;
        Some(explained(&failure, self, reader.types(), config))
    }

    /// The types of its columns: those that are declared, else those that its first records look like.
    pub(super) fn types(
        &self,
        config: &Config,
        names: &[String],
        declared: &Schema,
        dates: bool,
    ) -> Result<Schema, TaskError> {
        let (missing, comma) = (config.null_values.clone(), config.decimal_comma);
        let mut guesses = Guesses::new(names.len(), missing, comma);
        let mut left = match config.infer_rows {
            0 => usize::MAX,
            rows => rows,
        };
        let mut header = config.header;
        let all_known = names.iter().all(|name| declared.contains(name));
        let look = |record: crate::support::csv::Line<'_>| {
            if std::mem::take(&mut header) {
                return Ok(ControlFlow::Continue(()));
            }
            // Those that are ragged are for the reader to speak of.
            if record.fields == names.len() {
                guesses.see(&cells(record.text, dialect(config)));
                left -= 1;
            }
            Ok(if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        };
        if !all_known {
            each_record(&self.plain.file.path, dialect(config), look)
                .map_err(|error| io_error("read", self.shown(), error))?;
        }
        let doubts = names.iter().zip(guesses.doubts(dates));
        let doubts = doubts.filter(|(name, _)| !declared.contains(name));
        let doubts = doubts.filter_map(|(name, doubt)| Some(doubt?.told(name)));
        // They are the same each time.
        let _set = self.doubts.set(doubts.collect());
        let types = names.iter().zip(guesses.types(dates));
        let types = types.map(|(name, guessed)| {
            let of = declared.get(name).cloned().unwrap_or(guessed);
            Field::new(name.as_str().into(), of)
        });
        Ok(types.collect())
    }

    /// The names of the columns, as the file has them.
    pub(super) fn names(&self, config: &Config) -> Result<Vec<String>, TaskError> {
        if !config.header {
            let names = (1..=self.layout.fields).map(|number| format!("column_{number}"));
            return Ok(names.collect());
        }
        let header = cells(&self.layout.first, dialect(config));
        let names: Vec<String> = header
            .into_iter()
            .map(|cell| cell.text.into_owned())
            .collect();
        let mut seen = HashSet::with_capacity(names.len());
        for name in &names {
            if !seen.insert(name) {
                return Err(TaskError::user(format!(
                    "`{}` has two columns called `{name}`",
                    self.shown()
                ))
                .hint("give them different names in the header line"));
            }
        }
        Ok(names)
    }

    /// The types that are known before the file is read. Also sees that all columns that are spoken of are there.
    pub(super) fn declared(
        &self,
        config: &Config,
        names: &[String],
        earlier: Option<&SchemaRef>,
    ) -> Result<Schema, TaskError> {
        let spoken_of = config.types.keys().chain(&config.columns);
        let optional = config.schema == crate::support::gather::SchemaRule::Union;
        let own = self.partitions.types().map(|(name, _)| name.to_string());
        let own: Vec<String> = own.chain(config.file_column.clone()).collect();
        for name in spoken_of.filter(|name| !optional && !own.contains(name)) {
            if !names.contains(name) {
                let known = names.iter().map(String::as_str);
                return Err(
                    TaskError::user(format!("`{}` has no column `{name}`", self.shown()))
                        .hint(hint_for_name(name, "its columns are", known)),
                );
            }
        }
        let mut types = Schema::default();
        if let Some(schema) = earlier {
            let own: HashSet<&str> = names.iter().map(String::as_str).collect();
            self.lacks(&own, schema)?;
            let known = schema
                .iter()
                .filter(|(name, _)| own.contains(name.as_str()));
            types = known.map(|(name, of)| (name.clone(), of.clone())).collect();
        }
        for (name, of) in config.types.iter().filter(|(name, _)| names.contains(name)) {
            types.insert(name.into(), of.polars());
        }
        Ok(types)
    }

    fn lacks(&self, names: &HashSet<&str>, schema: &Schema) -> Result<(), TaskError> {
        let missing = schema
            .iter_names()
            .map(PlSmallStr::as_str)
            .filter(|name| !names.contains(name));
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(TaskError::user(format!(
            "`{}` lacks columns of the files before it: {}",
            self.shown(),
            list(missing)
        ))
        .hint("files that become one table have the same columns; `schema: union` leaves missing ones empty"))
    }
}
