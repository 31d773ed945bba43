//! What SQL looks like behind an ODBC driver.

use polars::prelude::DataType;

use super::table::TableName;

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

impl Dialect {
    /// That of a database which calls itself so.
    pub(super) fn of(name: &str, quote: Option<char>) -> Self {
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

    /// What a session begins with: moments with a zone come without it, so the zone has to be UTC; and no value is cut to
    /// what fits.
    pub(super) fn first_statements(self) -> &'static [&'static str] {
        match self.system {
            System::Postgres => &["set time zone 'UTC'"],
            System::MySql => &[
                "set time_zone = '+00:00'",
                "set sql_mode = concat(@@sql_mode, ',STRICT_ALL_TABLES')",
            ],
            _ => &[],
        }
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
                    // Every text, and the same when it is the same.
                    (S::MySql, false) => "longtext character set utf8mb4 collate utf8mb4_bin",
                    (S::MySql, true) => "varchar(255) character set utf8mb4 collate utf8mb4_bin",
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

#[cfg(test)]
mod tests {
    use super::*;

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
