//! Models behind REST: asked as systems that exist ask, swapped while they are asked, refused with words.

use std::{
    process::Child,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use super::harness::{
    Project,
    http::{ask, free_port, get, post},
    training::training,
    waiting::wait_for,
};

const JSON: &str = "application/json";

fn train(project: &Project, rows: u32) {
    let features = r#"features: {per_month: "TotalCharges / nullif(tenure, 0)"}"#;
    let model = format!("{features}\n      candidates: {{logistic_regression: {{}}}}");
    project.write(
        "pipelines/training.yaml",
        training(rows, &model, r#"{if: "f1 > 0"}"#),
    );
    project.succeed(&["run", "training"]);
}

/// A process that serves, ended with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(project: &Project, arguments: &[&str]) -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let child = project.start(&[&["serve", "--listen", &listen], arguments].concat());
        wait_for(Duration::from_secs(20), || {
            ask(port, "/health").map(drop).ok_or("closed".to_owned())
        });
        Self { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What system A's clients send.
fn example() -> Value {
    json!({"TotalCharges": 500.0, "Contract": "Month-to-month", "PhoneService": "Yes", "tenure": 10})
}

#[test]
fn rows_are_answered_as_in_batch() {
    let project = Project::repository();
    train(&project, 3_000);
    let scoring = "\
name: scoring
tasks:
  today:
    extract: csv
    with: {path: data/churn/today.csv, null_values: ['', ' ']}
  some:
    transform: sql
    from: today
    with: {query: select distinct * from today where customerID is not null order by customerID limit 200}
  scores:
    predict: model
    from: some
    with: {model: churn}
  file:
    load: json
    from: scores
    with: {path: out/scores.json}
";
    project.write("pipelines/scoring.yaml", scoring);
    project.succeed(&["run", "scoring"]);
    let scored: Vec<Value> = serde_json::from_str(&project.read("out/scores.json")).unwrap();
    let server = Server::start(&project, &["--model", "churn"]);
    let rows: Vec<Value> = scored
        .iter()
        .map(|row| {
            let mut row = row.clone();
            let cells = row.as_object_mut().unwrap();
            cells.retain(|name, _| {
                !["customerID", "prediction", "probability"].contains(&name.as_str())
            });
            row
        })
        .collect();
    let (status, answers) = post(server.port, "/predict", JSON, &json!(rows).to_string());
    assert_eq!(
        (status, &answers["model"]),
        (200, &json!("churn")),
        "{answers}"
    );
    let answers = answers["predictions"].as_array().unwrap();
    assert_eq!(answers.len(), scored.len());
    for (answer, row) in answers.iter().zip(&scored) {
        assert_eq!(answer["prediction"], row["prediction"]);
        let gap = answer["probability"].as_f64().unwrap() - row["probability"].as_f64().unwrap();
        assert!(gap.abs() < 1e-12, "{answer} {row}");
    }
    // The body of system A: what is left out is imputed as in training.
    let (status, answer) = post(server.port, "/predict", JSON, &example().to_string());
    assert_eq!(status, 200, "{answer}");
    let both = ["No", "Yes"].map(|class| answer["probabilities"][class].as_f64().unwrap());
    assert!((both[0] + both[1] - 1.0).abs() < 1e-12, "{answer}");
    assert_eq!(answer["probability"], answer["probabilities"]["Yes"]);
    assert_eq!(
        (&answer["model"], &answer["version"]),
        (&json!("churn"), &json!(1))
    );
    let (_, named) = post(
        server.port,
        "/v1/models/churn/predict?version=1",
        JSON,
        &example().to_string(),
    );
    assert_eq!(named, answer);
    let measures = ask(server.port, "/metrics").unwrap();
    assert!(
        measures.contains("pipectl_inference_rows_total{model=\"churn\"} 202"),
        "{measures}"
    );
}

#[test]
fn a_new_champion_is_taken_over_while_it_is_asked() {
    let project = Project::repository();
    train(&project, 500);
    let server = Server::start(&project, &["--model", "churn"]);
    let (stop, port) = (AtomicBool::new(false), server.port);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut versions = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let (status, answer) = post(port, "/predict", JSON, &example().to_string());
                assert_eq!(status, 200, "{answer}");
                versions.push(answer["version"].as_u64().unwrap());
            }
            versions
        });
        train(&project, 3_000);
        wait_for(Duration::from_secs(15), || {
            let (_, about) = get(port, "/v1/models/churn");
            (about["version"] == 2)
                .then_some(())
                .ok_or(about.to_string())
        });
        stop.store(true, Ordering::Relaxed);
        let versions = asking.join().unwrap();
        assert!(
            versions.is_sorted() && versions.contains(&1),
            "{versions:?}"
        );
    });
    // The old one can still be named.
    let (status, about) = get(port, "/v1/models/churn?version=1");
    assert_eq!((status, &about["version"]), (200, &json!(1)), "{about}");
}

