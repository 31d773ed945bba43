//! A real MLflow tracking server: what is trained is there too, once; what is there is used here.
//!
//! `tests/mlflow_server.py cargo test --release --workspace --test e2e -- mlflow:: --ignored` starts the server.

use std::process::Command;

use serde_json::Value;

use super::harness::{Project, Ran};

const PIPELINE: &str = r#"
name: shop
tasks:
  history:
    extract: csv
    with: {path: data/churn/history.csv, null_values: ["", " "]}
  some:
    transform: sql
    from: history
    with: {query: select * from history order by customerID limit 400}
  model:
    train: classifier
    from: some
    with:
      target: Churn
      exclude: [customerID]
      features: {ratio: "TotalCharges / nullif(tenure, 0)"}
      candidates: {logistic_regression: {C: 0.5}}
      validation: {folds: 2}
      metric: f1
      register: NAME
      promote: {if: "f1 >= champion.f1"}
"#;

/// Scores today's customers by a model of MLflow.
const SCORING: &str = r#"
name: scoring
tasks:
  today:
    extract: csv
    with: {path: data/churn/today.csv, null_values: ["", " "]}
  scores:
    predict: model
    from: today
    with: {model: "MODEL"}
"#;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run this by tests/mlflow_server.py, which starts the server")
    })
}

/// A project with a pipeline that trains the model `name`, which no other test uses.
fn project(name: &str) -> Project {
    let mut project = Project::repository();
    project.set("PIPECTL_MLFLOW", variable("PIPECTL_TEST_MLFLOW_URL"));
    let pipeline = PIPELINE
        .replace("NAME", name)
        .replace("name: shop", &format!("name: {name}"));
    project.write(&format!("pipelines/{name}.yaml"), pipeline);
    project
}

