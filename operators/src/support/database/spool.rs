//! Rows that are being read from a database: in memory as long as they are few, then in a Parquet file, part by part.

use pipectl_engine::{
    dataset::Dataset,
    operator::{TaskContext, TaskError},
};
use polars::prelude::*;
use tokio::sync::mpsc;

use super::{
    parts::{self, Files, MOST, Writer, unfit},
    rows::Rows,
};

/// How many bytes go into a file at once.
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

/// Writes the parts that a spool gives. Computes: call it where blocking is allowed.
///
/// # Errors
/// When there is no room for them.
pub(super) fn write(
    context: &TaskContext,
    mut parts: mpsc::Receiver<DataFrame>,
) -> Result<Files, TaskError> {
    let mut writer = Writer::new(context);
    while let Some(part) = parts.blocking_recv() {
        writer.put(&part)?;
    }
    writer.finish()
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
        let rest = |session: Self| {
            let rest = session.rows.finish().map_err(|error| unfit(&error))?;
            Ok((session.files, rest))
        };
        let all = sessions.into_iter().map(rest);
        parts::table(all.collect::<Result<_, TaskError>>()?, context)
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
