//! `OpenTelemetry`: a trace a run, a span an attempt, sent as OTLP over HTTP with JSON when the run is over.

use std::collections::HashMap;

use pipectl_engine::{
    artifact::sha256,
    env::Env,
    event::{RunEvent, What},
    id::{RunId, TaskKey},
    state::{RunState, TaskState},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::Place;

/// Spans of runs that are under way.
pub(super) struct Traces {
    place: Place,
    runs: HashMap<RunId, Trace>,
}

struct Trace {
    started: Timestamp,
    open: HashMap<TaskKey, (u32, Timestamp)>,
    spans: Vec<Value>,
}

impl Traces {
    pub(super) fn of(env: &Env) -> Option<Self> {
        let named = |name: &str| env.get(name).filter(|text| !text.is_empty());
        let url = match named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            Some(url) => url.to_owned(),
            None => format!(
                "{}/v1/traces",
                named("OTEL_EXPORTER_OTLP_ENDPOINT")?.trim_end_matches('/')
            ),
        };
        Some(Self {
            place: Place::url(url)?,
            runs: HashMap::new(),
        })
    }

    pub(super) async fn tell(&mut self, event: &RunEvent) {
        match &event.what {
            What::Run {
                state: RunState::Running,
                ..
            } => {
                let trace = Trace {
                    started: event.at,
                    open: HashMap::new(),
                    spans: Vec::new(),
                };
                self.runs.insert(event.run, trace);
            }
            What::Run { state, error } if state.is_final() => {
                if let Some(mut trace) = self.runs.remove(&event.run) {
                    let failed = (*state != RunState::Success)
                        .then(|| error.clone().unwrap_or_else(|| state.name().to_owned()));
                    let attributes = [
                        ("pipectl.run", event.run.to_string()),
                        ("pipectl.state", state.name().to_owned()),
                    ];
                    let root = span(
                        event.run,
                        None,
                        &event.pipeline,
                        (trace.started, event.at),
                        &attributes,
                        failed.as_deref(),
                    );
                    trace.spans.push(root);
                    self.place.send(&document(&trace.spans)).await;
                }
            }
            What::Task {
                key,
                state,
                attempt,
                note,
                ..
            } => {
                if let Some(trace) = self.runs.get_mut(&event.run) {
                    trace.task(event, key, *state, *attempt, note.as_deref());
                }
            }
            _ => {}
        }
    }
}

impl Trace {
    fn task(
        &mut self,
        event: &RunEvent,
        key: &TaskKey,
        state: TaskState,
        attempt: u32,
        note: Option<&str>,
    ) {
        if state == TaskState::Running {
            self.open.entry(key.clone()).or_insert((attempt, event.at));
            return;
        }
        if state == TaskState::Deferred {
            return;
        }
        let Some((attempt, started)) = self.open.remove(key) else {
            return;
        };
        let failed = matches!(state, TaskState::Failed | TaskState::UpForRetry)
            .then(|| note.unwrap_or("failed"));
        let attributes = [
            ("pipectl.pipeline", event.pipeline.to_string()),
            ("pipectl.attempt", attempt.to_string()),
            ("pipectl.state", state.name().to_owned()),
        ];
        let name = key.to_string();
        let times = (started, event.at);
        self.spans.push(span(
            event.run,
            Some((&name, attempt)),
            &name,
            times,
            &attributes,
            failed,
        ));
    }
}

/// A span; the run's own without `attempt`.
fn span(
    run: RunId,
    attempt: Option<(&str, u32)>,
    name: &str,
    times: (Timestamp, Timestamp),
    attributes: &[(&str, String)],
    failed: Option<&str>,
) -> Value {
    let trace = run.uuid().simple().to_string();
    let root = id(&trace);
    let nanos = |moment: Timestamp| moment.timestamp_nanos_opt().unwrap_or_default().to_string();
    let attributes: Vec<Value> = attributes
        .iter()
        .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
        .collect();
    let mut span = json!({
        "traceId": trace,
        "spanId": root,
        "name": name,
        "kind": 1,
        "startTimeUnixNano": nanos(times.0),
        "endTimeUnixNano": nanos(times.1),
        "attributes": attributes,
        "status": failed.map_or_else(|| json!({"code": 1}), |message| json!({"code": 2, "message": message})),
    });
    if let Some((task, attempt)) = attempt {
        span["parentSpanId"] = root.into();
        span["spanId"] = id(&format!("{trace} {task} {attempt}")).into();
    }
    span
}

/// Sixteen hexadecimal digits that are the same for the same text.
fn id(text: &str) -> String {
    sha256(text.as_bytes()).chars().take(16).collect()
}

fn document(spans: &[Value]) -> Value {
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "pipectl"}}]},
        "scopeSpans": [{"scope": {"name": "pipectl"}, "spans": spans}],
    }]})
}
