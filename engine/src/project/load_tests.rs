use std::fs;

use super::*;

fn load(yaml: Option<&str>, env: Env) -> Result<Project, Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    if let Some(yaml) = yaml {
        fs::write(directory.path().join(FILE_NAME), yaml).unwrap();
    }
    fs::write(directory.path().join("secret"), "postgres://u:p@h/d\n").unwrap();
    Project::load(Path::new("."), directory.path(), &Overrides::default(), env)
        .map(|(project, _)| project)
        .map_err(|found| {
            found
                .iter()
                .map(|d| format!("{}:{} {}", d.code, d.place.line, d.message))
                .collect()
        })
}

#[test]
fn a_project_without_a_file_has_the_embedded_defaults() {
    let project = load(None, Env::default()).unwrap();
    assert!(project.state_dir.ends_with(".pipectl"));
    let warehouse = project.connections.get("warehouse").unwrap();
    assert_eq!(
        (warehouse.scheme(), warehouse.origin),
        ("sqlite".to_owned(), Origin::Default)
    );
    assert!(warehouse.url.expose().ends_with(".pipectl/warehouse.db"));
    assert!(
        project
            .connections
            .get("lake")
            .unwrap()
            .url
            .expose()
            .ends_with(".pipectl/lake")
    );
    assert!(project.store.is_none() && project.smtp.is_none());
    assert_eq!(project.serve.listen.to_string(), "127.0.0.1:4747");
    assert_eq!(project.history, None);
    for (text, address) in [("4800", "127.0.0.1:4800"), ("localhost:80", "127.0.0.1:80")] {
        let project = load(None, Env::from([("PIPECTL_LISTEN", text)])).unwrap();
        assert_eq!(project.serve.listen.to_string(), address);
    }
    let found = load(None, Env::from([("PIPECTL_LISTEN", "here")])).unwrap_err();
    assert_eq!(found, ["P100:1 `here` is no address to listen at"]);
}

#[test]
fn the_file_says_and_the_environment_beats_it() {
    let yaml = "
store: postgres://a/b
connections:
  warehouse: {url: {file: secret}, ca_file: ca.pem}
  crm: \"https://${{ env.CRM_HOST }}/api\"
  other: {env: OTHER_URL}
pools: {gpu: 2}
alerts: [{email: a@example.com}]
smtp: {url: smtp://mail:25, from: us@example.com}
env: [REGION]
history: {keep: 90d, runs: 500}
serve: {listen: 0.0.0.0:80}
";
    let env = Env::from([
        ("CRM_HOST", "crm.example.com"),
        ("OTHER_URL", "s3://bucket"),
        ("PIPECTL_STORE", "sqlite:x.db"),
    ]);
    let project = load(Some(yaml), env).unwrap();
    let url = |name: &str| project.connections.get(name).unwrap().url.expose().clone();
    assert_eq!(url("warehouse"), "postgres://u:p@h/d");
    assert_eq!(url("crm"), "https://crm.example.com/api");
    assert_eq!(url("other"), "s3://bucket");
    assert_eq!(project.store.unwrap().expose(), "sqlite:x.db");
    assert_eq!(project.pools["gpu"], 2);
    let kept = project.history.unwrap();
    let days = std::time::Duration::from_secs(90 * 86_400);
    assert_eq!((kept.keep, kept.runs), (Some(days), Some(500)));
    assert_eq!(project.serve.listen.to_string(), "0.0.0.0:80");
    assert_eq!(project.smtp.unwrap().from, "us@example.com");
    assert_eq!(
        project.connections.get("warehouse").unwrap().settings["ca_file"],
        "ca.pem"
    );

    let env = Env::from([
        ("PIPECTL_CONNECTION_WAREHOUSE", "postgres://w"),
        ("PIPECTL_SMTP_URL", "smtps://a%40b.c:p@h"),
        ("PIPECTL_LISTEN", "[::1]:5000"),
    ]);
    let project = load(None, env).unwrap();
    let warehouse = project.connections.get("warehouse").unwrap();
    assert_eq!(
        (warehouse.url.expose().as_str(), warehouse.origin),
        ("postgres://w", Origin::Environment)
    );
    assert_eq!(project.smtp.unwrap().from, "a@b.c");
    assert_eq!(project.serve.listen.to_string(), "[::1]:5000");
}

#[test]
fn onnx_runtime_is_named_switched_off_or_looked_for() {
    let load = |yaml: Option<&str>, env: Env| load(yaml, env).unwrap().onnxruntime;
    assert_eq!(load(None, Env::default()), None);
    let off = load(Some("onnxruntime: none"), Env::default());
    assert_eq!(off, Some(OnnxRuntime::Unused));
    let Some(OnnxRuntime::Library(path)) = load(Some("onnxruntime: lib/ort.so"), Env::default())
    else {
        panic!("a library");
    };
    assert!(path.is_absolute() && path.ends_with("lib/ort.so"));
    let env = Env::from([("ORT_DYLIB_PATH", "/opt/ort.so")]);
    let named = load(Some("onnxruntime: none"), env);
    assert_eq!(named, Some(OnnxRuntime::Library("/opt/ort.so".into())));
}

#[test]
fn mistakes_have_places_and_show_no_secret() {
    let yaml = "
conections: {}
serve: {port: 1}
onnxruntime: x.so
history: {}
connections:
  b: hunter2
  C: sqlite:c.db
  e: {url: 'postgres://x/y', pasword: 1}
  f: {url: 'other://x', anything: 1}
pools: {gpu: 0}
smtp: http://x
";
    let found = load(Some(yaml), Env::default()).unwrap_err();
    let codes: Vec<&str> = found
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            "P010:2", "P010:3", "P019:5", "P100:7", "P026:8", "P010:9", "P017:11", "P100:12"
        ],
        "{found:?}"
    );
    assert!(
        !found.iter().any(|line| line.contains("hunter2")),
        "{found:?}"
    );
}

