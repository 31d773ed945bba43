//! Feature views: `features/*.yaml`, each a table of what was known of something, and when.

mod read;
mod schema;

use std::{path::PathBuf, time::Duration};

use serde::Serialize;
use serde_json::json;

use super::Project;
use crate::{
    artifact::sha256,
    spec::{Diagnostics, SourceFile},
};

pub use schema::feature_view_schema;

/// The directory of the project's feature views.
pub const DIRECTORY: &str = "features";

/// How many digits of its content's hash a version has.
const DIGITS: usize = 12;

/// A table of what was known of something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureView {
    /// Its name: that of its file.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The columns that say of what something is known.
    pub entity: Vec<String>,
    /// The column that says when it became true.
    pub event_time: String,
    /// The column that says when it became known.
    pub created_time: Option<String>,
    /// How long it counts.
    pub ttl: Option<Duration>,
    /// The columns that it knows.
    pub columns: Vec<String>,
    /// Where its rows are.
    pub source: FeatureSource,
    /// Where its newest values are kept.
    pub online: OnlineTable,
}

/// Where the rows of a feature view are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureSource {
    /// In files: Parquet, CSV or JSON, as the path ends.
    Files {
        /// A path or pattern, of the project or below the connection.
        path: String,
        /// A bucket, or a directory that is used like one.
        connection: Option<String>,
    },
    /// In a table of a database.
    Table {
        /// The database.
        connection: String,
        /// `table` or `schema.table`.
        table: String,
    },
    /// What a query gives.
    Query {
        /// The database.
        connection: String,
        /// One `select`.
        query: String,
    },
}

/// Where the newest values of a feature view are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlineTable {
    /// The database.
    pub connection: String,
    /// `table` or `schema.table`.
    pub table: String,
}

impl FeatureView {
    /// Reads a view.
    ///
    /// # Errors
    /// All complaints about it, when one of them is an error.
    pub fn parse(source: &SourceFile, project: &Project) -> Result<Self, Diagnostics> {
        read::view(source, project)
    }

    /// The project's view called `name`.
    ///
    /// # Errors
    /// When there is no such file, or it is not valid.
    pub fn load(project: &Project, name: &str) -> Result<Self, Diagnostics> {
        let file = Self::file(project, name);
        let shown = format!("{DIRECTORY}/{name}.yaml");
        let source = SourceFile::read(&file, shown)?;
        Self::parse(&source, project)
    }

    /// The file of the view called `name`.
    pub fn file(project: &Project, name: &str) -> PathBuf {
        project.path(DIRECTORY).join(format!("{name}.yaml"))
    }

    /// What kind of files a path names: `parquet`, `csv`, `json` or `ndjson`; `.gz`, `.zst` and `.zip` may follow.
    pub fn kind_of(path: &str) -> Option<&'static str> {
        read::kind(path)
    }

    /// The names of the project's views, as its files are called; none when it has no directory of them.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names(project: &Project) -> std::io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(project.path(DIRECTORY)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
                && let Some(stem) = path.file_stem()
            {
                names.push(stem.to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The hash of what it says: equal versions give equal features of equal rows. Its description does not count, nor
    /// where its newest values are kept.
    pub fn version(&self) -> String {
        let content = json!({
            "name": self.name,
            "entity": self.entity,
            "event_time": self.event_time,
            "created_time": self.created_time,
            "ttl": self.ttl.map(|ttl| ttl.as_millis().to_string()),
            "columns": self.columns,
            "source": self.source,
        });
        let mut digest = sha256(content.to_string().as_bytes());
        digest.truncate(DIGITS);
        digest
    }
}
