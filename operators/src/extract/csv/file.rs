//! One file: how it is written, which columns it has, and its rows.

use std::{
    fs::File,
    io::{Cursor, Read as _},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use encoding_rs::{UTF_8, WINDOWS_1252};
use pipectl_engine::operator::{TaskContext, TaskError};
use polars::prelude::*;

use super::{
    Config,
    dates::{parsed, recognised},
    flaws::{changed_type, describe},
    one_byte,
};
use crate::support::{
    csv::{Dialect, Flaw, Record, Shape, inspect_file, without_mark},
    files::{Found, io_error},
    frame::polars_error,
    partitions::Partitions,
    plain::{Plain, decoded, marked, unpacked},
    text::{hint_for_name, list},
};

/// How much of a large file is looked at to find the types of its columns, at most.
const SAMPLE: usize = 32 << 20;

/// A file that is ready to be read: unpacked, UTF-8, all records of the same number of fields.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) plain: Plain,
    pub(super) partitions: Partitions,
    pub(super) shape: Shape,
    /// The types of its columns, once they are known.
    pub(super) types: OnceLock<SchemaRef>,
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
        let (plain, shape) = inspected(context, config, plain)?;
        Ok(Source {
            plain,
            partitions: partitions.clone(),
            shape,
            types: OnceLock::new(),
        })
    };
    unpacked(context, found.clone())?
        .into_iter()
        .map(ready)
        .collect()
}

fn inspected(
    context: &TaskContext,
    config: &Config,
    mut plain: Plain,
) -> Result<(Plain, Shape), TaskError> {
    let told = config.told_encoding();
    let encoding = marked(&plain.file)?.or(told).unwrap_or(UTF_8);
    if encoding != UTF_8 {
        plain = decoded(context, &plain, encoding)?;
    }
    let look = |plain: &Plain| {
        let stopped = || context.cancel.is_cancelled();
        inspect_file(&plain.file.path, dialect(config), &stopped)
            .map_err(|error| io_error("read", &plain.file.shown, error))
    };
    let mut seen = look(&plain)?;
    if let Err(Flaw::Encoding { line, .. }) = seen
        && encoding == UTF_8
        && config.encoding == "auto"
    {
        let shown = &plain.file.shown;
        context.log.warn(format!(
            "{shown}: line {line} is not UTF-8, so it is read as Windows-1252; `encoding` would say it for certain"
        ));
        plain = decoded(context, &plain, WINDOWS_1252)?;
        seen = look(&plain)?;
    }
    let shape = match seen {
        Ok(shape) => shape,
        // What is ragged is sifted out later.
        Err(Flaw::Ragged { .. }) if config.rejects.is_some() => Shape {
            records: u64::MAX,
            quotes: true,
            ..Shape::default()
        },
        Err(flaw) => return Err(describe(&flaw, &plain.file.shown, config)),
    };
    if shape.records == 0 {
        return Err(
            TaskError::user(format!("`{}` is empty", plain.file.shown)).hint(if config.header {
                "a table without rows still needs its header line"
            } else {
                "a table without rows and header has no columns"
            }),
        );
    }
    Ok((plain, shape))
}

impl Source {
    /// How to speak of it.
    pub(super) fn shown(&self) -> &str {
        &self.plain.file.shown
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.plain.file.size
    }

    /// Its rows; `earlier` are the columns of the files before it.
    pub(super) fn table(
        &self,
        config: &Config,
        earlier: Option<&SchemaRef>,
        large: bool,
    ) -> Result<Table, TaskError> {
        if large {
            self.plan(config, earlier)
        } else {
            self.frame(config, earlier)
        }
    }

    /// Its rows in memory.
    fn frame(&self, config: &Config, earlier: Option<&SchemaRef>) -> Result<Table, TaskError> {
        let content = std::fs::read(&self.plain.file.path)
            .map_err(|error| io_error("read", self.shown(), error))?;
        let mark = content.len() - without_mark(&content).len();
        let frame = self.read(&Bytes::from(content).slice(mark..), config, earlier)?;
        Ok(Table {
            rows: frame.height() as u64,
            schema: frame.schema().clone(),
            plan: frame.lazy(),
        })
    }

    fn read(
        &self,
        body: &Bytes,
        config: &Config,
        earlier: Option<&SchemaRef>,
    ) -> Result<DataFrame, TaskError> {
        let names = self.header(body, config)?;
        let types = self.declared(config, &names, earlier)?;
        let frame = options(config, &types)
            .into_reader_with_file_handle(Cursor::new(body.clone()))
            .finish()
            .map_err(|error| changed_type(self, body, config, &types, &error))?;
        let frame = recognised(frame, &types, config, self)?;
        self.types.get_or_init(|| frame.schema().clone());
        Ok(frame)
    }

