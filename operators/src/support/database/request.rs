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
