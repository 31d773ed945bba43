//! Where `load` writes a table as many files, which appear at once for who reads them by their list.
//!
//! The files get names of their own, with the run and the attempt, and are written first; then the list takes the
//! place of the one before in a single step. Files that no list names any more are removed afterwards. A reader that
//! does not know the list may see both in the moments between.

mod files;

use std::{collections::HashSet, fs, io, path::PathBuf};

use pipectl_connections::Bucket;
use pipectl_engine::{
    dataset::Dataset,
    failpoint,
    operator::{ConnectionName, TaskContext, TaskError},
};
use polars::prelude::ParquetWriteOptions;

use self::files::{Fresh, Own, Unfinished, moved, written};
use super::{
    files::{io_error, is_pattern},
    location::{Location, Place as Opened},
    manifest::{self, Manifest},
    target::WriteMode,
    turn::{Turn, turn},
    whole::Whole,
};

/// How a table is parted.
#[derive(Clone, Debug)]
pub(crate) struct Partitioning {
    /// The columns that become directories.
    pub(crate) by: Vec<String>,
    /// About how large a file may be, in memory.
    pub(crate) file_size: Option<u64>,
    /// How the files are written.
    pub(crate) options: ParquetWriteOptions,
}

/// A directory of files.
#[derive(Clone, Debug)]
pub(crate) struct FileSet {
    shown: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Directory(PathBuf),
    Objects(Bucket, String),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// New rows.
    pub(crate) rows: u64,
    /// New files.
    pub(crate) files: u64,
}

impl FileSet {
    /// Reads the settings `connection` and `path`.
    ///
    /// # Errors
    /// When there is no such connection, or the path is none of a directory.
    pub(crate) async fn read(
        context: &TaskContext,
        connection: Option<&ConnectionName>,
        path: &str,
    ) -> Result<Self, TaskError> {
        let path = path.trim_end_matches('/');
        if is_pattern(path) {
            return Err(TaskError::user(format!(
                "`{path}` is a pattern, not a directory"
            )));
        }
        let (shown, place) = match Location::read(connection, path)?.open(context).await? {
            Opened::Project(path) => {
                let directory = context.project.path(&path);
                if directory.is_file() {
                    return Err(TaskError::user(format!("`{path}` is a file")).hint(
                        "with `partition_by` or `file_size` the path is that of a directory",
                    ));
                }
                (path, Place::Directory(directory))
            }
            Opened::Bucket(bucket, key) => {
                bucket.check(&key)?;
                let place = match bucket.root() {
                    Some(root) => Place::Directory(root.join(&key)),
                    None => Place::Objects(bucket.clone(), key.clone()),
                };
                (bucket.address(&key), place)
            }
        };
        Ok(Self { shown, place })
    }

    /// The pattern by which the files are read.
    pub(crate) fn pattern(&self) -> String {
        format!("{}/**/*.parquet", self.shown)
    }

    /// Writes the dataset. Nothing of it is listed before all is written.
    ///
    /// # Errors
    /// When the plan behind it fails, the attempt was cancelled, or disk or server refuse.
    pub(crate) async fn write(
        &self,
        context: &TaskContext,
        dataset: Dataset,
        partitioning: Partitioning,
        mode: WriteMode,
    ) -> Result<Written, TaskError> {
        let (before, tag) = self.list(context).await?;
        let own = Own::of(context);
        let already = before.files.iter().any(|member| own.wrote(&member.path));
        if already && mode == WriteMode::Append {
            let shown = &self.shown;
            context
                .log
                .info(format!("{shown}: the attempt before has appended already"));
            return Ok(Written::default());
        }
        let unfinished = self.unfinished(context, &own);
        let (directory, shown, names) = (unfinished.0.clone(), self.shown.clone(), own.clone());
        let fresh = context
            .compute(move || written(&directory, &shown, &dataset, &partitioning, &names))
            .await?;
        if context.cancel.is_cancelled() {
            return Err(TaskError::external(
                "the attempt was stopped before its files were complete",
            ));
        }
        let done = Written {
            rows: fresh.iter().map(|fresh| fresh.member.rows).sum(),
            files: fresh.len() as u64,
        };
        self.place_files(context, &fresh).await?;
        let (_turn, before) = self.alone(context, before).await?;
        let mut files = match mode {
            WriteMode::Append => before.files.clone(),
            WriteMode::Replace => Vec::new(),
        };
        files.extend(fresh.into_iter().map(|fresh| fresh.member));
        let after = Manifest {
            version: 1,
            written_by: own.name.clone(),
            files,
        };
        failpoint::hit("load_files_before_manifest");
        self.publish(context, &after, tag.as_deref()).await?;
        failpoint::hit("load_files_after_manifest");
        self.tidy(context, &before, &after).await;
        Ok(done)
    }

