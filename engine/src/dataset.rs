//! A table between tasks: a polars frame in memory, a lazy plan, or Parquet in the artifact store.

use std::{
    any::Any,
    error::Error,
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use polars::{
    error::PolarsError,
    prelude::{
        DataFrame, DataType, FileWriteFormat, IntoLazy, LazyFrame, ParquetWriteOptions,
        ParquetWriter, PlRefPath, PolarsResult, ScanArgsParquet, Schema, SchemaRef,
        SinkDestination, SinkTarget, TimeZone, UnifiedSinkArgs, len,
    },
};
use serde::{Deserialize, Serialize};

use crate::artifact::sha256_of_file;

/// How many rows of a streamed table are held in memory before they are written.
const ROW_GROUP: usize = 1 << 18;

/// A table with a known schema. Cloning it copies no data.
#[derive(Clone)]
pub struct Dataset {
    schema: SchemaRef,
    data: Data,
    stored: Option<StoredDataset>,
    needs: Vec<Need>,
}

#[derive(Clone)]
enum Data {
    Frame(Arc<DataFrame>),
    Lazy(Arc<LazyFrame>),
    Parquet(PathBuf),
    /// Parquet that is not in the artifact store yet, and is removed with the last who knows of it.
    Written(Arc<Unkept>),
}

/// A file that is removed when this is dropped.
struct Unkept(PathBuf);

impl Drop for Unkept {
    fn drop(&mut self) {
        // It may have been moved to where it is kept.
        let _removed = std::fs::remove_file(&self.0);
    }
}

/// What a plan reads, as long as it may be run.
#[derive(Clone)]
struct Need {
    /// What must not go away before: files that were fetched.
    _kept: Arc<dyn Any + Send + Sync>,
    explain: Option<Explain>,
}

/// Says in better words than polars why a plan fails, when it can.
pub type Explain = Arc<dyn Fn(&PolarsError) -> Option<Box<dyn Error + Send + Sync>> + Send + Sync>;

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
            needs: Vec::new(),
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
            needs: Vec::new(),
        })
    }

    /// A table in a Parquet file of ours, which belongs to the dataset from now on: it is taken into the artifact
    /// store, or removed. Reads the file's schema: call it where blocking is allowed.
    ///
    /// # Errors
    /// When the file is not there or is no Parquet.
    pub fn from_file(path: PathBuf) -> PolarsResult<Self> {
        let file = Unkept(path);
        let schema = scan(&file.0)?.collect_schema()?;
        Ok(Self {
            schema,
            data: Data::Written(Arc::new(file)),
            stored: None,
            needs: Vec::new(),
        })
    }

    /// The same plan, which reads what `kept` holds; `explain` finds better words for its failures.
    #[must_use]
    pub fn needing(mut self, kept: Arc<dyn Any + Send + Sync>, explain: Option<Explain>) -> Self {
        self.needs.push(Need {
            _kept: kept,
            explain,
        });
        self
    }

    /// The same plan, which reads `other`.
    #[must_use]
    pub fn reading(mut self, other: &Self) -> Self {
        self.needs.extend(other.needs.iter().cloned());
        if let Data::Written(file) = &other.data {
            self = self.needing(Arc::clone(file) as Arc<dyn Any + Send + Sync>, None);
        }
        self
    }

    /// Better words than polars' for a failure of the plan.
    pub fn explained(&self, error: &PolarsError) -> Option<Box<dyn Error + Send + Sync>> {
        let mut explains = self.needs.iter().filter_map(|need| need.explain.as_ref());
        explains.find_map(|explain| explain(error))
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
            needs: Vec::new(),
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

    /// The Parquet file that it lies in, when it does.
    pub fn file(&self) -> Option<&Path> {
        match &self.data {
            Data::Parquet(path) => Some(path),
            Data::Written(file) => Some(&file.0),
            Data::Frame(_) | Data::Lazy(_) => None,
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
            Data::Written(file) => scan(&file.0),
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

/// What was written of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its rows.
    pub rows: u64,
    /// The size of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub fingerprint: String,
}

/// Why a dataset was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The plan behind it fails.
    #[error("the table cannot be computed")]
    Plan(#[source] PolarsError),
    /// The plan behind it fails, and whoever made it knows why.
    #[error("the table cannot be computed")]
    Better(Box<dyn Error + Send + Sync>),
    /// The file cannot be written.
    #[error("cannot write the table as Parquet")]
    File(#[source] Box<dyn Error + Send + Sync>),
}

impl WriteError {
    fn file(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::File(error.into())
    }
}

impl Dataset {
    /// Writes the table as Parquet. Computes: call it within [`compute`](crate::operator::TaskContext::compute).
    ///
    /// # Errors
    /// When the plan fails or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<Written, WriteError> {
        match &self.data {
            Data::Frame(frame) => {
                let mut frame: DataFrame = frame.as_ref().clone();
                let file = File::create(path).map_err(WriteError::file)?;
                ParquetWriter::new(file)
                    .finish(&mut frame)
                    .map_err(WriteError::file)?;
            }
            Data::Written(file) => same_file(&file.0, path).map_err(WriteError::file)?,
            Data::Lazy(_) | Data::Parquet(_) => {
                self.sink(path)
                    .map_err(|error| match self.explained(&error) {
                        Some(better) => WriteError::Better(better),
                        None => WriteError::Plan(error),
                    })?;
            }
        }
        let rows = match self.in_memory() {
            Some(frame) => frame.height() as u64,
            None => rows_of(path).map_err(WriteError::Plan)?,
        };
        let (fingerprint, bytes) = sha256_of_file(path).map_err(WriteError::file)?;
        Ok(Written {
            rows,
            bytes,
            fingerprint,
        })
    }

    fn sink(&self, path: &Path) -> PolarsResult<()> {
        let target = SinkDestination::File {
            target: SinkTarget::Path(PlRefPath::try_from_path(path)?),
        };
        let options = ParquetWriteOptions {
            row_group_size: Some(ROW_GROUP),
            ..ParquetWriteOptions::default()
        };
        let format = FileWriteFormat::Parquet(Arc::new(options));
        self.lazy()?
            .sink(target, format, UnifiedSinkArgs::default())?
            .collect()
            .map(drop)
    }

    /// What is to be remembered of the table when it has been written and lies under `key`.
    pub fn stored_as(&self, name: &str, key: &str, written: Written) -> StoredDataset {
        let columns = self.schema.iter();
        StoredDataset {
            name: name.to_owned(),
            key: key.to_owned(),
            rows: written.rows,
            bytes: written.bytes,
            columns: columns
                .map(|(name, dtype)| (name.to_string(), type_name(dtype)))
                .collect(),
            fingerprint: written.fingerprint,
        }
    }
}

/// The name that people know a type by; settings call it so too.
pub fn type_name(of: &DataType) -> String {
    match of {
        DataType::String => "string".to_owned(),
        DataType::Int64 => "integer".to_owned(),
        DataType::Float64 => "number".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Date => "date".to_owned(),
        DataType::Datetime(_, None) => "datetime".to_owned(),
        DataType::Datetime(_, Some(zone)) if *zone == TimeZone::UTC => "timestamp".to_owned(),
        DataType::Datetime(_, Some(zone)) => format!("timestamp in {zone}"),
        DataType::Time => "time".to_owned(),
        DataType::Int32 => "int32".to_owned(),
        DataType::Float32 => "float32".to_owned(),
        other => other.to_string(),
    }
}

/// How many rows a Parquet file has. Reads its end: call it where blocking is allowed.
///
/// # Errors
/// When the file is not there or is no Parquet.
pub fn rows_of(path: &Path) -> PolarsResult<u64> {
    let rows = scan(path)?.select([len()]).collect()?;
    rows.columns()
        .first()
        .map_or(Ok(0), |column| column.get(0)?.try_extract())
}

/// Lets a file appear under another name too, by a copy where the file system knows no second names.
fn same_file(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::hard_link(from, to).or_else(|_| std::fs::copy(from, to).map(drop))
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
