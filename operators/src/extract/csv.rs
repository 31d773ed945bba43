//! `extract: csv`: reads text files with separated values.

mod dates;
mod flaws;

use std::{io::Cursor, sync::Arc};

use bytes::Bytes;
use indexmap::IndexMap;
use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext,
        TaskError, ValueType,
    },
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use self::{
    dates::recognised,
    flaws::{changed_type, describe},
};
use crate::support::{
    csv::{Dialect, inspect, without_mark},
    files::{Found, io_error},
    frame::polars_error,
    location::open_files,
    settings::ColumnType,
    text::{count, hint_for_name, list},
};

/// `extract: csv`.
pub(crate) struct Csv;

/// Which files, and how they are written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project, or `connection://key`; `*` stands for any name, `**` for any directories.
    /// Several files with the same columns become one table, in the order of their paths.
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
    /// The columns to keep, in this order; all when it is left out.
    #[serde(default)]
    pub(crate) columns: Vec<String>,
    /// The types of columns; those of the others are taken from the first rows.
    #[serde(default)]
    pub(crate) types: IndexMap<String, ColumnType>,
    /// How many rows decide about the types that are not declared; 0 stands for all.
    #[serde(default = "infer_rows")]
    pub(crate) infer_rows: usize,
    /// Whether columns of texts like `2026-03-01` and `2026-03-01T12:00:00Z` become dates and times; other forms of
    /// dates stay text.
    #[serde(default = "yes")]
    pub(crate) dates: bool,
    /// How the text is encoded.
    #[serde(default)]
    pub(crate) encoding: Encoding,
}

/// How text is encoded.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(crate) enum Encoding {
    /// UTF-8, with or without a mark at its beginning.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
}

fn comma() -> String {
    ",".to_owned()
}

fn quote() -> String {
    "\"".to_owned()
}

fn yes() -> bool {
    true
}

fn infer_rows() -> usize {
    10_000
}

impl Operator for Csv {
    type Config = Config;
    const KIND: Kind = Kind::Extract;
    const NAME: &'static str = "csv";
    const SUMMARY: &'static str = "Reads text files with separated values.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table().value("files", ValueType::Integer, "how many files were read")
    }

    fn check(config: &Config, found: &mut Complaints) {
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
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let files = open_files(context, config.connection.as_ref(), &config.path).await?;
        let (log, progress) = (context.log.clone(), context.progress.clone());
        let count_of_files = files.found.len();
        let frame = context
            .compute(move || {
                let mut whole: Option<DataFrame> = None;
                for (index, file) in files.found.iter().enumerate() {
                    let frame = read(file, &config, whole.as_ref().map(DataFrame::schema))?;
                    log.info(format!(
                        "{}: {}",
                        file.shown,
                        count(frame.height() as u64, "row")
                    ));
                    whole = Some(match whole {
                        None => frame,
                        Some(before) => before
                            .vstack(&frame)
                            .map_err(|error| polars_error("join the files", &error))?,
                    });
                    progress.set(index as u64 + 1, Some(files.found.len() as u64));
                }
                whole.ok_or_else(|| TaskError::bug("no file was read"))
            })
            .await?;
        Ok(Outcome::Done(
            Output::table(Dataset::from_frame(frame)).value("files", count_of_files),
        ))
    }
}

fn one_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && *byte != b'\n' => Some(*byte),
        _ if text == "tab" => Some(b'\t'),
        _ => None,
    }
}

