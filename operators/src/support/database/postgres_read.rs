//! Rows out of Postgres.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use futures::TryStreamExt;
use pipectl_connections::database_error;
use pipectl_engine::operator::{SqlText, TaskContext, TaskError};
use polars::prelude::{Column, DataFrame, PolarsResult};
use serde_json::Value;
use sqlx::{
    Arguments, AssertSqlSafe, Column as _, Connection as _, Executor, PgPool, Row, Statement,
    TypeInfo, ValueRef,
    postgres::{PgArguments, PgTypeInfo, PgTypeKind},
};

use super::decode::Builder;
use crate::support::{
    frame::polars_error,
    text::{count, thousands},
};

/// The rows of a query.
pub(super) async fn read(
    pool: &PgPool,
    connection: &str,
    query: &SqlText,
    context: &TaskContext,
) -> Result<DataFrame, TaskError> {
    let doing = format!("read from `{connection}`");
    let fail = |error| database_error(&doing, error);
    let mut session = pool.acquire().await.map_err(fail)?;
    // A statement that was prepared before its table has changed would give the old columns, or fail.
    session.clear_cached_statements().await.map_err(fail)?;
    // The query is the author's; values never stand in it.
    let text = AssertSqlSafe(query.sql.clone());
    let statement = (&mut *session)
        .prepare(sqlx::SqlSafeStr::into_sql_str(text))
        .await
        .map_err(fail)?;
    let arguments = arguments(&statement, &query.values)?;
    let mut columns = Vec::new();
    for column in statement.columns() {
        columns.push((
            column.name().to_owned(),
            builder(column.name(), column.type_info())?,
        ));
    }
    if columns.is_empty() {
        return Err(TaskError::user("the statement gives no rows").hint("write a `select`"));
    }
    let mut rows = 0_u64;
    {
        let mut stream = statement.query_with(arguments).fetch(&mut *session);
        while let Some(row) = stream.try_next().await.map_err(fail)? {
            for (index, (name, builder)) in columns.iter_mut().enumerate() {
                let raw = row.try_get_raw(index).map_err(fail)?;
                let bytes = if raw.is_null() {
                    None
                } else {
                    Some(
                        raw.as_bytes()
                            .map_err(|error| fail(sqlx::Error::Decode(error)))?,
                    )
                };
                builder.push(bytes).map_err(|what| {
                    TaskError::user(format!("row {} of the query: `{name}` is {what}", rows + 1))
                        .hint(format!(
                            "change it in the query, for example by `cast({name} as text)`"
                        ))
                })?;
            }
            rows += 1;
            if rows.is_multiple_of(100_000) {
                context.progress.set(rows, None);
                context.log.info(format!("{} rows so far", thousands(rows)));
            }
        }
    }
    context
        .log
        .info(format!("{} from `{connection}`", count(rows, "row")));
    let height = usize::try_from(rows).unwrap_or(usize::MAX);
    context
        .compute(move || {
            let columns = columns
                .into_iter()
                .map(|(name, builder)| builder.finish(&name));
            let frame = columns
                .collect::<PolarsResult<Vec<Column>>>()
                .and_then(|columns| DataFrame::new(height, columns));
            frame.map_err(|error| polars_error("read the query's rows", &error))
        })
        .await
}

fn builder(name: &str, of: &PgTypeInfo) -> Result<Builder, TaskError> {
    let found = match of.kind() {
        PgTypeKind::Enum(_) => Some(Builder::labels()),
        PgTypeKind::Domain(base) => Builder::of(base.name()),
        _ => Builder::of(of.name().trim_matches('"')),
    };
    found.ok_or_else(|| {
        TaskError::user(format!(
            "column `{name}` has the type {}, which datasets do not hold",
            of.name()
        ))
        .hint(format!(
            "change it in the query, for example by `cast({name} as text)`"
        ))
    })
}

