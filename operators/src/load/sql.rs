//! `load: sql`: writes rows into a table of Postgres or SQLite, exactly once.

use pipectl_engine::operator::{
    Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext, Takes,
    TaskContext, TaskError, ValueType,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    database::{self, Given, Job, Mode, Once, RowsInterval, TableName},
    settings::Names,
    text::count,
};

/// `load: sql`.
pub(crate) struct Sql;

/// Where the rows go. They take effect exactly once: rows and an entry in the table `pipectl_ledger` beside it are
/// one transaction, so a retry finds what an earlier attempt has written; only a redo on purpose writes again. Behind
/// an ODBC driver where no such table can be made they take effect at least once, which a warning tells.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The connection to the database.
    connection: ConnectionName,
    /// The table: `table` or `schema.table`.
    table: String,
    /// How the rows meet those that are there.
    #[serde(default)]
    mode: Mode,
    /// The columns that tell rows apart, for `upsert` and `delete_insert`; the primary key of a table that is made.
    #[serde(default)]
    key: Names,
    /// For `delete_insert`: the column of dates or times that tells which interval a row belongs to. The table's rows of
    /// the run's interval are deleted first; the new ones must all be in it. Dates are days in the pipeline's time zone;
    /// times without a zone are UTC.
    interval_column: Option<String>,
    /// Whether a missing table is made from the dataset's columns.
    #[serde(default)]
    create: bool,
    /// Whether columns that the table lacks are added to it; they are null in the rows that are there.
    #[serde(default)]
    add_columns: bool,
}

impl Operator for Sql {
    type Config = Config;
    const KIND: Kind = Kind::Load;
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str = "Writes rows into a table of Postgres or SQLite, exactly once.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value("table", ValueType::String, "the table")
            .value("connection", ValueType::String, "where it is")
            .value("rows", ValueType::Integer, "how many rows were written")
            .value(
                "already_loaded",
                ValueType::Boolean,
                "whether an earlier attempt of this run had written them",
            )
    }

    fn check(config: &Config, found: &mut Complaints) {
        database::check_connection(&config.connection, found);
        if TableName::parse(&config.table).is_none() {
            found
                .error(&["table"], "this is no table's name")
                .hint("write `table` or `schema.table`");
        }
        let by_key = !config.key.0.is_empty();
        match (config.mode, by_key, &config.interval_column) {
            (Mode::Upsert, false, _) => {
                found
                    .error(&["key"], "this mode needs a key")
                    .hint("name the columns that tell rows apart: `key: [id]`");
            }
            (Mode::DeleteInsert, false, None) => {
                found
                    .error(&["mode"], "it is not said which rows are deleted")
                    .hint("name the column of the run's interval, `interval_column: day`, or a `key: [id]`");
            }
            (Mode::DeleteInsert, true, Some(_)) => {
                found
                    .error(
                        &["interval_column"],
                        "rows are deleted by their key or by their interval",
                    )
                    .hint("leave `key` or `interval_column` out");
            }
            (Mode::Append | Mode::Replace | Mode::Upsert, _, Some(_)) => {
                found
                    .error(&["interval_column"], "this mode deletes no interval")
                    .hint("write `mode: delete_insert`, or leave it out");
            }
            _ => {}
        }
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        database::probe(&config.connection, context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let interval = config.interval_column.as_deref();
        let interval = interval
            .map(|column| RowsInterval::of(context, column))
            .transpose()?;
        // Where rows are told apart by their key, they are looked at before the first is written.
        let once = config.mode != Mode::Upsert
            && (config.mode != Mode::DeleteInsert || interval.is_some());
        let (name, rows) = Given::input(context, once).await?;
        let table = TableName::parse(&config.table)
            .ok_or_else(|| TaskError::user("this is no table's name"))?;
        let job = Job {
            name,
            rows,
            table,
            mode: config.mode,
            key: config.key.0,
            interval,
            create: config.create,
            add_columns: config.add_columns,
            newer: Vec::new(),
        };
        let checked = job.clone();
        context.compute(move || checked.check_rows()).await?;
        let done = database::load(context, &config.connection.0, job).await?;
        let unkept = matches!(done, Once::Unkept(_));
        let (rows, before) = match done {
            Once::Now(rows) | Once::Unkept(rows) => (rows, false),
            Once::Before(rows) => (rows, true),
        };
        context.log.info(if before {
            format!(
                "an earlier attempt has already written {} to `{}`: nothing to do",
                count(rows, "row"),
                config.table
            )
        } else {
            format!("{} written to `{}`", count(rows, "row"), config.table)
        });
        let mut output = Output::default()
            .value("table", config.table)
            .value("connection", config.connection.0)
            .value("rows", rows)
            .value("already_loaded", before);
        if unkept {
            output = output.warning(database::NO_LEDGER);
        }
        Ok(Outcome::Done(output))
    }
}

#[cfg(test)]
pub(crate) mod tests;
