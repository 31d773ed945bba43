//! Rows into Postgres, with the ledger's entry in the same transaction.

use pipectl_connections::database_error;
use pipectl_engine::{
    failpoint,
    operator::{TaskContext, TaskError},
};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row};

use super::{
    checked::{Identity, Job, LEDGER, Loaded, Mode},
    copy,
    table::{Holds, TableColumn, TableName, postgres_type, quoted, quoted_list},
};
use crate::support::text::hint_for_name;

/// The table that upserts gather their rows in.
const STAGE: &str = "pg_temp.pipectl_stage";

/// Writes the rows.
pub(super) async fn load(
    pool: &PgPool,
    connection: &str,
    job: Job,
    context: &TaskContext,
) -> Result<Loaded, TaskError> {
    let session = Session {
        doing: format!("write to `{connection}`"),
        identity: Identity::of(context),
    };
    let fail = |error| session.fail(error);
    let ledger = job.table.beside(LEDGER);
    session.make_ledger(pool, &ledger).await?;
    let mut transaction = pool.begin().await.map_err(fail)?;
    session
        .run(&mut transaction, "set local timezone to 'UTC'".to_owned())
        .await?;
    let rows = job.frame.height() as u64;
    if let Some(before) = session.claim(&mut transaction, &ledger, rows).await? {
        return Ok(Loaded::Before(before));
    }
    if job.create {
        // Two that make a table at once: without the lock the later one fails although the table is there.
        let lock = "select pg_advisory_xact_lock(hashtext('pipectl create ' || $1))";
        let locked = sqlx::query(lock)
            .bind(job.table.quoted())
            .execute(&mut *transaction)
            .await;
        locked.map_err(|error| session.fail(error))?;
        session
            .run(&mut transaction, job.create_table(postgres_type)?)
            .await?;
    }
    let columns = session.columns(&mut transaction, &job.table).await?;
    let columns: Vec<_> = job.matched(&columns)?.into_iter().cloned().collect();
    if job.mode == Mode::Upsert {
        job.check_unique(&session.unique_indexes(&mut transaction, &job.table).await?)?;
    }
    let (frame, name) = (job.frame.clone(), job.name.clone());
    let targets = columns.clone();
    let chunks = context
        .compute(move || copy::encode(&frame, &targets, &name))
        .await?;
    session
        .write(&mut transaction, &job, &columns, chunks)
        .await?;
    failpoint::hit("load_sql_before_commit");
    if context.cancel.is_cancelled() {
        return Err(TaskError::external(
            "the attempt was stopped before its rows were committed",
        ));
    }
    transaction.commit().await.map_err(fail)?;
    failpoint::hit("load_sql_after_commit");
    Ok(Loaded::Now(rows))
}

struct Session {
    doing: String,
    identity: Identity,
}

impl Session {
    fn fail(&self, error: sqlx::Error) -> TaskError {
        database_error(&self.doing, error)
    }

    /// Runs a statement that is made of quoted names and our own words.
    async fn run(&self, session: &mut PgConnection, sql: String) -> Result<u64, TaskError> {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(session).await;
        done.map(|done| done.rows_affected())
            .map_err(|error| self.fail(error))
    }

