//! A table between tasks: a polars frame in memory, a lazy plan, or Parquet in the artifact store.

use std::{fmt, path::PathBuf, sync::Arc};

use polars::prelude::{
    DataFrame, IntoLazy, LazyFrame, PlRefPath, PolarsResult, ScanArgsParquet, Schema, SchemaRef,
};
use serde::{Deserialize, Serialize};

/// A table with a known schema. Cloning it copies no data.
#[derive(Clone)]
pub struct Dataset {
    schema: SchemaRef,
    data: Data,
    stored: Option<StoredDataset>,
}

#[derive(Clone)]
enum Data {
    Frame(Arc<DataFrame>),
    Lazy(Arc<LazyFrame>),
    Parquet(PathBuf),
}

/// Where a durable dataset is, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDataset {
    /// The dataset's name within its task.
    pub name: String,
    /// Its key in the artifact store.
    pub key: String,
    /// How many rows it has.
    pub rows: u64,
    /// The size of the Parquet file in bytes.
    pub bytes: u64,
    /// Its columns: name and polars' name of the type.
    pub columns: Vec<(String, String)>,
    /// SHA-256 of the Parquet file.
    pub fingerprint: String,
}

impl Dataset {
    /// A table in memory.
    pub fn from_frame(frame: DataFrame) -> Self {
        Self {
            schema: frame.schema().clone(),
            data: Data::Frame(Arc::new(frame)),
            stored: None,
        }
    }

    /// A plan that streams when it is collected or written. May read a file's schema: call it where blocking is
    /// allowed, within [`compute`](crate::operator::TaskContext::compute).
    ///
    /// # Errors
    /// When the plan's schema cannot be told.
    pub fn from_lazy(mut plan: LazyFrame) -> PolarsResult<Self> {
        let schema = plan.collect_schema()?;
        Ok(Self {
            schema,
            data: Data::Lazy(Arc::new(plan)),
            stored: None,
        })
    }

    /// A durable table, read from the file at `path`. Reads the file's schema: call it where blocking is allowed.
    ///
    /// # Errors
    /// When the file is not there or is no Parquet.
    pub fn from_stored(stored: StoredDataset, path: PathBuf) -> PolarsResult<Self> {
        let schema = scan(&path)?.collect_schema()?;
        Ok(Self {
            schema,
            data: Data::Parquet(path),
            stored: Some(stored),
        })
    }

    /// The same table, now known to be durable; what was in memory stays there.
    #[must_use]
    pub fn with_stored(mut self, stored: StoredDataset) -> Self {
        self.stored = Some(stored);
        self
    }

    /// Its columns.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// How many rows it has, when that is known without reading it.
    pub fn known_rows(&self) -> Option<u64> {
        match (&self.stored, &self.data) {
            (Some(stored), _) => Some(stored.rows),
            (None, Data::Frame(frame)) => Some(frame.height() as u64),
            (None, _) => None,
        }
    }

    /// Where it is durable.
    pub fn stored(&self) -> Option<&StoredDataset> {
        self.stored.as_ref()
    }

    /// The table in memory, when it is there.
    pub fn in_memory(&self) -> Option<&Arc<DataFrame>> {
        match &self.data {
            Data::Frame(frame) => Some(frame),
            _ => None,
        }
    }

    /// The table as a plan. Nothing is read yet.
    ///
    /// # Errors
    /// When the Parquet file cannot be opened.
    pub fn lazy(&self) -> PolarsResult<LazyFrame> {
        match &self.data {
            Data::Frame(frame) => Ok(frame.as_ref().clone().lazy()),
            Data::Lazy(plan) => Ok(plan.as_ref().clone()),
            Data::Parquet(path) => scan(path),
        }
    }

    /// The whole table in memory. Computes: call it within [`compute`](crate::operator::TaskContext::compute).
    ///
    /// # Errors
    /// When the table cannot be read or the plan fails.
    pub fn collect(&self) -> PolarsResult<DataFrame> {
        match &self.data {
            Data::Frame(frame) => Ok(frame.as_ref().clone()),
            _ => self.lazy()?.collect(),
        }
    }
}

fn scan(path: &std::path::Path) -> PolarsResult<LazyFrame> {
    LazyFrame::scan_parquet(PlRefPath::try_from_path(path)?, ScanArgsParquet::default())
}

impl From<DataFrame> for Dataset {
    fn from(frame: DataFrame) -> Self {
        Self::from_frame(frame)
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset")
            .field("columns", &self.schema.len())
            .field("rows", &self.known_rows())
            .finish_non_exhaustive()
    }
}
