//! The Open Inference Protocol, version 2, over HTTP with JSON: a tensor for each column.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use pipectl_models::{
    data::{ColumnKind, Goal},
    scorer::Score,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    answer::label,
    asked::{Asked, Body, read},
    refusal::Refusal,
    rest::{json, json_is_sent},
    rows::{Others, score},
    shelf::{Loaded, Shelf},
};

/// Numbers in a request; more are refused.
const MOST_CELLS: usize = 10_000_000;

#[derive(Deserialize)]
struct Request {
    id: Option<String>,
    inputs: Vec<Input>,
    /// Which outputs are wanted; all when not said.
    #[serde(default)]
    outputs: Vec<Wanted>,
}

#[derive(Deserialize)]
struct Wanted {
    name: String,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    data: Vec<Value>,
}

/// `GET /v2`.
pub(super) async fn server() -> Response {
    json(&json!({
        "name": "pipectl",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": [],
    }))
}

/// `GET /v2/health/live`.
pub(super) async fn live() -> Response {
    json(&json!({"live": true}))
}

/// `GET /v2/health/ready`.
pub(super) async fn ready(State(shelf): State<Arc<Shelf>>) -> Response {
    let ready = shelf.names().await.is_ok();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, json(&json!({"ready": ready}))).into_response()
}

/// `GET /v2/models`.
pub(super) async fn list(State(shelf): State<Arc<Shelf>>) -> Response {
    match shelf.names().await {
        Ok(names) => {
            let models = names.iter().map(|name| json!({"name": name}));
            json(&json!({"models": models.collect::<Vec<_>>()}))
        }
        Err(refusal) => error(&refusal),
    }
}

/// `GET /v2/models/{name}`.
pub(super) async fn metadata(
    State(shelf): State<Arc<Shelf>>,
    Path(name): Path<String>,
) -> Response {
    about(shelf.get(&name).await)
}

/// `GET /v2/models/{name}/versions/{version}`.
pub(super) async fn metadata_of(
    State(shelf): State<Arc<Shelf>>,
    Path((name, version)): Path<(String, String)>,
) -> Response {
    about(shelf.get(&reference(&name, &version)).await)
}

/// `GET /v2/models/{name}/ready`.
pub(super) async fn model_ready(
    State(shelf): State<Arc<Shelf>>,
    Path(name): Path<String>,
) -> Response {
    readiness(shelf.get(&name).await)
}

/// `GET /v2/models/{name}/versions/{version}/ready`.
pub(super) async fn model_ready_of(
    State(shelf): State<Arc<Shelf>>,
    Path((name, version)): Path<(String, String)>,
) -> Response {
    readiness(shelf.get(&reference(&name, &version)).await)
}

/// `POST /v2/models/{name}/infer`.
pub(super) async fn infer(
    State(shelf): State<Arc<Shelf>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answered(&shelf, shelf.get(&name).await, &headers, body)
}

/// `POST /v2/models/{name}/versions/{version}/infer`.
pub(super) async fn infer_of(
    State(shelf): State<Arc<Shelf>>,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let loaded = shelf.get(&reference(&name, &version)).await;
    answered(&shelf, loaded, &headers, body)
}

/// A version is a number; else it is an alias.
fn reference(name: &str, version: &str) -> String {
    let between = if version.parse::<u32>().is_ok() {
        ':'
    } else {
        '@'
    };
    format!("{name}{between}{version}")
}

fn error(refusal: &Refusal) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let body = json!({"error": refusal.message}).to_string();
    (refusal.status, kind, body).into_response()
}

fn readiness(loaded: Result<Arc<Loaded>, Refusal>) -> Response {
    match loaded {
        Ok(loaded) => json(&json!({"name": loaded.found.name, "ready": true})),
        Err(refusal) => error(&refusal),
    }
}

fn about(loaded: Result<Arc<Loaded>, Refusal>) -> Response {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(refusal) => return error(&refusal),
    };
    let tensor = |name: &str, datatype: &str, width: i64| json!({"name": name, "datatype": datatype, "shape": [-1, width]});
    let metadata = loaded.model.metadata();
    let inputs: Vec<Value> = metadata
        .columns
        .iter()
        .map(|column| tensor(&column.name, datatype(column.kind), 1))
        .collect();
    let outputs: Vec<Value> = outputs(&loaded)
        .into_iter()
        .map(|(name, datatype, width)| tensor(name, datatype, i64::try_from(width).unwrap_or(-1)))
        .collect();
    let version = loaded
        .found
        .version
        .map_or_else(String::new, |version| version.to_string());
    json(&json!({
        "name": loaded.found.name,
        "versions": [version],
        "platform": "onnx",
        "inputs": inputs,
        "outputs": outputs,
    }))
}

fn datatype(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Number => "FP64",
        ColumnKind::Boolean => "BOOL",
        ColumnKind::Text | ColumnKind::Date => "BYTES",
    }
}

