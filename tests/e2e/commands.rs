//! Every command on its good road, and its misuse.

use super::harness::{Project, repository, snapshots::check};

/// A pipeline that reads, transforms and writes, in no time.
pub(crate) const SALES: &str = "\
name: sales
description: Add up sales by country.
params:
  smallest: {type: number, default: 0}
tasks:
  orders:
    extract: csv
    with: {path: data/orders.csv}
  large:
    transform: sql
    from: orders
    with: {query: 'select * from orders where amount >= ${{ params.smallest }}'}
  totals:
    transform: sql
    from: large
    with: {query: 'select country, sum(amount) as amount from large group by country order by country'}
  file:
    load: csv
    from: totals
    with: {path: out/totals.csv}
tests:
  adds_up:
    given:
      orders:
        rows: [{country: DE, amount: 1.5}, {country: DE, amount: 2.0}, {country: FR, amount: 1.0}]
    expect:
      totals: {rows: 2, equals: [{country: FR, amount: 1.0}, {country: DE, amount: 3.5}]}
";

pub(crate) const ORDERS: &str = "country,amount\nDE,10.5\nFR,2.0\nDE,4.5\nIT,7.0\n";

pub(crate) fn sales() -> Project {
    let project = Project::with("sales", SALES);
    project.write("data/orders.csv", ORDERS);
    project
}

#[test]
fn run() {
    let project = sales();
    check("run", &project.run(&["run", "sales"]));
    assert_eq!(
        project.read("out/totals.csv"),
        "country,amount\nDE,15.0\nFR,2.0\nIT,7.0\n"
    );
}

#[test]
fn run_a_file_with_parameters_as_json() {
    let project = sales();
    let ran = project.run(&[
        "run",
        "pipelines/sales.yaml",
        "--param",
        "smallest=5",
        "--format",
        "json",
    ]);
    check("run_json", &ran);
    assert_eq!(ran.json()["state"], "success");
    assert_eq!(
        project.read("out/totals.csv"),
        "country,amount\nDE,10.5\nIT,7.0\n"
    );
}

#[test]
fn run_dry() {
    let project = sales();
    check("run_dry", &project.run(&["run", "sales", "--dry-run"]));
    assert!(!project.path("out").exists());
    assert!(!project.path(".pipectl").exists());
}

#[test]
fn run_from_a_task_takes_what_is_there() {
    let project = sales();
    check(
        "run_from_without_a_run",
        &project.run(&["run", "sales", "--from", "totals"]),
    );
    project.succeed(&["run", "sales"]);
    project.write("data/orders.csv", "country,amount\nXX,1.0\n");
    check(
        "run_from",
        &project.run(&["run", "sales", "--from", "totals"]),
    );
    assert!(project.read("out/totals.csv").contains("DE,15.0"));
    check(
        "run_only",
        &project.run(&["run", "sales", "--only", "large", "-q"]),
    );
    check(
        "run_only_dry",
        &project.run(&["run", "sales", "--only", "large", "--dry-run"]),
    );
}

#[test]
fn run_misused() {
    let project = sales();
    for (name, arguments) in [
        ("run_nothing", &["run"][..]),
        ("run_unknown_pipeline", &["run", "salse"]),
        ("run_missing_file", &["run", "pipelines/none.yaml"]),
        ("run_a_directory", &["run", "pipelines/"]),
        (
            "run_unknown_param",
            &["run", "sales", "--param", "smalest=1"],
        ),
        (
            "run_wrong_param",
            &["run", "sales", "--param", "smallest=few"],
        ),
        (
            "run_param_without_value",
            &["run", "sales", "--param", "smallest"],
        ),
        ("run_unknown_task", &["run", "sales", "--from", "total"]),
        (
            "run_from_and_only",
            &["run", "sales", "--from", "totals", "--only", "totals"],
        ),
        (
            "run_resume_unknown",
            &["run", "--resume", "0198c7a0-0000-7000-8000-000000000000"],
        ),
        ("run_resume_nonsense", &["run", "--resume", "yesterday"]),
        ("unknown_command", &["rnu"]),
        ("unknown_flag", &["run", "sales", "--fast"]),
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.code, Some(2), "{name}\n{ran}");
        check(name, &ran);
    }
}

