//! `/predict` and `/v1/models`: plain JSON, one object or many.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    answer::document,
    asked::{Asked, Body, read},
    refusal::Refusal,
    rows::{Others, score},
    shelf::{Loaded, Shelf},
};

/// Which version of a model.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    version: Option<u32>,
    alias: Option<String>,
}

impl Which {
    fn reference(&self, name: &str) -> Result<String, Refusal> {
        match (self.version, &self.alias) {
            (None, None) => Ok(name.to_owned()),
            (Some(version), None) => Ok(format!("{name}:{version}")),
            (None, Some(alias)) => Ok(format!("{name}@{alias}")),
            (Some(_), Some(_)) => Err(Refusal::malformed("either `version` or `alias`")),
        }
    }
}

/// `POST /predict`.
pub(super) async fn predict_default(
    State(shelf): State<Arc<Shelf>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answered(&shelf, shelf.default().await, &headers, body)
}

/// `POST /v1/models/{name}/predict`.
pub(super) async fn predict(
    State(shelf): State<Arc<Shelf>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let loaded = match which.reference(&name) {
        Ok(reference) => shelf.get(&reference).await,
        Err(refusal) => Err(refusal),
    };
    answered(&shelf, loaded, &headers, body)
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
        refuse: Refusal::problem,
    };
    asked.answered(|loaded, headers, body| {
        json_is_sent(headers)?;
        answer(loaded, body)
    })
}

/// One object gives one answer; a list of objects, by itself or as `rows`, a list of answers.
fn answer(loaded: &Loaded, body: &[u8]) -> Result<(Value, usize), Refusal> {
    let sent: Value = read(body, "JSON")?;
    let mut about = Map::new();
    about.insert("model".to_owned(), json!(loaded.found.name));
    about.insert("version".to_owned(), json!(loaded.found.version));
    match sent {
        Value::Object(mut object) => match object.remove("rows") {
            Some(Value::Array(rows)) if object.is_empty() => many(loaded, &rows, about),
            Some(rows) => {
                object.insert("rows".to_owned(), rows);
                one(loaded, &object, about)
            }
            None => one(loaded, &object, about),
        },
        Value::Array(rows) => many(loaded, &rows, about),
        _ => Err(Refusal::malformed(
            "the body is neither a row (an object) nor a list of rows",
        )),
    }
}

fn one(
    loaded: &Loaded,
    row: &Map<String, Value>,
    about: Map<String, Value>,
) -> Result<(Value, usize), Refusal> {
    let score = score(loaded, row, Others::Refuse)?;
    let mut answer = document(loaded, &score);
    answer.extend(about);
    Ok((answer.into(), 1))
}

fn many(
    loaded: &Loaded,
    rows: &[Value],
    mut about: Map<String, Value>,
) -> Result<(Value, usize), Refusal> {
    let mut answers = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let found = match row {
            Value::Object(row) => score(loaded, row, Others::Refuse),
            _ => Err(Refusal::unfit("this is no object")),
        };
        let score = found.map_err(|refusal| Refusal {
            message: format!("row {}: {}", place + 1, refusal.message),
            ..refusal
        })?;
        answers.push(Value::from(document(loaded, &score)));
    }
    about.insert("predictions".to_owned(), answers.into());
    Ok((about.into(), rows.len()))
}

/// `GET /v1/models`.
pub(super) async fn list(State(shelf): State<Arc<Shelf>>) -> Response {
    match shelf.names().await {
        Ok(names) => json(&json!({"models": names})),
        Err(refusal) => refusal.problem(),
    }
}

/// `GET /v1/models/{name}`.
pub(super) async fn describe(
    State(shelf): State<Arc<Shelf>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Response {
    let loaded = match which.reference(&name) {
        Ok(reference) => shelf.get(&reference).await,
        Err(refusal) => Err(refusal),
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(refusal) => return refusal.problem(),
    };
    let metadata = loaded.model.metadata();
    let columns: Vec<Value> = metadata
        .columns
        .iter()
        .map(|column| json!({"name": column.name, "type": column.kind.name()}))
        .collect();
    json(&json!({
        "model": loaded.found.name,
        "version": loaded.found.version,
        "digest": loaded.found.digest,
        "estimator": metadata.estimator,
        "target": metadata.target,
        "classes": metadata.classes.names(),
        "threshold": metadata.threshold,
        "columns": columns,
    }))
}

pub(super) fn json(value: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::OK, kind, value.to_string()).into_response()
}

/// Who says what he sends, sends JSON.
pub(super) fn json_is_sent(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("the body is `{essence}`; send application/json"),
    ))
}