/// Reads one file; `earlier` are the columns of the files before it.
fn read(
    file: &Found,
    config: &Config,
    earlier: Option<&SchemaRef>,
) -> Result<DataFrame, TaskError> {
    let content =
        std::fs::read(&file.path).map_err(|error| io_error("read", &file.shown, error))?;
    let Encoding::Utf8 = config.encoding;
    let dialect = Dialect {
        delimiter: one_byte(&config.delimiter).unwrap_or(b','),
        quote: one_byte(&config.quote),
    };
    let shape = inspect(&content, dialect).map_err(|flaw| describe(&flaw, &file.shown, config))?;
    if shape.records == 0 {
        return Err(
            TaskError::user(format!("`{}` is empty", file.shown)).hint(if config.header {
                "a table without rows still needs its header line"
            } else {
                "a table without rows and header has no columns"
            }),
        );
    }
    let mark = content.len() - without_mark(&content).len();
    let body = Bytes::from(content).slice(mark..);
    let names = header(&body, config, dialect, file)?;
    let types = declared(config, &names, earlier, file)?;
    let frame = options(config, dialect, types.clone())
        .into_reader_with_file_handle(Cursor::new(body.clone()))
        .finish()
        .map_err(|error| changed_type(&body, config, dialect, types.clone(), file, &error))?;
    let frame = recognised(frame, &types, config, file)?;
    let wanted: Vec<_> = match (config.columns.is_empty(), earlier) {
        (false, _) => config
            .columns
            .iter()
            .map(|name| PlSmallStr::from_str(name))
            .collect(),
        (true, Some(schema)) => schema.iter_names().cloned().collect(),
        (true, None) => return Ok(frame),
    };
    frame
        .select(wanted)
        .map_err(|error| polars_error(&format!("read `{}`", file.shown), &error))
}

fn options(config: &Config, dialect: Dialect, types: Schema) -> CsvReadOptions {
    let parse = CsvParseOptions::default()
        .with_separator(dialect.delimiter)
        .with_quote_char(dialect.quote)
        .with_null_values((!config.null_values.is_empty()).then(|| {
            NullValues::AllColumns(
                config
                    .null_values
                    .iter()
                    .map(|value| PlSmallStr::from_str(value))
                    .collect(),
            )
        }));
    // Dates and times are read as text, and looked at afterwards.
    let types = types.into_iter().map(|(name, of)| {
        let of = if of.is_temporal() {
            DataType::String
        } else {
            of
        };
        (name, of)
    });
    CsvReadOptions::default()
        .with_parse_options(parse)
        .with_has_header(config.header)
        .with_infer_schema_length((config.infer_rows > 0).then_some(config.infer_rows))
        .with_schema_overwrite(Some(Arc::new(types.collect())))
        .with_rechunk(true)
}

/// The names of the columns, as the file has them.
fn header(
    body: &Bytes,
    config: &Config,
    dialect: Dialect,
    file: &Found,
) -> Result<Vec<String>, TaskError> {
    let fail = |error: PolarsError| {
        polars_error(&format!("read the first line of `{}`", file.shown), &error)
    };
    let options = options(config, dialect, Schema::default())
        .with_has_header(false)
        .with_n_rows(Some(1));
    let row = options
        .map_parse_options(|parse| parse.with_null_values(None))
        .with_infer_schema_length(Some(0))
        .into_reader_with_file_handle(Cursor::new(body.clone()))
        .finish()
        .map_err(fail)?;
    if !config.header {
        return Ok(row
            .get_column_names()
            .into_iter()
            .map(ToString::to_string)
            .collect());
    }
    let name = |column: &Column| {
        column.str().map(|text| {
            text.get(0)
                .unwrap_or_default()
                .trim_end_matches('\r')
                .to_owned()
        })
    };
    let names = row
        .columns()
        .iter()
        .map(name)
        .collect::<PolarsResult<Vec<_>>>()
        .map_err(fail)?;
    for (index, name) in names.iter().enumerate() {
        if names.iter().take(index).any(|other| other == name) {
            return Err(TaskError::user(format!(
                "`{}` has two columns called `{name}`",
                file.shown
            ))
            .hint("give them different names in the header line"));
        }
    }
    Ok(names)
}