/// The values in the types that the server has found for their places.
fn arguments<S: Statement<Database = sqlx::Postgres>>(
    statement: &S,
    values: &[Value],
) -> Result<PgArguments, TaskError> {
    let types = match statement.parameters() {
        Some(sqlx::Either::Left(types)) => types.to_vec(),
        _ => Vec::new(),
    };
    if types.len() > values.len() {
        return Err(TaskError::user(format!(
            "the query has a placeholder `${}` without a value",
            values.len() + 1
        ))
        .hint("write the value as `${{ … }}`"));
    }
    let mut arguments = PgArguments::default();
    for (index, (value, of)) in values.iter().zip(&types).enumerate() {
        let wrong = || {
            TaskError::user(format!(
                "value {} of the query is {value}, where the database wants {}",
                index + 1,
                of.name()
            ))
            .hint("cast the placeholder in the query, for example by `cast(${{ … }} as text)`")
        };
        bind(&mut arguments, value, of.name())
            .ok_or_else(wrong)?
            .map_err(|_| wrong())?;
    }
    Ok(arguments)
}

type Bound = Result<(), sqlx::error::BoxDynError>;

/// Adds a value; `None` when it cannot be one of the type.
fn bind(arguments: &mut PgArguments, value: &Value, of: &str) -> Option<Bound> {
    let integer = || value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let float = || value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let plain = || {
        value
            .as_str()
            .map_or_else(|| value.to_string(), ToOwned::to_owned)
    };
    if value.is_null() {
        return Some(arguments.add(Option::<String>::None));
    }
    Some(match of {
        "BOOL" => arguments.add(value.as_bool()?),
        "INT2" => arguments.add(i16::try_from(integer()?).ok()?),
        "INT4" => arguments.add(i32::try_from(integer()?).ok()?),
        "INT8" => arguments.add(integer()?),
        #[expect(clippy::cast_possible_truncation, reason = "the place holds no more")]
        "FLOAT4" => arguments.add(float()? as f32),
        "FLOAT8" => arguments.add(float()?),
        "NUMERIC" => arguments.add(super::copy::NumericText(decimal_text(value)?)),
        "DATE" => arguments.add(value.as_str()?.get(..10)?.parse::<NaiveDate>().ok()?),
        "TIMESTAMP" => arguments.add(moment(value.as_str()?)?.naive_utc()),
        "TIMESTAMPTZ" => arguments.add(moment(value.as_str()?)?),
        "UUID" => arguments.add(value.as_str()?.parse::<sqlx::types::Uuid>().ok()?),
        "JSON" | "JSONB" => arguments.add(sqlx::types::Json(value)),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" => arguments.add(plain()),
        _ => return None,
    })
}

fn decimal_text(value: &Value) -> Option<String> {
    match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => Some(whole.to_string()),
        (None, Some(float)) => Some(float.to_string()),
        (None, None) => {
            let text = value.as_str()?;
            let digits = text.strip_prefix('-').unwrap_or(text);
            let good = digits
                .chars()
                .all(|character| character.is_ascii_digit() || character == '.');
            (good && digits.matches('.').count() <= 1 && !digits.is_empty())
                .then(|| text.to_owned())
        }
    }
}

/// A moment in any of the forms that expressions give: RFC 3339, without a zone (UTC), or a day.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let with_zone = DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|moment| moment.to_utc());
    let without = || {
        let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
        forms
            .into_iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
    };
    let day = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    with_zone.or_else(|| without().or_else(day).map(|moment| moment.and_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_form() {
        for text in [
            "2026-03-01T12:00:00+01:00",
            "2026-03-01T11:00:00",
            "2026-03-01 11:00:00.000",
        ] {
            assert_eq!(
                moment(text).unwrap().to_rfc3339(),
                "2026-03-01T11:00:00+00:00",
                "{text}"
            );
        }
        assert_eq!(
            moment("2026-03-01").unwrap().to_rfc3339(),
            "2026-03-01T00:00:00+00:00"
        );
        assert!(moment("soon").is_none());
    }

    #[test]
    fn a_value_of_the_wrong_type_is_none() {
        let mut arguments = PgArguments::default();
        for (value, of) in [
            (Value::from("x"), "INT4"),
            (Value::from(100_000), "INT2"),
            (Value::from("soon"), "DATE"),
            (Value::from("1; drop"), "NUMERIC"),
            (Value::from(1), "POINT"),
        ] {
            assert!(bind(&mut arguments, &value, of).is_none(), "{value} {of}");
        }
        assert!(bind(&mut arguments, &Value::from("1.50"), "NUMERIC").is_some());
    }
}
