//! Builds one text out of a statement for each table that is touched, each with its rows as one JSON document.
//!
//! The driver hands each execution to a thread of its own; so a commit of any size is one such errand. It begins with
//! the temporary table `fenced`: the runs whose token still holds. Every statement takes only the rows whose slot is in
//! there.

use serde_json::{Value, json};
use sqlx::{
    Arguments, AssertSqlSafe, Row, SqliteConnection,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::create::NOW;
use crate::batch::{Batch, Slot};

/// The temporary table, made once for a connection.
pub(super) const TEMPORARY: &str =
    "create temp table fenced (slot integer primary key, run blob not null) strict";

const FENCE: &str = "delete from temp.fenced;
    insert into temp.fenced (slot, run) select j.value ->> 0, r.id
        from json_each(?) j cross join runs r where r.id = unhex(j.value ->> 1) and r.fence = j.value ->> 2
            and (r.state <> 'queued' or not r.enqueued or r.leased_until > {now});";

/// Statements to be executed together.
#[derive(Default)]
pub(super) struct Script {
    sql: String,
    arguments: SqliteArguments,
}

impl Script {
    /// Adds a statement with at most one parameter: the rows, each a list whose first item is the slot.
    pub(super) fn rows(&mut self, sql: &str, rows: &[Value]) {
        if rows.is_empty() {
            return;
        }
        self.bind(sql, Value::from(rows.to_vec()).to_string());
    }

    fn bind(&mut self, sql: &str, text: String) {
        self.sql.push_str(sql);
        // Text always encodes.
        drop(self.arguments.add(text));
    }

    /// Takes the write lock and finds the runs of `batch` whose token holds.
    pub(super) fn begin(&mut self, batch: &Batch<'_>) {
        self.sql.push_str("begin immediate;");
        let fences = batch.fences.keys().zip(0..);
        let fences: Vec<Slot3> = fences
            .map(|((run, fence), slot)| (slot, run.simple().to_string(), *fence))
            .collect();
        self.bind(&FENCE.replace("{now}", NOW), json!(fences).to_string());
    }

    /// Adds the reading of the slots whose token holds.
    pub(super) fn slots(&mut self) {
        self.sql.push_str("select slot from temp.fenced;");
    }

    /// Ends the transaction.
    pub(super) fn commit(&mut self) {
        self.sql.push_str("commit;");
    }

    /// Does everything, and gives the slots that were read.
    pub(super) async fn execute(
        self,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<Slot>, sqlx::Error> {
        if self.sql.is_empty() {
            return Ok(Vec::new());
        }
        // The text holds no values, only the statements above.
        let rows = sqlx::query_with(AssertSqlSafe(self.sql), self.arguments)
            .fetch_all(connection)
            .await?;
        rows.iter().map(|row: &SqliteRow| row.try_get(0)).collect()
    }
}

type Slot3 = (Slot, String, i64);