/// The types that are known before the file is read. Also sees that all columns that are spoken of are there.
fn declared(
    config: &Config,
    names: &[String],
    earlier: Option<&SchemaRef>,
    file: &Found,
) -> Result<Schema, TaskError> {
    for name in config.types.keys().chain(&config.columns) {
        if !names.contains(name) {
            let known = names.iter().map(String::as_str);
            return Err(
                TaskError::user(format!("`{}` has no column `{name}`", file.shown))
                    .hint(hint_for_name(name, "its columns are", known)),
            );
        }
    }
    let mut types = Schema::default();
    if let Some(schema) = earlier {
        let missing = schema
            .iter_names()
            .filter(|name| !names.iter().any(|have| have == name.as_str()));
        let missing: Vec<_> = missing.map(PlSmallStr::as_str).collect();
        if !missing.is_empty() {
            return Err(TaskError::user(format!(
                "`{}` lacks columns of the files before it: {}",
                file.shown,
                list(missing)
            ))
            .hint("files that become one table have the same columns"));
        }
        if let Some(name) = names
            .iter()
            .find(|name| config.columns.is_empty() && !schema.contains(name))
        {
            return Err(TaskError::user(format!(
                "`{}` has a column `{name}` that the files before it lack",
                file.shown
            ))
            .hint("name the columns to keep under `columns`"));
        }
        types = schema.as_ref().clone();
    }
    for (name, of) in &config.types {
        types.insert(name.into(), of.polars());
    }
    Ok(types)
}

