//! `OpenLineage` 2-0-2: one START and one COMPLETE, FAIL or ABORT a run, with the schemas of what its tasks have put out.

use std::sync::Arc;

use pipectl_engine::{
    env::Env,
    event::{RunEvent, What},
    failure::full_message,
    state::RunState,
    store::{Store, StoreError},
};
use serde_json::{Value, json};

use super::Place;

const PRODUCER: &str = "https://github.com/pipectl/pipectl";
const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// Tells of runs as `OpenLineage` does.
pub(super) struct Lineage {
    pub(super) place: Place,
    namespace: String,
    store: Arc<dyn Store>,
}

impl Lineage {
    pub(super) fn of(env: &Env, store: Arc<dyn Store>) -> Option<Self> {
        let named = |name: &str| env.get(name).filter(|text| !text.is_empty());
        let place = if let Some(url) = named("OPENLINEAGE_URL") {
            let endpoint = named("OPENLINEAGE_ENDPOINT").unwrap_or("api/v1/lineage");
            Place::url(format!("{}/{endpoint}", url.trim_end_matches('/')))?
        } else {
            Place::File(named("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH")?.into())
        };
        let namespace = named("OPENLINEAGE_NAMESPACE")
            .unwrap_or("pipectl")
            .to_owned();
        Some(Self {
            place,
            namespace,
            store,
        })
    }

    /// What is told of an event, if anything.
    pub(super) async fn document(&self, event: &RunEvent) -> Option<Value> {
        let What::Run { state, error } = &event.what else {
            return None;
        };
        let kind = match state {
            RunState::Queued => return None,
            RunState::Running => "START",
            RunState::Success => "COMPLETE",
            RunState::Failed => "FAIL",
            RunState::Cancelled => "ABORT",
        };
        let outputs = if state.is_final() {
            self.outputs(event).await.unwrap_or_else(|error| {
                tracing::warn!(error = full_message(&error), "lineage without its outputs");
                Vec::new()
            })
        } else {
            Vec::new()
        };
        let mut facets = self.interval(event).await;
        if let Some(error) = error {
            facets["errorMessage"] = self.facet(
                "1-0-1/ErrorMessageRunFacet",
                json!({"message": error, "programmingLanguage": "YAML"}),
            );
        }
        Some(json!({
            "eventType": kind,
            "eventTime": event.at,
            "producer": PRODUCER,
            "schemaURL": SCHEMA,
            "run": {"runId": event.run, "facets": facets},
            "job": {"namespace": self.namespace, "name": &*event.pipeline, "facets": {}},
            "inputs": [],
            "outputs": outputs,
        }))
    }

    async fn interval(&self, event: &RunEvent) -> Value {
        let record = self.store.run(event.run).await.ok().flatten();
        match record.and_then(|record| record.run.interval) {
            Some(interval) => {
                let times =
                    json!({"nominalStartTime": interval.start, "nominalEndTime": interval.end});
                json!({"nominalTime": self.facet("1-0-1/NominalTimeRunFacet", times)})
            }
            None => json!({}),
        }
    }

    /// The datasets of the run's tasks, with their columns and rows.
    async fn outputs(&self, event: &RunEvent) -> Result<Vec<Value>, StoreError> {
        let mut found = Vec::new();
        for task in self.store.tasks(event.run).await? {
            for dataset in task.output.iter().flat_map(|output| &output.datasets) {
                let fields: Vec<Value> = dataset
                    .columns
                    .iter()
                    .map(|(name, kind)| json!({"name": name, "type": kind}))
                    .collect();
                found.push(json!({
                    "namespace": self.namespace,
                    "name": format!("{}.{}.{}", event.pipeline, task.key, dataset.name),
                    "facets": {"schema": self.facet("1-1-1/SchemaDatasetFacet", json!({"fields": fields}))},
                    "outputFacets": {"outputStatistics": self.facet("1-0-2/OutputStatisticsOutputDatasetFacet", json!({"rowCount": dataset.rows}))},
                }));
            }
        }
        Ok(found)
    }

    #[expect(clippy::unused_self, reason = "a facet is made where the event is")]
    fn facet(&self, schema: &str, mut facet: Value) -> Value {
        let (version, name) = schema.split_once('/').unwrap_or_default();
        facet["_producer"] = PRODUCER.into();
        facet["_schemaURL"] =
            format!("https://openlineage.io/spec/facets/{version}/{name}.json").into();
        facet
    }
}
