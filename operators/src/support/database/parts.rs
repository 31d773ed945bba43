//! Rows that have been read part by part: in memory as long as they are few, then in Parquet files.

use pipectl_engine::{
    dataset::Dataset,
    operator::{TaskContext, TaskError},
};
use polars::{io::parquet::write::BatchedWriter, prelude::*};

use crate::support::{frame::polars_error, location::Temporary, spill};

/// From so many bytes on the rows of a query go into a file.
pub(super) const MOST: usize = 256 << 20;

/// A failure of columns that do not go together.
pub(super) fn unfit(error: &PolarsError) -> TaskError {
    polars_error("read the query's rows", error)
}

/// Parquet files in order: decimals may have more digits from one to the next.
#[derive(Debug, Default)]
pub(super) struct Files(pub(super) Vec<Temporary>);

/// Writes parts into files. Computes: use it where blocking is allowed.
pub(super) struct Writer {
    context: TaskContext,
    files: Files,
    open: Option<(SchemaRef, BatchedWriter<std::fs::File>)>,
}

impl Writer {
    /// Nothing is written yet.
    pub(super) fn new(context: &TaskContext) -> Self {
        Self {
            context: context.clone(),
            files: Files::default(),
            open: None,
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When there is no room for them.
    pub(super) fn put(&mut self, part: &DataFrame) -> Result<(), TaskError> {
        let schema = part.schema();
        let same = |(before, _): &(SchemaRef, _)| before == schema;
        if !self.open.as_ref().is_some_and(same) {
            self.close()?;
            let file = Temporary::new(&self.context)?;
            let writer = std::fs::File::create(&file.0).map_err(PolarsError::from);
            let writer = writer.and_then(|file| {
                ParquetWriter::new(file)
                    .with_row_group_size(Some(spill::ROW_GROUP))
                    .batched(schema)
            });
            self.open = Some((schema.clone(), writer.map_err(unwritten)?));
            self.files.0.push(file);
        }
        let written = self.open.as_mut().map(|(_, open)| open.write_batch(part));
        written.transpose().map(drop).map_err(unwritten)
    }

    /// The files with all that was put into them.
    ///
    /// # Errors
    /// As [`Writer::put`].
    pub(super) fn finish(mut self) -> Result<Files, TaskError> {
        self.close()?;
        Ok(self.files)
    }

    fn close(&mut self) -> Result<(), TaskError> {
        let closed = self.open.take().map(|(_, writer)| writer.finish());
        closed.transpose().map(drop).map_err(unwritten)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
fn unwritten(error: PolarsError) -> TaskError {
    polars_error("write the query's rows", &error)
}

/// Rows that come part by part. Computes: use it where blocking is allowed.
pub(super) struct Parts {
    context: TaskContext,
    most: usize,
    held: Vec<DataFrame>,
    bytes: usize,
    writer: Option<Writer>,
}

impl Parts {
    /// No rows yet; `most` bytes of them are held.
    pub(super) fn new(context: &TaskContext, most: usize) -> Self {
        Self {
            context: context.clone(),
            most,
            held: Vec::new(),
            bytes: 0,
            writer: None,
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When there is no room for them.
    pub(super) fn put(&mut self, part: DataFrame) -> Result<(), TaskError> {
        self.bytes += part.estimated_size();
        self.held.push(part);
        if self.writer.is_none() && self.bytes < self.most {
            return Ok(());
        }
        let context = &self.context;
        let writer = self.writer.get_or_insert_with(|| Writer::new(context));
        for part in std::mem::take(&mut self.held) {
            writer.put(&part)?;
        }
        Ok(())
    }

    /// All of them as one table.
    ///
    /// # Errors
    /// When their columns do not go together, or there is no room for a file.
    pub(super) fn table(mut self) -> Result<Dataset, TaskError> {
        if let Some(writer) = self.writer {
            return table(vec![(writer.finish()?, DataFrame::empty())], &self.context);
        }
        if let [only] = self.held.as_mut_slice() {
            return Ok(Dataset::from_frame(std::mem::take(only)));
        }
        let parts = self.held.into_iter().map(IntoLazy::lazy).collect();
        let whole = joined(parts).and_then(LazyFrame::collect);
        whole
            .map(Dataset::from_frame)
            .map_err(|error| unfit(&error))
    }
}

/// Rows one behind the other: those of files, and those that were left to be held. Computes: call it where blocking is
/// allowed.
///
/// # Errors
/// When their columns do not go together, or there is no room for a file.
pub(super) fn table(
    all: Vec<(Files, DataFrame)>,
    context: &TaskContext,
) -> Result<Dataset, TaskError> {
    let (mut files, mut parts) = (Vec::new(), Vec::new());
    for (written, rest) in all {
        for file in written.0 {
            parts.push(scanned(&file).map_err(|error| unfit(&error))?);
            files.push(file);
        }
        if rest.height() > 0 {
            parts.push(rest.lazy());
        }
    }
    if let ([_], [file]) = (parts.as_slice(), files.as_mut_slice()) {
        let path = std::mem::take(&mut file.0);
        return Dataset::from_file(path).map_err(|error| unfit(&error));
    }
    let plan = joined(parts).map_err(|error| unfit(&error))?;
    spill::written(context, plan, |error| unfit(&error))
}

fn scanned(file: &Temporary) -> PolarsResult<LazyFrame> {
    let path = PlRefPath::try_from_path(&file.0)?;
    LazyFrame::scan_parquet(path, ScanArgsParquet::default())
}

/// The parts one behind the other, their decimals with as many digits behind the point as any of them has.
fn joined(mut parts: Vec<LazyFrame>) -> PolarsResult<LazyFrame> {
    let schemas = parts.iter_mut().map(LazyFrame::collect_schema);
    let schemas = schemas.collect::<PolarsResult<Vec<_>>>()?;
    let mut casts = Vec::new();
    for (name, of) in schemas
        .first()
        .map(|first| first.iter())
        .into_iter()
        .flatten()
    {
        let all = schemas.iter().filter_map(|schema| schema.get(name));
        let widest = all.max_by_key(|of| scale(of)).unwrap_or(of);
        casts.push(col(name.clone()).strict_cast(widest.clone()));
    }
    let parts = parts.into_iter().map(|part| part.select(casts.clone()));
    concat(parts.collect::<Vec<_>>(), UnionArgs::default())
}

fn scale(of: &DataType) -> usize {
    match of {
        DataType::Decimal(_, scale) => *scale,
        DataType::List(of) => scale(of),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;

    use super::*;

    fn part(from: i64, number: &str, scale: usize) -> DataFrame {
        let number = Column::new("number".into(), [Some(number), None]);
        let number = number.cast(&DataType::Decimal(38, scale)).unwrap();
        let id = Column::new("id".into(), [from, from + 1]);
        DataFrame::new(2, vec![id, number]).unwrap()
    }

    #[test]
    fn parts_are_one_table_whether_they_are_held_or_not() {
        let project = TestProject::new();
        let context = project.context();
        let table = |most: usize| {
            let mut parts = Parts::new(&context, most);
            for next in [part(1, "1.5", 1), part(3, "2", 1), part(5, "0.125", 3)] {
                parts.put(next).unwrap();
            }
            parts.table().unwrap()
        };
        let held = table(MOST);
        assert!(held.in_memory().is_some());
        let held = held.collect().unwrap();
        assert_eq!(held.height(), 6);
        let number = held.column("number").unwrap();
        assert_eq!(number.dtype(), &DataType::Decimal(38, 3));
        assert_eq!(number.get(0).unwrap().to_string(), "1.500");
        for most in [0, 60] {
            let written = table(most);
            assert!(written.file().is_some_and(std::path::Path::exists));
            assert!(written.collect().unwrap().equals_missing(&held));
        }
        let mut one = Parts::new(&context, MOST);
        one.put(part(1, "1", 0).clear()).unwrap();
        assert_eq!(one.table().unwrap().collect().unwrap().shape(), (0, 2));
    }
}