#[test]
fn a_failed_run_says_what_where_and_what_to_do() {
    let project = sales();
    std::fs::remove_file(project.path("data/orders.csv")).unwrap();
    let ran = project.run(&["run", "sales"]);
    check("run_failed", &ran);
    check("runs_show_failed", &project.run(&["runs", "show", "last"]));
    check("runs_logs_failed", &project.run(&["runs", "logs", "last"]));
    project.write("data/orders.csv", ORDERS);
    check("retry_failed", &project.run(&["retry", "last", "--failed"]));
    check(
        "retry_failed_nothing",
        &project.run(&["retry", "last", "--failed"]),
    );
    check("retry_all", &project.run(&["retry", "last"]));
    check(
        "resume_finished",
        &project.run(&["run", "--resume", "last"]),
    );
    check("retry_unknown", &project.run(&["retry", "beefbeef"]));
}

#[test]
fn runs() {
    let project = sales();
    check("runs_list_empty", &project.run(&["runs", "list"]));
    check("runs_show_none", &project.run(&["runs", "show", "last"]));
    for _ in 0..3 {
        project.succeed(&["run", "sales"]);
    }
    check("runs_list", &project.run(&["runs", "list", "--limit", "2"]));
    check(
        "runs_list_state",
        &project.run(&["runs", "list", "--state", "failed"]),
    );
    check(
        "runs_list_wrong_state",
        &project.run(&["runs", "list", "--state", "bad"]),
    );
    check("runs_show", &project.run(&["runs", "show", "last"]));
    check(
        "runs_logs_unknown_task",
        &project.run(&["runs", "logs", "last", "nobody"]),
    );
    let page = project
        .succeed(&["runs", "list", "--limit", "2", "--format", "json"])
        .json();
    let next = page["next"].as_str().unwrap();
    let rest = project
        .succeed(&[
            "runs", "list", "--limit", "2", "--before", next, "--format", "json",
        ])
        .json();
    assert_eq!(page["runs"].as_array().unwrap().len(), 2);
    assert_eq!(rest["runs"].as_array().unwrap().len(), 1);
    assert_eq!(rest["next"], serde_json::Value::Null);
}