#[test]
fn a_connection_that_is_not_set_here_leaves_the_others() {
    let yaml = "
connections:
  warehouse: {env: NOT_SET}
  api: {url: 'https://api.example.com', auth: {bearer: {env: API_KEY}}}
  crm: {file: nowhere}
  other: sqlite:o.db
smtp: {env: SMTP_URL}
";
    let project = load(Some(yaml), Env::default()).unwrap();
    let unset: Vec<_> = project.connections.all_unset().collect();
    assert_eq!(unset.len(), 3);
    assert_eq!(
        (unset[0], unset[2].0),
        (
            ("api", "the environment variable `API_KEY` is not set"),
            "warehouse"
        )
    );
    // Not the default of that name.
    assert!(project.connections.get("warehouse").is_none());
    let error = crate::operator::connection_of(&project, "warehouse").unwrap_err();
    assert_eq!(
        error.message,
        "the connection `warehouse` cannot be used: the environment variable `NOT_SET` is not set"
    );
    assert!(
        project
            .connections
            .unset("crm")
            .unwrap()
            .starts_with("cannot read `nowhere`: ")
    );
    assert!(project.connections.get("other").is_some() && project.smtp.is_none());
    let env = Env::from([("PIPECTL_CONNECTION_WAREHOUSE", "sqlite:w.db")]);
    let project = load(Some(yaml), env).unwrap();
    assert!(project.connections.get("warehouse").is_some());
}

#[test]
fn the_root_is_found_upward() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("project/pipelines/sub")).unwrap();
    fs::create_dir_all(root.join("elsewhere")).unwrap();
    fs::write(root.join("project/pipelines/sub/a.yaml"), "").unwrap();
    let found = |start: &str| find_root(Path::new(start), root);
    assert_eq!(found("project/pipelines/sub/a.yaml"), root.join("project"));
    assert_eq!(found("elsewhere/none.yaml"), root);
    fs::write(root.join(FILE_NAME), "").unwrap();
    assert_eq!(found("project/pipelines/sub/a.yaml"), root);
}

