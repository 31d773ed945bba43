//! What Postgres says about a table.

use pipectl_engine::operator::TaskError;
use sqlx::{PgConnection, Row, postgres::types::Oid};

use super::{
    job::LEDGER,
    postgres_session::Session,
    table::{Holds, TableColumn, TableName},
};
use crate::support::text::hint_for_name;

impl Session {
    /// The columns that can be written.
    pub(super) async fn columns(
        &self,
        session: &mut PgConnection,
        table: &TableName,
    ) -> Result<Vec<TableColumn>, TaskError> {
        let rows = sqlx::query(
            "select a.attname::text, format_type(a.atttypid, a.atttypmod), i.typname::text, i.typcategory::text, \
                    a.attnotnull and not a.atthasdef and a.attidentity = '', e.oid \
             from pg_attribute a \
             join pg_type t on t.oid = a.atttypid \
             join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end \
             left join pg_type e on e.oid = b.typelem and b.typcategory = 'A' \
             join pg_type i on i.oid = case when e.oid is null then b.oid \
                 when e.typtype = 'd' then e.typbasetype else e.oid end \
             where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' \
             order by a.attnum",
        );
        let rows = rows
            .bind(table.quoted())
            .fetch_all(&mut *session)
            .await
            .map_err(|error| self.fail(error))?;
        if rows.is_empty() {
            return Err(missing_table(table, &table_names(session).await));
        }
        let column = |row: &sqlx::postgres::PgRow| {
            let (base, category): (String, String) = (row.try_get(2)?, row.try_get(3)?);
            Ok(TableColumn {
                name: row.try_get(0)?,
                type_name: row.try_get(1)?,
                holds: Holds::of_postgres(&base, &category),
                required: row.try_get(4)?,
                array_of: row.try_get::<Option<Oid>, _>(5)?.map(|number| number.0),
            })
        };
        rows.iter()
            .map(column)
            .collect::<Result<_, _>>()
            .map_err(|error| self.fail(error))
    }

    /// The columns of each index that makes rows unique.
    pub(super) async fn unique_indexes(
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
}

/// The tables that there are.
pub(super) async fn table_names(session: &mut PgConnection) -> Vec<String> {
    let names = sqlx::query_scalar(
        "select case when n.nspname = current_schema() then c.relname else n.nspname || '.' || c.relname end \
         from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema') \
         order by 1 limit 500",
    );
    names.fetch_all(session).await.unwrap_or_default()
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