/// When it runs next depends on the time it is now, so the answer is looked at, not compared.
#[test]
fn validate_tells_when_a_scheduled_pipeline_runs_next() {
    let noon = "\
name: noon
schedule: {cron: [\"0 12 * * 1-5\", \"0 18 * * 6\"], timezone: Europe/Berlin, start: 2026-01-05, end: 2099-01-01, catchup: all}
tasks:
  nothing: {run: noop}
";
    let project = Project::with("noon", noon);
    let text = project.succeed(&["validate"]).stdout;
    let next = text
        .lines()
        .find(|line| line.contains("next runs"))
        .unwrap();
    assert!(
        next.starts_with("  next runs (Europe/Berlin): 20"),
        "{text}"
    );
    assert_eq!(next.split(", ").count(), 5, "{text}");
    assert!(
        next.split(", ")
            .all(|moment| moment.ends_with("12:00") || moment.ends_with("18:00")),
        "{text}"
    );
    assert!(
        text.contains("catching up since 2026-01-05 00:00 (`catchup: all`) makes "),
        "{text}"
    );
    let quiet = project.succeed(&["validate", "-q"]).stdout;
    assert_eq!(quiet, "✓ pipelines/noon.yaml\n");
    let answer = project.succeed(&["validate", "--format", "json"]).json();
    let schedule = &answer["schedules"][0];
    assert_eq!(schedule["pipeline"], "noon");
    assert_eq!(schedule["zone"], "Europe/Berlin");
    assert_eq!(schedule["next"].as_array().unwrap().len(), 5);
    assert!(schedule["backlog"].as_u64().unwrap() > 200, "{answer}");
}

#[test]
fn validate() {
    let project = sales();
    check("validate", &project.run(&["validate"]));
    project.write(
        "pipelines/bad.yaml",
        "name: bad\ntasks:\n  a:\n    extrct: csv\n  b:\n    extract: cvs\n",
    );
    check("validate_bad", &project.run(&["validate"]));
    for format in ["json", "sarif", "github"] {
        let ran = project.run(&["validate", "--format", format]);
        check(&format!("validate_{format}"), &ran);
    }
    check(
        "validate_online",
        &project.run(&["validate", "sales", "--online"]),
    );
    check("run_bad", &project.run(&["run", "bad"]));
}

#[test]
fn plan() {
    let project = sales();
    for format in ["text", "json", "mermaid", "dot"] {
        check(
            &format!("plan_{format}"),
            &project.run(&["plan", "sales", "--format", format]),
        );
    }
}

#[test]
fn test() {
    let project = sales();
    check("test", &project.run(&["test"]));
    project.write(
        "pipelines/sales.yaml",
        SALES.replace("amount: 3.5", "amount: 4.5"),
    );
    check("test_failed", &project.run(&["test"]));
    check(
        "test_failed_json",
        &project.run(&["test", "--format", "json"]),
    );
    project.write(
        "pipelines/bad.yaml",
        "name: bad\ntasks:\n  a:\n    extrct: csv\n",
    );
    let ran = project.run(&["test", "bad", "--format", "json"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert_eq!(ran.json()["passed"], false, "{ran}");
    assert_eq!(ran.json()["invalid"][0], "pipelines/bad.yaml", "{ran}");
    assert!(
        !project.path(".pipectl").exists(),
        "a test leaves nothing behind"
    );
    assert!(
        !project.path("out").exists(),
        "a test runs no more than it is about"
    );
}

#[test]
fn init_makes_a_project_that_runs() {
    let project = Project::empty();
    check("init", &project.run(&["init", "shop"]));
    check("init_again", &project.run(&["init", "shop"]));
    for arguments in [
        &["validate", "--project", "shop"][..],
        &["test", "--project", "shop"],
        &["run", "shop/pipelines/sales.yaml"],
    ] {
        project.succeed(arguments);
    }
    assert_eq!(
        project.read("shop/out/sales_by_country.csv"),
        "country,orders,amount\nDE,4,409.85\nFR,2,95.75\nIT,1,99.9\n"
    );
}

#[test]
fn operators() {
    let project = Project::empty();
    check("operators", &project.run(&["operators"]));
    check("operators_kind", &project.run(&["operators", "extract"]));
    check(
        "operators_one",
        &project.run(&["operators", "extract:", "csv"]),
    );
    check(
        "operators_unknown",
        &project.run(&["operators", "extract: cvs"]),
    );
}

#[test]
fn models() {
    let project = Project::empty();
    check("models_list_empty", &project.run(&["models", "list"]));
    check(
        "models_show_unknown",
        &project.run(&["models", "show", "churn"]),
    );
    check(
        "models_promote_without_version",
        &project.run(&["models", "promote", "churn"]),
    );
}

#[test]
fn doctor() {
    let mut project = sales();
    project.set("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so");
    check("doctor", &project.run(&["doctor"]));
}

#[test]
fn completions_and_schema() {
    let project = Project::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(
            project
                .succeed(&["completions", shell])
                .stdout
                .contains("pipectl")
        );
    }
    let schema = project.succeed(&["schema"]).json();
    assert_eq!(schema["type"], "object");
}

/// Who has come to the wrong directory does not think that the history is lost, and leaves nothing there.
#[test]
fn where_there_is_no_project_none_is_made() {
    let project = Project::empty();
    std::fs::remove_file(project.path("pipectl.yaml")).unwrap();
    for command in [
        &["runs", "list"][..],
        &["sensors", "list"],
        &["schedules", "list"],
    ] {
        let ran = project.run(command);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stderr.contains("there is no project in `"), "{ran}");
        assert!(!project.path(".pipectl").exists());
    }
}

/// Whoever reads from a bucket or writes to one is asked whether it answers.
#[test]
fn validate_online_asks_buckets() {
    let path = "s3://shop/in.csv?endpoint=http://127.0.0.1:1&allow_http=true";
    let project = Project::with(
        "lake",
        &format!("name: lake\ntasks:\n  rows:\n    extract: csv\n    with: {{path: '{path}'}}\n"),
    );
    let ran = project.run(&["validate", "--online"]);
    assert_eq!(ran.code, Some(3), "{ran}");
    assert!(ran.stdout.contains("error[P055]: task `rows`: "), "{ran}");
}

#[test]
fn docs() {
    let project = Project::empty();
    let listed = project.succeed(&["docs"]).stdout;
    assert!(
        listed.contains("sql ") && listed.contains("SQL over datasets"),
        "{listed}"
    );
    let there = std::fs::read_to_string(repository().join("docs/sql.md")).unwrap();
    for page in ["sql", "docs/sql.md"] {
        assert_eq!(project.succeed(&["docs", page]).stdout, there, "{page}");
    }
    let refused = project.run(&["docs", "sqll"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(
        refused.stderr.contains("there is no page `sqll`")
            && refused.stderr.contains("did you mean `sql`?"),
        "{refused}"
    );
}

#[test]
fn the_schemas_in_the_repository_are_the_present_ones() {
    for (of, file) in [
        ("pipeline", "schemas/pipeline.json"),
        ("feature-view", "schemas/feature_view.json"),
    ] {
        let present = Project::empty().succeed(&["schema", of]).stdout;
        let kept = std::fs::read_to_string(repository().join(file)).unwrap();
        assert!(
            present == kept,
            "write it anew: pipectl schema {of} > {file}"
        );
    }
}

#[test]
fn help_names_every_command() {
    let project = Project::empty();
    check("help", &project.run(&["--help"]));
    assert_eq!(
        project.succeed(&["--version"]).stdout,
        concat!("pipectl ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

/// Who asks for JSON gets JSON, also of a run that would be and of a project that cannot be read.
#[test]
fn json_is_answered_everywhere() {
    let project = Project::with("one", "name: one\ntasks:\n  first: {run: noop}\n");
    let plan = project.succeed(&["run", "one", "--dry-run", "--format", "json"]);
    assert_eq!(plan.json()["tasks"][0]["name"], "first", "{plan}");
    assert!(!project.path(".pipectl").exists());
    let secret = "connections: {shop: {url: \"postgres://me:s3cret@h/d\", tipo: 1}}\n";
    project.write("pipectl.yaml", secret);
    for format in ["json", "sarif"] {
        let ran = project.run(&["validate", "--format", format]);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stdout.contains("tipo"), "{ran}");
        assert!(ran.stderr.is_empty(), "{ran}");
        ran.json();
    }
    let ran = project.run(&["validate"]);
    assert!(ran.stderr.contains("me:******@h/d"), "{ran}");
    assert!(!ran.stderr.contains("s3cret"), "{ran}");
}

#[test]
fn two_files_of_one_name_are_told() {
    let project = Project::with("one", "name: one\ntasks:\n  first: {run: noop}\n");
    project.write(
        "pipelines/old/one.yml",
        "name: one\ntasks:\n  first: {run: noop}\n",
    );
    let ran = project.run(&["validate"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stdout.contains("holds a pipeline of this name too"),
        "{ran}"
    );
    let ran = project.run(&["run", "one"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr.contains(
            "several files hold a pipeline `one`: `pipelines/old/one.yml`, `pipelines/one.yaml`"
        ),
        "{ran}"
    );
    project.succeed(&["run", "pipelines/one.yaml"]);
    // The same file twice is one, and elsewhere a name is nobody's.
    std::fs::remove_file(project.path("pipelines/old/one.yml")).unwrap();
    project.write(
        "drafts/one.yaml",
        "name: one\ntasks:\n  first: {run: noop}\n",
    );
    project.write("features/one.yaml", "name: one\nentity: [id]\nnothing: 1\n");
    project.succeed(&["validate", "one", "pipelines/one.yaml", "drafts/one.yaml"]);
    let ran = project.run(&["validate"]);
    assert!(!ran.stdout.contains("of this name too"), "{ran}");
}