    /// The turn to change the list, and the list as it is then. Of two that change a bucket's, one is refused by the
    /// server: it needs no turn.
    async fn alone(
        &self,
        context: &TaskContext,
        before: Manifest,
    ) -> Result<(Option<Turn>, Manifest), TaskError> {
        let Place::Directory(directory) = &self.place else {
            return Ok((None, before));
        };
        let turn = turn(context, directory, &self.shown).await?;
        let (now, _) = self.list(context).await?;
        Ok((Some(turn), now))
    }

    /// The list that is there, and what it is known by.
    async fn list(&self, context: &TaskContext) -> Result<(Manifest, Option<String>), TaskError> {
        let shown = format!("{}/{}", self.shown, manifest::NAME);
        match &self.place {
            Place::Directory(directory) => {
                let path = directory.join(manifest::NAME);
                let read = context.compute(move || match fs::read(&path) {
                    Ok(content) => Manifest::read(&content, &shown).map(Some),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(io_error("read", &shown, error)),
                });
                Ok((read.await?.unwrap_or_default(), None))
            }
            Place::Objects(bucket, key) => {
                let key = format!("{key}/{}", manifest::NAME);
                match bucket.head(&key).await? {
                    None => Ok((Manifest::default(), None)),
                    Some(entry) => {
                        let content = bucket.get(&key).await?;
                        Ok((Manifest::read(&content, &shown)?, Some(entry.tag)))
                    }
                }
            }
        }
    }

    /// Brings the files to where they belong; no list names them yet.
    async fn place_files(&self, context: &TaskContext, fresh: &[Fresh]) -> Result<(), TaskError> {
        match &self.place {
            Place::Directory(directory) => {
                let moves = fresh
                    .iter()
                    .map(|fresh| (fresh.from.clone(), directory.join(&fresh.member.path)));
                let (moves, shown): (Vec<_>, _) = (moves.collect(), self.shown.clone());
                let work = move || moved(&moves).map_err(|error| io_error("write", &shown, error));
                context.compute(work).await
            }
            Place::Objects(bucket, key) => {
                for fresh in fresh {
                    let key = format!("{key}/{}", fresh.member.path);
                    bucket.put_file(&key, &fresh.from).await?;
                }
                Ok(())
            }
        }
    }

    /// Puts the list in the place of the one that was read.
    async fn publish(
        &self,
        context: &TaskContext,
        list: &Manifest,
        tag: Option<&str>,
    ) -> Result<(), TaskError> {
        let content = serde_json::to_vec_pretty(list).map_err(|error| {
            TaskError::bug("the list of files cannot be written").because(error)
        })?;
        match &self.place {
            Place::Directory(directory) => {
                let path = directory
                    .join(manifest::NAME)
                    .to_string_lossy()
                    .into_owned();
                let inner = context.clone();
                let work = move || Whole::write(&inner, &path, &content);
                context.compute(work).await
            }
            Place::Objects(bucket, key) => {
                let key = format!("{key}/{}", manifest::NAME);
                bucket.put_after(&key, content.into(), tag).await
            }
        }
    }

    /// Removes the files that the list before has named and this one does not. What stays does no harm.
    async fn tidy(&self, context: &TaskContext, before: &Manifest, after: &Manifest) {
        let kept: HashSet<&str> = after.files.iter().map(|member| &*member.path).collect();
        let gone = before.files.iter().filter(|old| !kept.contains(&*old.path));
        for member in gone {
            let removed = match &self.place {
                Place::Directory(directory) => fs::remove_file(directory.join(&member.path))
                    .map_err(|error| io_error("remove", &member.path, error)),
                Place::Objects(bucket, key) => {
                    bucket.delete(&format!("{key}/{}", member.path)).await
                }
            };
            if let Err(error) = removed {
                context.log.warn(error.full_message());
            }
        }
    }

    /// Where the files are until all are complete.
    fn unfinished(&self, context: &TaskContext, own: &Own) -> Unfinished {
        Unfinished(match &self.place {
            // On the same disk, so that files need only be renamed.
            Place::Directory(directory) => directory.join(own.hidden()),
            Place::Objects(..) => context.artifacts.temporary(),
        })
    }
}
