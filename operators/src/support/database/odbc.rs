//! Databases behind ODBC drivers: a session.
//!
//! The drivers block, so each piece of work opens a session of its own where work may block, and ends it there.

use std::cell::RefCell;

use chrono::{NaiveDate, NaiveDateTime};
use pipectl_connections::{
    OdbcColumn, OdbcDatabase, OdbcFailure, OdbcKind, OdbcQuery, OdbcRows, OdbcSession, OdbcValue,
};
use pipectl_engine::{
    dataset::Dataset,
    failpoint,
    operator::{SqlText, TaskContext, TaskError},
};
use polars::prelude::DataFrame;
use serde_json::Value;

use super::{
    bound::{moment, substituted, unbound},
    odbc_dialect::Dialect,
    parts::{MOST, Parts},
    table::{Holds, TableColumn, TableName},
};

/// A session, and what it is for.
pub(super) struct Session {
    inner: Box<dyn OdbcSession>,
    database: OdbcDatabase,
    doing: String,
    context: TaskContext,
    pub(super) dialect: Dialect,
}

impl Session {
    /// A new session; `doing` says what it is for, as in ``read from `warehouse` ``.
    ///
    /// # Errors
    /// When the server does not let us in.
    pub(super) fn open(
        database: &OdbcDatabase,
        doing: String,
        context: &TaskContext,
    ) -> Result<Self, TaskError> {
        let fail = |failure| database.error(&doing, &failure);
        let mut inner = database.connect().map_err(fail)?;
        let (name, quote) = inner.system().map_err(fail)?;
        let dialect = Dialect::of(&name, quote);
        for statement in dialect.first_statements() {
            inner.execute(statement, &[]).map_err(fail)?;
        }
        Ok(Self {
            inner,
            database: database.clone(),
            doing,
            context: context.clone(),
            dialect,
        })
    }

    /// A failure of the driver as a task's.
    pub(super) fn fail(&self, failure: &OdbcFailure) -> TaskError {
        self.database.error(&self.doing, failure)
    }

    /// What the driver does with the session.
    pub(super) fn with<T>(
        &mut self,
        work: impl FnOnce(&mut dyn OdbcSession) -> Result<T, OdbcFailure>,
    ) -> Result<T, TaskError> {
        let done = work(&mut *self.inner);
        done.map_err(|failure| self.database.error(&self.doing, &failure))
    }

    /// The rows of a query, of which there may be many, and how many they are.
    pub(super) fn read(
        &mut self,
        sql: &str,
        values: &[OdbcValue],
    ) -> Result<(Dataset, u64), TaskError> {
        let mut taken = Taken::new(&self.context);
        let read = self.rows(sql, values, None, &mut taken);
        if let Some(failed) = taken.failed {
            return Err(failed);
        }
        read?;
        Ok((taken.parts.table()?, taken.count))
    }

    /// The first row of a query.
    pub(super) fn first(
        &mut self,
        sql: &str,
        values: &[OdbcValue],
    ) -> Result<DataFrame, TaskError> {
        let mut one = One(DataFrame::empty());
        self.rows(sql, values, Some(1), &mut one)?;
        Ok(one.0)
    }

    fn rows(
        &mut self,
        sql: &str,
        values: &[OdbcValue],
        most: Option<usize>,
        rows: &mut dyn OdbcRows,
    ) -> Result<(), TaskError> {
        let cancel = self.context.cancel.clone();
        let going = move || !cancel.is_cancelled();
        let query = OdbcQuery {
            sql,
            values,
            most,
            going: &going,
        };
        self.with(|session| session.read(&query, rows))
    }

    pub(super) fn describe(
        &mut self,
        sql: &str,
        values: &[OdbcValue],
    ) -> Result<Vec<OdbcColumn>, TaskError> {
        self.with(|session| session.describe(sql, values))
    }

    pub(super) fn execute(&mut self, sql: &str, values: &[OdbcValue]) -> Result<u64, TaskError> {
        self.with(|session| session.execute(sql, values))
    }

    /// The same statement for each row; the driver's own failure says which rows it was.
    pub(super) fn write(&mut self, sql: &str, rows: &DataFrame) -> Result<(), OdbcFailure> {
        let cancel = self.context.cancel.clone();
        let going = move || {
            failpoint::hit("odbc_before_batch");
            !cancel.is_cancelled()
        };
        self.inner.write(sql, rows, &going)
    }

    /// How many rows a table has.
    pub(super) fn count(&mut self, table: &TableName) -> Result<u64, TaskError> {
        let sql = format!("select count(*) from {}", self.dialect.table(table));
        let found = self.first(&sql, &[])?;
        let count = found
            .columns()
            .first()
            .and_then(|column| column.get(0).ok());
        Ok(count.and_then(|count| count.extract::<u64>()).unwrap_or(0))
    }

    /// The columns of a table.
    pub(super) fn columns(&mut self, table: &TableName) -> Result<Vec<TableColumn>, TaskError> {
        let sql = format!("select * from {} where 1 = 0", self.dialect.table(table));
        let columns = self.describe(&sql, &[])?;
        Ok(columns.into_iter().map(table_column).collect())
    }
}

