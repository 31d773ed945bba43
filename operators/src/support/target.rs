//! Where `load` writes: a file or an object, whole or not at all, instead of what was there or after it.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use pipectl_connections::{Bucket, look};
use pipectl_engine::{
    failpoint,
    operator::{ConnectionName, TaskContext, TaskError},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    files::io_error,
    location::{self, Location, Temporary},
    turn::turn,
    whole::Whole,
};

/// What becomes of rows that are there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WriteMode {
    /// The new ones take their place.
    #[default]
    Replace,
    /// The new ones come after them; the columns must be the same.
    Append,
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Writing<'a> {
    /// The file, which is empty.
    pub(crate) file: &'a mut File,
    /// Where it is until it is complete.
    pub(crate) path: &'a Path,
    /// What is to be appended to, if there is something.
    pub(crate) old: Option<&'a Path>,
}

/// A place to write to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// As `extract` would name it.
    shown: String,
    place: Place,
    mode: WriteMode,
}

#[derive(Clone, Debug)]
enum Place {
    File(String),
    Object(Bucket, String),
}

impl Target {
    /// Reads the settings `connection`, `path` and `mode`.
    ///
    /// # Errors
    /// When there is no such connection, or an object is to be appended to.
    pub(crate) async fn read(
        context: &TaskContext,
        connection: Option<&ConnectionName>,
        path: &str,
        mode: WriteMode,
    ) -> Result<Self, TaskError> {
        let (bucket, key) = match Location::read(connection, path)?.open(context).await? {
            location::Place::Project(path) => {
                return Ok(Self {
                    shown: path.clone(),
                    place: Place::File(path),
                    mode,
                });
            }
            location::Place::Bucket(bucket, key) => (bucket, key),
        };
        bucket.check(&key)?;
        let shown = bucket.address(&key);
        let place = match bucket.root() {
            Some(root) => Place::File(root.join(&key).to_string_lossy().into_owned()),
            None if mode == WriteMode::Append => {
                return Err(TaskError::user(format!(
                    "`{shown}` is an object, and an object cannot be appended to"
                ))
                .hint("write an object for each run, with the interval or the run's id in its key, and read them all by a pattern"));
            }
            None => Place::Object(bucket, key),
        };
        Ok(Self { shown, place, mode })
    }

    /// The place, as `extract` would name it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Writes by `write`, which gets the file to write.
    ///
    /// # Errors
    /// Those of `write`; when the attempt was cancelled; when disk or server refuse. What was there is then as before.
    pub(crate) async fn write(
        &self,
        context: &TaskContext,
        write: impl FnOnce(Writing<'_>) -> Result<(), TaskError> + Send + 'static,
    ) -> Result<(), TaskError> {
        match &self.place {
            Place::Object(bucket, key) => {
                let temporary = Temporary::new(context)?;
                let (path, shown) = (temporary.0.clone(), self.shown.clone());
                context
                    .compute(move || {
                        let mut file = File::create_new(&path)
                            .map_err(|error| io_error("write", &shown, error))?;
                        let (file, path) = (&mut file, path.as_path());
                        write(Writing {
                            file,
                            path,
                            old: None,
                        })
                    })
                    .await?;
                if context.cancel.is_cancelled() {
                    return Err(TaskError::external(
                        "the attempt was stopped before its file was complete",
                    ));
                }
                bucket.put_file(key, &temporary.0).await
            }
            Place::File(path) if self.mode == WriteMode::Append => {
                self.append(context, path, write).await
            }
            Place::File(path) => {
                let (path, inner) = (path.clone(), context.clone());
                context
                    .compute(move || {
                        let (whole, mut file) = Whole::create(&inner, &path)?;
                        write(Writing {
                            file: &mut file,
                            path: whole.temporary(),
                            old: None,
                        })?;
                        whole.publish(&inner, file)
                    })
                    .await
            }
        }
    }

    /// A file that is appended to is written anew. What the new one is known by is kept before it takes its place: an
    /// attempt after a loss sees whether the one before it had come that far.
    async fn append(
        &self,
        context: &TaskContext,
        path: &str,
        write: impl FnOnce(Writing<'_>) -> Result<(), TaskError> + Send + 'static,
    ) -> Result<(), TaskError> {
        let target = context.project.output_path(path);
        let directory = target.parent().unwrap_or(Path::new("."));
        let _turn = turn(context, directory, path).await?;
        let there = known_by(&target, path)?;
        let done = |tag: &str| json!({"appended": tag, "redo": context.run.redo});
        let before = context.checkpoint.load().await?;
        if there.as_deref().map(done) == before && before.is_some() {
            context
                .log
                .info(format!("{path}: the attempt before has appended already"));
            return Ok(());
        }
        let (inner, name) = (context.clone(), path.to_owned());
        let old: Option<PathBuf> = there.map(|_| target);
        let (whole, file, tag) = context
            .compute(move || {
                let (whole, mut file) = Whole::create(&inner, &name)?;
                write(Writing {
                    file: &mut file,
                    path: whole.temporary(),
                    old: old.as_deref(),
                })?;
                file.sync_all()
                    .map_err(|error| io_error("write", &name, error))?;
                let tag = known_by(whole.temporary(), &name)?.unwrap_or_default();
                Ok((whole, file, tag))
            })
            .await?;
        context.checkpoint.save(&done(&tag)).await?;
        failpoint::hit("load_file_before_rename");
        let inner = context.clone();
        context.compute(move || whole.publish(&inner, file)).await?;
        failpoint::hit("load_file_after_rename");
        Ok(())
    }
}

fn known_by(file: &Path, shown: &str) -> Result<Option<String>, TaskError> {
    let found = look(Path::new(""), file).map_err(|error| io_error("look at", shown, error))?;
    Ok(found.map(|found| found.tag))
}
