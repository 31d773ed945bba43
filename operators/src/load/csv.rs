//! `load: csv`: writes a text file with separated values.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Seek as _, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext, Takes,
        TaskContext, TaskError, ValueType,
    },
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    csv::without_mark,
    files::io_error,
    frame::{batches, only_dataset, polars_error},
    location::{check_write, probe_place},
    target::{Target, WriteMode},
    text::{count, list},
};

/// `load: csv`.
pub(crate) struct Csv;

/// Where, and how it is written. The file appears whole or not at all.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project, or `connection://key`; directories are made where they are missing.
    path: String,
    /// The connection that the path is below, when it is not the project: a bucket, or a directory that is used like one.
    connection: Option<ConnectionName>,
    /// Whether the rows take the place of those that are there, or come after them. Objects cannot be appended to.
    #[serde(default)]
    mode: WriteMode,
    /// What stands between fields: one character, or `tab`.
    #[serde(default = "comma")]
    delimiter: String,
    /// Whether the first line names the columns.
    #[serde(default = "yes")]
    header: bool,
    /// What stands for a missing value.
    #[serde(default)]
    null_value: String,
}

fn comma() -> String {
    ",".to_owned()
}

fn yes() -> bool {
    true
}

impl Operator for Csv {
    type Config = Config;
    const KIND: Kind = Kind::Load;
    const NAME: &'static str = "csv";
    const SUMMARY: &'static str = "Writes a text file with separated values.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value("path", ValueType::String, "the file")
            .value("rows", ValueType::Integer, "its rows")
    }

    fn check(config: &Config, found: &mut Complaints) {
        check_write(&config.path, found);
        if delimiter(&config.delimiter).is_none() {
            found
                .error(&["delimiter"], "the delimiter is one ASCII character")
                .hint("write `;`, `|` or `tab`");
        }
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        probe_place(config.connection.as_ref(), &config.path, context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let dataset = only_dataset(context)?;
        refuse_nested(dataset.schema())?;
        let (connection, path) = (config.connection.as_ref(), &config.path);
        let target = Target::read(context, connection, path, config.mode).await?;
        let shown = target.shown().to_owned();
        let counted = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&counted);
        target
            .write(context, move |writing| {
                let header = match writing.old {
                    None => config.header,
                    Some(old) => append(&config, &shown, &dataset, old, writing.file)?,
                };
                write(&config, &shown, &dataset, header, writing.file, &counting)
            })
            .await?;
        let rows = counted.load(Ordering::Relaxed);
        let path = target.shown();
        context
            .log
            .info(format!("{} in {path}", count(rows, "row")));
        Ok(Outcome::Done(
            Output::default().value("path", path).value("rows", rows),
        ))
    }
}

fn write(
    config: &Config,
    shown: &str,
    dataset: &Dataset,
    header: bool,
    file: &File,
    rows: &Arc<AtomicU64>,
) -> Result<(), TaskError> {
    let doing = format!("write `{shown}`");
    let copy = file
        .try_clone()
        .map_err(|error| io_error("write", shown, error))?;
    let mut buffer = BufWriter::with_capacity(1 << 20, copy);
    let (config, rows, of_rows) = (config.clone(), Arc::clone(rows), doing.clone());
    let put = move |mut frame: DataFrame, header: bool, buffer: &mut BufWriter<File>| {
        rows.fetch_add(frame.height() as u64, Ordering::Relaxed);
        CsvWriter::new(buffer)
            .with_separator(delimiter(&config.delimiter).unwrap_or(b','))
            .include_header(header)
            .with_null_value(PlSmallStr::from_str(&config.null_value))
            .finish(&mut frame)
            .map_err(|error| polars_error(&of_rows, &error))
    };
    // The header stands there even if there are no rows.
    put(
        DataFrame::empty_with_schema(dataset.schema()),
        header,
        &mut buffer,
    )?;
    let shown = shown.to_owned();
    batches(dataset, &doing, move |frame| {
        put(frame, false, &mut buffer)?;
        buffer
            .flush()
            .map_err(|error| io_error("write", &shown, error))
    })
}

