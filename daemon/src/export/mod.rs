//! Tells other systems what happens: `OpenLineage` events and `OpenTelemetry` traces, where the environment names a place for
//! them by the names that those projects have given.
//!
//! What cannot be delivered is tried a few times and then left out with a warning: the history is the truth, and no run
//! waits for a collector.

mod lineage;
mod traces;

use std::{path::PathBuf, sync::Arc, time::Duration};

use pipectl_engine::{
    env::Env,
    event::{Listener, RunEvent, What},
    store::Store,
};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, sync::mpsc};
use tokio_util::task::TaskTracker;

/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often something is sent.
const TRIES: u32 = 3;

/// Hears what happens and passes it on.
#[derive(Debug)]
pub struct Exports(mpsc::UnboundedSender<RunEvent>);

impl Listener for Exports {
    fn hear(&self, event: &RunEvent) {
        if matches!(event.what, What::Run { .. } | What::Task { .. }) {
            // Nobody listens any more when the process ends.
            let _told = self.0.send(event.clone());
        }
    }
}

impl Exports {
    /// Starts to export, when the environment names a place:
    /// `OPENLINEAGE_URL` or `OPENLINEAGE__TRANSPORT__LOG_FILE_PATH`, and `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn start(env: &Env, store: Arc<dyn Store>, tasks: &TaskTracker) -> Option<Self> {
        let lineage = lineage::Lineage::of(env, store);
        let traces = traces::Traces::of(env);
        if lineage.is_none() && traces.is_none() {
            return None;
        }
        let (sender, events) = mpsc::unbounded_channel();
        tasks.spawn(export(events, lineage, traces));
        Some(Self(sender))
    }
}

async fn export(
    mut events: mpsc::UnboundedReceiver<RunEvent>,
    lineage: Option<lineage::Lineage>,
    mut traces: Option<traces::Traces>,
) {
    while let Some(event) = events.recv().await {
        if let Some(lineage) = &lineage {
            lineage.tell(&event).await;
        }
        if let Some(traces) = &mut traces {
            traces.tell(&event).await;
        }
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

    async fn send(&self, document: &Value) {
        let mut pause = Duration::from_millis(200);
        for attempt in 1..=TRIES {
            let Err(error) = self.try_send(document).await else {
                return;
            };
            if attempt == TRIES {
                tracing::warn!("left out of the export: {error}");
                return;
            }
            tokio::time::sleep(pause).await;
            pause *= 4;
        }
    }

    async fn try_send(&self, document: &Value) -> Result<(), String> {
        match self {
            Self::Url(url, client) => {
                let answer = client
                    .post(url)
                    .header("content-type", "application/json")
                    .body(document.to_string())
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
