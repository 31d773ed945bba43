//! What clients of MLflow's model server send: `/invocations` with tables in several shapes.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{
    answer::label,
    asked::{Asked, Body, read},
    refusal::Refusal,
    rows::{Others, score},
    shelf::{Loaded, Shelf},
};

/// The shapes that a table may have.
const SHAPES: [&str; 4] = [
    "dataframe_split",
    "dataframe_records",
    "instances",
    "inputs",
];

/// `GET /ping`.
pub(super) async fn ping(State(shelf): State<Arc<Shelf>>) -> Response {
    match shelf.default().await {
        Ok(_) => "\n".into_response(),
        Err(refusal) => error(&refusal),
    }
}

/// `GET /version`: of MLflow's protocol.
pub(super) async fn version() -> &'static str {
    "2.0"
}

/// `POST /invocations`.
pub(super) async fn invocations(
    State(shelf): State<Arc<Shelf>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let asked = Asked {
        shelf: &shelf,
        loaded: shelf.default().await,
        headers: &headers,
        body,
        refuse: error,
    };
    asked.answered(|loaded, headers, body| {
        let predictions = predictions(loaded, headers, body)?;
        let rows = predictions.len();
        Ok((json!({"predictions": predictions}), rows))
    })
}

fn error(refusal: &Refusal) -> Response {
    let code = match refusal.status {
        StatusCode::NOT_FOUND => "RESOURCE_DOES_NOT_EXIST",
        status if status.is_client_error() => "BAD_REQUEST",
        _ => "INTERNAL_ERROR",
    };
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let body = json!({"error_code": code, "message": refusal.message}).to_string();
    (refusal.status, kind, body).into_response()
}

fn predictions(loaded: &Loaded, headers: &HeaderMap, body: &[u8]) -> Result<Vec<Value>, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let rows = match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => of_json(loaded, body)?,
        "text/csv" => of_csv(body)?,
        other => {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("the body is `{other}`; send application/json or text/csv"),
            ));
        }
    };
    let scored = rows.iter().enumerate().map(|(place, row)| {
        let score = score(loaded, row, Others::LeaveOut);
        let score = score.map_err(|refusal| Refusal {
            message: format!("row {}: {}", place + 1, refusal.message),
            ..refusal
        })?;
        Ok(label(loaded, &score))
    });
    scored.collect()
}

type Row = Map<String, Value>;

fn of_json(loaded: &Loaded, body: &[u8]) -> Result<Vec<Row>, Refusal> {
    let sent: Map<String, Value> = read(body, "JSON object")?;
    let mut given = SHAPES
        .iter()
        .filter_map(|shape| Some((*shape, sent.get(*shape)?)));
    let (Some((shape, table)), None) = (given.next(), given.next()) else {
        return Err(Refusal::malformed(format!(
            "the body must have exactly one of {}",
            SHAPES.join(", ")
        )));
    };
    match shape {
        "dataframe_split" => of_split(table),
        "dataframe_records" => of_records(shape, table),
        _ => match table {
            Value::Object(columns) => of_columns(shape, columns),
            Value::Array(rows) if rows.iter().all(Value::is_object) => of_records(shape, table),
            Value::Array(rows) => of_lists(loaded, shape, rows),
            _ => Err(Refusal::malformed(format!(
                "`{shape}` is no list and no object"
            ))),
        },
    }
}

/// `{"columns": […], "data": [[…], …]}`
fn of_split(table: &Value) -> Result<Vec<Row>, Refusal> {
    let (Some(columns), Some(rows)) = (table["columns"].as_array(), table["data"].as_array())
    else {
        return Err(Refusal::malformed(
            "`dataframe_split` wants `columns` and `data`",
        ));
    };
    let names: Option<Vec<&str>> = columns.iter().map(Value::as_str).collect();
    let names = names.ok_or_else(|| Refusal::malformed("`columns` are names"))?;
    side_by_side(&names, rows)
}

/// `[{…}, …]`
fn of_records(shape: &str, table: &Value) -> Result<Vec<Row>, Refusal> {
    let rows = table.as_array().into_iter().flatten();
    let rows: Option<Vec<Row>> = rows.map(|row| row.as_object().cloned()).collect();
    match rows {
        Some(rows) if table.is_array() => Ok(rows),
        _ => Err(Refusal::malformed(format!(
            "`{shape}` is a list of objects"
        ))),
    }
}

/// `{"column": […], …}`
fn of_columns(shape: &str, columns: &Map<String, Value>) -> Result<Vec<Row>, Refusal> {
    let as_list = |value: &Value| match value {
        Value::Array(values) => values.clone(),
        one => vec![one.clone()],
    };
    let columns: Vec<(&String, Vec<Value>)> = columns
        .iter()
        .map(|(name, value)| (name, as_list(value)))
        .collect();
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    if columns.iter().any(|(_, values)| values.len() != rows) {
        return Err(Refusal::malformed(format!(
            "the columns of `{shape}` have different lengths"
        )));
    }
    let row = |place: usize| {
        let cells = columns
            .iter()
            .map(|(name, values)| ((*name).clone(), values[place].clone()));
        cells.collect()
    };
    Ok((0..rows).map(row).collect())
}

/// `[[…], …]`, in the order of the model's columns.
fn of_lists(loaded: &Loaded, shape: &str, rows: &[Value]) -> Result<Vec<Row>, Refusal> {
    let columns = &loaded.model.metadata().columns;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    side_by_side(&names, rows).map_err(|refusal| Refusal {
        message: format!("`{shape}`: {}", refusal.message),
        ..refusal
    })
}

fn side_by_side(names: &[&str], rows: &[Value]) -> Result<Vec<Row>, Refusal> {
    let row = |(place, row): (usize, &Value)| match row.as_array() {
        Some(values) if values.len() == names.len() => Ok(names
            .iter()
            .map(|name| (*name).to_owned())
            .zip(values.iter().cloned())
            .collect()),
        _ => Err(Refusal::malformed(format!(
            "row {} is no list of {} values",
            place + 1,
            names.len()
        ))),
    };
    rows.iter().enumerate().map(row).collect()
}

/// A line of names, then one a row.
fn of_csv(body: &[u8]) -> Result<Vec<Row>, Refusal> {
    let mut reader = csv::Reader::from_reader(body);
    let wrong = |error: csv::Error| Refusal::malformed(format!("the body is no CSV: {error}"));
    let names = reader.headers().map_err(wrong)?.clone();
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(wrong)?;
        let cells = names.iter().zip(record.iter());
        let cells = cells.map(|(name, cell)| {
            let value = if cell.is_empty() {
                Value::Null
            } else {
                cell.into()
            };
            (name.to_owned(), value)
        });
        Ok(cells.collect())
    };
    reader.records().map(row).collect()
}
