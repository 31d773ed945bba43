//! Models of the registry: named in all ways, promoted by rules, compared, taken out and brought in.

use super::harness::{Project, training::training};

const MODEL: &str = "candidates: {gaussian_naive_bayes: {}}";

fn train(project: &Project, rows: u32, promote: &str) {
    project.write("pipelines/training.yaml", training(rows, MODEL, promote));
    project.succeed(&["run", "training"]);
}

/// A project with two versions: the second has become champion by a rule.
fn trained() -> Project {
    let project = Project::repository();
    train(&project, 300, "{best: f1}");
    train(
        &project,
        3000,
        r#"{if: "${{ accuracy > champion.accuracy - 1 }}"}"#,
    );
    project
}

#[test]
fn a_rule_promotes_and_the_registry_remembers_why() {
    let project = trained();
    train(&project, 400, r#"{if: "f1 > champion.f1 + 0.5"}"#);
    let shown = project
        .succeed(&["models", "show", "churn", "--format", "json"])
        .json();
    assert_eq!(shown["versions"].as_array().unwrap().len(), 3);
    assert_eq!(shown["versions"][1]["aliases"][0], "champion");
    let changes = shown["alias_changes"].as_array().unwrap();
    assert_eq!(changes.len(), 2, "{shown}");
    assert_eq!(changes[1]["note"], "there was no champion");
    let note = changes[0]["note"].as_str().unwrap();
    assert!(
        note.starts_with("accuracy > champion.accuracy - 1: accuracy 0."),
        "{note}"
    );
    let text = project.succeed(&["models", "show", "churn"]).stdout;
    assert!(text.contains("there was no champion"), "{text}");
}

/// Two that answer different questions are not compared, and the run says so.
#[test]
fn a_champion_that_is_not_judged_is_a_warning_of_the_run() {
    let project = Project::repository();
    train(&project, 300, "{best: f1}");
    let flipped = format!("{MODEL}\n      positive: \"No\"");
    let flipped = training(300, &flipped, "{best: f1}");
    project.write("pipelines/training.yaml", flipped);
    let ran = project.succeed(&["run", "training"]);
    let why = "the champion of the model `churn` stays: version 2 cannot be compared with it: its positive class is `No`, that of the champion is `Yes`";
    assert!(
        ran.stdout.contains(why) || ran.stderr.contains(why),
        "{ran}"
    );
    let shown = project.succeed(&["models", "show", "churn"]).stdout;
    assert!(shown.contains("stays: version 2"), "{shown}");
}

#[test]
fn a_wrong_rule_is_found_before_anything_runs() {
    let project = Project::repository();
    for (rule, complaint) in [
        (r#"{if: "f1 > champion.f2"}"#, "there is no metric `f2`"),
        (
            r#"{if: "f1 >"}"#,
            "this is no rule of promotion: unexpected end of input",
        ),
        (
            r#"{if: "f1 > ${{ params.least }}"}"#,
            "`${{ }}` within an expression",
        ),
        (r#"{if: "f1 | roud > 0.5"}"#, "unknown filter `roud`"),
        ("{bset: f1}", "`bset` is not one of the choices"),
    ] {
        project.write("pipelines/training.yaml", training(300, MODEL, rule));
        let ran = project.run(&["validate", "training"]);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stdout.contains(complaint), "{ran}");
        assert!(ran.stdout.contains("pipelines/training.yaml:21:"), "{ran}");
    }
}

#[test]
fn a_version_shows_what_it_came_from() {
    let project = trained();
    let shown = project
        .succeed(&["models", "show", "churn@champion", "--format", "json"])
        .json();
    assert_eq!(
        (&shown["version"], &shown["pipeline"]),
        (&2.into(), &"training".into())
    );
    let run = project
        .succeed(&["runs", "show", "last", "--format", "json"])
        .json();
    assert_eq!(shown["pipeline_version"], run["version"]);
    assert_eq!(shown["run"], run["run"]);
    let text = project.succeed(&["models", "show", "churn:2"]).stdout;
    for fact in [
        "Pipeline",
        "Estimator",
        "gaussian_naive_bayes",
        "Data ",
        "Target",
        "f1",
    ] {
        assert!(text.contains(fact), "{fact}\n{text}");
    }
}

#[test]
fn aliases_are_set_and_taken_away() {
    let project = trained();
    project.succeed(&[
        "models",
        "alias",
        "set",
        "churn:1",
        "challenger",
        "--note",
        "a second look",
    ]);
    let shown = project.succeed(&["models", "show", "churn"]).stdout;
    assert!(shown.contains("a second look"), "{shown}");
    let moved = project
        .succeed(&["models", "promote", "churn:1", "--format", "json"])
        .json();
    assert_eq!(moved["version"], 1);
    project.succeed(&["models", "alias", "remove", "churn@challenger"]);
    for (arguments, message) in [
        (
            &["models", "alias", "remove", "churn@challenger"][..],
            "the model `churn` has no version called `challenger`",
        ),
        (
            &["models", "alias", "remove", "churn"],
            "`churn` names no alias",
        ),
        (
            &["models", "alias", "set", "churn:1", "The-Best"],
            "`The-Best` is no name for an alias",
        ),
        (
            &["models", "alias", "set", "churn", "x"],
            "`churn` names no version",
        ),
        (
            &["models", "promote", "churn:9"],
            "the model `churn` has no version 9",
        ),
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stderr.contains(message), "{ran}");
    }
}

#[test]
fn two_versions_are_compared_on_the_same_rows() {
    let project = trained();
    let compare = [
        "models",
        "compare",
        "churn:1",
        "churn",
        "--data",
        "data/churn/history.csv",
        "--with",
        r#"null_values=[" "]"#,
    ];
    let text = project.succeed(&compare).stdout;
    assert!(
        text.contains("Better") && text.contains("roc_auc"),
        "{text}"
    );
    let json = [&compare[..], &["--format", "json"]].concat();
    let compared = project.succeed(&json).json();
    assert_eq!(compared["models"][0]["model"], "churn:1");
    let accuracy = |model: usize| {
        compared["models"][model]["metrics"]["accuracy"]
            .as_f64()
            .unwrap()
    };
    assert!(accuracy(0) > 0.5 && accuracy(1) > 0.5, "{compared}");
    assert_ne!(
        compared["models"][0]["digest"],
        compared["models"][1]["digest"]
    );
    let today = [
        "models",
        "compare",
        "churn:1",
        "churn:2",
        "--data",
        "data/churn/today.csv",
    ];
    let ran = project.run(&today);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(ran.stderr.contains("there is no column `Churn`"), "{ran}");
    for (data, with, complaint) in [
        (
            "data/churn/history.csv",
            "delimitr=;",
            "unknown field `delimitr`",
        ),
        ("data/churn/history.csv", "delimiter=ab", "delimiter"),
        (
            "data/churn/history.csv",
            "delimiter",
            "`--with delimiter` has no value",
        ),
        ("data/churn/nothing.csv", "header=true", "nothing.csv"),
        ("README.md", "header=true", "is no file of rows"),
    ] {
        let ran = project.run(&[
            "models", "compare", "churn:1", "churn:2", "--data", data, "--with", with,
        ]);
        assert_ne!(ran.code, Some(0), "{ran}");
        assert!(ran.stderr.contains(complaint), "{complaint}: {ran}");
    }
}

#[test]
fn models_that_answer_different_questions_are_not_compared() {
    let project = Project::repository();
    train(&project, 300, "{best: f1}");
    let champion = || {
        let shown = project.succeed(&["models", "show", "churn@champion", "--format", "json"]);
        shown.json()["version"].clone()
    };
    let before = champion();
    let flipped = format!("positive: \"No\"\n      {MODEL}");
    project.write(
        "pipelines/training.yaml",
        training(3000, &flipped, "{best: f1}"),
    );
    let ran = project.succeed(&["run", "training"]);
    let told = "its positive class is `No`, that of the champion is `Yes`";
    assert!(ran.stderr.contains(told), "{ran}");
    assert_eq!(champion(), before);
    let data = ["--data", "data/churn/history.csv"];
    let ran = project.run(&[&["models", "compare", "churn:1", "churn:2"], &data[..]].concat());
    assert_eq!(ran.code, Some(2), "{ran}");
    let told = "`churn:2` cannot be compared with `churn:1`: its positive class is `No`";
    assert!(ran.stderr.contains(told), "{ran}");
}

#[test]
fn a_model_is_taken_out_and_brought_in() {
    let project = trained();
    project.succeed(&["models", "export", "churn:2", "out/churn.onnx"]);
    let again = project.run(&["models", "export", "churn:2", "out/churn.onnx"]);
    assert_eq!(again.code, Some(2), "{again}");
    let shown = project
        .succeed(&["models", "show", "out/churn.onnx", "--format", "json"])
        .json();
    let registered = project
        .succeed(&["models", "show", "churn:2", "--format", "json"])
        .json();
    assert_eq!(shown["digest"], registered["digest"]);
    assert_eq!(
        shown["card"]["fingerprint"],
        registered["card"]["fingerprint"]
    );
    let import = [
        "models",
        "import",
        "out/churn.onnx",
        "--name",
        "elsewhere",
        "--alias",
        "challenger",
        "--format",
        "json",
    ];
    let imported = project.succeed(&import).json();
    assert_eq!(imported["version"], 1);
    assert_eq!(
        imported["aliases"],
        serde_json::json!(["challenger", "champion"])
    );
    assert_eq!(project.succeed(&import).json()["version"], 1);
    let version = project
        .succeed(&["models", "show", "elsewhere:1", "--format", "json"])
        .json();
    assert_eq!(version["metrics"], registered["metrics"]);
    assert!(version["run"].is_null(), "{version}");
    let text = project.succeed(&["models", "show", "elsewhere"]).stdout;
    assert!(text.contains("imported"), "{text}");
    project.write("out/model.pkl.onnx", [0x80, 4, 0x95]);
    let pickle = project.run(&[
        "models",
        "import",
        "out/model.pkl.onnx",
        "--name",
        "elsewhere",
    ]);
    assert_eq!(pickle.code, Some(2), "{pickle}");
    assert!(
        pickle.stderr.contains("this is a Python pickle"),
        "{pickle}"
    );
}

#[test]
fn the_best_version_is_pinned_when_the_task_begins() {
    let project = trained();
    project.write(
        "pipelines/scoring.yaml",
        r#"
name: scoring
params: {by: f1}
tasks:
  today:
    extract: csv
    with: {path: data/churn/today.csv, null_values: ["", " "]}
  best:
    predict: model
    from: today
    with: {model: {name: churn, best: "${{ params.by }}"}}
  first:
    predict: model
    from: today
    with: {model: "churn:1"}
"#,
    );
    let run = |by: &str| {
        let by = format!("by={by}");
        project.run(&["run", "scoring", "--param", &by, "--format", "json"])
    };
    let versions = project
        .succeed(&["models", "show", "churn", "--format", "json"])
        .json();
    let of = |version: usize, measure: &str| {
        versions["versions"][version]["metrics"][measure]
            .as_f64()
            .unwrap()
    };
    for (measure, less) in [("f1", false), ("log_loss", true)] {
        let newer = if less {
            of(0, measure) < of(1, measure)
        } else {
            of(0, measure) > of(1, measure)
        };
        let expected = if newer { "churn:2" } else { "churn:1" };
        let ran = run(measure).json();
        assert_eq!(ran["tasks"]["best"]["outputs"]["model"], expected);
    }
    let ran = run("f2");
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stdout
            .contains("no version of the model `churn` has the measure `f2`"),
        "{ran}"
    );
}

