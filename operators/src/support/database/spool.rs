//! Rows that are being read from a database: in memory as long as they are few, then in a Parquet file, part by part.

use pipectl_engine::{
    dataset::Dataset,
    operator::{TaskContext, TaskError},
};
use polars::{io::parquet::write::BatchedWriter, prelude::*};
use tokio::sync::mpsc;

use super::rows::Rows;
use crate::support::{frame::polars_error, location::Temporary, spill};

/// From so many bytes on, as the server sends them, the rows of a query go into a file.
const MOST: usize = 256 << 20;
/// How many bytes go into it at once.
const PART: usize = 32 << 20;
/// However many sessions share these: fewer bytes are not worth a part.
const LEAST: usize = 2 << 20;

/// How much a session may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    first: usize,
    part: usize,
}

impl Room {
    /// The share of one of so many sessions.
    pub(super) fn of(sessions: usize) -> Self {
        let share = |bytes: usize| (bytes / sessions.max(1)).max(LEAST);
        Self {
            first: share(MOST),
            part: share(PART),
        }
    }
}

/// Where a session puts its rows.
pub(super) struct Spool {
    room: Room,
    sender: mpsc::Sender<DataFrame>,
    spilled: bool,
}

impl Spool {
    /// A spool, and what becomes of its rows: [`write`] wants to run beside it.
    pub(super) fn new(room: Room) -> (Self, mpsc::Receiver<DataFrame>) {
        // One part is written while the next is read.
        let (sender, parts) = mpsc::channel(1);
        let spool = Self {
            room,
            sender,
            spilled: false,
        };
        (spool, parts)
    }

    /// Lets rows go that are too many to be held.
    ///
    /// # Errors
    /// When their decimals do not fit together.
    pub(super) async fn relieve(&mut self, rows: &mut Rows) -> Result<(), TaskError> {
        let most = if self.spilled {
            self.room.part
        } else {
            self.room.first
        };
        if rows.bytes >= most {
            self.put(rows).await?;
            self.spilled = true;
        }
        Ok(())
    }

    /// The end: rows that follow others into the file.
    ///
    /// # Errors
    /// As [`Spool::relieve`].
    pub(super) async fn end(self, rows: &mut Rows) -> Result<(), TaskError> {
        if self.spilled {
            self.put(rows).await?;
        }
        Ok(())
    }

    async fn put(&self, rows: &mut Rows) -> Result<(), TaskError> {
        let part = rows.emptied().map_err(|error| unfit(&error))?;
        // Without its receiver the writing has failed, and says itself why.
        let _taken = self.sender.send(part).await;
        Ok(())
    }
}

fn unfit(error: &PolarsError) -> TaskError {
    polars_error("read the query's rows", error)
}

/// Parquet files of one session, in order: decimals may have more digits from one to the next.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<Temporary>);

/// Writes the parts that a spool gives. Computes: call it where blocking is allowed.
///
/// # Errors
/// When there is no room for them.
pub(super) fn write(
    context: &TaskContext,
    mut parts: mpsc::Receiver<DataFrame>,
) -> Result<Files, TaskError> {
    let fail = |error: PolarsError| polars_error("write the query's rows", &error);
    let mut files = Files::default();
    let mut open: Option<(SchemaRef, BatchedWriter<std::fs::File>)> = None;
    while let Some(part) = parts.blocking_recv() {
        let schema = part.schema();
        if open.as_ref().is_none_or(|(before, _)| before != schema) {
            close(open.take()).map_err(fail)?;
            let file = Temporary::new(context)?;
            let writer = std::fs::File::create(&file.0).map_err(PolarsError::from);
            let writer = writer.and_then(|file| {
                ParquetWriter::new(file)
                    .with_row_group_size(Some(spill::ROW_GROUP))
                    .batched(schema)
            });
            open = Some((schema.clone(), writer.map_err(fail)?));
            files.0.push(file);
        }
        if let Some((_, writer)) = &mut open {
            writer.write_batch(&part).map_err(fail)?;
        }
    }
    close(open).map_err(fail)?;
    Ok(files)
}