/// The rows of a query, together.
struct Taken {
    context: TaskContext,
    parts: Parts,
    count: u64,
    failed: Option<TaskError>,
}

impl Taken {
    fn new(context: &TaskContext) -> Self {
        Self {
            context: context.clone(),
            parts: Parts::new(context, MOST),
            count: 0,
            failed: None,
        }
    }
}

impl OdbcRows for Taken {
    fn begin(&mut self) {
        self.parts = Parts::new(&self.context, MOST);
        self.count = 0;
    }

    fn take(&mut self, part: DataFrame) -> bool {
        self.count += part.height() as u64;
        self.failed = self.parts.put(part).err();
        self.failed.is_none()
    }
}

/// The first row alone.
struct One(DataFrame);

impl OdbcRows for One {
    fn begin(&mut self) {}

    fn take(&mut self, part: DataFrame) -> bool {
        self.0 = part.head(Some(1));
        true
    }
}

fn table_column(column: OdbcColumn) -> TableColumn {
    TableColumn {
        name: column.name,
        type_name: column.type_name,
        holds: match column.kind {
            OdbcKind::Boolean => Holds::Boolean,
            OdbcKind::Integer => Holds::Int64,
            OdbcKind::Number => Holds::Float64,
            OdbcKind::Decimal => Holds::Numeric,
            OdbcKind::Text => Holds::Text,
            OdbcKind::Date => Holds::Date,
            OdbcKind::Time => Holds::Time,
            // Drivers do not say whether there is a zone; what is written is UTC.
            OdbcKind::Moment => Holds::TimestampTz,
            OdbcKind::Bytes => Holds::Bytes,
            OdbcKind::Other => Holds::Other,
        },
        array_of: None,
        // Which columns have a default is not told; the database itself refuses what is missing.
        required: false,
    }
}

/// A statement with a `?` for each `$n`, and the values in their order.
///
/// # Errors
/// When a placeholder has no value.
pub(super) fn positional(query: &SqlText) -> Result<(String, Vec<OdbcValue>), TaskError> {
    let (order, missing) = (RefCell::new(Vec::new()), RefCell::new(false));
    let sql = substituted(&query.sql, |number| {
        let value = number.checked_sub(1).and_then(|at| query.values.get(at));
        match value {
            Some(value) => order.borrow_mut().push(plain_value(value)),
            None => *missing.borrow_mut() = true,
        }
        Some("?".to_owned())
    });
    if missing.into_inner() {
        return Err(unbound(query.values.len()));
    }
    Ok((sql, order.into_inner()))
}

fn plain_value(value: &Value) -> OdbcValue {
    match value {
        Value::Null => OdbcValue::Null,
        Value::Bool(truth) => OdbcValue::Boolean(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => OdbcValue::Integer(whole),
            None => OdbcValue::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => text_value(text),
        other => OdbcValue::Text(other.to_string()),
    }
}

/// A text, which may be a moment: databases do not compare those with texts.
fn text_value(text: &str) -> OdbcValue {
    let dated = text.len() >= 10 && text.as_bytes().get(4) == Some(&b'-');
    if let (true, Ok(day)) = (dated, text.parse::<NaiveDate>()) {
        return OdbcValue::Date(day);
    }
    match moment(text).filter(|_| dated && text.len() >= 19) {
        Some(moment) => OdbcValue::Moment(moment.naive_utc()),
        None => OdbcValue::Text(text.to_owned()),
    }
}

/// A value that is compared with a column of this kind.
pub(super) fn value_for(kind: OdbcKind, value: &Value) -> OdbcValue {
    match (kind, plain_value(value)) {
        (OdbcKind::Moment, OdbcValue::Date(day)) => OdbcValue::Moment(NaiveDateTime::from(day)),
        (OdbcKind::Text | OdbcKind::Other, OdbcValue::Date(_) | OdbcValue::Moment(_)) => {
            OdbcValue::Text(value.as_str().unwrap_or_default().to_owned())
        }
        (_, value) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_get_their_values_in_order() {
        let query = SqlText {
            sql: "select '$1', $2, a$1 from t where x = $1 and y > $2 -- $3".to_owned(),
            values: vec![Value::from(7), Value::from("2026-03-01")],
        };
        let (sql, values) = positional(&query).unwrap();
        assert_eq!(
            sql,
            "select '$1', ?, a$1 from t where x = ? and y > ? -- $3"
        );
        let day = OdbcValue::Date("2026-03-01".parse().unwrap());
        assert_eq!(values, [day.clone(), OdbcValue::Integer(7), day]);
        let query = SqlText {
            sql: "select $2".to_owned(),
            values: vec![Value::Null],
        };
        assert!(positional(&query).is_err());
    }

    #[test]
    fn texts_may_be_moments() {
        let moment = |text: &str| OdbcValue::Moment(text.parse().unwrap());
        for (text, expected) in [
            ("2026-03-01T12:00:00+01:00", moment("2026-03-01T11:00:00")),
            ("2026-03-01T12:00:00.5", moment("2026-03-01T12:00:00.5")),
            ("2026-03", OdbcValue::Text("2026-03".to_owned())),
            ("ada", OdbcValue::Text("ada".to_owned())),
        ] {
            assert_eq!(text_value(text), expected, "{text}");
        }
    }
}
