//! A directory in which a program of somebody else finds its inputs and leaves what it puts out.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use pipectl_engine::{
    dataset::Dataset,
    operator::{TaskContext, TaskError},
};
use polars::prelude::*;

use super::{
    files::io_error,
    frame::{collect, polars_error},
};

/// A directory for one attempt, removed with it.
pub(crate) struct Room {
    pub(crate) path: PathBuf,
}

impl Room {
    /// An empty room, with a directory `output`.
    pub(crate) fn new(context: &TaskContext) -> Result<Self, TaskError> {
        let name = format!(
            "{}-{}-{}",
            context.run.id, context.task.key, context.task.attempt
        );
        let path = context.project.state_dir.join("tmp").join(name);
        let fail = |error| io_error("make the directory", &path.to_string_lossy(), error);
        // What a killed attempt of the same number has left is of no use.
        let _removed = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("output")).map_err(fail)?;
        Ok(Self { path })
    }

    /// Where the program leaves what it puts out.
    pub(crate) fn output(&self) -> PathBuf {
        self.path.join("output")
    }

    /// A dataset as a Parquet file: where it already is one, else written into the room.
    pub(crate) async fn input(
        &self,
        context: &TaskContext,
        name: &str,
        dataset: &Dataset,
    ) -> Result<PathBuf, TaskError> {
        if let Some(stored) = dataset.stored() {
            let local = context.artifacts.local(&stored.key).await;
            return local.map_err(|error| {
                TaskError::external(format!("cannot read `{name}`")).because(error)
            });
        }
        let mut frame = collect(context, name, dataset).await?;
        let path = self.path.join(format!("{name}.parquet"));
        let (target, doing) = (path.clone(), format!("write `{name}` for the program"));
        context
            .compute(move || {
                let file = File::create(&target)
                    .map_err(|error| io_error("write", &target.to_string_lossy(), error))?;
                ParquetWriter::new(file)
                    .finish(&mut frame)
                    .map_err(|error| polars_error(&doing, &error))?;
                Ok(())
            })
            .await?;
        Ok(path)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // It lies in the state directory's `tmp`, which is emptied from time to time.
        let _removed = fs::remove_dir_all(&self.path);
    }
}

/// Our environment without our own settings and secrets.
pub(crate) fn environment(context: &TaskContext) -> Vec<(String, String)> {
    let all = context.project.env.with_prefix("");
    let others = all.filter(|(name, _)| !name.starts_with("PIPECTL_"));
    others
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The table in a file, by its extension; nothing when that is not one of a table.
pub(crate) fn table(path: &Path) -> Option<PolarsResult<DataFrame>> {
    let open = || File::open(path).map_err(PolarsError::from);
    Some(match path.extension()?.to_str()? {
        "parquet" => open().and_then(|file| ParquetReader::new(file).finish()),
        "arrow" | "feather" => open().and_then(|file| IpcReader::new(file).finish()),
        "csv" => CsvReadOptions::default()
            .with_infer_schema_length(None)
            .try_into_reader_with_file_path(Some(path.to_owned()))
            .and_then(CsvReader::finish),
        _ => return None,
    })
}
