//! Builds one statement out of a write for each table that is touched.
//!
//! It begins with `fenced`: the runs, locked, whose token still holds. Every part takes only the rows whose slot is in
//! there. So a commit of any size is one statement, its own transaction and one round trip.

use sqlx::{
    Arguments, AssertSqlSafe, Encode, PgConnection, Postgres, Row, Type,
    postgres::{PgArguments, PgRow},
};

use crate::batch::{Batch, Slot};

/// A statement that grows.
pub(super) struct Statement {
    sql: String,
    arguments: PgArguments,
    count: usize,
    tell: bool,
    failure: Option<sqlx::error::BoxDynError>,
}

/// A row that somebody else has locked is not waited for long: the other runs' writes must go on.
const FENCED: &str = "with patient as materialized (select set_config('lock_timeout', '1s', true)),
fenced as materialized (
    select f.slot, r.id as run from patient cross join unnest($?::int[], $?::uuid[], $?::bigint[]) as f (slot, run, fence)
    join pipectl.runs r on r.id = f.run and r.fence = f.fence
    where r.state <> 'queued' or not r.enqueued or r.leased_until > now() order by r.id for no key update of r
)";

impl Statement {
    /// A statement over the runs of `batch`.
    pub(super) fn new(batch: &Batch<'_>) -> Self {
        let mut statement = Self {
            sql: String::with_capacity(4_096),
            arguments: PgArguments::default(),
            count: 0,
            tell: false,
            failure: None,
        };
        let (runs, fences): (Vec<_>, Vec<_>) = batch.fences.keys().copied().unzip();
        let slots: Vec<Slot> = (0..).take(runs.len()).collect();
        statement.sql(FENCED);
        statement.bind(slots).bind(runs).bind(fences);
        statement
    }

    /// Adds a part. Each `$?` in it stands for the next argument.
    pub(super) fn part(&mut self, name: &str, sql: &str) -> &mut Self {
        self.sql.push_str(", ");
        self.sql.push_str(name);
        self.sql.push_str(" as (");
        self.sql(sql);
        self.sql.push(')');
        self
    }

    /// Binds the next argument.
    pub(super) fn bind<'q, T: Encode<'q, Postgres> + Type<Postgres>>(
        &mut self,
        value: T,
    ) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.failure = Some(error);
        }
        self
    }

    /// Wakes those who wait for a change.
    pub(super) fn tell(&mut self) {
        self.tell = true;
    }

    fn sql(&mut self, sql: &str) {
        let mut parts = sql.split("$?");
        self.sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            self.count += 1;
            self.sql.push('$');
            self.sql.push_str(&self.count.to_string());
            self.sql.push_str(part);
        }
    }

    /// Does everything, and gives the slots whose token holds.
    pub(super) async fn execute(
        mut self,
        connection: &mut PgConnection,
    ) -> Result<Vec<Slot>, sqlx::Error> {
        if let Some(error) = self.failure {
            return Err(sqlx::Error::Encode(error));
        }
        self.sql.push_str(if self.tell {
            " select slot, pipectl.tell() from fenced"
        } else {
            " select slot from fenced"
        });
        // The text holds no values, only the parts above.
        let rows = sqlx::query_with(AssertSqlSafe(self.sql), self.arguments)
            .fetch_all(connection)
            .await?;
        rows.iter().map(|row: &PgRow| row.try_get(0)).collect()
    }
}
