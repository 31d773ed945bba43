//! Rows as JSON has them, as the cells of a model.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use pipectl_models::{
    data::ColumnKind,
    scorer::{Cell, Score},
};
use serde_json::{Map, Value};

use super::{refusal::Refusal, shelf::Loaded};

/// What is done about a column that the model does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// The request is refused.
    Refuse,
    /// It is left out: clients of MLflow send whole tables.
    LeaveOut,
}

/// Scores a row; columns that it lacks are imputed as in training.
pub(super) fn score(
    loaded: &Loaded,
    row: &Map<String, Value>,
    others: Others,
) -> Result<Score, Refusal> {
    let columns = &loaded.model.metadata().columns;
    let kind_of = |name: &str| columns.iter().find(|column| column.name == name);
    let mut cells = Vec::with_capacity(row.len());
    for (name, value) in row {
        let Some(column) = kind_of(name) else {
            if others == Others::LeaveOut {
                continue;
            }
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            return Err(Refusal::unfit(format!(
                "the model has no column `{name}`; it reads {}",
                names.join(", ")
            )));
        };
        let cell = cell(column.kind, value).ok_or_else(|| {
            Refusal::unfit(format!(
                "column `{name}` wants a {}, not {value}",
                column.kind.name()
            ))
        })?;
        cells.push((name.as_str(), cell));
    }
    loaded
        .model
        .predict_row(cells, None)
        .map_err(|error| Refusal::unfit(error.to_string()))
}

/// A value of JSON for a column of this kind.
pub(super) fn cell(kind: ColumnKind, value: &Value) -> Option<Cell> {
    Some(match (kind, value) {
        (_, Value::Null) => Cell::Null,
        (ColumnKind::Number | ColumnKind::Boolean, Value::Number(number)) => {
            Cell::Number(number.as_f64()?)
        }
        (ColumnKind::Number | ColumnKind::Boolean, Value::Bool(value)) => Cell::Boolean(*value),
        (ColumnKind::Number | ColumnKind::Boolean, Value::String(text)) => {
            let text = text.trim();
            if text.is_empty() {
                return Some(Cell::Null);
            }
            Cell::Number(text.parse().ok()?)
        }
        (ColumnKind::Text, Value::String(text)) => Cell::Text(text.clone()),
        (ColumnKind::Text, Value::Number(number)) => Cell::Text(number.to_string()),
        (ColumnKind::Text, Value::Bool(value)) => Cell::Text(value.to_string()),
        (ColumnKind::Date, Value::String(text)) => Cell::Date(micros(text)?),
        _ => return None,
    })
}

/// A date, or a date with a time, in microseconds since 1970.
fn micros(text: &str) -> Option<i64> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.timestamp_micros());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(text, format) {
            return Some(moment.and_utc().timestamp_micros());
        }
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_json_become_cells() {
        use ColumnKind::{Boolean, Date, Number, Text};
        for (kind, value, expected) in [
            (Number, json!(1.5), Some(Cell::Number(1.5))),
            (Number, json!(" 7 "), Some(Cell::Number(7.0))),
            (Number, json!(""), Some(Cell::Null)),
            (Number, json!("seven"), None),
            (Number, json!(null), Some(Cell::Null)),
            (Number, json!([1]), None),
            (Boolean, json!(true), Some(Cell::Boolean(true))),
            (Text, json!("Zürich"), Some(Cell::Text("Zürich".to_owned()))),
            (Text, json!(0), Some(Cell::Text("0".to_owned()))),
            (Text, json!({}), None),
            (Date, json!("1970-01-02"), Some(Cell::Date(86_400_000_000))),
            (
                Date,
                json!("1970-01-01T01:00:00+01:00"),
                Some(Cell::Date(0)),
            ),
            (
                Date,
                json!("1970-01-01 00:00:01"),
                Some(Cell::Date(1_000_000)),
            ),
            (Date, json!("yesterday"), None),
            (Date, json!(5), None),
        ] {
            assert_eq!(cell(kind, &value), expected, "{kind:?} {value}");
        }
    }
}