/// Copies what is there; says whether the header is still to be written.
fn append(
    config: &Config,
    shown: &str,
    dataset: &Dataset,
    old: &Path,
    file: &mut File,
) -> Result<bool, TaskError> {
    let fail = |error| io_error("append to", shown, error);
    let mut source = BufReader::new(File::open(old).map_err(fail)?);
    let first = record(&mut source, delimiter(&config.delimiter).unwrap_or(b',')).map_err(fail)?;
    if let Some(first) = &first {
        same_columns(config, shown, first, dataset.schema())?;
    }
    source.rewind().map_err(fail)?;
    std::io::copy(&mut source, file).map_err(fail)?;
    if first.is_some() && !ends_with_newline(source.get_mut()).map_err(fail)? {
        file.write_all(b"\n").map_err(fail)?;
    }
    Ok(config.header && first.is_none())
}

fn same_columns(
    config: &Config,
    shown: &str,
    first: &[String],
    schema: &Schema,
) -> Result<(), TaskError> {
    let names: Vec<&str> = schema.iter_names().map(PlSmallStr::as_str).collect();
    let (wrong, hint) = if config.header {
        let wrong = (first != names).then(|| {
            let there = list(first.iter().map(String::as_str));
            let new = list(names.iter().copied());
            format!("the columns of `{shown}` are {there}, those of the rows {new}")
        });
        let hint = "bring them into the same order in a `transform: sql`, or write `mode: replace`";
        (wrong, hint)
    } else {
        let wrong = (first.len() != names.len()).then(|| {
            let (there, new) = (first.len() as u64, names.len() as u64);
            format!(
                "`{shown}` has {}, the rows have {new}",
                count(there, "column")
            )
        });
        (wrong, "choose the columns in a `transform: sql`")
    };
    wrong.map_or(Ok(()), |wrong| Err(TaskError::user(wrong).hint(hint)))
}

