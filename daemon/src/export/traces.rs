//! `OpenTelemetry`: a trace a run, a span an attempt, sent as OTLP over HTTP with JSON when the run is over.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

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

/// How many runs are remembered; of those that another daemon has taken over no end is heard here.
const RUNS: usize = 10_000;

/// Spans of runs that are under way.
#[derive(Debug, Default)]
pub(super) struct Traces(Mutex<BTreeMap<RunId, Trace>>);

#[derive(Debug)]
struct Trace {
    started: Timestamp,
    open: HashMap<TaskKey, (u32, Timestamp)>,
    spans: Vec<Value>,
}

/// Where traces go, when the environment says it.
pub(super) fn place(env: &Env) -> Option<Place> {
    let named = |name: &str| env.get(name).filter(|text| !text.is_empty());
    let url = match named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        Some(url) => url.to_owned(),
        None => format!(
            "{}/v1/traces",
            named("OTEL_EXPORTER_OTLP_ENDPOINT")?.trim_end_matches('/')
        ),
    };
    Place::url(url)
}

impl Traces {
    /// Hears what happens in a run; when the run is over, its trace.
    pub(super) fn hear(&self, event: &RunEvent) -> Option<String> {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
                runs.insert(event.run, trace);
                if runs.len() > RUNS {
                    runs.pop_first();
                }
                None
            }
            What::Run { state, error } if state.is_final() => {
                let trace = runs.remove(&event.run)?;
                drop(runs);
                Some(trace.whole(event, *state, error.as_deref()))
            }
            What::Task {
                key,
                state,
                attempt,
                note,
                ..
            } => {
                let trace = runs.get_mut(&event.run)?;
                trace.task(event, key, *state, *attempt, note.as_deref());
                None
            }
            _ => None,
        }
    }
}

impl Trace {
    /// The trace of a run that has ended.
    fn whole(mut self, event: &RunEvent, state: RunState, error: Option<&str>) -> String {
        let failed = (state != RunState::Success).then(|| error.unwrap_or_else(|| state.name()));
        let attributes = [
            ("pipectl.run", event.run.to_string()),
            ("pipectl.state", state.name().to_owned()),
        ];
        let times = (self.started, event.at);
        let root = span(event.run, None, &event.pipeline, times, &attributes, failed);
        self.spans.push(root);
        document(&self.spans).to_string()
    }

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