/// Name, datatype and width of what is answered.
fn outputs(loaded: &Loaded) -> Vec<(&'static str, &'static str, usize)> {
    let metadata = loaded.model.metadata();
    match metadata.goal {
        Goal::Classes => vec![
            ("prediction", "BYTES", 1),
            ("probabilities", "FP64", metadata.classes.len()),
        ],
        Goal::Quantity => vec![("prediction", "FP64", 1)],
        Goal::Clusters => vec![
            ("prediction", "INT64", 1),
            ("distances", "FP64", metadata.classes.len()),
        ],
        Goal::Anomalies => vec![("prediction", "BOOL", 1), ("score", "FP64", 1)],
    }
}

fn answered(
    shelf: &Shelf,
    loaded: Result<Arc<Loaded>, Refusal>,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let asked = Asked {
        shelf,
        loaded,
        headers,
        body,
        refuse: error,
    };
    asked.answered(|loaded, headers, body| {
        json_is_sent(headers)?;
        answer(loaded, &read(body, "request")?)
    })
}

fn answer(loaded: &Loaded, request: &Request) -> Result<(Value, usize), Refusal> {
    let columns = request
        .inputs
        .iter()
        .map(column)
        .collect::<Result<Vec<_>, _>>()?;
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    if let Some((name, values)) = columns.iter().find(|(_, values)| values.len() != rows) {
        return Err(Refusal::malformed(format!(
            "input `{name}` has {} rows, the first one {rows}",
            values.len()
        )));
    }
    let mut scores = Vec::with_capacity(rows);
    for place in 0..rows {
        let row: Map<String, Value> = columns
            .iter()
            .map(|(name, values)| ((*name).to_owned(), values[place].clone()))
            .collect();
        scores.push(score(loaded, &row, Others::Refuse)?);
    }
    let mut found = Vec::new();
    for (name, datatype, width) in outputs(loaded) {
        let asked =
            request.outputs.is_empty() || request.outputs.iter().any(|one| one.name == name);
        if asked {
            let data: Vec<Value> = scores
                .iter()
                .flat_map(|score| cells(loaded, name, score))
                .collect();
            found.push(
                json!({"name": name, "datatype": datatype, "shape": [rows, width], "data": data}),
            );
        }
    }
    let known = outputs(loaded);
    let unknown = |wanted: &&Wanted| !known.iter().any(|(name, ..)| *name == wanted.name);
    if let Some(wanted) = request.outputs.iter().find(unknown) {
        return Err(Refusal::malformed(format!(
            "the model has no output `{}`",
            wanted.name
        )));
    }
    let mut answer = Map::new();
    answer.insert("model_name".to_owned(), json!(loaded.found.name));
    if let Some(version) = loaded.found.version {
        answer.insert("model_version".to_owned(), json!(version.to_string()));
    }
    if let Some(id) = &request.id {
        answer.insert("id".to_owned(), json!(id));
    }
    answer.insert("outputs".to_owned(), found.into());
    Ok((answer.into(), rows))
}

fn cells(loaded: &Loaded, output: &str, score: &Score) -> Vec<Value> {
    match output {
        "prediction" => {
            let label = label(loaded, score);
            // Bytes are text; the label of a class may be a number.
            match (loaded.model.metadata().goal, label) {
                (Goal::Classes, Value::String(text)) => vec![text.into()],
                (Goal::Classes, other) => vec![other.to_string().into()],
                (_, label) => vec![label],
            }
        }
        "score" => vec![json!(score.values.first())],
        _ => score.values.iter().map(|value| json!(value)).collect(),
    }
}

/// The values of an input, which is one column: flat, or a list for every row.
fn column(input: &Input) -> Result<(&str, Vec<Value>), Refusal> {
    let name = input.name.as_str();
    let wrong = |what: String| Refusal::malformed(format!("input `{name}`: {what}"));
    let count = input
        .shape
        .iter()
        .try_fold(1_usize, |product, size| product.checked_mul(*size))
        .filter(|count| *count <= MOST_CELLS)
        .ok_or_else(|| wrong(format!("its shape {:?} is too large", input.shape)))?;
    if !matches!(input.shape.as_slice(), [_] | [_, 1]) {
        return Err(wrong(format!(
            "its shape is {:?}; a column has the shape [rows] or [rows, 1]",
            input.shape
        )));
    }
    let known = [
        "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16",
        "FP32", "FP64", "BYTES",
    ];
    if !known.contains(&input.datatype.as_str()) {
        return Err(wrong(format!(
            "there is no datatype `{}`; there are {}",
            input.datatype,
            known.join(", ")
        )));
    }
    let values: Vec<Value> = input
        .data
        .iter()
        .flat_map(|value| match value {
            Value::Array(inner) => inner.clone(),
            other => vec![other.clone()],
        })
        .collect();
    if values.len() != count {
        return Err(wrong(format!(
            "{} values for the shape {:?}",
            values.len(),
            input.shape
        )));
    }
    Ok((name, values))
}
