//! Tells other systems what happens: `OpenLineage` events and `OpenTelemetry` traces, where the environment names a place for
//! them by the names that those projects have given.
//!
//! Each collector has a queue of its own with a limit. What it does not take is tried a few times and then left out; that is
//! counted, and said once. The history is the truth, and no run waits for a collector.

mod lineage;
mod queue;
mod traces;

use std::{path::PathBuf, sync::Arc, time::Duration};

use pipectl_engine::{
    env::Env,
    event::{Listener, RunEvent, What},
    store::Store,
};
use tokio::io::AsyncWriteExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::queue::{Outlet, Queue, Tally};
use crate::service::Ears;

/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often something is sent.
const TRIES: u32 = 3;
/// How many events of runs wait for a collector of lineage at most.
const EVENTS: usize = 4_096;
/// How many traces of runs wait for their collector at most.
const TRACES: usize = 256;
/// How long what waits may still be sent when the daemon stops.
const LAST: Duration = Duration::from_secs(5);

/// Hears what happens and passes it on.
#[derive(Debug)]
pub struct Exports {
    lineage: Option<Queue<RunEvent>>,
    traces: Option<(traces::Traces, Queue<String>)>,
    closing: CancellationToken,
    workers: TaskTracker,
}

impl Listener for Exports {
    fn hear(&self, event: &RunEvent) {
        if let Some(queue) = &self.lineage
            && matches!(event.what, What::Run { .. })
        {
            queue.put(event.clone());
        }
        if let Some((traces, queue)) = &self.traces
            && let Some(trace) = traces.hear(event)
        {
            queue.put(trace);
        }
    }
}

impl Exports {
    /// Starts to export, when the environment names a place:
    /// `OPENLINEAGE_URL` or `OPENLINEAGE__TRANSPORT__LOG_FILE_PATH`, and `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn start(env: &Env, store: Arc<dyn Store>, ears: &Ears) -> Option<Self> {
        let (closing, workers) = (CancellationToken::new(), TaskTracker::new());
        let tally = |to| Arc::new(Tally::new(to, Arc::clone(&ears.measures)));
        let lineage = lineage::Lineage::of(env, store).map(|lineage| {
            let (queue, outlet) = Queue::new(EVENTS, closing.clone(), tally("openlineage"));
            workers.spawn(tell_lineage(outlet, lineage, Arc::clone(&queue.tally)));
            queue
        });
        let traces = traces::place(env).map(|place| {
            let (queue, outlet) = Queue::new(TRACES, closing.clone(), tally("opentelemetry"));
            workers.spawn(send_traces(outlet, place, Arc::clone(&queue.tally)));
            (traces::Traces::default(), queue)
        });
        workers.close();
        let some = lineage.is_some() || traces.is_some();
        some.then_some(Self {
            lineage,
            traces,
            closing,
            workers,
        })
    }

    /// Sends what waits, as far as there is time for it.
    pub async fn finish(&self) {
        self.closing.cancel();
        if tokio::time::timeout(LAST, self.workers.wait())
            .await
            .is_ok()
        {
            return;
        }
        let lineage = self.lineage.as_ref().map(Queue::waiting);
        let traces = self.traces.as_ref().map(|(_, queue)| queue.waiting());
        tracing::warn!(
            waiting = lineage.unwrap_or_default() + traces.unwrap_or_default(),
            "left out of the exports at the end: the collector took too long"
        );
    }
}

async fn tell_lineage(mut events: Outlet<RunEvent>, lineage: lineage::Lineage, tally: Arc<Tally>) {
    while let Some(event) = events.next().await {
        if let Some(document) = lineage.document(&event).await {
            let sent = lineage.place.send(&document.to_string()).await;
            account(&tally, sent, events.is_empty());
        }
    }
}

async fn send_traces(mut traces: Outlet<String>, place: Place, tally: Arc<Tally>) {
    while let Some(trace) = traces.next().await {
        let sent = place.send(&trace).await;
        account(&tally, sent, traces.is_empty());
    }
}

fn account(tally: &Tally, sent: Result<(), String>, all: bool) {
    match sent {
        Ok(()) => tally.taken(all),
        Err(error) => tally.left_out(1, &error),
    }
}

/// Where documents go.
#[derive(Debug)]
enum Place {
    Url(String, reqwest::Client),
    /// A file, one document a line.
    File(PathBuf),
}

impl Place {
    fn url(url: String) -> Option<Self> {
        let client = reqwest::Client::builder().timeout(PATIENCE).build();
        match client {
            Ok(client) => Some(Self::Url(url, client)),
            Err(error) => {
                tracing::warn!(%error, "cannot export to `{url}`");
                None
            }
        }
    }

    async fn send(&self, document: &str) -> Result<(), String> {
        let mut pause = Duration::from_millis(200);
        let mut sent = self.try_send(document).await;
        for _ in 1..TRIES {
            if sent.is_ok() {
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 4;
            sent = self.try_send(document).await;
        }
        sent
    }

    async fn try_send(&self, document: &str) -> Result<(), String> {
        match self {
            Self::Url(url, client) => {
                let answer = client
                    .post(url)
                    .header("content-type", "application/json")
                    .body(document.to_owned())
                    .send()
                    .await;
                let answer = answer.map_err(|error| error.to_string())?;
                if answer.status().is_success() {
                    return Ok(());
                }
                Err(format!("`{url}` answers {}", answer.status()))
            }
            Self::File(path) => {
                let wrong = |error: std::io::Error| format!("`{}`: {error}", path.display());
                let file = tokio::fs::File::options()
                    .create(true)
                    .append(true)
                    .open(path)
                    .await;
                let mut file = file.map_err(wrong)?;
                file.write_all(format!("{document}\n").as_bytes())
                    .await
                    .map_err(wrong)?;
                file.flush().await.map_err(wrong)
            }
        }
    }
}