fn close(open: Option<(SchemaRef, BatchedWriter<std::fs::File>)>) -> PolarsResult<()> {
    open.map_or(Ok(()), |(_, writer)| writer.finish().map(drop))
}

/// What a session has read.
pub(super) struct Gathered {
    /// What it still holds.
    pub(super) rows: Rows,
    /// What it has let go of before.
    pub(super) files: Files,
}

impl Gathered {
    /// The rows of sessions, one behind the other. Computes: call it where blocking is allowed.
    ///
    /// # Errors
    /// When decimals do not fit together, or there is no room for a file.
    pub(super) fn table(sessions: Vec<Self>, context: &TaskContext) -> Result<Dataset, TaskError> {
        if sessions.iter().all(|session| session.files.0.is_empty()) {
            let all = sessions.into_iter().map(|session| session.rows);
            let all = all.reduce(|mut rows, more| {
                rows.append(more);
                rows
            });
            let all = all.ok_or_else(|| TaskError::bug("no session has read"))?;
            let frame = all.finish().map_err(|error| unfit(&error))?;
            return Ok(Dataset::from_frame(frame));
        }
        let (mut files, mut parts) = (Vec::new(), Vec::new());
        for session in sessions {
            let rest = session.rows.finish().map_err(|error| unfit(&error))?;
            for file in session.files.0 {
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
    use pipectl_engine::operator::{SqlText, testing::TestProject};
    use pipectl_test_support::TestPostgres;
    use sqlx::postgres::PgPoolOptions;

    use super::{
        super::{
            bound,
            postgres_read::{Source, columns},
        },
        *,
    };

    const QUERY: &str = "select n as id, repeat('x', 90) as text, \
        case when n < 2000 then 1.5 when n < 4000 then 2.25 when n = 5000 then null else n::numeric end as number, \
        case when n < 4500 then array[n::numeric] else array[0.125] end as numbers \
        from generate_series(1, 6000) as n order by n";

    async fn gathered(source: &Source, room: Room) -> Gathered {
        let query = SqlText {
            sql: QUERY.to_owned(),
            values: Vec::new(),
        };
        let mut session = source.pool.acquire().await.unwrap();
        let prepared = bound::prepare(&mut session, &query, |error| source.fail(error));
        let columns = columns(&prepared.await.unwrap()).unwrap();
        let rows = source.copied(&mut session, &query, &columns, room);
        rows.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_that_went_through_files_are_those_that_were_held() {
        let url = TestPostgres::shared().database();
        let pool = PgPoolOptions::new().connect(&url).await.unwrap();
        let project = TestProject::new();
        let context = project.context();
        let source = Source::new(&pool, "read".to_owned(), &context);
        let few = Room {
            first: 100_000,
            part: 50_000,
        };
        let held = gathered(&source, Room::of(1)).await;
        assert!(held.files.0.is_empty());
        let held = Gathered::table(vec![held], &context).unwrap();
        let held = held.in_memory().unwrap().as_ref().clone();
        let spooled = gathered(&source, few).await;
        // Wider decimals begin a new file.
        assert_eq!(spooled.files.0.len(), 3);
        let paths: Vec<_> = spooled.files.0.iter().map(|file| file.0.clone()).collect();
        let table = Gathered::table(vec![spooled], &context).unwrap();
        assert!(paths.iter().all(|path| !path.exists()));
        assert!(table.file().unwrap().exists());
        assert!(table.collect().unwrap().equals_missing(&held));
        // Beside a session that has read little.
        let both = vec![
            gathered(&source, few).await,
            gathered(&source, Room::of(1)).await,
        ];
        let both = Gathered::table(both, &context).unwrap().collect().unwrap();
        assert!(both.equals_missing(&held.vstack(&held).unwrap()));
    }
}
