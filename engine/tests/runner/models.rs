//! Models that settings name are pinned before the first attempt.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use pipectl_engine::{
    model::{ImportedModel, MlflowReference, MlflowVersion, ModelRegistry},
    operator::{ModelPinner, RemoteModels, TaskError},
    plan::{Plan, testing},
    project::Project,
    state::RunState,
    time::{Clock, SystemClock},
};
use serde_json::{Value, json};

use crate::support::{Act, World};

/// A plan whose task names a model as its value.
fn naming(model: &Value) -> Plan {
    let mut plan = testing::plan("p");
    let a = testing::add(&mut plan, "a", &Act, json!({"value": model}), &[]);
    plan.graph[a].models = vec![vec!["value".to_owned()]];
    plan
}

async fn world() -> World {
    let world = World::new();
    for (f1, loss) in [(0.5, 0.1), (0.9, 0.2), (0.7, 0.3)] {
        let model = ImportedModel {
            name: "churn".to_owned(),
            artifact: "models/churn/a.onnx".to_owned(),
            digest: "abc".to_owned(),
            bytes: 3,
            metrics: BTreeMap::from([("f1".to_owned(), f1), ("log_loss".to_owned(), loss)]),
            card: json!({}),
            created: SystemClock.now(),
        };
        world.store.import_model(&model).await.unwrap();
    }
    let (store, now) = (&world.store, SystemClock.now());
    store
        .set_alias("churn", "challenger", 3, "", now)
        .await
        .unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_point_elsewhere_tomorrow_becomes_a_version() {
    let world = world().await;
    for (model, pinned) in [
        (json!("churn"), "churn:1"),
        (json!("churn@challenger"), "churn:3"),
        (json!("churn:2"), "churn:2"),
        (json!({"name": "churn", "best": "f1"}), "churn:2"),
        (json!({"name": "churn", "best": "log_loss"}), "churn:1"),
        (json!("zoo:churn"), "zoo:churn"),
        (json!("models/churn.onnx"), "models/churn.onnx"),
        (json!("mlflow://churn/7"), "mlflow://churn/7"),
    ] {
        let (run, state) = world.run(naming(&model)).await;
        assert_eq!(state, RunState::Success, "{model}");
        let task = world.task(run, "a").await;
        assert_eq!(task.settings, Some(json!({"value": pinned})), "{model}");
        assert_eq!(task.output.unwrap().values["value"], pinned);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_model_fails_its_task() {
    let world = world().await;
    for (model, message) in [
        (json!("fraud"), "no model `fraud` is registered"),
        (json!("churn@best"), "no model `churn@best` is registered"),
        (
            json!({"name": "fraud", "best": "f1"}),
            "no model `fraud` is registered",
        ),
        (
            json!({"name": "churn", "best": "f2"}),
            "no version of the model `churn` has the measure `f2`",
        ),
        (json!("My model"), "`My model` names no model"),
        (
            json!("mlflow://churn@best"),
            "the model `mlflow://churn@best`: nobody here can ask MLflow",
        ),
    ] {
        let (run, state) = world.run(naming(&model)).await;
        assert_eq!(state, RunState::Failed, "{model}");
        let error = world.task(run, "a").await.error.unwrap();
        assert_eq!(error.message, message);
    }
}

/// An MLflow server that knows one alias.
struct One;

#[async_trait]
impl RemoteModels for One {
    async fn version(
        &self,
        _: &Project,
        _: &dyn Clock,
        reference: MlflowReference<'_>,
    ) -> Result<u32, TaskError> {
        assert_eq!(reference.name, "churn");
        match reference.version {
            MlflowVersion::Alias("champion") => Ok(7),
            _ => Err(TaskError::user("there is no such model")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_mlflow_is_pinned_by_who_can_ask() {
    let mut world = world().await;
    world.services = world
        .services
        .with(Arc::new(ModelPinner::new(Arc::new(One))));
    let (run, _) = world.run(naming(&json!("mlflow://churn"))).await;
    let task = world.task(run, "a").await;
    assert_eq!(task.settings, Some(json!({"value": "mlflow://churn/7"})));
    let (run, _) = world.run(naming(&json!("mlflow://churn@best"))).await;
    let error = world.task(run, "a").await.error.unwrap();
    assert_eq!(error.message, "there is no such model");
}
