//! Every example runs, every pipeline validates.

use std::fs;

use super::harness::{Project, repository};

#[test]
fn every_pipeline_validates() {
    let project = Project::repository();
    let ran = project.succeed(&["validate"]);
    let files = fs::read_dir(repository().join("pipelines"))
        .unwrap()
        .flatten();
    for file in files.filter(|file| file.path().is_file()) {
        let name = file.file_name().to_string_lossy().into_owned();
        assert!(
            ran.stdout.contains(&format!("✓ pipelines/{name}\n")),
            "{name}\n{ran}"
        );
    }
}

#[test]
fn every_example_runs() {
    let project = Project::repository();
    let mut names: Vec<String> = fs::read_dir(project.path("examples"))
        .unwrap()
        .flatten()
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        let file = format!("examples/{name}");
        let ran = project.run(&["run", &file]);
        assert_eq!(ran.code, Some(0), "{file}\n{ran}");
        assert!(!ran.stderr.contains("warning["), "{file}\n{ran}");
    }
}

#[test]
fn what_a_task_has_put_out_can_be_looked_into() {
    let project = Project::repository();
    project.succeed(&["run", "examples/transform_split.yaml"]);
    let shown = project.succeed(&["runs", "preview", "last", "history"]);
    for expected in ["Column", "Missing", "of ", " rows"] {
        assert!(shown.stdout.contains(expected), "{expected}\n{shown}");
    }
    let json = project
        .succeed(&["runs", "preview", "last", "history", "--format", "json"])
        .json();
    let preview = &json["preview"];
    assert!(
        preview["rows"].as_u64().unwrap() > 0 && preview["columns"][2]["histogram"].is_array(),
        "{json}"
    );
    let wrong = project.run(&["runs", "preview", "last", "nobody"]);
    assert_eq!(wrong.code, Some(2), "{wrong}");
    assert!(
        wrong.stderr.contains("the run has no task `nobody`"),
        "{wrong}"
    );
    let wrong = project.run(&["runs", "preview", "last", "history.nothing"]);
    assert!(
        wrong.stderr.contains("has put out no such dataset")
            && wrong.stderr.contains("there are data"),
        "{wrong}"
    );
}

#[test]
fn what_is_cached_is_taken_the_second_time() {
    let project = Project::repository();
    let first = project
        .succeed(&["run", "examples/cached.yaml", "--format", "json"])
        .json();
    let again = project.succeed(&["run", "examples/cached.yaml"]);
    let runs = project
        .succeed(&["runs", "list", "--format", "json"])
        .json();
    let newest = runs["runs"][0]["run"].as_str().unwrap();
    let taken = format!("taken from run {}", first["run"].as_str().unwrap());
    let log = project.succeed(&["runs", "logs", newest, "by_contract"]);
    assert!(again.stdout.contains("taken from"), "{again}");
    assert!(log.stdout.contains(&taken), "{log}");
    let refused = "name: bad\ntasks:\n  a:\n    run: noop\n    cache: true\n";
    project.write("pipelines/bad.yaml", refused);
    let ran = project.run(&["validate", "bad"]);
    assert!(
        format!("{}{}", ran.stdout, ran.stderr).contains("`cache` is nothing for `run`"),
        "{ran}"
    );
}

#[test]
fn the_three_churn_pipelines_follow_each_other() {
    let project = Project::repository();
    let churn = project
        .succeed(&["run", "pipelines/churn.yaml", "--format", "json"])
        .json();
    assert_eq!(churn["state"], "success");
    for task in [
        "arrived",
        "valid",
        "model",
        "predictions",
        "drift",
        "model_report",
    ] {
        assert_eq!(churn["tasks"][task]["state"], "success", "{task}");
    }
    let f1 = churn["tasks"]["model"]["metrics"]["f1"].as_f64().unwrap();
    assert!(f1 > 0.55, "{f1}");
    for file in [
        "data_files/predictions/customers.csv",
        "reports/churn_model.html",
        "reports/churn_drift.html",
    ] {
        assert!(project.path(file).is_file(), "{file}");
    }
    assert!(
        project
            .succeed(&["models", "list"])
            .stdout
            .contains("churn")
    );
    for name in ["churn_load", "churn_daily"] {
        let answer = project.succeed(&["run", name, "--format", "json"]).json();
        assert_eq!(answer["state"], "success", "{name}");
    }
    // Again, and nothing doubles.
    project.succeed(&["run", "churn_load"]);
    let again = project
        .succeed(&["run", "churn_daily", "--format", "json"])
        .json();
    assert_eq!(
        again["tasks"]["customers"]["rows"],
        again["tasks"]["history"]["rows"]
    );
}
