//! A transaction that counts once: its ledger, its statements, its errors.

/// The session of an attempt with a database whose connections are `$connection` and that names its types by
/// `$type_name`. SQL is the same for each of them; only the types of sqlx are not. The database brings the methods
/// `columns` and `unique_indexes`.
macro_rules! session {
    ($connection:ty, $type_name:path) => {
        /// What is done, and by whom.
        pub(super) struct Session {
            doing: String,
            identity: Identity,
        }

        impl Session {
            /// A session of an attempt; `doing` says what is done, as in ``write to `warehouse` ``.
            pub(super) fn new(
                doing: String,
                context: &TaskContext,
            ) -> Self {
                Self {
                    doing,
                    identity: Identity::of(context),
                }
            }

            /// A failure of the database.
            pub(super) fn fail(&self, error: sqlx::Error) -> TaskError {
                database_error(&self.doing, error)
            }

            /// Runs a statement that is made of quoted names and our own words.
            pub(super) async fn run(
                &self,
                session: &mut $connection,
                sql: String,
            ) -> Result<u64, TaskError> {
                let done = sqlx::query(AssertSqlSafe(sql)).execute(session).await;
                done.map(|done| done.rows_affected())
                    .map_err(|error| self.fail(error))
            }

            /// Enters the work in the ledger. If it is there already, its rows are too: how many they were.
            pub(super) async fn enter(
                &self,
                session: &mut $connection,
                ledger: &TableName,
                rows: u64,
            ) -> Result<Option<u64>, TaskError> {
                let who = &self.identity;
                let sql = format!(
                    "insert into {} (run, task, element, redo, rows) values ($1, $2, $3, $4, $5) on conflict do nothing",
                    ledger.quoted()
                );
                let entered = sqlx::query(AssertSqlSafe(sql))
                    .bind(&who.run)
                    .bind(&who.task)
                    .bind(who.element)
                    .bind(who.redo)
                    .bind(i64::try_from(rows).unwrap_or(i64::MAX));
                let entered = entered.execute(&mut *session).await;
                if entered.map_err(|error| self.fail(error))?.rows_affected() == 1 {
                    return Ok(None);
                }
                let sql = format!(
                    "select rows from {} where run = $1 and task = $2 and element = $3 and redo = $4",
                    ledger.quoted()
                );
                let before = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql))
                    .bind(&who.run)
                    .bind(&who.task)
                    .bind(who.element)
                    .bind(who.redo);
                let before = before.fetch_one(session).await;
                let before = before.map_err(|error| self.fail(error))?;
                Ok(Some(u64::try_from(before).unwrap_or(0)))
            }

            /// Says in the ledger how many rows it were, when that is known only now.
            pub(super) async fn counted(
                &self,
                session: &mut $connection,
                ledger: &TableName,
                rows: u64,
            ) -> Result<(), TaskError> {
                let who = &self.identity;
                let sql = format!(
                    "update {} set rows = $5 where run = $1 and task = $2 and element = $3 and redo = $4",
                    ledger.quoted()
                );
                let update = sqlx::query(AssertSqlSafe(sql))
                    .bind(&who.run)
                    .bind(&who.task)
                    .bind(who.element)
                    .bind(who.redo)
                    .bind(i64::try_from(rows).unwrap_or(i64::MAX));
                let done = update.execute(session).await;
                done.map(|_| ()).map_err(|error| self.fail(error))
            }

            /// Makes the table and its columns where that was asked for, and gives those that are written. None when there
            /// is neither a table nor a row that would say of what types it is.
            pub(super) async fn ready_table(
                &self,
                session: &mut $connection,
                job: &Job,
            ) -> Result<Option<Vec<TableColumn>>, TaskError> {
                if job.create && job.says_no_types() {
                    match self.columns(&mut *session, &job.table).await {
                        Err(error) if error.fault == Fault::User => return Ok(None),
                        known => drop(known?),
                    }
                }
                if job.create {
                    let sql = job.create_table($type_name)?;
                    self.run(&mut *session, sql).await?;
                }
                let mut columns = self.columns(&mut *session, &job.table).await?;
                if job.add_columns && !job.missing(&columns).is_empty() {
                    for column in job.missing(&columns) {
                        let sql = job.add_column(column, $type_name)?;
                        self.run(&mut *session, sql).await?;
                    }
                    columns = self.columns(&mut *session, &job.table).await?;
                }
                let columns = job.matched(&columns)?;
                if job.mode == Mode::Upsert {
                    job.check_unique(&self.unique_indexes(session, &job.table).await?)?;
                }
                Ok(Some(columns))
            }
        }
    };
}
pub(super) use session;
