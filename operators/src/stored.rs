//! Models and files outside of any run: for the command line.

use bytes::Bytes;
use pipectl_engine::{
    operator::{Complaints, Kind, Outcome, TaskError},
    time::Timestamp,
};
use polars::prelude::DataFrame;
use serde_json::{Map, Value};

use crate::{
    all,
    isolated::ChildHouse,
    online::context,
    support::{frame::collect, model, text::list},
};

/// Which operator reads files with this ending, before a packer's own.
const READERS: [(&str, &str); 7] = [
    (".csv", "csv"),
    (".tsv", "csv"),
    (".parquet", "parquet"),
    (".json", "json"),
    (".jsonl", "json"),
    (".ndjson", "json"),
    (".xlsx", "xlsx"),
];

/// The `.onnx` file that a reference names: a registered version whose digest is checked, one that ships, one of MLflow, or
/// a file.
///
/// # Errors
/// When there is no such model, or it cannot be read.
pub async fn model_file(
    house: ChildHouse,
    now: Timestamp,
    reference: &str,
) -> Result<Bytes, TaskError> {
    model::content(&context(house, now), reference).await
}

/// The rows of a file, as `extract: csv` and its like read it with these settings, and what they have to warn of.
///
/// # Errors
/// When nobody reads files with its ending, a setting is wrong, or the file cannot be read.
pub async fn file_rows(
    house: ChildHouse,
    now: Timestamp,
    path: &str,
    mut settings: Map<String, Value>,
) -> Result<(DataFrame, Vec<String>), TaskError> {
    let lower = path.to_lowercase();
    let plain = [".gz", ".zst", ".zip"]
        .iter()
        .find_map(|packer| lower.strip_suffix(packer))
        .unwrap_or(&lower);
    let reader = READERS.iter().find(|(ending, _)| plain.ends_with(ending));
    let operator = reader.and_then(|(_, name)| all().get(Kind::Extract, name));
    let Some(operator) = operator else {
        let endings = READERS.map(|(ending, _)| ending);
        return Err(TaskError::user(format!("`{path}` is no file of rows"))
            .hint(format!("its name ends in one of {}", list(endings))));
    };
    if reader.is_some_and(|(ending, _)| *ending == ".tsv") {
        let tab = || Value::String("tab".to_owned());
        settings.entry("delimiter").or_insert_with(tab);
    }
    settings.insert("path".to_owned(), path.into());
    let name = format!("extract: {}", operator.name());
    let settings = Value::Object(settings);
    let config = operator.parse(&settings).map_err(|error| {
        TaskError::user(format!("`{name}`: {error}"))
            .hint(format!("`pipectl operators {name}` shows its settings"))
    })?;
    let context = context(house, now);
    let mut found = Complaints::within(None, &context.project.connections);
    operator.check(&config, &mut found);
    if let Some(wrong) = found.into_vec().into_iter().find(|one| !one.warning) {
        let path = wrong.path.join(".");
        let error = TaskError::user(format!("`{name}`: `{path}`: {}", wrong.message));
        return Err(match wrong.hint {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    let Outcome::Done(output) = operator.run(config, &context).await? else {
        return Err(TaskError::bug(format!("`{name}` has read nothing")));
    };
    let Some(dataset) = output.datasets.first() else {
        return Err(TaskError::bug(format!("`{name}` has put out no rows")));
    };
    let frame = collect(&context, path, &dataset.1).await?;
    Ok((frame, output.warnings))
}