#[test]
fn the_open_inference_protocol_is_spoken() {
    let project = Project::repository();
    train(&project, 500);
    let server = Server::start(&project, &[]);
    let port = server.port;
    assert_eq!(get(port, "/v2").1["name"], "pipectl");
    assert_eq!(get(port, "/v2/health/live"), (200, json!({"live": true})));
    assert_eq!(get(port, "/v2/health/ready"), (200, json!({"ready": true})));
    assert_eq!(
        get(port, "/v2/models").1,
        json!({"models": [{"name": "churn"}]})
    );
    let ready = (200, json!({"name": "churn", "ready": true}));
    for path in [
        "/v2/models/churn/ready",
        "/v2/models/churn/versions/1/ready",
        "/v2/models/churn/versions/champion/ready",
    ] {
        assert_eq!(get(port, path), ready, "{path}");
    }
    let (_, about) = get(port, "/v2/models/churn");
    let tenure = json!({"name": "tenure", "datatype": "FP64", "shape": [-1, 1]});
    assert!(
        about["inputs"].as_array().unwrap().contains(&tenure),
        "{about}"
    );
    assert_eq!(
        about["outputs"][1],
        json!({"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]})
    );
    let request = json!({
        "id": "seven",
        "inputs": [
            {"name": "tenure", "datatype": "INT64", "shape": [2], "data": [10, 50]},
            {"name": "Contract", "datatype": "BYTES", "shape": [2, 1], "data": [["Month-to-month"], ["Two year"]]},
        ],
        "outputs": [{"name": "probabilities"}],
    });
    let (status, answer) = post(port, "/v2/models/churn/infer", JSON, &request.to_string());
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["id"], &answer["model_version"]),
        (&json!("seven"), &json!("1"))
    );
    let [output] = answer["outputs"].as_array().unwrap().as_slice() else {
        panic!("{answer}")
    };
    assert_eq!(output["shape"], json!([2, 2]));
    let (_, single) = post(
        port,
        "/predict",
        JSON,
        r#"{"tenure": 10, "Contract": "Month-to-month"}"#,
    );
    assert_eq!(output["data"][1], single["probability"]);
}

#[test]
fn what_clients_of_mlflow_send_is_answered() {
    let project = Project::repository();
    train(&project, 500);
    let server = Server::start(&project, &["--model", "churn"]);
    let port = server.port;
    assert!(ask(port, "/ping").unwrap().starts_with("HTTP/1.1 200"));
    let split = json!({"dataframe_split": {"columns": ["tenure", "Contract", "more"], "data": [[10, "Month-to-month", 1], [70, "Two year", 2]]}});
    let records = json!({"dataframe_records": [{"tenure": 10, "Contract": "Month-to-month"}, {"tenure": 70, "Contract": "Two year"}]});
    let instances = json!({"instances": [{"tenure": 10, "Contract": "Month-to-month"}, {"tenure": 70, "Contract": "Two year"}]});
    let inputs =
        json!({"inputs": {"tenure": [10, 70], "Contract": ["Month-to-month", "Two year"]}});
    let (status, expected) = post(port, "/invocations", JSON, &split.to_string());
    assert_eq!(status, 200, "{expected}");
    assert_eq!(expected["predictions"].as_array().unwrap().len(), 2);
    for body in [records, instances, inputs] {
        assert_eq!(
            post(port, "/invocations", JSON, &body.to_string()),
            (200, expected.clone())
        );
    }
    let csv = "tenure,Contract\n10,Month-to-month\n70,Two year\n";
    assert_eq!(
        post(port, "/invocations", "text/csv; charset=utf-8", csv),
        (200, expected)
    );
    for (kind, body, status, message) in [
        ("text/plain", "x", 415, "send application/json or text/csv"),
        (JSON, "[1]", 400, "the body is no JSON object"),
        (JSON, "{}", 400, "exactly one of dataframe_split"),
        (
            JSON,
            r#"{"inputs": {"tenure": [1, 2], "Contract": ["a"]}}"#,
            400,
            "different lengths",
        ),
        (
            JSON,
            r#"{"dataframe_records": [{"tenure": "ten"}]}"#,
            422,
            "row 1: column `tenure` wants a number",
        ),
    ] {
        let (found, answer) = post(port, "/invocations", kind, body);
        assert_eq!(found, status, "{body}: {answer}");
        assert!(
            answer["message"].as_str().unwrap().contains(message),
            "{answer}"
        );
    }
}

