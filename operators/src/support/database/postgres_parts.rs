//! One query by several sessions of Postgres at once: each reads a range of a column, all see the same snapshot.

use pipectl_engine::operator::{SqlText, TaskError};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::{
    bound, named_column,
    postgres_read::{Plan, Source},
    request::{Partitions, VALUE, narrowed},
    rows::ReadColumn,
    spool::{Gathered, Room},
    table::{Holds, quoted},
};

/// Reads the ranges, which stand one behind the other.
pub(super) async fn read(
    source: &Source,
    session: &mut PgConnection,
    plan: &Plan,
    partitions: &Partitions,
) -> Result<Vec<Gathered>, TaskError> {
    let fail = |error| source.fail(error);
    let column = named_column(
        &plan.columns,
        |column| &column.name,
        &partitions.column,
        "partitions",
    )?;
    let step = step(column.kind()).ok_or_else(|| {
        TaskError::user(format!(
            "`{}` is {}: partitions are ranges of numbers, dates or times",
            column.name,
            column.type_name()
        ))
        .hint("name another column under `partitions`")
    })?;
    let mut transaction = session.begin().await.map_err(fail)?;
    run(
        &mut transaction,
        "set transaction isolation level repeatable read",
    )
    .await
    .map_err(fail)?;
    let snapshot: String = sqlx::query_scalar("select pg_export_snapshot()")
        .fetch_one(&mut *transaction)
        .await
        .map_err(fail)?;
    let name = quoted(&column.name);
    let borders = borders(
        source,
        &mut transaction,
        plan,
        &name,
        step,
        partitions.number,
    )
    .await?;
    let queries = ranges(&plan.query, &name, &borders);
    let room = Room::of(queries.len());
    let mut sessions = JoinSet::new();
    for (number, query) in queries.iter().enumerate().skip(1) {
        let reader = Reader {
            source: source.clone(),
            snapshot: snapshot.clone(),
            query: query.clone(),
            columns: plan.columns.clone(),
            room,
        };
        sessions.spawn(async move { reader.read().await.map(|rows| (number, rows)) });
    }
    let own = queries.first().unwrap_or(&plan.query);
    let prepared = bound::prepare(&mut transaction, own, fail).await?;
    let rows = source.copy(&mut transaction, &prepared, &plan.columns, room);
    let mut all = vec![(0, rows.await?)];
    while let Some(done) = sessions.join_next().await {
        let done = done.map_err(|error| TaskError::bug("a session has panicked").because(error))?;
        all.push(done?);
    }
    all.sort_by_key(|(number, _)| *number);
    transaction.commit().await.map_err(fail)?;
    Ok(all.into_iter().map(|(_, rows)| rows).collect())
}

async fn run(session: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(session).await.map(|_| ())
}

/// One of the other sessions.
struct Reader {
    source: Source,
    snapshot: String,
    query: SqlText,
    columns: Vec<ReadColumn>,
    room: Room,
}

impl Reader {
    async fn read(self) -> Result<Gathered, TaskError> {
        let source = &self.source;
        let fail = |error| source.fail(error);
        // Not out of the pool: those who hold one connection and wait for more could wait for one another.
        let options = source.pool.connect_options();
        let mut session = PgConnection::connect_with(&options).await.map_err(fail)?;
        let mut transaction = session.begin().await.map_err(fail)?;
        run(
            &mut transaction,
            "set transaction isolation level repeatable read",
        )
        .await
        .map_err(fail)?;
        // The server has made the name itself, of digits and dashes.
        let snapshot = self.snapshot.replace('\'', "");
        let set = format!("set transaction snapshot '{snapshot}'");
        sqlx::query(AssertSqlSafe(set))
            .execute(&mut *transaction)
            .await
            .map_err(fail)?;
        let prepared = bound::prepare(&mut transaction, &self.query, fail).await?;
        let rows = source
            .copy(&mut transaction, &prepared, &self.columns, self.room)
            .await?;
        transaction.commit().await.map_err(fail)?;
        session.close().await.map_err(fail)?;
        Ok(rows)
    }
}

/// How a border between ranges is found, from `low`, `high` and `part`, the share of the way between them.
fn step(holds: Option<Holds>) -> Option<&'static str> {
    Some(match holds? {
        Holds::Int16 | Holds::Int32 | Holds::Int64 => {
            "ceil(low::numeric + (high::numeric - low::numeric) * part)"
        }
        Holds::Numeric => "low + (high - low) * part",
        Holds::Date => "low + ceil((high - low) * part)::integer",
        Holds::Float32 | Holds::Float64 | Holds::Timestamp | Holds::TimestampTz => {
            "low + (high - low) * part::float8"
        }
        _ => return None,
    })
}

/// The values at which ranges begin, but the first.
async fn borders(
    source: &Source,
    transaction: &mut PgConnection,
    plan: &Plan,
    name: &str,
    step: &str,
    number: u32,
) -> Result<Vec<String>, TaskError> {
    let mut query = narrowed(
        &plan.query,
        &format!("min({name}) as low, max({name}) as high"),
        &[],
    );
    query.sql = format!(
        "select to_json({step}) #>> '{{}}' from ({}) as pipectl_range, \
         (select generate_series(1, {number} - 1)::numeric / {number} as part) as pipectl_parts order by part",
        query.sql
    );
    let fail = |error| source.fail(error);
    let prepared = bound::prepare(&mut *transaction, &query, fail).await?;
    prepared.bind(&mut *transaction).await.map_err(fail)?;
    let borders = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(prepared.sql.clone()))
        .fetch_all(transaction)
        .await
        .map_err(fail)?;
    // Without rows there are none, and one session is enough.
    Ok(borders.into_iter().flatten().collect())
}

/// The query of each range. The first has the rows without a value too.
fn ranges(query: &SqlText, name: &str, borders: &[String]) -> Vec<SqlText> {
    (0..=borders.len())
        .map(|number| {
            let value = |index: usize| borders.get(index).map(|border| Value::from(border.clone()));
            let (start, end) = (number.checked_sub(1).and_then(value), value(number));
            let condition = match (start, end) {
                (None, None) => return query.clone(),
                (None, Some(end)) => (format!("({name} < {VALUE} or {name} is null)"), vec![end]),
                (Some(start), None) => (format!("{name} >= {VALUE}"), vec![start]),
                (Some(start), Some(end)) => (
                    format!("{name} >= {VALUE} and {name} < {VALUE}"),
                    vec![start, end],
                ),
            };
            narrowed(query, "*", &[condition])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_leave_no_row_out() {
        let query = SqlText {
            sql: "select id from t where a = $1".to_owned(),
            values: vec![7.into()],
        };
        let borders = ["10", "20"].map(str::to_owned);
        let conditions: Vec<_> = ranges(&query, "\"id\"", &borders)
            .into_iter()
            .map(|query| {
                let (_, condition) = query.sql.split_once("pipectl_query where ").unwrap();
                (condition.to_owned(), query.values.len())
            })
            .collect();
        let expected = [
            ("(\"id\" < $2 or \"id\" is null)", 2),
            ("\"id\" >= $2 and \"id\" < $3", 3),
            ("\"id\" >= $2", 2),
        ];
        assert_eq!(
            conditions,
            expected.map(|(text, values)| (text.to_owned(), values))
        );
        assert_eq!(ranges(&query, "\"id\"", &[]), [query]);
    }
}