    async fn make_ledger(&self, pool: &PgPool, ledger: &TableName) -> Result<(), TaskError> {
        let is_there = || async {
            let there =
                sqlx::query_scalar("select to_regclass($1) is not null").bind(ledger.quoted());
            there
                .fetch_one(pool)
                .await
                .map_err(|error| self.fail(error))
        };
        if is_there().await? {
            return Ok(());
        }
        let sql = format!(
            "create table if not exists {} (run text not null, task text not null, element integer not null, \
             redo integer not null, rows bigint not null, at timestamptz not null default now(), \
             primary key (run, task, element, redo))",
            ledger.quoted()
        );
        match sqlx::query(AssertSqlSafe(sql)).execute(pool).await {
            Ok(_) => Ok(()),
            // Two that make it at once: the later one fails although the table is there.
            Err(_) if is_there().await? => Ok(()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Enters the load in the ledger. If it is there already, its rows are too: how many they were.
    async fn claim(
        &self,
        session: &mut PgConnection,
        ledger: &TableName,
        rows: u64,
    ) -> Result<Option<u64>, TaskError> {
        let Identity {
            run,
            task,
            element,
            redo,
        } = &self.identity;
        let sql = format!(
            "insert into {} (run, task, element, redo, rows) values ($1, $2, $3, $4, $5) on conflict do nothing",
            ledger.quoted()
        );
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let entered = sqlx::query(AssertSqlSafe(sql))
            .bind(run)
            .bind(task)
            .bind(element)
            .bind(redo)
            .bind(rows);
        if entered
            .execute(&mut *session)
            .await
            .map_err(|error| self.fail(error))?
            .rows_affected()
            == 1
        {
            return Ok(None);
        }
        let sql = format!(
            "select rows from {} where run = $1 and task = $2 and element = $3 and redo = $4",
            ledger.quoted()
        );
        let before = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql))
            .bind(run)
            .bind(task)
            .bind(element)
            .bind(redo);
        let before = before
            .fetch_one(session)
            .await
            .map_err(|error| self.fail(error))?;
        Ok(Some(u64::try_from(before).unwrap_or(0)))
    }

    async fn columns(
        &self,
        session: &mut PgConnection,
        table: &TableName,
    ) -> Result<Vec<TableColumn>, TaskError> {
        let rows = sqlx::query(
            "select a.attname::text, format_type(a.atttypid, a.atttypmod), b.typname::text, b.typcategory::text, \
                    a.attnotnull and not a.atthasdef and a.attidentity = '' \
             from pg_attribute a \
             join pg_type t on t.oid = a.atttypid \
             join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end \
             where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' \
             order by a.attnum",
        );
        let rows = rows
            .bind(table.quoted())
            .fetch_all(&mut *session)
            .await
            .map_err(|error| self.fail(error))?;
        if rows.is_empty() {
            return Err(self.no_table(session, table).await);
        }
        let column = |row: &sqlx::postgres::PgRow| {
            let (base, category): (String, String) = (row.try_get(2)?, row.try_get(3)?);
            Ok(TableColumn {
                name: row.try_get(0)?,
                type_name: row.try_get(1)?,
                holds: Holds::of_postgres(&base, &category),
                required: row.try_get(4)?,
            })
        };
        rows.iter()
            .map(column)
            .collect::<Result<_, _>>()
            .map_err(|error| self.fail(error))
    }

    async fn no_table(&self, session: &mut PgConnection, table: &TableName) -> TaskError {
        let names = sqlx::query_scalar::<_, String>(
            "select case when n.nspname = current_schema() then c.relname else n.nspname || '.' || c.relname end \
             from pg_class c join pg_namespace n on n.oid = c.relnamespace \
             where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema') order by 1 limit 500",
        );
        let names = names.fetch_all(session).await.unwrap_or_default();
        missing_table(table, &names)
    }

    async fn unique_indexes(
        &self,
        session: &mut PgConnection,
        table: &TableName,
    ) -> Result<Vec<Vec<String>>, TaskError> {
        let indexes = sqlx::query_scalar(
            "select array_agg(a.attname::text) from pg_index i \
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1]) \
             where i.indrelid = to_regclass($1) and i.indisunique and i.indisvalid \
               and i.indpred is null and i.indexprs is null \
             group by i.indexrelid",
        );
        indexes
            .bind(table.quoted())
            .fetch_all(session)
            .await
            .map_err(|error| self.fail(error))
    }

    async fn write(
        &self,
        session: &mut PgConnection,
        job: &Job,
        columns: &[TableColumn],
        chunks: Vec<bytes::Bytes>,
    ) -> Result<(), TaskError> {
        let table = job.table.quoted();
        let names = quoted_list(columns.iter().map(|column| column.name.as_str()));
        let key = quoted_list(job.key.iter().map(String::as_str));
        if job.mode == Mode::Replace {
            // Not `truncate`: others go on reading the old rows until we commit.
            self.run(session, format!("delete from {table}")).await?;
        }
        if matches!(job.mode, Mode::Append | Mode::Replace) {
            return self.copy(session, &table, &names, chunks).await;
        }
        self.run(session, format!("create temp table pipectl_stage on commit drop as select {names} from {table} with no data"))
            .await?;
        self.copy(session, STAGE, &names, chunks).await?;
        let mut insert = format!("insert into {table} ({names}) select {names} from {STAGE}");
        if job.mode == Mode::Upsert {
            let others: Vec<_> = columns
                .iter()
                .filter(|column| !job.key.contains(&column.name))
                .collect();
            let set: Vec<_> = others
                .iter()
                .map(|column| format!("{0} = excluded.{0}", quoted(&column.name)))
                .collect();
            let conflict = match set.as_slice() {
                [] => "do nothing".to_owned(),
                set => format!("do update set {}", set.join(", ")),
            };
            insert = format!("{insert} on conflict ({key}) {conflict}");
        } else {
            self.run(
                session,
                format!("delete from {table} where ({key}) in (select {key} from {STAGE})"),
            )
            .await?;
        }
        self.run(session, insert).await.map(|_| ())
    }

    async fn copy(
        &self,
        session: &mut PgConnection,
        table: &str,
        names: &str,
        chunks: Vec<bytes::Bytes>,
    ) -> Result<(), TaskError> {
        let statement = format!("copy {table} ({names}) from stdin with (format binary)");
        let mut copy = session
            .copy_in_raw(&statement)
            .await
            .map_err(|error| self.fail(error))?;
        for chunk in chunks {
            copy.send(chunk).await.map_err(|error| self.fail(error))?;
        }
        copy.finish()
            .await
            .map(|_| ())
            .map_err(|error| self.fail(error))
    }
}

/// There is no such table.
pub(super) fn missing_table(table: &TableName, names: &[String]) -> TaskError {
    let known = names
        .iter()
        .map(String::as_str)
        .filter(|name| !name.ends_with(LEDGER));
    TaskError::user(format!("there is no table `{table}`")).hint(format!(
        "write `create: true` to make it from the dataset; {}",
        hint_for_name(&table.to_string(), "the tables are", known)
    ))
}
