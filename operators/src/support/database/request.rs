//! What is to be read.

use pipectl_engine::{dataset::Dataset, operator::SqlText};
use serde_json::Value;

/// Rows to be read.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The query.
    pub(crate) query: SqlText,
    /// Only the rows of an interval.
    pub(crate) interval: Option<super::RowsInterval>,
    /// Only the rows that have come since the last time.
    pub(crate) cursor: Option<Cursor>,
    /// By several sessions at once.
    pub(crate) partitions: Option<Partitions>,
}

/// A column that grows with each new or changed row.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// The column.
    pub(crate) column: String,
    /// Its greatest value so far, of which rows have been read.
    pub(crate) after: Option<Value>,
}

/// How rows are shared out among sessions.
#[derive(Clone, Debug)]
pub(crate) struct Partitions {
    /// The column by whose ranges they are told apart.
    pub(crate) column: String,
    /// How many sessions.
    pub(crate) number: u32,
}

/// Rows that were read.
#[derive(Debug)]
pub(crate) struct Found {
    /// The rows.
    pub(crate) rows: Dataset,
    /// The cursor's greatest value among them.
    pub(crate) cursor: Option<Value>,
}

impl Request {
    /// The same with the names of [`named`] as the database writes them.
    pub(super) fn spelt(&self, quoted: impl Fn(&str) -> String) -> Self {
        let pieces = self.query.sql.split(NAME).enumerate();
        let pieces = pieces.map(|(place, piece)| match place % 2 {
            0 => piece.to_owned(),
            _ => quoted(piece),
        });
        let query = SqlText {
            sql: pieces.collect(),
            values: self.query.values.clone(),
        };
        Self {
            query,
            ..self.clone()
        }
    }
}

/// What stands around names in a request: databases do not agree on how they are quoted.
const NAME: char = '\u{2}';

/// A name in a request's query.
pub(crate) fn named(name: &str) -> String {
    format!("{NAME}{name}{NAME}")
}

/// What stands in a condition where its next value belongs.
pub(super) const VALUE: char = '\u{1}';

/// The query with conditions on its columns, each with its values.
pub(super) fn narrowed(
    query: &SqlText,
    columns: &str,
    conditions: &[(String, Vec<Value>)],
) -> SqlText {
    let mut values = query.values.clone();
    let mut parts = Vec::new();
    for (condition, more) in conditions {
        let mut pieces = condition.split(VALUE);
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (piece, value) in pieces.zip(more) {
            values.push(value.clone());
            text.push('$');
            text.push_str(&values.len().to_string());
            text.push_str(piece);
        }
        parts.push(text);
    }
    let mut sql = format!(
        "select {columns} from (\n{}\n) as pipectl_query",
        without_end(&query.sql)
    );
    if !parts.is_empty() {
        sql.push_str(" where ");
        sql.push_str(&parts.join(" and "));
    }
    SqlText { sql, values }
}

/// A statement without the semicolon at its end.
pub(super) fn without_end(sql: &str) -> &str {
    sql.trim_end().trim_end_matches(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_the_database_does() {
        let sql = format!("select 'a' as {} from {}", named("b\"c"), named("d`e"));
        let request = Request {
            query: SqlText {
                sql,
                values: Vec::new(),
            },
            interval: None,
            cursor: None,
            partitions: None,
        };
        let backticks = |name: &str| format!("`{}`", name.replace('`', "``"));
        for (spelt, expected) in [
            (
                request.spelt(super::super::quoted),
                "select 'a' as \"b\"\"c\" from \"d`e\"",
            ),
            (request.spelt(backticks), "select 'a' as `b\"c` from `d``e`"),
        ] {
            assert_eq!(spelt.query.sql, expected);
        }
    }
}
