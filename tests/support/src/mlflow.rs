//! An MLflow tracking server within the test's process, as far as we speak to one: it answers what version 3.17 does.
//! `tests/mlflow_server.py` runs tests against a real one.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State as Shared},
    http::{HeaderValue, Response, StatusCode, header},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

/// What a server knows.
#[derive(Debug, Default)]
struct Content {
    /// Names of experiments; the number of one is its place, from 1.
    experiments: Vec<String>,
    runs: Vec<Value>,
    versions: Vec<Value>,
    aliases: HashMap<(String, String), String>,
    files: BTreeMap<String, Vec<u8>>,
    calls: Vec<String>,
    /// Calls of these paths are done, and answered with 503, so many times.
    broken: BTreeMap<String, u32>,
    authorization: Option<String>,
}

/// An MLflow server on 127.0.0.1, until it is dropped. It needs the runtime of its test.
#[derive(Debug)]
pub struct TestMlflow {
    address: SocketAddr,
    content: Arc<Mutex<Content>>,
    /// Ends with it.
    _serving: JoinSet<()>,
}

fn lock(content: &Mutex<Content>) -> MutexGuard<'_, Content> {
    content.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestMlflow {
    /// Starts a server that knows nothing.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let content = Arc::<Mutex<Content>>::default();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&content));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            axum::serve(listener, router).await.expect("it never ends");
        });
        Self {
            address,
            content,
            _serving: serving,
        }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls of a path below `/api/2.0/mlflow/` are done, and answered with 503, `times` times.
    pub fn break_after(&self, path: &str, times: u32) {
        lock(&self.content).broken.insert(path.to_owned(), times);
    }

    /// Only calls with this `Authorization` are answered from now on.
    pub fn want(&self, authorization: &str) {
        lock(&self.content).authorization = Some(authorization.to_owned());
    }

    /// The runs that it knows.
    pub fn runs(&self) -> Vec<Value> {
        lock(&self.content).runs.clone()
    }

    /// The versions of models that it knows.
    pub fn versions(&self) -> Vec<Value> {
        lock(&self.content).versions.clone()
    }

    /// The version that an alias points to.
    pub fn alias(&self, name: &str, alias: &str) -> Option<String> {
        let key = (name.to_owned(), alias.to_owned());
        lock(&self.content).aliases.get(&key).cloned()
    }

    /// A file of a run or a model, by the end of its path.
    pub fn file(&self, end: &str) -> Option<Vec<u8>> {
        let content = lock(&self.content);
        let mut files = content.files.iter();
        let found = files.find(|(path, _)| path.ends_with(end));
        found.map(|(_, file)| file.clone())
    }

    /// Puts another file in the place of one.
    pub fn replace(&self, end: &str, file: &[u8]) {
        let mut content = lock(&self.content);
        let files = content.files.iter_mut();
        for (_, old) in files.filter(|(path, _)| path.ends_with(end)) {
            file.clone_into(old);
        }
    }

    /// The calls that it has heard, as `POST runs/create`.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.content).calls.clone()
    }
}

async fn answer(Shared(content): Shared<Arc<Mutex<Content>>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let given = parts.headers.get(header::AUTHORIZATION).cloned();
    let query = query(parts.uri.query().unwrap_or_default());
    let path = parts.uri.path().trim_start_matches('/').to_owned();
    let path = path.strip_prefix("api/2.0/mlflow/").unwrap_or(&path);
    let mut content = lock(&content);
    content.calls.push(format!("{} {path}", parts.method));
    if let Some(wanted) = &content.authorization
        && given.as_ref().map(HeaderValue::as_bytes) != Some(wanted.as_bytes())
    {
        return text(401, "You are not authenticated.");
    }
    let response = routed(&mut content, path, &query, &body);
    if let Some(left) = content.broken.get_mut(path).filter(|left| **left > 0) {
        *left -= 1;
        return text(503, "out of order");
    }
    response
}