    /// Its rows as a plan, with the types that a sample has.
    fn plan(&self, config: &Config, earlier: Option<&SchemaRef>) -> Result<Table, TaskError> {
        let sample = self.read(&self.sample(config)?, config, earlier)?;
        let schema = sample.schema().clone();
        let fail = |error: PolarsError| polars_error(&format!("read `{}`", self.shown()), &error);
        let path = PlRefPath::try_from_path(&self.plain.file.path).map_err(fail)?;
        let plain = Arc::new(as_read(&schema));
        let read = options(config, &Schema::default());
        let quote = dialect(config).quote.filter(|_| self.shape.quotes);
        let plan = LazyCsvReader::new(path)
            .with_glob(false)
            .with_rechunk(false)
            .with_has_header(read.has_header)
            .map_parse_options(|_| read.parse_options.as_ref().clone().with_quote_char(quote))
            .with_schema(Some(plain))
            .finish()
            .map_err(fail)?;
        let dates: Vec<Expr> = schema
            .iter()
            .filter(|(_, of)| of.is_temporal())
            .map(|(name, of)| parsed(name, of))
            .collect();
        let plan = if dates.is_empty() {
            plan
        } else {
            plan.with_columns(dates)
        };
        Ok(Table {
            plan,
            schema,
            rows: self.shape.records - u64::from(config.header),
        })
    }

    /// The first records.
    fn sample(&self, config: &Config) -> Result<Bytes, TaskError> {
        let fail = |error| io_error("read", self.shown(), error);
        let file = File::open(&self.plain.file.path).map_err(fail)?;
        let mut content = Vec::new();
        let most = if config.infer_rows == 0 {
            u64::MAX
        } else {
            SAMPLE as u64
        };
        file.take(most).read_to_end(&mut content).map_err(fail)?;
        let body = without_mark(&content);
        let mark = content.len() - body.len();
        let (mut end, mut records, mut line) = (0, 0, 1);
        while end < body.len() && (config.infer_rows == 0 || records <= config.infer_rows) {
            match Record::read(body, end, line, dialect(config)) {
                Ok(record) if !record.open || self.size() <= most => {
                    (end, line) = (record.next, line + record.lines);
                    records += 1;
                }
                _ => break,
            }
        }
        Ok(Bytes::from(content).slice(mark..mark + end))
    }

    /// The names of the columns, as the file has them.
    pub(super) fn header(&self, body: &Bytes, config: &Config) -> Result<Vec<String>, TaskError> {
        let fail = |error: PolarsError| {
            polars_error(
                &format!("read the first line of `{}`", self.shown()),
                &error,
            )
        };
        let row = options(config, &Schema::default())
            .with_has_header(false)
            .with_n_rows(Some(1))
            .map_parse_options(|parse| parse.with_null_values(None))
            .with_infer_schema_length(Some(0))
            .into_reader_with_file_handle(Cursor::new(body.clone()))
            .finish()
            .map_err(fail)?;
        if !config.header {
            let names = row.get_column_names().into_iter();
            return Ok(names.map(ToString::to_string).collect());
        }
        let name = |column: &Column| {
            let text = column.str()?.get(0).unwrap_or_default();
            Ok(text.trim_end_matches('\r').to_owned())
        };
        let names: PolarsResult<Vec<String>> = row.columns().iter().map(name).collect();
        let names = names.map_err(fail)?;
        for (index, name) in names.iter().enumerate() {
            if names.iter().take(index).any(|other| other == name) {
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
            self.lacks(names, schema)?;
            let known = schema
                .iter()
                .filter(|(name, _)| names.iter().any(|own| own == name.as_str()));
            types = known.map(|(name, of)| (name.clone(), of.clone())).collect();
        }
        for (name, of) in config.types.iter().filter(|(name, _)| names.contains(name)) {
            types.insert(name.into(), of.polars());
        }
        Ok(types)
    }

    fn lacks(&self, names: &[String], schema: &Schema) -> Result<(), TaskError> {
        let missing = schema
            .iter_names()
            .map(PlSmallStr::as_str)
            .filter(|name| !names.iter().any(|have| have == name));
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

/// The types as which columns are read: dates and times as text, which is looked at afterwards.
pub(super) fn as_read(types: &Schema) -> Schema {
    let read = types.iter().map(|(name, of)| {
        let of = if of.is_temporal() {
            DataType::String
        } else {
            of.clone()
        };
        (name.clone(), of)
    });
    read.collect()
}

/// How polars is to read.
pub(super) fn options(config: &Config, types: &Schema) -> CsvReadOptions {
    let dialect = dialect(config);
    let missing = config
        .null_values
        .iter()
        .map(|value| PlSmallStr::from_str(value));
    let missing: Vec<_> = missing.collect();
    let parse = CsvParseOptions::default()
        .with_separator(dialect.delimiter)
        .with_quote_char(dialect.quote)
        .with_decimal_comma(config.decimal_comma)
        .with_null_values((!missing.is_empty()).then_some(NullValues::AllColumns(missing)));
    CsvReadOptions::default()
        .with_parse_options(parse)
        .with_has_header(config.header)
        .with_infer_schema_length((config.infer_rows > 0).then_some(config.infer_rows))
        .with_schema_overwrite(Some(Arc::new(as_read(types))))
        .with_rechunk(true)
}