#[test]
fn models_that_are_nowhere_say_so() {
    let project = Project::repository();
    for (arguments, message) in [
        (
            &["models", "show", "nothing.onnx"][..],
            "cannot read `nothing.onnx`",
        ),
        (
            &["models", "show", "zoo:nothing"],
            "no model `zoo:nothing` ships",
        ),
        (
            &["models", "show", "mlflow://churn"],
            "a model of MLflow is named, but no server is configured",
        ),
        (
            &["models", "import", "nothing.onnx", "--name", "a"],
            "nothing.onnx",
        ),
        (
            &["models", "import", "data/churn/today.csv", "--name", "a"],
            "this is no ONNX file",
        ),
        (
            &["models", "import", "a.onnx", "--name", "My model"],
            "`My model` is no name for a model",
        ),
        (
            &["models", "export", "churn", "a.onnx"],
            "there is no model `churn`",
        ),
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stderr.contains(message), "{ran}");
    }
}

#[test]
fn a_dead_mlflow_server_fails_no_training() {
    let mut project = Project::repository();
    project.set("PIPECTL_MLFLOW", "http://127.0.0.1:9");
    project.write(
        "pipelines/training.yaml",
        training(300, MODEL, "{best: f1}"),
    );
    let ran = project
        .succeed(&["run", "training", "--format", "json"])
        .json();
    let warnings = ran["tasks"]["model"]["warnings"].to_string();
    assert!(
        warnings.contains("the model is not in MLflow"),
        "{warnings}"
    );
    assert_eq!(ran["tasks"]["model"]["outputs"]["model"], "churn:1");
    let doctor = project.run(&["doctor"]);
    assert!(doctor.stdout.contains("mlflow"), "{doctor}");
}