fn ends_with_newline(file: &mut File) -> std::io::Result<bool> {
    let mut last = [0];
    file.seek(std::io::SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The fields of the first record; `None` of an empty file.
fn record(source: &mut impl BufRead, delimiter: u8) -> std::io::Result<Option<Vec<String>>> {
    let mut text = Vec::new();
    // A quoted field may go on over the end of a line.
    while source.read_until(b'\n', &mut text)? > 0 {
        if memchr::memchr_iter(b'"', &text).count().is_multiple_of(2) {
            break;
        }
    }
    let text = without_mark(&text).trim_ascii_end();
    if text.is_empty() {
        return Ok(None);
    }
    let mut fields = vec![Vec::new()];
    let (mut quoted, mut before) = (false, 0);
    for &byte in text {
        match (byte, fields.last_mut()) {
            (b'"', Some(field)) => {
                // A doubled quote within a quoted field is one of its letters.
                if !quoted && before == b'"' {
                    field.push(b'"');
                }
                quoted = !quoted;
            }
            (byte, _) if byte == delimiter && !quoted => fields.push(Vec::new()),
            (byte, Some(field)) => field.push(byte),
            (_, None) => {}
        }
        before = byte;
    }
    let text = |field: Vec<u8>| String::from_utf8_lossy(&field).into_owned();
    Ok(Some(fields.into_iter().map(text).collect()))
}

fn delimiter(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && *byte != b'\n' => Some(*byte),
        _ if text == "tab" => Some(b'\t'),
        _ => None,
    }
}

fn refuse_nested(schema: &Schema) -> Result<(), TaskError> {
    let nested = schema
        .iter()
        .filter(|(_, of)| of.is_nested())
        .map(|(name, _)| name.as_str());
    let nested: Vec<_> = nested.collect();
    if nested.is_empty() {
        return Ok(());
    }
    Err(TaskError::user(format!(
        "a CSV file cannot hold the lists or records in {}",
        list(nested)
    ))
    .hint("leave the columns out in a `transform: sql`, or write `load: parquet` or `load: json`"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use pipectl_engine::{
        operator::{
            Checkpoint, CheckpointStore, Fault,
            testing::{TestProject, frame, run_in},
        },
        store::StoreError,
    };
    use pipectl_test_support::TestBucket;
    use serde_json::{Value, json};

    use super::*;

    fn rows() -> DataFrame {
        df!["name" => [Some("ada"), None, Some("o,\"x\"")], "age" => [Some(36), Some(1), None]]
            .unwrap()
    }

    #[tokio::test]
    async fn a_file_is_written_and_replaced() {
        let project = TestProject::new();
        let output = project
            .run_on::<Csv>(rows(), json!({"path": "out/deep/a.csv"}))
            .await
            .unwrap();
        assert_eq!(
            project.read("out/deep/a.csv"),
            "name,age\nada,36\n,1\n\"o,\"\"x\"\"\",\n"
        );
        assert_eq!(output.values["rows"], json!(3));
        let settings = json!({"path": "out/deep/a.csv", "delimiter": "tab", "header": false, "null_value": "NA"});
        project
            .run_on::<Csv>(rows().head(Some(2)), settings)
            .await
            .unwrap();
        assert_eq!(project.read("out/deep/a.csv"), "ada\t36\nNA\t1\n");
        assert_eq!(project.list("out/deep"), ["a.csv"]);
    }

    #[tokio::test]
    async fn rows_are_appended_to_the_same_columns() {
        let project = TestProject::new();
        let settings = json!({"path": "a.csv", "mode": "append"});
        let two = || rows().head(Some(2));
        for _ in 0..2 {
            project
                .run_on::<Csv>(two(), settings.clone())
                .await
                .unwrap();
        }
        assert_eq!(project.read("a.csv"), "name,age\nada,36\n,1\nada,36\n,1\n");
        project.write("a.csv", "\"name\",age\r\nold,9");
        project
            .run_on::<Csv>(two(), settings.clone())
            .await
            .unwrap();
        assert_eq!(project.read("a.csv"), "\"name\",age\r\nold,9\nada,36\n,1\n");
        for empty in ["", "\n"] {
            project.write("a.csv", empty);
            project
                .run_on::<Csv>(two(), settings.clone())
                .await
                .unwrap();
            assert!(project.read("a.csv").ends_with("name,age\nada,36\n,1\n"));
        }
        assert_eq!(project.list("."), [".pipectl", "a.csv"]);
    }

    #[tokio::test]
    async fn rows_of_other_columns_are_not_appended() {
        let project = TestProject::new();
        project.write("a.csv", "age,\"na\"\"me\"\n36,ada\n");
        for (settings, message) in [
            (
                json!({"path": "a.csv", "mode": "append"}),
                "the columns of `a.csv` are `age`, `na\"me`, those of the rows `name`, `age`",
            ),
            (
                json!({"path": "a.csv", "mode": "append", "header": false, "delimiter": ";"}),
                "`a.csv` has 1 column, the rows have 2",
            ),
        ] {
            let error = project.run_on::<Csv>(rows(), settings).await.unwrap_err();
            assert_eq!(
                (error.fault, error.message.as_str()),
                (Fault::User, message)
            );
        }
        assert_eq!(project.read("a.csv"), "age,\"na\"\"me\"\n36,ada\n");
        assert_eq!(project.list("."), [".pipectl", "a.csv"]);
    }

    #[tokio::test]
    async fn an_object_is_written_and_read_again() {
        let place = TestBucket::new();
        let project = TestProject::new()
            .with_connection("lake", place.address())
            .with_environment(place.environment());
        let settings = json!({"connection": "lake", "path": "out/mit ü + x.csv"});
        let output = project.run_on::<Csv>(rows(), settings).await.unwrap();
        assert_eq!(output.values["path"], json!("lake://out/mit ü + x.csv"));
        for path in ["lake://out/mit ü + x.csv", "lake://out/*.csv"] {
            let read = project
                .run::<crate::extract::csv::Csv>(json!({"path": path}))
                .await
                .unwrap();
            assert_eq!(frame(&read).height(), 3);
        }
        let left = std::fs::read_dir(project.root().join(".pipectl/artifacts"));
        assert_eq!(left.unwrap().count(), 0);
        let settings = json!({"path": "lake://out/a.csv", "mode": "append"});
        let error = project.run_on::<Csv>(rows(), settings).await.unwrap_err();
        assert_eq!(
            error.message,
            "`lake://out/a.csv` is an object, and an object cannot be appended to"
        );
        let missing = project
            .run::<crate::extract::csv::Csv>(json!({"path": "lake://out/none.csv"}))
            .await
            .unwrap_err();
        assert_eq!(missing.message, "there is no object `lake://out/none.csv`");
        let missing = project
            .run::<crate::extract::csv::Csv>(json!({"path": "none://none.csv"}))
            .await
            .unwrap_err();
        assert_eq!(missing.message, "there is no connection `none`");
        // The same by the bucket's address.
        let (place, query) = place.address().split_once('?').unwrap();
        let path = format!("{place}/out/*.csv?{query}");
        let settings = json!({"path": path, "file_column": "file"});
        let read = project.run::<crate::extract::csv::Csv>(settings).await;
        let read = frame(&read.unwrap());
        let files = read.column("file").unwrap().str().unwrap();
        assert_eq!(files.get(2), Some(&*format!("{place}/out/mit ü + x.csv")));
    }

    #[tokio::test]
    async fn a_directory_is_written_like_a_bucket() {
        let project = TestProject::new().with_connection("lake", "file:lake");
        let settings = json!({"path": "lake://out/a.csv", "mode": "append"});
        project.run_on::<Csv>(rows(), settings).await.unwrap();
        assert_eq!(project.list("lake/out"), ["a.csv"]);
        let read = project
            .run::<crate::extract::csv::Csv>(json!({"path": "lake://out/*.csv"}))
            .await
            .unwrap();
        assert_eq!(frame(&read).height(), 3);
    }

    #[tokio::test]
    async fn an_attempt_after_a_loss_does_not_append_again() {
        let project = TestProject::new();
        let memory = Arc::new(Memory::default());
        let settings = json!({"path": "a.csv", "mode": "append"});
        let context = || TaskContext {
            checkpoint: Checkpoint::new(memory.clone()),
            ..project.context_with([("rows", rows().head(Some(1)))])
        };
        for _ in 0..2 {
            run_in::<Csv>(&context(), settings.clone()).await.unwrap();
        }
        assert_eq!(project.read("a.csv"), "name,age\nada,36\n");
        // Another run has its own memory.
        *memory.0.lock().unwrap() = None;
        run_in::<Csv>(&context(), settings).await.unwrap();
        assert_eq!(project.read("a.csv"), "name,age\nada,36\nada,36\n");
    }

    #[derive(Default)]
    struct Memory(Mutex<Option<Value>>);

    #[async_trait::async_trait]
    impl CheckpointStore for Memory {
        async fn load(&self) -> Result<Option<Value>, StoreError> {
            Ok(self.0.lock().unwrap().clone())
        }

        async fn save(&self, value: &Value) -> Result<(), StoreError> {
            *self.0.lock().unwrap() = Some(value.clone());
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_leaves_the_old_file() {
        let project = TestProject::new();
        project.write("a.csv", "old");
        let lists = df!["l" => [Series::new("".into(), [1, 2])]].unwrap();
        let error = project
            .run_on::<Csv>(lists, json!({"path": "a.csv"}))
            .await
            .unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (
                Fault::User,
                "a CSV file cannot hold the lists or records in `l`"
            )
        );
        assert_eq!(project.read("a.csv"), "old");
        let error = project
            .run_on::<Csv>(rows(), json!({"path": "a.csv/b.csv"}))
            .await
            .unwrap_err();
        assert!(
            error
                .full_message()
                .starts_with("cannot write `a.csv/b.csv`: "),
            "{}",
            error.full_message()
        );
    }
}
