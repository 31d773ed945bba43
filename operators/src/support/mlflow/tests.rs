//! Against a server within the process: what is written when it stumbles, what is read.

use std::{collections::BTreeMap, sync::Arc};

use pipectl_connections::Connector;
use pipectl_engine::{
    model::{MlflowReference, MlflowVersion},
    operator::{Fault, NewModel, Output, Promote, RemoteModels, TaskContext, testing::TestProject},
    time::SystemClock,
};
use pipectl_test_support::TestMlflow;
use serde_json::json;

use super::{MlflowModels, fetch, track};

const FILE: &[u8] = b"not really ONNX";

fn project(server: &TestMlflow) -> TestProject {
    TestProject::new().with_mlflow(&server.url(), &[])
}

/// What a task puts out that has trained a model worth `f1`.
fn output(f1: f64) -> Output {
    Output {
        metrics: BTreeMap::from([("f1".to_owned(), f1)]),
        model: Some(NewModel {
            name: "churn".to_owned(),
            content: FILE.into(),
            metrics: BTreeMap::from([("f1".to_owned(), f1)]),
            card: json!({"estimator": "dummy", "parameters": {"C": 1}, "fingerprint": "abc"}),
            promote: Promote::Best {
                metric: "f1".to_owned(),
                greater_is_better: true,
            },
        }),
        ..Output::default()
    }
}

async fn tracked(context: &TaskContext, f1: f64) -> Vec<String> {
    let mut output = output(f1);
    track(context, &mut output).await;
    output.warnings
}

fn champion() -> MlflowReference<'static> {
    MlflowReference {
        name: "churn",
        version: MlflowVersion::Alias("champion"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stumbles_has_everything_once() {
    let server = TestMlflow::start().await;
    for path in [
        "experiments/create",
        "runs/create",
        "runs/log-batch",
        "model-versions/create",
        "registered-models/alias",
        "runs/update",
    ] {
        server.break_after(path, 1);
    }
    let project = project(&server);
    let context = project.context();
    assert_eq!(tracked(&context, 0.5).await, Vec::<String>::new());
    // The attempt was lost after that, and there is another one.
    assert_eq!(tracked(&context, 0.5).await, Vec::<String>::new());
    let runs = server.runs();
    assert_eq!(runs.len(), 1, "{:?}", server.calls());
    assert_eq!(runs[0]["info"]["status"], "FINISHED");
    assert_eq!(runs[0]["info"]["run_name"], "pipeline/task");
    let data = &runs[0]["data"];
    assert_eq!(data["metrics"][0]["value"], 0.5);
    let params = json!([{"key": "estimator", "value": "dummy"}, {"key": "C", "value": "1"}]);
    assert_eq!(data["params"], params);
    let tags = data["tags"].as_array().unwrap();
    let tag = |key: &str| {
        tags.iter()
            .find(|tag| tag["key"] == key)
            .map(|tag| &tag["value"])
    };
    assert_eq!(tag("pipectl_run"), Some(&json!(context.run.id.to_string())));
    assert_eq!(tag("pipectl_version"), Some(&json!("version")));
    assert_eq!(tag("pipectl_fingerprint"), Some(&json!("abc")));
    assert_eq!(server.versions().len(), 1);
    assert_eq!(server.alias("churn", "champion").as_deref(), Some("1"));
    assert_eq!(server.file("model/model.onnx").as_deref(), Some(FILE));
    let description = String::from_utf8(server.file("model/MLmodel").unwrap()).unwrap();
    assert!(description.contains("run_id: run1\n"), "{description}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_champion_there_is_the_better_one() {
    let server = TestMlflow::start().await;
    let project = project(&server);
    for (redo, f1, champion) in [(0, 0.5, "1"), (1, 0.4, "1"), (2, 0.6, "3")] {
        let mut context = project.context();
        context.run.redo = redo;
        assert!(tracked(&context, f1).await.is_empty());
        assert_eq!(server.alias("churn", "champion").as_deref(), Some(champion));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_is_a_warning_without_secrets() {
    let server = TestMlflow::start().await;
    server.want("Bearer right-token");
    let settings = [("auth.bearer", "wrong-token")];
    let refused = TestProject::new().with_mlflow(&server.url(), &settings);
    let warnings = tracked(&refused.context(), 0.5).await;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("the model is not in MLflow: `GET http://127.0.0.1:")
            && warnings[0].ends_with("answered 401 Unauthorized: You are not authenticated."),
        "{warnings:?}"
    );
    assert!(!warnings[0].contains("token"), "{warnings:?}");
    let settings = [("auth.bearer", "right-token")];
    let taken = TestProject::new().with_mlflow(&server.url(), &settings);
    assert!(tracked(&taken.context(), 0.5).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_fetched_once_and_must_be_what_it_was() {
    let server = TestMlflow::start().await;
    let project = project(&server);
    let context = project.context();
    assert!(tracked(&context, 0.5).await.is_empty());
    let downloads = || {
        let calls = server.calls();
        let of = calls.iter().filter(|call| call.ends_with("get-artifact"));
        of.count()
    };
    for _ in 0..2 {
        let file = fetch(&context, champion()).await.unwrap();
        assert_eq!(&*file, FILE);
        assert_eq!(downloads(), 2);
    }
    server.replace("model/model.onnx", b"something else");
    let other = self::project(&server);
    let error = fetch(&other.context(), champion()).await.unwrap_err();
    assert_eq!(
        error.message,
        "the file of the model `mlflow://churn@champion` is not the one that was registered"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_is_a_version() {
    let server = TestMlflow::start().await;
    let project = project(&server);
    let context = project.context();
    assert!(tracked(&context, 0.5).await.is_empty());
    let models = MlflowModels::new(Arc::new(Connector::default()));
    let ask = async |reference: MlflowReference<'_>| {
        models
            .version(&context.project, &SystemClock, reference)
            .await
    };
    assert_eq!(ask(champion()).await.unwrap(), 1);
    let nobody = MlflowReference {
        version: MlflowVersion::Alias("nobody"),
        ..champion()
    };
    let error = ask(nobody).await.unwrap_err();
    assert_eq!(error.fault, Fault::User);
    assert!(
        error
            .message
            .starts_with("there is no model `mlflow://churn@nobody` in MLflow at http://"),
        "{}",
        error.message
    );
}
