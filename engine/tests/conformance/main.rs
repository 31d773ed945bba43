//! The corpus in `tests/conformance` is the specification: each file with the diagnostics that it earns beside it.
//!
//! `UPDATE_EXPECT=1` writes the expectations anew; they are reviewed like code.

#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::format_push_string,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod toys;

use std::{
    fs,
    path::{Path, PathBuf},
};

use pipectl_engine::{
    connection::{Connection, Origin},
    env::Env,
    plan::compile,
    project::Project,
    secret::Secret,
    spec::{
        Diagnostics, PipelineFile, SourceFile,
        render::{Colour, Sources, render},
    },
};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance")
}

fn project() -> Project {
    let mut project = Project {
        allowed_env: vec!["REGION".to_owned()],
        env: Env::from([("REGION", "eu")]),
        ..Project::default()
    };
    project.pools.insert("database".to_owned(), 2);
    project.connections.insert(Connection {
        name: "warehouse".to_owned(),
        url: Secret::new("sqlite:warehouse.db".to_owned()),
        settings: std::collections::BTreeMap::new(),
        origin: Origin::Default,
    });
    let why = "the environment variable `SHOP_URL` is not set";
    project.connections.insert_unset("shop", why.to_owned());
    project
}

/// The rendered diagnostics of a file, and whether there is a plan.
fn diagnose(source: SourceFile) -> (String, bool) {
    let text = source.text.clone();
    let name = source.name.clone();
    let file = PipelineFile::parse(source);
    let (found, sound): (Diagnostics, bool) = match compile(&file, &toys::registry(), &project()) {
        Ok((_, warnings)) => (warnings, true),
        Err(found) => (found, false),
    };
    (
        render(&found, &Sources::new().with(&name, &text), Colour::Plain),
        sound,
    )
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(corpus())
        .unwrap()
        .map(|topic| topic.unwrap().path())
        .filter(|topic| topic.is_dir())
        .flat_map(|topic| {
            fs::read_dir(topic)
                .unwrap()
                .map(|case| case.unwrap().path())
        })
        .filter(|case| {
            case.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_case_has_the_diagnostics_beside_it() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    for case in &cases {
        let name = case
            .strip_prefix(corpus())
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let (mut found, sound) = SourceFile::read(case, name.as_str()).map_or_else(
            |diagnostic| {
                (
                    render(
                        &Diagnostics::from(diagnostic),
                        &Sources::new(),
                        Colour::Plain,
                    ),
                    false,
                )
            },
            diagnose,
        );
        if sound {
            found.push_str("valid\n");
        }
        let beside = case.with_extension("expect");
        if update {
            fs::write(&beside, &found).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if found != expected {
            wrong.push(format!(
                "{name}\n--- expected\n{expected}--- found\n{found}"
            ));
        }
    }
    assert!(
        cases.len() >= 40,
        "the corpus has {} cases only",
        cases.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_code_has_a_case_or_a_reason() {
    // What needs a file that git would not keep, other pipelines, or a project of its own, is tested elsewhere.
    let elsewhere = ["P001", "P052", "P053", "P055", "P100", "P101"];
    let all: String = cases()
        .iter()
        .map(|case| fs::read_to_string(case.with_extension("expect")).unwrap_or_default())
        .collect();
    let missing: Vec<&str> = pipectl_engine::spec::codes::ALL
        .iter()
        .map(|code| code.code)
        .filter(|code| !elsewhere.contains(code) && !all.contains(&format!("[{code}]")))
        .collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

/// A pipeline of `count` tasks with three edges and an expression each.
fn large(count: usize) -> String {
    use std::fmt::Write;
    let mut text = String::from(
        "name: large\nparams: {day: monday}\ntasks:\n  t0:\n    extract: csv\n    with: {path: a.csv}\n",
    );
    for task in 1..count {
        let source = |back: usize| task.saturating_sub(back);
        writeln!(
            text,
            "  t{task}:\n    transform: sql\n    from: t{}\n    needs: [t{}]\n    with: {{query: \"select * from t where day = ${{{{ params.day }}}} and n > ${{{{ tasks.t{}.rows }}}}\"}}",
            source(1), source(2), source(3),
        )
        .unwrap();
    }
    text
}

#[test]
fn the_work_grows_with_the_file_and_no_faster() {
    let started = std::time::Instant::now();
    let file = PipelineFile::parse(SourceFile::new("large.yaml", large(10_000)));
    let read = started.elapsed();
    let (plan, _) = compile(&file, &toys::registry(), &project()).unwrap_or_else(|found| {
        panic!(
            "{}",
            render(&found, &Sources::new(), Colour::Plain)
                .chars()
                .take(2_000)
                .collect::<String>()
        )
    });
    println!(
        "10,000 tasks: read {read:?}, compiled {:?}",
        started.elapsed().saturating_sub(read)
    );
    assert_eq!(plan.graph.node_count(), 10_000);
    assert!(plan.graph.edge_count() > 29_000);
    // Generous: a quadratic pass takes a minute.
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn the_schema_has_the_keys_of_the_checker_and_no_dangling_reference() {
    use pipectl_engine::spec::parse::{TASK_KEYS, TOP_KEYS};
    let schema = pipectl_engine::plan::pipeline_schema(&toys::registry());
    let keys = |value: &serde_json::Value| {
        value["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<String>>()
    };
    let not_built = ["executor", "persist"];
    for key in TOP_KEYS {
        assert!(keys(&schema).iter().any(|known| known == key), "{key}");
    }
    for key in TASK_KEYS.iter().filter(|key| !not_built.contains(key)) {
        assert!(
            keys(&schema["$defs"]["task"])
                .iter()
                .any(|known| known == key),
            "{key}"
        );
    }
    let text = schema.to_string();
    for (at, _) in text.match_indices("#/$defs/") {
        let name: String = text[at + 8..].chars().take_while(|c| *c != '"').collect();
        assert!(schema["$defs"].get(&name).is_some(), "{name}");
    }
    assert!(text.contains("extract_csv") && text.contains("Where it is."));
}

/// `docs/diagnostics.md`: every code with its meaning, an example, and where the corpus shows it.
fn documentation() -> String {
    let mut text = String::from(
        "# Diagnostics\n\n\
         `pipectl validate` names every complaint by a code. A code keeps its meaning; new mistakes get new codes.\n\
         Where a case is named, `tests/conformance/<case>.yaml` makes the mistake and `<case>.expect` shows the answer.\n\n\
         | code | what it says | for example | case |\n|---|---|---|---|\n",
    );
    let cases: Vec<(String, String)> = cases()
        .iter()
        .map(|case| {
            let name = case.strip_prefix(corpus()).unwrap().with_extension("");
            (
                name.to_string_lossy().into_owned(),
                diagnose(SourceFile::read(case, format!("{}.yaml", name.display())).unwrap()).0,
            )
        })
        .collect();
    for code in pipectl_engine::spec::codes::ALL {
        let tag = format!("[{}]", code.code);
        let case = cases
            .iter()
            .filter(|(_, expect)| expect.contains(&tag))
            .min_by_key(|(_, expect)| expect.len());
        let case = case.map_or_else(String::new, |(name, _)| format!("`{name}`"));
        let cell = |text: &str| text.replace('|', "\\|");
        text += &format!(
            "| {} | {} | {} | {case} |\n",
            code.code,
            cell(code.meaning),
            cell(code.example)
        );
    }
    text
}

#[test]
fn every_code_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/diagnostics.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, documentation()).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        documentation(),
        "run with UPDATE_EXPECT=1"
    );
}

#[test]
fn files_that_cannot_be_read_have_one_clear_complaint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad.yaml");
    let complaint = |content: Option<&[u8]>| {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let diagnostic = SourceFile::read(&path, "bad.yaml").unwrap_err();
        format!(
            "{} {}:{} {}",
            diagnostic.code, diagnostic.place.line, diagnostic.place.column, diagnostic.message
        )
    };
    assert!(complaint(None).starts_with("P001 1:1 cannot read the file: "));
    assert_eq!(
        complaint(Some(b"name: a\nb: \xff\n")),
        "P001 2:4 the file is not UTF-8"
    );
    let huge = vec![b'#'; 5 * 1024 * 1024];
    assert_eq!(
        complaint(Some(&huge)),
        "P001 1:1 the file is greater than 4 MiB"
    );
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(complaint(None), "P001 1:1 this is a directory, not a file");
}

#[test]
fn what_was_checked_is_what_runs() {
    use pipectl_engine::{plan::TaskIndex, spec::Scope};
    let text = "name: p
params: {day: monday, limit: {type: integer}}
schedule: {every: 1h}
tasks:
  a:
    extract: csv
    with: {path: \"data/${{ params.day }}/${{ interval.start | date('%F') }}.csv\", null_values: [\"\"]}
  b:
    transform: sql
    from: a
    with: {query: \"select * from a where n < ${{ params.limit }} and m = ${{ tasks.a.rows }}\"}
  c:
    predict: model
    from: b
    needs: a
    with: {model: \"${{ tasks.m.model }}\"}
    if: params.limit > 1
  m:
    train: classifier
    from: {rows: a}
    with: {target: t, candidates: {}}
    foreach: {items: [x, y]}
";
    let file = PipelineFile::parse(SourceFile::new("p.yaml", text));
    let (plan, warnings) = compile(&file, &toys::registry(), &project()).unwrap_or_else(|found| {
        panic!(
            "{}",
            render(&found, &Sources::new().with("p.yaml", text), Colour::Plain)
        )
    });
    assert!(warnings.is_empty());
    let task = |name: &str| &plan.graph[plan.find(name).unwrap()];
    let mut scope = Scope::default();
    scope.set("params", serde_json::json!({"day": "friday", "limit": 3}));
    scope.set("interval", serde_json::json!({"start": "2026-03-01T00:00:00+01:00", "end": "2026-03-01T01:00:00+01:00"}));
    scope.set_task("a", serde_json::json!({"rows": 7}));
    scope.set_task("m", serde_json::json!({"model": "churn:3"}));
    assert_eq!(
        task("a").with.resolve(&scope).unwrap(),
        serde_json::json!({"path": "data/friday/2026-03-01.csv", "null_values": [""]})
    );
    assert_eq!(
        task("b").with.resolve(&scope).unwrap(),
        serde_json::json!({"query": {"sql": "select * from a where n < $1 and m = $2", "values": [3, 7]}})
    );
    assert_eq!(
        task("c").with.resolve(&scope).unwrap(),
        serde_json::json!({"model": "churn:3"})
    );
    assert!(
        task("c")
            .condition
            .as_ref()
            .unwrap()
            .is_true(&scope)
            .unwrap()
    );
    assert_eq!(task("c").models, [["model"]]);
    assert_eq!(task("m").from[0].name, "rows");
    let upstream = |name: &str| {
        let mut names: Vec<&str> = plan
            .upstream(plan.find(name).unwrap())
            .map(|task: TaskIndex| &*plan.graph[task].name)
            .collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(
        (upstream("a"), upstream("b"), upstream("c")),
        (String::new(), "a".into(), "a b m".into())
    );
    let given = |limit: serde_json::Value| {
        plan.params(&[("limit".to_owned(), limit)].into_iter().collect())
    };
    assert_eq!(given(3.into()).unwrap()["day"], "monday");
    assert!(given("3".into()).is_err());
    assert!(plan.params(&serde_json::Map::new()).is_err());
}