/// What Python's `mlflow` says: `script` prints JSON.
fn python(project: &Project, script: &str) -> Value {
    let url = variable("PIPECTL_TEST_MLFLOW_URL");
    let output = Command::new(variable("PIPECTL_TEST_MLFLOW_PYTHON"))
        .args(["-c", script])
        .current_dir(project.root())
        .env("MLFLOW_TRACKING_URI", url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or_else(|| panic!("{error}"));
    serde_json::from_str(last).unwrap_or_else(|_| panic!("{text}\n{error}"))
}

fn train(project: &Project, name: &str) -> Value {
    project.succeed(&["run", name, "--format", "json"]).json()
}

/// All that MLflow knows of a model and its runs, by its own client.
fn known(project: &Project, name: &str) -> Value {
    let script = format!(
        "
import json
from mlflow.tracking import MlflowClient
client = MlflowClient()
experiment = client.get_experiment_by_name('{name}')
runs = client.search_runs([experiment.experiment_id])
versions = client.search_model_versions(\"name='{name}'\")
print(json.dumps({{
    'runs': [dict(id=run.info.run_id, status=run.info.status, name=run.info.run_name, params=run.data.params,
                  metrics=run.data.metrics, tags=run.data.tags) for run in runs],
    'versions': [dict(version=one.version, run=one.run_id, tags=one.tags) for one in versions],
    'champion': client.get_model_version_by_alias('{name}', 'champion').version,
}}))
"
    );
    python(project, &script)
}

fn scored(project: &Project, model: &str) -> Ran {
    project.write("pipelines/scoring.yaml", SCORING.replace("MODEL", model));
    project.run(&["run", "scoring", "--format", "json"])
}

#[test]
#[ignore = "needs an MLflow server: tests/mlflow_server.py"]
fn what_is_trained_is_in_mlflow_too() {
    let project = project("trained");
    let ran = train(&project, "trained");
    let model = &ran["tasks"]["model"];
    assert_eq!(model["warnings"], serde_json::json!([]), "{ran}");
    let registered = project
        .succeed(&["models", "show", "trained:1", "--format", "json"])
        .json();
    let known = known(&project, "trained");
    let run = &known["runs"][0];
    assert_eq!(known["runs"].as_array().unwrap().len(), 1, "{known}");
    assert_eq!(
        (&run["status"], &run["name"]),
        (&"FINISHED".into(), &"trained/model".into())
    );
    assert_eq!(run["metrics"], registered["metrics"]);
    let params = &run["params"];
    assert_eq!(
        (&params["estimator"], &params["C"], &params["feature.ratio"]),
        (
            &"logistic_regression".into(),
            &"0.5".into(),
            &"TotalCharges / nullif(tenure, 0)".into()
        )
    );
    let tags = &run["tags"];
    assert_eq!(tags["pipectl_run"], ran["run"]);
    assert_eq!(tags["pipectl_version"], ran["version"]);
    assert_eq!(
        tags["pipectl_fingerprint"],
        registered["card"]["fingerprint"]
    );
    let question: Value = serde_json::from_str(tags["pipectl_question"].as_str().unwrap()).unwrap();
    assert_eq!(question["target"], registered["card"]["target"]);
    assert_eq!(question["classes"], registered["card"]["classes"]);
    assert_eq!(
        known["versions"][0]["tags"]["pipectl_digest"],
        registered["digest"]
    );
    assert_eq!(known["champion"].to_string().trim_matches('"'), "1");
}

#[test]
#[ignore = "needs an MLflow server: tests/mlflow_server.py"]
fn an_attempt_that_is_lost_writes_once() {
    let mut project = project("lost");
    project.set("PIPECTL_FAILPOINT", "attempt_ended:3");
    let killed = project.run(&["run", "lost"]);
    assert_ne!(killed.code, Some(0), "{killed}");
    let before = known(&project, "lost");
    assert_eq!(before["runs"].as_array().unwrap().len(), 1, "{before}");
    project.unset("PIPECTL_FAILPOINT");
    project.succeed(&["run", "--resume", "last"]);
    let known = known(&project, "lost");
    assert_eq!(known["runs"].as_array().unwrap().len(), 1, "{known}");
    assert_eq!(known["versions"].as_array().unwrap().len(), 1, "{known}");
}

#[test]
#[ignore = "needs an MLflow server: tests/mlflow_server.py"]
fn the_rule_of_promotion_holds_there_too() {
    let project = project("promoted");
    train(&project, "promoted");
    train(&project, "promoted");
    let equal = known(&project, "promoted");
    assert_eq!(equal["champion"].to_string().trim_matches('"'), "2");
    let file = "pipelines/promoted.yaml";
    let worse = project
        .read(file)
        .replace("f1 >= champion.f1", "f1 > champion.f1 + 0.5");
    project.write(file, worse);
    train(&project, "promoted");
    let known = known(&project, "promoted");
    assert_eq!(known["versions"].as_array().unwrap().len(), 3, "{known}");
    assert_eq!(known["champion"].to_string().trim_matches('"'), "2");
}

#[test]
#[ignore = "needs an MLflow server: tests/mlflow_server.py"]
fn a_model_of_mlflow_scores_like_our_own() {
    let project = project("scored");
    train(&project, "scored");
    let ran = scored(&project, "mlflow://scored@champion").json();
    let scores = &ran["tasks"]["scores"];
    assert_eq!(scores["outputs"]["model"], "mlflow://scored/1", "{ran}");
    let registered = project
        .succeed(&["models", "show", "scored:1", "--format", "json"])
        .json();
    assert_eq!(scores["outputs"]["digest"], registered["digest"]);
    let own = scored(&project, "scored:1").json();
    assert_eq!(scores["metrics"], own["tasks"]["scores"]["metrics"]);
    let import = [
        "models",
        "import",
        "mlflow://scored/1",
        "--name",
        "from_mlflow",
        "--format",
        "json",
    ];
    assert_eq!(
        project.succeed(&import).json()["digest"],
        registered["digest"]
    );
    let missing = scored(&project, "mlflow://scored@nothing");
    assert_eq!(missing.code, Some(1), "{missing}");
    assert!(
        missing
            .stdout
            .contains("there is no model `mlflow://scored@nothing` in MLflow"),
        "{missing}"
    );
    let version = scored(&project, "mlflow://scored/99");
    assert!(
        version
            .stdout
            .contains("there is no model `mlflow://scored/99`"),
        "{version}"
    );
}

#[test]
#[ignore = "needs an MLflow server: tests/mlflow_server.py"]
fn what_others_log_by_mlflow_onnx_is_used() {
    let project = project("others");
    train(&project, "others");
    project.succeed(&["models", "export", "others:1", "out/model.onnx"]);
    let logged = python(
        &project,
        "
import json, mlflow, mlflow.onnx, onnx
mlflow.set_experiment('of_others')
with mlflow.start_run():
    mlflow.onnx.log_model(onnx.load('out/model.onnx'), name='model', registered_model_name='of others')
with mlflow.start_run() as run:
    mlflow.log_text('flavors: {sklearn: {}}', 'model/MLmodel')
    client = mlflow.MlflowClient()
    client.create_registered_model('pickled')
    client.create_model_version('pickled', f'{run.info.artifact_uri}/model', run.info.run_id)
print(json.dumps(True))
",
    );
    assert_eq!(logged, true);
    let ran = scored(&project, "mlflow://of others/1").json();
    assert_eq!(ran["tasks"]["scores"]["state"], "success", "{ran}");
    let own = scored(&project, "others:1").json();
    assert_eq!(
        ran["tasks"]["scores"]["metrics"],
        own["tasks"]["scores"]["metrics"]
    );
    let pickled = scored(&project, "mlflow://pickled/1");
    assert!(
        pickled
            .stdout
            .contains("is not in the format ONNX: it has `sklearn`"),
        "{pickled}"
    );
}

#[test]
#[ignore = "needs an MLflow server: tests/mlflow_server.py"]
fn python_loads_what_we_have_written() {
    let project = project("loaded");
    train(&project, "loaded");
    let loaded = python(
        &project,
        "
import json, mlflow.onnx, onnxruntime
model = mlflow.onnx.load_model('models:/loaded@champion')
session = onnxruntime.InferenceSession(model.SerializeToString())
print(json.dumps([one.name for one in session.get_outputs()]))
",
    );
    assert!(
        loaded.as_array().unwrap().contains(&"probabilities".into()),
        "{loaded}"
    );
}