/// The text behind `%3A` and `+`, for each parameter.
fn query(text: &str) -> HashMap<String, String> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let mut parts = text.split('%');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let (code, rest) = part.split_at(part.len().min(2));
            bytes.push(u8::from_str_radix(code, 16).unwrap_or(b'?'));
            bytes.extend_from_slice(rest.as_bytes());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn routed(
    content: &mut Content,
    path: &str,
    query: &HashMap<String, String>,
    body: &Bytes,
) -> Response<Body> {
    if let Some(place) = path.strip_prefix("api/2.0/mlflow-artifacts/artifacts/") {
        content.files.insert(place.to_owned(), body.to_vec());
        return text(200, "");
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let of = |key: &str| query.get(key).map_or("", String::as_str);
    match path {
        "version" => text(200, "3.17.2"),
        "experiments/get-by-name" => experiment(content, of("experiment_name")),
        "experiments/create" => {
            let name = body["name"].as_str().unwrap_or_default();
            if content.experiments.iter().any(|known| known == name) {
                return refused(400, "RESOURCE_ALREADY_EXISTS", "it exists");
            }
            content.experiments.push(name.to_owned());
            json_of(&json!({"experiment_id": content.experiments.len().to_string()}))
        }
        "runs/search" => {
            let filter = body["filter"].as_str().unwrap_or_default();
            let found = content.runs.iter().find(|run| has_tags(run, filter));
            json_of(&json!({"runs": found.into_iter().collect::<Vec<_>>()}))
        }
        "runs/create" => json_of(&json!({"run": new_run(content, &body)})),
        "runs/get" => match run(content, of("run_id")) {
            Some(run) => json_of(&json!({"run": run})),
            None => missing("run"),
        },
        "runs/log-batch" => logged(content, &body),
        "runs/update" => match run(content, body["run_id"].as_str().unwrap_or_default()) {
            Some(run) => {
                run["info"]["status"] = body["status"].clone();
                json_of(&json!({"run_info": run["info"]}))
            }
            None => missing("run"),
        },
        "registered-models/create" => json_of(&json!({"registered_model": body})),
        "model-versions/search" => {
            let filter = of("filter");
            let found = content.versions.iter().find(|version| {
                let (name, run) = (&version["name"], &version["run_id"]);
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                filter == format!("name='{}' and run_id='{}'", text(name), text(run))
            });
            json_of(&json!({"model_versions": found.into_iter().collect::<Vec<_>>()}))
        }
        "model-versions/create" => {
            let name = body["name"].as_str().unwrap_or_default();
            let known = content.versions.iter().filter(|one| one["name"] == name);
            let mut version = body.clone();
            version["version"] = (known.count() + 1).to_string().into();
            version["creation_timestamp"] = 1_700_000_000_000_i64.into();
            content.versions.push(version.clone());
            json_of(&json!({"model_version": version}))
        }
        "model-versions/get" => model(content, of("name"), of("version")),
        "model-versions/get-artifact" => file(content, query),
        "registered-models/alias" => alias(content, query, &body),
        _ => missing("path"),
    }
}

/// Points an alias, or says where it points.
fn alias(content: &mut Content, query: &HashMap<String, String>, body: &Value) -> Response<Body> {
    let told = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    if body["alias"].is_string() {
        let key = (told("name"), told("alias"));
        content.aliases.insert(key, told("version"));
        return json_of(&json!({}));
    }
    let asked = |key: &str| query.get(key).cloned().unwrap_or_default();
    let key = (asked("name"), asked("alias"));
    match content.aliases.get(&key) {
        Some(version) => model(content, &key.0, version),
        None => refused(
            400,
            "INVALID_PARAMETER_VALUE",
            "Registered model alias not found.",
        ),
    }
}

fn experiment(content: &Content, name: &str) -> Response<Body> {
    let known = content.experiments.iter().position(|known| known == name);
    known.map_or_else(
        || missing("experiment"),
        |place| {
            let id = (place + 1).to_string();
            let experiment = json!({"experiment_id": id, "lifecycle_stage": "active"});
            json_of(&json!({"experiment": experiment}))
        },
    )
}

fn new_run(content: &mut Content, body: &Value) -> Value {
    let id = format!("run{}", content.runs.len() + 1);
    let run = json!({
        "info": {
            "run_id": id,
            "run_name": body["run_name"],
            "status": "RUNNING",
            "artifact_uri": format!("mlflow-artifacts:/{}/{id}/artifacts", body["experiment_id"].as_str().unwrap_or_default()),
        },
        "data": {"tags": body["tags"], "params": [], "metrics": []},
    });
    content.runs.push(run.clone());
    run
}

fn run<'a>(content: &'a mut Content, id: &str) -> Option<&'a mut Value> {
    let mut runs = content.runs.iter_mut();
    runs.find(|run| run["info"]["run_id"] == id)
}