#[test]
fn mlflow_is_an_api_with_credentials() {
    let yaml = "mlflow: {url: \"http://127.0.0.1:5000\", auth: {basic: {username: me, password: {file: secret}}}}";
    let mlflow = load(Some(yaml), Env::default()).unwrap().mlflow.unwrap();
    assert_eq!(mlflow.url.expose(), "http://127.0.0.1:5000");
    assert_eq!(mlflow.secrets(), ["postgres://u:p@h/d"]);
    let env = Env::from([("PIPECTL_MLFLOW", "https://mlflow.example.com")]);
    let mlflow = load(Some(yaml), env).unwrap().mlflow.unwrap();
    assert_eq!(
        (
            mlflow.url.expose().as_str(),
            mlflow.settings.len(),
            mlflow.origin
        ),
        ("https://mlflow.example.com", 2, Origin::Environment)
    );
    for (yaml, env, complaint) in [
        (
            "mlflow: sqlite:mlflow.db",
            "",
            "P100:1 this is not the address of an MLflow server",
        ),
        ("mlflow: here", "", "P100:1 `mlflow` is not an address"),
        (
            "{}",
            "mlflow.db",
            "P100:1 this is not the address of an MLflow server",
        ),
        (
            "mlflow: {url: \"http://a\", pasword: x}",
            "",
            "P010:1 a connection by `http:` has no setting `pasword`",
        ),
    ] {
        let found = load(Some(yaml), Env::from([("PIPECTL_MLFLOW", env)])).unwrap_err();
        assert_eq!(found, [complaint]);
    }
    let unset = load(Some("mlflow: {env: MLFLOW_URL}"), Env::default()).unwrap();
    assert!(unset.mlflow.is_none());
}

#[test]
fn an_address_that_ends_too_early_is_refused_and_not_shown() {
    let yaml = "
store: postgres://me:4711/Secret@127.0.0.1:1/db
artifacts: s3://key:4711/Secret@bucket
connections:
  shop: postgres://me:4711#Secret@127.0.0.1:1/db
  api: {url: 'https://me:4711?Secret@127.0.0.1:1/db'}
  fine: postgres://me:4711%2FSecret@127.0.0.1:1/db
smtp: smtp://me:4711/Secret@127.0.0.1
";
    let env = Env::from([
        ("PIPECTL_CONNECTION_WAREHOUSE", "postgres://me:1/Secret@h/d"),
        ("PIPECTL_STORE", "postgres://me:1/Secret@h/d"),
        ("PIPECTL_SMTP_URL", "smtp://me:1/Secret@h"),
    ]);
    let found = load(Some(yaml), env).unwrap_err();
    let of = |what: &str, line: u32| {
        format!("P100:{line} the address of `{what}` has an `@` behind its host")
    };
    assert_eq!(
        found,
        [
            of("store", 2),
            of("artifacts", 3),
            of("shop", 5),
            of("api", 6),
            of("smtp", 8),
            of("PIPECTL_STORE", 1),
            of("PIPECTL_CONNECTION_WAREHOUSE", 1),
            of("PIPECTL_SMTP_URL", 1),
        ]
    );
}

#[test]
fn a_parameter_that_would_be_ignored_is_refused() {
    let yaml = "
store: postgres://h/d?sslmode=verify-full&options[jit]=off
connections:
  shop: postgres://h/d?sslmod=verify-full
  api: https://h/d?sslmod=1
";
    assert_eq!(
        load(Some(yaml), Env::default()).unwrap_err(),
        ["P100:4 the address of `shop` has a parameter that nobody knows: `sslmod`"]
    );
    let yaml = "store: postgres://h/d?channel_binding=require&sslmode=require\n";
    assert!(load(Some(yaml), Env::default()).is_ok());
    let yaml = "store: postgres://h/d?channel_binding=require&optionsx=1\n";
    assert_eq!(
        load(Some(yaml), Env::default()).unwrap_err(),
        ["P100:1 the address of `store` has a parameter that nobody knows: `optionsx`"]
    );
}

#[test]
fn an_empty_variable_is_no_default() {
    let env = Env::from([("PIPECTL_CONNECTION_WAREHOUSE", "")]);
    let project = load(None, env).unwrap();
    assert!(project.connections.get("warehouse").is_none());
    assert_eq!(
        project.connections.unset("warehouse"),
        Some("the environment variable `PIPECTL_CONNECTION_WAREHOUSE` is empty")
    );
    for name in ["PIPECTL_STORE", "PIPECTL_ARTIFACTS"] {
        let found = load(None, Env::from([(name, "")])).unwrap_err();
        let expected = format!("P100:1 the environment variable `{name}` is empty");
        assert_eq!(found, [expected]);
    }
    let env = Env::from([("PIPECTL_SMTP_URL", "")]);
    assert!(load(Some("smtp: smtp://h"), env).unwrap().smtp.is_none());
}

#[test]
fn a_project_file_that_is_no_file_is_complained_about() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(FILE_NAME)).unwrap();
    let (start, overrides) = (Path::new("."), Overrides::default());
    let found = Project::load(start, directory.path(), &overrides, Env::default()).unwrap_err();
    let messages: Vec<_> = found.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages, ["this is a directory, not a file"]);
}
