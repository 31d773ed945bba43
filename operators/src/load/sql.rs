//! `load: sql`: writes rows into a table of Postgres or SQLite, exactly once.

use pipectl_engine::operator::{
    Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext, Takes,
    TaskContext, TaskError, ValueType,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    database::{self, Job, Loaded, Mode, TableName},
    frame::only_input,
    settings::Names,
    text::count,
};

/// `load: sql`.
pub(crate) struct Sql;

/// Where the rows go. They take effect exactly once: rows and an entry in the table `pipectl_ledger` beside it are
/// one transaction, so a retry finds what an earlier attempt has written; only a redo on purpose writes again.
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
    /// Whether a missing table is made from the dataset's columns.
    #[serde(default)]
    create: bool,
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
            .value("rows", ValueType::Integer, "how many rows were written")
            .value(
                "already_loaded",
                ValueType::Boolean,
                "whether an earlier attempt of this run had written them",
            )
    }

    fn check(config: &Config, found: &mut Complaints) {
        if TableName::parse(&config.table).is_none() {
            found
                .error(&["table"], "this is no table's name")
                .hint("write `table` or `schema.table`");
        }
        if matches!(config.mode, Mode::Upsert | Mode::DeleteInsert) && config.key.0.is_empty() {
            found
                .error(&["key"], "this mode needs a key")
                .hint("name the columns that tell rows apart: `key: [id]`");
        }
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        match context.project.connections.get(&config.connection.0) {
            Some(connection) => database::open(&context.project, &context.services, connection)
                .await
                .map(|_| ()),
            None => Ok(()),
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (name, frame) = only_input(context).await?;
        let table = TableName::parse(&config.table)
            .ok_or_else(|| TaskError::user("this is no table's name"))?;
        let job = Job {
            name,
            frame,
            table,
            mode: config.mode,
            key: config.key.0,
            create: config.create,
        };
        let checked = job.clone();
        context.compute(move || checked.check_rows()).await?;
        let (rows, before) = match database::load(context, &config.connection.0, job).await? {
            Loaded::Now(rows) => (rows, false),
            Loaded::Before(rows) => (rows, true),
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
        let output = Output::default()
            .value("table", config.table)
            .value("rows", rows)
            .value("already_loaded", before);
        Ok(Outcome::Done(output))
    }
}

#[cfg(test)]
mod tests;