#[cfg(test)]
#[expect(clippy::too_many_lines, reason = "a table of cases is long")]
mod tests {
    use pipectl_engine::operator::{
        Fault,
        testing::{TestProject, complaints, frame},
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::support::settings::type_name;

    async fn extract(content: impl AsRef<[u8]>, settings: Value) -> Result<DataFrame, TaskError> {
        let project = TestProject::new();
        project.write("in/a.csv", content);
        let mut with = json!({"path": "in/a.csv"});
        with.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        Ok(frame(&project.run::<Csv>(with).await?))
    }

    fn types(frame: &DataFrame) -> Vec<String> {
        frame.dtypes().iter().map(type_name).collect()
    }

    #[tokio::test]
    async fn types_come_from_the_rows() {
        let text = "id,name,price,ok,day,at\n1,ada,1.5,true,2026-03-01,2026-03-01T12:00:00\n2,,2,false,2026-03-02,2026-03-02T12:00:00\n";
        let table = extract(text, json!({})).await.unwrap();
        assert_eq!(
            types(&table),
            ["integer", "string", "number", "boolean", "date", "datetime"]
        );
        assert_eq!(table.column("name").unwrap().null_count(), 1);
        let table = extract(text, json!({"dates": false, "types": {"id": "string"}}))
            .await
            .unwrap();
        assert_eq!(
            types(&table),
            ["string", "string", "number", "boolean", "string", "string"]
        );
    }

    #[tokio::test]
    async fn the_way_a_file_is_written_can_be_told() {
        let table = extract(
            "a;b\n'x;y';1\nNA; \n",
            json!({"delimiter": ";", "quote": "'", "null_values": ["NA", " "]}),
        );
        let table = table.await.unwrap();
        assert_eq!(
            table.column("a").unwrap().str().unwrap().get(0),
            Some("x;y")
        );
        assert_eq!(
            (
                table.column("a").unwrap().null_count(),
                types(&table)[1].as_str()
            ),
            (1, "integer")
        );
        let table = extract("1\t2\n3\t4\n", json!({"delimiter": "tab", "header": false}))
            .await
            .unwrap();
        assert_eq!(
            (
                table.height(),
                table
                    .get_column_names()
                    .into_iter()
                    .map(PlSmallStr::as_str)
                    .collect::<Vec<_>>()
            ),
            (2, vec!["column_1", "column_2"])
        );
        let table = extract("\u{feff}a,b\r\n1,2\r\n", json!({"columns": ["b", "a"]}))
            .await
            .unwrap();
        assert_eq!(table.get_column_names(), ["b", "a"]);
        let table = extract("a,b\n", json!({})).await.unwrap();
        assert_eq!((table.height(), table.width()), (0, 2));
    }

    #[tokio::test]
    async fn several_files_become_one_table() {
        let project = TestProject::new();
        project.write("in/b.csv", "y,x\n3,4\n");
        project.write("in/a.csv", "x,y\n1,2\n");
        let output = project
            .run::<Csv>(json!({"path": "in/*.csv"}))
            .await
            .unwrap();
        let table = frame(&output);
        assert_eq!(
            table.column("x").unwrap().i64().unwrap().to_vec(),
            [Some(1), Some(4)]
        );
        assert_eq!(output.values["files"], json!(2));
        project.write("in/c.csv", "x,z\n5,6\n");
        let error = project
            .run::<Csv>(json!({"path": "in/*.csv"}))
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "`in/c.csv` lacks columns of the files before it: `y`"
        );
        project.write("in/c.csv", "x,y\nfive,6\n");
        let error = project
            .run::<Csv>(json!({"path": "in/*.csv"}))
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "row 1 of `in/c.csv`: column `x` is `five`, which is no integer"
        );
    }

    #[tokio::test]
    async fn bad_files_are_named_with_the_line() {
        let cases: [(&[u8], Value, &str, &str); 12] = [
            (b"", json!({}), "`in/a.csv` is empty", "header line"),
            (
                b"a,b\n1,2\n3\n",
                json!({}),
                "line 3 of `in/a.csv` has 1 field, the first line has 2",
                "quotes",
            ),
            (
                b"a,b\n1,2,3\n",
                json!({}),
                "line 2 of `in/a.csv` has 3 fields, the first line has 2",
                "quotes",
            ),
            (
                b"a\nM\xfcller\n",
                json!({}),
                "line 2 of `in/a.csv` is not UTF-8: byte 2 is 0xFC",
                "iconv",
            ),
            (
                b"a,b\n\"1,2\n3,4\n",
                json!({}),
                "the quote that opens on line 2 of `in/a.csv` is never closed",
                "quote",
            ),
            (
                b"a,a\n1,2\n",
                json!({}),
                "`in/a.csv` has two columns called `a`",
                "different names",
            ),
            (
                b"a\n1\n2\nx\n",
                json!({"infer_rows": 2}),
                "row 3 of `in/a.csv`: column `a` is `x`, which is no integer",
                "types: {a: string}",
            ),
            (
                b"a\n1\n2\n2.5\n",
                json!({"infer_rows": 2}),
                "row 3 of `in/a.csv`: column `a` is `2.5`, which is no integer",
                "declare it",
            ),
            (
                b"a\n1\nx\n",
                json!({"types": {"a": "number"}}),
                "row 2 of `in/a.csv`: column `a` is `x`, which is no number",
                "declared as number",
            ),
            (
                b"a\n2026-01-01\nsoon\n",
                json!({"types": {"a": "date"}}),
                "row 2 of `in/a.csv`: column `a` is `soon`, which is no date",
                "declared",
            ),
            (
                b"tenure\n1\n",
                json!({"types": {"tenur": "number"}}),
                "`in/a.csv` has no column `tenur`",
                "did you mean `tenure`?",
            ),
            (
                b"tenure\n1\n",
                json!({"columns": ["x"]}),
                "`in/a.csv` has no column `x`",
                "its columns are: `tenure`",
            ),
        ];
        for (content, settings, message, hint) in cases {
            let error = extract(content, settings).await.unwrap_err();
            assert_eq!(
                (error.fault, error.full_message().as_str()),
                (Fault::User, message)
            );
            assert!(
                error.hint.as_deref().unwrap_or_default().contains(hint),
                "{:?}",
                error.hint
            );
        }
    }

    #[tokio::test]
    async fn a_date_column_that_changes_is_no_silent_null() {
        let error = extract(
            "d\n2026-01-01\n2026-01-02\nsoon\n",
            json!({"infer_rows": 2}),
        )
        .await
        .unwrap_err();
        assert_eq!(
            error.full_message(),
            "row 3 of `in/a.csv`: column `d` is `soon`, which is no date"
        );
    }

    #[test]
    fn settings_are_checked() {
        let found = complaints::<Csv>(json!({"path": "a", "delimiter": ";;", "quote": "ab"}));
        assert_eq!(
            found,
            [
                "delimiter: the delimiter is one ASCII character",
                "quote: the quote is one ASCII character"
            ]
        );
        assert!(
            complaints::<Csv>(json!({"path": "a", "delimiter": "tab", "quote": ""})).is_empty()
        );
    }
}