#[test]
fn what_cannot_be_answered_says_why() {
    let project = Project::repository();
    train(&project, 500);
    let server = Server::start(&project, &[]);
    let port = server.port;
    for (path, kind, body, status, message) in [
        ("/predict", JSON, "{", 400, "the body is no JSON"),
        ("/predict", JSON, "7", 400, "neither a row"),
        ("/predict", "text/plain", "{}", 415, "send application/json"),
        (
            "/predict",
            JSON,
            r#"{"tenur": 1}"#,
            422,
            "the model has no column `tenur`; it reads gender, ",
        ),
        (
            "/predict",
            JSON,
            r#"{"tenure": "ten"}"#,
            422,
            "column `tenure` wants a number, not \"ten\"",
        ),
        ("/predict", JSON, "[{}, 3]", 422, "row 2: this is no object"),
        (
            "/v1/models/chrun/predict",
            JSON,
            "{}",
            404,
            "no model `chrun` is registered; did you mean `churn`?",
        ),
        (
            "/v1/models/churn/predict?version=9",
            JSON,
            "{}",
            404,
            "no model `churn:9` is registered",
        ),
        (
            "/v1/models/churn/predict?version=1&alias=champion",
            JSON,
            "{}",
            400,
            "either `version` or `alias`",
        ),
        (
            "/v1/models/..%2f..%2fetc/predict",
            JSON,
            "{}",
            404,
            "names no registered model",
        ),
        (
            "/v1/models/zoo:churn/predict",
            JSON,
            "{}",
            404,
            "names no registered model",
        ),
        (
            "/v1/models/%00/predict",
            JSON,
            "{}",
            404,
            "names no registered model",
        ),
    ] {
        let (found, answer) = post(port, path, kind, body);
        assert_eq!(found, status, "{path} {body}: {answer}");
        assert!(
            answer["detail"]
                .as_str()
                .unwrap_or_default()
                .contains(message),
            "{path} {body}: {answer}"
        );
    }
    let deep = "[".repeat(10_000);
    assert_eq!(post(port, "/predict", JSON, &deep).0, 400);
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let project = Project::repository();
    train(&project, 500);
    let server = Server::start(&project, &[]);
    let port = server.port;
    for (body, message) in [
        (
            json!({"inputs": [{"name": "tenure", "datatype": "FP64", "shape": [2], "data": [1]}]}),
            "1 values for the shape [2]",
        ),
        (
            json!({"inputs": [{"name": "tenure", "datatype": "FP65", "shape": [1], "data": [1]}]}),
            "there is no datatype `FP65`",
        ),
        (
            json!({"inputs": [{"name": "tenure", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]}),
            "a column has the shape [rows]",
        ),
        (
            json!({"inputs": [], "outputs": [{"name": "odds"}]}),
            "the model has no output `odds`",
        ),
        (json!({}), "the body is no request: missing field `inputs`"),
    ] {
        let (found, answer) = post(port, "/v2/models/churn/infer", JSON, &body.to_string());
        assert_eq!(found, 400, "{answer}");
        assert!(
            answer["error"].as_str().unwrap().contains(message),
            "{answer}"
        );
    }
}

#[test]
fn it_listens_on_this_machine_only_and_knows_its_models() {
    let project = Project::repository();
    train(&project, 500);
    let open = project.run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(open.code, Some(2), "{open}");
    assert!(
        open.stderr
            .contains("hint: listen on 127.0.0.1, or say --behind-proxy"),
        "{open}"
    );
    let unknown = project.run(&["serve", "--listen", "127.0.0.1:0", "--model", "chrun"]);
    assert_eq!(unknown.code, Some(2), "{unknown}");
    assert!(
        unknown.stderr.contains("did you mean `churn`?"),
        "{unknown}"
    );
}

#[test]
fn bodies_that_are_too_large_or_say_two_things_are_refused() {
    let project = Project::repository();
    train(&project, 500);
    let server = Server::start(&project, &[]);
    let twice = r#"[{"tenure": 1, "tenure": 2}]"#;
    let (status, answer) = post(server.port, "/predict", JSON, twice);
    assert_eq!(status, 400, "{answer}");
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.contains("`tenure` is there twice"), "{answer}");
    let large = " ".repeat((16 << 20) + 1);
    let (status, answer) = post(server.port, "/predict", JSON, &large);
    assert_eq!(
        (status, answer["detail"].as_str()),
        (
            413,
            Some("the body is larger than 16 MiB: send fewer rows at once")
        )
    );
}
