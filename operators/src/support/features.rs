//! Feature views as operators use them: found, and their rows read.

use pipectl_engine::{
    operator::{ConnectionName, Operator, Outcome, SqlText, TaskContext, TaskError},
    project::feature::{FeatureSource, FeatureView},
    spec::{Diagnostics, Severity},
};
use polars::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    database::{self, Request, TableName, named},
    frame::{collect, polars_error},
    keys::columns,
    location::tags,
    text::hint_for_name,
};
use crate::extract;

/// The view called `name`.
///
/// # Errors
/// When there is none, or it is not valid.
pub(crate) fn view(context: &TaskContext, name: &str) -> Result<FeatureView, TaskError> {
    let project = &context.project;
    if !FeatureView::file(project, name).is_file() {
        let known = FeatureView::names(project).unwrap_or_default();
        let hint = hint_for_name(name, "the views are", known.iter().map(String::as_str));
        return Err(TaskError::user(format!("there is no feature view `{name}`")).hint(hint));
    }
    FeatureView::load(project, name).map_err(|found| invalid(name, &found))
}

/// What tells a view and its rows from what they were at another time: its version, and the files with their tags.
/// Nothing when nobody can say: a database or a web server is not asked.
///
/// # Errors
/// When the files cannot be listed.
pub(crate) async fn state(
    context: &TaskContext,
    view: &FeatureView,
) -> Result<Option<String>, TaskError> {
    let FeatureSource::Files { path, connection } = &view.source else {
        return Ok(None);
    };
    let connection = connection.clone().map(ConnectionName);
    let tags = tags(context, connection.as_ref(), path).await?;
    Ok(tags.map(|tags| json!([view.name, view.version(), tags]).to_string()))
}

/// The first complaint about a view.
fn invalid(name: &str, found: &Diagnostics) -> TaskError {
    let first = found.iter().find(|one| one.severity == Severity::Error);
    let what = first.map_or_else(String::new, |one| {
        format!(": {}:{}: {}", one.place.file, one.place.line, one.message)
    });
    TaskError::user(format!("the feature view `{name}` is not valid{what}"))
        .hint("`pipectl validate` shows all that is wrong")
}

/// All columns of a view that its rows have: entity, times, and `features`.
pub(crate) fn all_columns<'a>(view: &'a FeatureView, features: &'a [String]) -> Vec<String> {
    let times = std::iter::once(&view.event_time).chain(&view.created_time);
    view.entity
        .iter()
        .chain(times)
        .chain(features)
        .cloned()
        .collect()
}

/// The rows of a table or a query that are wanted: those whose column is not less than a value.
#[derive(Debug)]
pub(crate) struct Since {
    /// The column.
    pub(crate) column: String,
    /// The value.
    pub(crate) after: Value,
}

impl Since {
    /// The condition in SQL, with `$1` for the value. SQLite has no type for moments, and its own function, which reads
    /// them, is good for a millisecond.
    fn condition(&self, context: &TaskContext, connection: &str) -> Result<String, TaskError> {
        let name = named(&self.column);
        let by_text = self.after.is_string();
        let sqlite = context.connection(connection)?.scheme() == "sqlite";
        Ok(if sqlite && by_text {
            format!("julianday({name}) >= julianday($1) - 0.00000002")
        } else {
            format!("{name} >= $1")
        })
    }
}

/// The rows of a view, with these columns in this order; of a database only those that are wanted.
///
/// # Errors
/// When its source cannot be read, or lacks a column.
pub(crate) async fn rows(
    context: &TaskContext,
    view: &FeatureView,
    wanted: Vec<String>,
    since: Option<&Since>,
) -> Result<DataFrame, TaskError> {
    let of_view = |mut error: TaskError| {
        error.message = format!("feature view `{}`: {}", view.name, error.message);
        error
    };
    Box::pin(read(context, view, wanted, since))
        .await
        .map_err(of_view)
}

async fn read(
    context: &TaskContext,
    view: &FeatureView,
    wanted: Vec<String>,
    since: Option<&Since>,
) -> Result<DataFrame, TaskError> {
    let names = wanted.iter().map(|name| named(name));
    let names = names.collect::<Vec<_>>().join(", ");
    match &view.source {
        FeatureSource::Table { connection, table } => {
            let table = TableName::parse(table)
                .ok_or_else(|| TaskError::user(format!("`{table}` is no table's name")))?;
            let sql = format!("select {names} from {}", table.named());
            Box::pin(query(context, connection, sql, since)).await
        }
        FeatureSource::Query {
            connection,
            query: text,
        } => {
            let text = text.trim().trim_end_matches(';');
            let sql = format!("select {names} from ({text}) as view");
            Box::pin(query(context, connection, sql, since)).await
        }
        FeatureSource::Files { path, connection } => {
            files(context, connection.as_deref(), path, wanted).await
        }
    }
}

async fn query(
    context: &TaskContext,
    connection: &str,
    sql: String,
    since: Option<&Since>,
) -> Result<DataFrame, TaskError> {
    let query = match since {
        None => SqlText {
            sql,
            values: Vec::new(),
        },
        Some(since) => SqlText {
            sql: format!("{sql} where {}", since.condition(context, connection)?),
            values: vec![since.after.clone()],
        },
    };
    let request = Request {
        query,
        interval: None,
        cursor: None,
        partitions: None,
    };
    let found = database::read(context, connection, &request).await?;
    collect(context, connection, &found.rows).await
}

/// Files, read as the operators of `extract` do; of Parquet only the columns that are wanted.
async fn files(
    context: &TaskContext,
    connection: Option<&str>,
    path: &str,
    wanted: Vec<String>,
) -> Result<DataFrame, TaskError> {
    let mut settings = json!({"path": path});
    if let Some(connection) = connection {
        settings["connection"] = connection.into();
    }
    let outcome = match FeatureView::kind_of(path) {
        Some("parquet") => {
            settings["columns"] = wanted.clone().into();
            extract::parquet::Parquet::run(config(settings)?, context).await?
        }
        Some("csv") => extract::csv::Csv::run(config(settings)?, context).await?,
        _ => extract::json::Json::run(config(settings)?, context).await?,
    };
    let Outcome::Done(output) = outcome else {
        return Err(TaskError::bug("a file was not read"));
    };
    let dataset = output.datasets.into_iter().next();
    let (_, dataset) = dataset.ok_or_else(|| TaskError::bug("a file gave no table"))?;
    let frame = collect(context, path, &dataset).await?;
    columns(path, &frame, &wanted)?;
    frame
        .select(&wanted)
        .map_err(|error| polars_error(&format!("read `{path}`"), &error))
}

fn config<C: DeserializeOwned>(settings: Value) -> Result<C, TaskError> {
    serde_json::from_value(settings)
        .map_err(|error| TaskError::bug("a source cannot be read").because(error))
}
