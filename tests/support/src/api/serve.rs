//! Answers calls.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State as Shared},
    http::{Response, StatusCode, header},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};

use super::{ApiCall, ApiTrouble, File, State, lock, pages};

/// The page that troubles answer with.
const HTML: &str =
    "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>";

/// Answers until it is told to stop.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    state: Arc<State>,
    stopped: oneshot::Receiver<()>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let router = Router::new().fallback(answer).with_state(state);
    tokio::select! {
        result = axum::serve(listener, router) => result.expect("it never ends"),
        _ = stopped => {}
    }
}

/// One that is under way.
struct UnderWay(Arc<State>);

impl UnderWay {
    fn new(state: &Arc<State>) -> Self {
        let mut count = lock(&state.under_way);
        count.0 += 1;
        count.1 = count.1.max(count.0);
        Self(Arc::clone(state))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.0.under_way).0 -= 1;
    }
}

async fn answer(Shared(state): Shared<Arc<State>>, request: Request) -> Response<Body> {
    let _under_way = UnderWay::new(&state);
    let call = heard(request).await;
    let number = {
        let mut calls = lock(&state.calls);
        calls.push(call.clone());
        calls.len() as u64
    };
    tokio::time::sleep(state.options.latency).await;
    if let Some(refusal) = refused(&state, &call) {
        return refusal;
    }
    let trouble = lock(&state.troubles)
        .pop_front()
        .or_else(|| by_chance(&state, number));
    let body = match trouble {
        None => None,
        Some(ApiTrouble::TooMany(after)) => {
            let mut response = text(429, "text/plain", "too many calls");
            if let Ok(value) = after.parse() {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            return response;
        }
        Some(ApiTrouble::Status(status)) => return text(status, "text/plain", "out of order"),
        Some(ApiTrouble::Html) => return text(200, "text/html", HTML),
        Some(ApiTrouble::Text(content)) => return text(200, "application/json", content),
        Some(trouble) => Some(trouble),
    };
    let response = routed(&state, &call);
    match body {
        None => response,
        Some(trouble) => interrupted(response, trouble).await,
    }
}

async fn heard(request: Request) -> ApiCall {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let headers = parts.headers.iter().map(|(name, value)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    ApiCall {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: query
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        at: Instant::now(),
    }
}

/// The text behind `%3A` and `+`.
fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(part.len().min(2));
        bytes.push(u8::from_str_radix(code, 16).unwrap_or(b'?'));
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refused(state: &State, call: &ApiCall) -> Option<Response<Body>> {
    if let Some(limit) = state.options.per_second {
        let mut recent = lock(&state.recent);
        while recent
            .front()
            .is_some_and(|at| at.elapsed() > Duration::from_secs(1))
        {
            recent.pop_front();
        }
        if recent.len() >= limit {
            let mut response = text(429, "text/plain", "too many calls");
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            return Some(response);
        }
        recent.push_back(Instant::now());
    }
    let wanted = state.options.authorization.as_ref()?;
    let given = call.headers.get("authorization");
    (given != Some(wanted) && call.path != "/token").then(|| {
        text(
            401,
            "application/json",
            json!({"error": "who are you?", "you_sent": given}).to_string(),
        )
    })
}

fn by_chance(state: &State, number: u64) -> Option<ApiTrouble> {
    let one_in = state.options.trouble_in?;
    // The next state of a small generator (splitmix64): the same calls meet the same troubles.
    let mut dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    dice = (dice ^ (dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    dice = (dice ^ (dice >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    dice ^= dice >> 31;
    if !dice.is_multiple_of(one_in) {
        return None;
    }
    Some(match dice / one_in % 4 {
        0 => ApiTrouble::TooMany("0".to_owned()),
        1 => ApiTrouble::Status(500),
        2 => ApiTrouble::Reset,
        _ => ApiTrouble::Slow(Duration::from_millis(20)),
    })
}

fn routed(state: &State, call: &ApiCall) -> Response<Body> {
    let json = |status: u16, value: &Value| text(status, "application/json", value.to_string());
    let path: Vec<&str> = call.path.trim_matches('/').split('/').collect();
    match path.as_slice() {
        ["records", way] => {
            let host = call.headers.get("host").map_or("localhost", String::as_str);
            let here = format!("http://{host}{}", call.path);
            let mut query = call.query.clone();
            // A search is asked for by a body.
            if let Ok(Value::Object(body)) = serde_json::from_str(&call.body) {
                query.extend(body.into_iter().map(|(name, value)| {
                    (
                        name,
                        value
                            .as_str()
                            .map_or_else(|| value.to_string(), ToOwned::to_owned),
                    )
                }));
            }
            match pages::page(way, &here, &query, state.options.records_per_day) {
                None => json(400, &json!({"error": "what do you want?"})),
                Some(page) => {
                    let mut response = json(200, &page.body);
                    if let Some(Ok(link)) = page.link.map(|link| {
                        format!("<{here}>; rel=\"first\", <{link}>; rel=\"next\"").parse()
                    }) {
                        response.headers_mut().insert(header::LINK, link);
                    }
                    response
                }
            }
        }
        ["echo"] => json(
            200,
            &json!({"method": call.method, "body": serde_json::from_str::<Value>(&call.body).unwrap_or_default(), "query": call.query}),
        ),
        ["value"] => {
            let (status, value) = lock(&state.value).clone();
            json(status, &value)
        }
        ["files", name] => match lock(&state.files).get(*name).cloned() {
            Some(found) => file(found),
            None => text(404, "text/plain", "no such file"),
        },
        ["status", code] => text(
            code.parse().unwrap_or(500),
            "text/plain",
            if *code == "204" { "" } else { "as you wish" },
        ),
        ["loop"] => json(
            200,
            &json!({"data": [{"id": 1}], "meta": {"next": if call.query.contains_key("cursor") { "b" } else { "a" }}}),
        ),
        ["endless"] => {
            let next: u64 = call
                .query
                .get("cursor")
                .and_then(|cursor| cursor.parse().ok())
                .unwrap_or(0);
            json(
                200,
                &json!({"data": [{"id": next}], "meta": {"next": (next + 1).to_string()}}),
            )
        }
        ["stuck"] => json(200, &json!([{"id": 1}])),
        ["away"] => moved(call.query.get("to").map_or("/value", String::as_str)),
        ["token"] => token(call),
        _ => json(404, &json!({"error": "there is nothing"})),
    }
}

fn file(found: File) -> Response<Body> {
    let mut response = text(200, "application/octet-stream", found.content);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, header::HeaderValue::from_static("\"v1\""));
    let changed = header::HeaderValue::from_static("Sun, 01 Mar 2026 11:00:00 GMT");
    headers.insert(header::LAST_MODIFIED, changed);
    if let Some(Ok(packing)) = found.packing.map(|packing| packing.parse()) {
        headers.insert(header::CONTENT_ENCODING, packing);
    }
    response
}

fn moved(to: &str) -> Response<Body> {
    let mut response = text(302, "text/plain", "");
    if let Ok(to) = to.parse() {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

/// `pipectl:correct+horse` in Base64.
const CLIENT: &str = "Basic cGlwZWN0bDpjb3JyZWN0K2hvcnNl";

fn token(call: &ApiCall) -> Response<Body> {
    if call.headers.get("authorization").map(String::as_str) != Some(CLIENT) {
        return text(401, "application/json", "{\"error\": \"invalid_client\"}");
    }
    text(
        200,
        "application/json",
        "{\"access_token\": \"t0ken\", \"token_type\": \"Bearer\", \"expires_in\": 3600}",
    )
}

fn text(status: u16, kind: &str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// The answer in two halves: the second one comes late, or never.
async fn interrupted(response: Response<Body>, trouble: ApiTrouble) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let (first, second) = (body.slice(..body.len() / 2), body.slice(body.len() / 2..));
    let halves = futures::stream::unfold(0, move |step| {
        let (first, second, trouble) = (first.clone(), second.clone(), trouble.clone());
        async move {
            match (step, trouble) {
                (0, _) => Some((Ok::<Bytes, std::io::Error>(first), 1)),
                (1, ApiTrouble::Slow(time)) => {
                    tokio::time::sleep(time).await;
                    Some((Ok(second), 2))
                }
                (1, _) => Some((Err(std::io::ErrorKind::ConnectionReset.into()), 2)),
                _ => None,
            }
        }
    });
    Response::from_parts(parts, Body::from_stream(halves))
}
