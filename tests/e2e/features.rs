//! Feature views: listed, checked, joined, kept online; and a model that knows which ones it was trained on.

use super::harness::Project;

#[test]
fn views_are_listed_kept_online_and_read() {
    let project = Project::repository();
    let listed = project
        .succeed(&["features", "list", "--format", "json"])
        .json();
    assert_eq!(listed["views"][1]["name"], "customer_plan");
    let shown = project.succeed(&["features", "show", "customer_plan"]);
    let version = listed["views"][1]["version"].as_str().unwrap();
    assert!(shown.stdout.contains(version), "{shown}");
    let early = project.run(&["features", "get", "customer_plan", "customer=c1"]);
    assert_eq!(early.code, Some(2), "{early}");
    assert!(early.stderr.contains("load: features"), "{early}");

    project.succeed(&["run", "examples/load_features.yaml"]);
    let found = project
        .succeed(&[
            "features",
            "get",
            "customer_plan",
            "customer=c1",
            "--format",
            "json",
        ])
        .json();
    assert!(found["values"]["plan"].is_string(), "{found}");
    assert_eq!(
        (&found["version"], &found["expired"]),
        (&version.into(), &false.into())
    );
    let unknown = project.run(&["features", "get", "customer_plan", "customer=nobody"]);
    assert_eq!(unknown.code, Some(1), "{unknown}");
    for (arguments, message) in [
        (
            vec!["features", "get", "customer_plan", "id=1"],
            "the entity of `customer_plan` has no column `id`",
        ),
        (
            vec!["features", "get", "customer_plan", "c1"],
            "`c1` names no column and value",
        ),
        (
            vec!["features", "show", "custmer_plan"],
            "there is no feature view `custmer_plan`",
        ),
    ] {
        let ran = project.run(&arguments);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stderr.contains(message), "{ran}");
    }
}

#[test]
fn what_is_kept_online_can_be_read_from_where_the_last_run_ended() {
    let project = Project::repository();
    let example = "examples/load_features_incremental.yaml";
    let mut before = 0;
    for said in ["all rows", "rows whose `known_at` is not before"] {
        project.succeed(&["run", example]);
        let log = project.succeed(&["runs", "logs", "last", "online"]);
        assert!(log.stdout.contains(said), "{log}");
        let get = [
            "features",
            "get",
            "customer_points",
            "customer=c1",
            "--format",
            "json",
        ];
        let found = project.succeed(&get).json();
        let points = found["values"]["points"].as_i64().unwrap();
        assert!(points > before, "{found}");
        before = points;
        // Moments have whole seconds there.
        std::thread::sleep(std::time::Duration::from_millis(1_100));
    }
}

#[test]
fn a_view_is_checked_like_a_pipeline() {
    let project = Project::repository();
    let ran = project.succeed(&["validate"]);
    assert!(
        ran.stdout.contains("✓ features/customer_plan.yaml"),
        "{ran}"
    );
    let broken = "name: customer_plan\nentity: customer\nevent_time: since\ncolums: [plan]\nsource: {table: plans}\n";
    project.write("features/customer_plan.yaml", broken);
    let ran = project.run(&["validate"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    for text in [
        "error[P010]: unknown key `colums` in a feature view",
        "--> features/customer_plan.yaml:4:1",
        "error[P019]: `source` needs a `connection`",
        "✕ features/customer_plan.yaml",
    ] {
        assert!(ran.stdout.contains(text), "{text}\n{ran}");
    }
    let pipeline = "name: p\ntasks:\n  online: {load: features, with: {view: customer_plans}}\n";
    project.write("pipelines/p.yaml", pipeline);
    let ran = project.run(&["validate", "p"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stdout
            .contains("error[P053]: there is no feature view `customer_plans`"),
        "{ran}"
    );
}

#[test]
fn a_model_knows_the_views_that_it_was_trained_on() {
    let project = Project::repository();
    let pipeline = "\
name: renewal
tasks:
  renewals: {extract: csv, with: {path: examples/data/renewals.csv}}
  known:
    transform: features
    from: renewals
    with: {time: asked_at, views: [customer_payments, customer_plan]}
  rows: {transform: sql, from: known, with: {query: \"select renewed, amount, coalesce(seats, 0) as seats from known\"}}
  parts: {transform: split, from: rows, with: {parts: {train: 0.8, test: 0.2}}}
  model:
    train: classifier
    from: parts.train
    with: {target: renewed, candidates: {logistic_regression: {}}, validation: {folds: 2}, register: renewal}
";
    project.write("pipelines/renewal.yaml", pipeline);
    project.succeed(&["run", "renewal"]);
    let card = project
        .succeed(&["models", "show", "renewal:1", "--format", "json"])
        .json();
    let listed = project
        .succeed(&["features", "list", "--format", "json"])
        .json();
    let views = listed["views"].as_array().unwrap().iter();
    for view in views.filter(|view| view["name"] != "customer_points") {
        let name = view["name"].as_str().unwrap();
        assert_eq!(
            card["card"]["feature_views"][name], view["version"],
            "{name}"
        );
    }
}
