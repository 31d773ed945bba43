//! Databases behind ODBC drivers: a session and the dialect that it speaks.
//!
//! The drivers block, so each piece of work opens a session of its own where work may block, and ends it there.

use std::cell::RefCell;

use chrono::{NaiveDate, NaiveDateTime};
use pipectl_connections::{
    OdbcColumn, OdbcDatabase, OdbcFailure, OdbcKind, OdbcQuery, OdbcSession, OdbcValue,
};
use pipectl_engine::{
    failpoint,
    operator::{SqlText, TaskContext, TaskError},
};
use polars::prelude::{DataFrame, DataType};
use serde_json::Value;

use super::{
    bound::{moment, substituted, unbound},
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

/// What a database's SQL looks like where databases differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    system: System,
    quote: Option<char>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Postgres,
    Sqlite,
    MySql,
    SqlServer,
    Oracle,
    Other,
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
        if dialect.system == System::Postgres {
            // Moments with a zone come without it.
            inner.execute("set time zone 'UTC'", &[]).map_err(fail)?;
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

    pub(super) fn read(
        &mut self,
        sql: &str,
        values: &[OdbcValue],
        most: Option<usize>,
    ) -> Result<DataFrame, TaskError> {
        let cancel = self.context.cancel.clone();
        let going = move || !cancel.is_cancelled();
        self.with(|session| {
            session.read(&OdbcQuery {
                sql,
                values,
                most,
                going: &going,
            })
        })
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
        let found = self.read(&sql, &[], Some(1))?;
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

impl Dialect {
    fn of(name: &str, quote: Option<char>) -> Self {
        let name = name.to_ascii_lowercase();
        let is = |part: &str| name.contains(part);
        let system = match () {
            () if is("postgres") || is("redshift") || is("cockroach") => System::Postgres,
            () if is("sqlite") => System::Sqlite,
            () if is("mysql") || is("mariadb") => System::MySql,
            () if is("sql server") => System::SqlServer,
            () if is("oracle") => System::Oracle,
            () => System::Other,
        };
        Self { system, quote }
    }

    /// Whether its driver is known to refuse a batch when it refuses one of its rows. Others may go on with the rest and
    /// call it a success (ODBC, `SQLExecute`).
    pub(super) fn refuses_whole_batches(self) -> bool {
        self.system == System::Postgres
    }

    /// An identifier as it stands in SQL.
    pub(super) fn quoted(self, name: &str) -> String {
        match self.quote {
            Some(quote) => {
                let twice = format!("{quote}{quote}");
                format!("{quote}{}{quote}", name.replace(quote, &twice))
            }
            None => name.to_owned(),
        }
    }

    /// Identifiers with commas between them.
    pub(super) fn list<'a>(self, names: impl IntoIterator<Item = &'a str>) -> String {
        let names: Vec<_> = names.into_iter().map(|name| self.quoted(name)).collect();
        names.join(", ")
    }

    pub(super) fn table(self, table: &TableName) -> String {
        match &table.schema {
            Some(schema) => format!("{}.{}", self.quoted(schema), self.quoted(&table.name)),
            None => self.quoted(&table.name),
        }
    }

    /// The type of a new column; a key's has to be one that an index takes.
    pub(super) fn type_of(self, of: &DataType, is_key: bool) -> Option<String> {
        use System as S;
        let plain = |text: &str| Some(text.to_owned());
        match of {
            DataType::Boolean => plain(match self.system {
                S::MySql => "bit(1)",
                S::SqlServer | S::Sqlite => "bit",
                S::Oracle => "number(1)",
                _ => "boolean",
            }),
            DataType::UInt64 => self.type_of(&DataType::Decimal(20, 0), is_key),
            of if of.is_integer() => plain(match self.system {
                S::Oracle => "number(19)",
                _ => "bigint",
            }),
            of if of.is_float() => plain(match self.system {
                S::Sqlite | S::MySql => "double",
                S::SqlServer => "float(53)",
                S::Oracle => "binary_double",
                _ => "double precision",
            }),
            // Its driver takes such columns for text.
            DataType::Decimal(_, _) if self.system == S::Sqlite => None,
            DataType::Decimal(precision, scale) => Some(match self.system {
                S::Oracle => format!("number({precision}, {scale})"),
                _ => format!("decimal({precision}, {scale})"),
            }),
            DataType::String | DataType::Categorical(_, _) | DataType::Null => {
                plain(match (self.system, is_key) {
                    (S::Postgres | S::Sqlite, _) => "text",
                    (S::MySql, false) => "longtext",
                    (S::SqlServer, false) => "nvarchar(max)",
                    (S::SqlServer, true) => "nvarchar(255)",
                    (S::Oracle, false) => "nvarchar2(2000)",
                    (S::Oracle, true) => "nvarchar2(255)",
                    (_, true) => "varchar(255)",
                    (S::Other, false) => "varchar(4000)",
                })
            }
            DataType::Date => plain("date"),
            DataType::Datetime(_, _) => plain(match self.system {
                S::MySql => "datetime(6)",
                S::SqlServer => "datetime2(6)",
                _ => "timestamp",
            }),
            DataType::Time if self.system == S::Oracle => None,
            DataType::Time => plain(match self.system {
                S::MySql | S::SqlServer => "time(6)",
                _ => "time",
            }),
            DataType::Binary => plain(match self.system {
                S::Postgres => "bytea",
                S::MySql => "longblob",
                S::SqlServer => "varbinary(max)",
                _ => "blob",
            }),
            _ => None,
        }
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

    #[test]
    fn names_are_quoted_as_the_database_does() {
        let of = |name, quote| Dialect::of(name, quote);
        assert_eq!(of("MySQL", Some('`')).quoted("a`b"), "`a``b`");
        assert_eq!(of("PostgreSQL", Some('"')).quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(of("Something", None).quoted("a"), "a");
        let text = DataType::String;
        let server = of("Microsoft SQL Server", Some('"'));
        assert_eq!(
            server.type_of(&text, true).as_deref(),
            Some("nvarchar(255)")
        );
        assert_eq!(server.type_of(&DataType::List(Box::new(text)), false), None);
    }
}