/// `tags.a = 'b' and tags.c = 'd'`.
fn has_tags(run: &Value, filter: &str) -> bool {
    let tags = run["data"]["tags"].as_array().cloned().unwrap_or_default();
    filter.split(" and ").all(|condition| {
        tags.iter().any(|tag| {
            let text = |key: &str| tag[key].as_str().unwrap_or_default().to_owned();
            condition == format!("tags.{} = '{}'", text("key"), text("value"))
        })
    })
}

/// The same key again replaces a tag or a measure; a parameter may not change.
fn logged(content: &mut Content, body: &Value) -> Response<Body> {
    let Some(run) = run(content, body["run_id"].as_str().unwrap_or_default()) else {
        return missing("run");
    };
    for kind in ["params", "metrics", "tags"] {
        let new = body[kind].as_array().cloned().unwrap_or_default();
        let Some(known) = run["data"][kind].as_array_mut() else {
            continue;
        };
        for entry in new {
            match known.iter_mut().find(|old| old["key"] == entry["key"]) {
                Some(old) if kind == "params" && *old != entry => {
                    let message = "Changing param values is not allowed.";
                    return refused(400, "INVALID_PARAMETER_VALUE", message);
                }
                Some(old) => *old = entry,
                None => known.push(entry),
            }
        }
    }
    json_of(&json!({}))
}

fn model(content: &Content, name: &str, version: &str) -> Response<Body> {
    let mut versions = content.versions.iter();
    let found = versions.find(|one| one["name"] == name && one["version"] == version);
    match found {
        Some(version) => json_of(&json!({"model_version": version})),
        None => missing("model version"),
    }
}

fn file(content: &Content, query: &HashMap<String, String>) -> Response<Body> {
    let mut versions = content.versions.iter();
    let version = versions.find(|one| {
        let is = |key: &str| one[key].as_str() == query.get(key).map(String::as_str);
        is("name") && is("version")
    });
    let source = version.and_then(|version| version["source"].as_str());
    let path = query.get("path").map_or("", String::as_str);
    let place = source.map(|source| {
        let source = source.trim_start_matches("mlflow-artifacts:/");
        format!("{source}/{path}")
    });
    match place.and_then(|place| content.files.get(&place)) {
        Some(file) => response(200, "application/octet-stream", file.clone().into()),
        None => missing("file"),
    }
}

fn missing(what: &str) -> Response<Body> {
    refused(
        404,
        "RESOURCE_DOES_NOT_EXIST",
        &format!("there is no such {what}"),
    )
}

fn refused(status: u16, code: &str, message: &str) -> Response<Body> {
    let body = json!({"error_code": code, "message": message}).to_string();
    response(status, "application/json", body.into())
}

fn json_of(value: &Value) -> Response<Body> {
    response(200, "application/json", value.to_string().into())
}

fn text(status: u16, text: &'static str) -> Response<Body> {
    response(status, "text/plain", text.into())
}

fn response(status: u16, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
