//! `pipectl doctor`: what is reachable, what is missing, how to get it.

use std::{path::PathBuf, process::Command, sync::Arc};

use anstyle::Style;
use pipectl_connections::{Caller, Connector, local_directory, mail_server};
use pipectl_engine::{
    connection::{Connection, Origin},
    operator::TaskError,
    project::{OnnxRuntime, Project},
    store::{Store, StoreError},
    time::SystemClock,
};
use pipectl_models::rooms::runtime_loads;
use serde::Serialize;
use serde_json::json;

use crate::{
    arguments::{self, Format},
    exit::{Exit, one_line, verdict},
    output::{GREEN, RED, YELLOW, many},
    pipelines,
    project::Context,
    table::{Cell, Table},
    wire::{self, House},
};

/// What was looked at, and what was found.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    state: State,
    detail: String,
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// Nobody has looked.
    Unseen,
    /// Not there, and needed only by some pipelines.
    Missing,
    Broken,
}

impl State {
    fn show(self) -> (Style, &'static str) {
        match self {
            Self::Ok => (GREEN, "✓ ok"),
            Self::Unseen => (YELLOW, "? not tried"),
            Self::Missing => (YELLOW, "– missing"),
            Self::Broken => (RED, "✕ broken"),
        }
    }
}

impl Finding {
    fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            state: State::Ok,
            detail: detail.into(),
            hint: None,
        }
    }

    fn missing(what: impl Into<String>, detail: impl Into<String>, hint: &str) -> Self {
        Self {
            what: what.into(),
            state: State::Missing,
            detail: detail.into(),
            hint: Some(hint.to_owned()),
        }
    }

    fn broken(what: impl Into<String>, detail: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            what: what.into(),
            state: State::Broken,
            detail: detail.into(),
            hint,
        }
    }
}

pub(crate) fn run(context: &Context, arguments: &arguments::Answer) -> anyhow::Result<Exit> {
    let project = context.project()?;
    let findings = wire::block_on(async {
        let mut findings = vec![project_finding(&project)];
        findings.extend(history(&project).await);
        findings.push(artifacts(&project).await);
        findings.extend(connections(&project).await);
        findings.push(mail(&project).await);
        findings.extend(mlflow(&project).await);
        findings.push(python(&project));
        findings.extend(inference(&project));
        Ok(findings)
    })?;
    let output = &context.output;
    match arguments.format {
        Format::Json => output.json(&json!({"findings": findings})),
        Format::Text => {
            let mut table = Table::new(["What", "State", "Detail"]);
            for finding in &findings {
                let (style, state) = finding.state.show();
                table.row([
                    finding.what.as_str().into(),
                    Cell::styled(style, state),
                    finding.detail.as_str().into(),
                ]);
            }
            output.print(table.render(output.out));
            for finding in &findings {
                if let Some(hint) = &finding.hint {
                    output.line(format_args!("\n{}: {hint}", finding.what));
                }
            }
        }
    }
    Ok(
        if findings
            .iter()
            .any(|finding| finding.state == State::Broken)
        {
            Exit::Environment
        } else {
            Exit::Done
        },
    )
}

fn project_finding(project: &Project) -> Finding {
    let root = project.root.display();
    match pipelines::all(project) {
        Ok(files) if files.is_empty() => Finding::missing(
            "project",
            format!("{root}, without pipelines"),
            "`pipectl init DIR` makes a project; its pipelines are in `pipelines/`",
        ),
        Ok(files) => Finding::ok(
            "project",
            format!("{root}, {}", many(files.len() as u64, "pipeline")),
        ),
        Err(problem) => Finding::broken("project", problem.to_string(), problem.hint),
    }
}

async fn history(project: &Project) -> Vec<Finding> {
    match House::store(project).await {
        Err(error) => {
            let (_, hint) = verdict(&error);
            vec![Finding::broken(
                "history",
                one_line(&error),
                hint.map(ToOwned::to_owned),
            )]
        }
        Ok(store) => {
            let place = match &project.store {
                Some(_) => "reached at the address that is set".to_owned(),
                None => format!("SQLite in {}", project.state_dir.display()),
            };
            vec![Finding::ok("history", place), outbox(&store).await]
        }
    }
}

async fn outbox(store: &Arc<dyn Store>) -> Finding {
    match store.counts().await {
        Err(error) => Finding::broken("outbox", error.to_string(), None),
        Ok(counts) => {
            let of = |state: &str| counts.get(state).copied().unwrap_or(0);
            let detail = counts
                .iter()
                .map(|(state, count)| format!("{count} {state}"))
                .collect::<Vec<_>>()
                .join(", ");
            if of("unconfigured") > 0 {
                let hint =
                    "mail waits for a server: set PIPECTL_SMTP_URL, or `smtp:` in pipectl.yaml";
                return Finding::missing("outbox", detail, hint);
            }
            Finding::ok(
                "outbox",
                if detail.is_empty() {
                    "empty".to_owned()
                } else {
                    detail
                },
            )
        }
    }
}

async fn artifacts(project: &Project) -> Finding {
    let what = "artifacts";
    let broken = |error: StoreError| {
        let error = anyhow::Error::from(error);
        Finding::broken(
            what,
            one_line(&error),
            Some("see `artifacts:` in pipectl.yaml or PIPECTL_ARTIFACTS".to_owned()),
        )
    };
    let store = match pipectl_store::open_artifacts(
        project.artifacts.as_deref(),
        &project.state_dir,
        &project.env,
    ) {
        Ok(store) => store,
        Err(error) => return broken(error),
    };
    // Nothing is there under this key; a store that cannot be reached says something else.
    match store.get("doctor/nothing").await {
        Ok(_) | Err(StoreError::NotFound(_)) => Finding::ok(
            what,
            project
                .artifacts
                .clone()
                .unwrap_or_else(|| format!("files in {}", project.state_dir.display())),
        ),
        Err(error) => broken(error),
    }
}

async fn connections(project: &Project) -> Vec<Finding> {
    let connector = crate::wire::connector();
    let mut findings = Vec::new();
    for connection in project.connections.iter() {
        let what = format!("connection {}", connection.name);
        let reached = match connection.scheme().as_str() {
            "postgres" | "postgresql" | "sqlite" | "odbc" => connector
                .database(project, connection)
                .await
                .map(|_| "reached"),
            "s3" | "gs" | "az" => bucket(&connector, project, connection).await,
            "file" => match local_directory(project, &connection.name) {
                Some(path) if path.is_dir() => Ok("a directory"),
                Some(path) if path.exists() => Err(TaskError::user("this is no directory")),
                _ => Ok("a directory that is made when something is written there"),
            },
            _ => {
                let detail = format!(
                    "{}, no call is made to see whether it answers",
                    origin(connection)
                );
                findings.push(Finding {
                    state: State::Unseen,
                    ..Finding::ok(what, detail)
                });
                continue;
            }
        };
        findings.push(match reached {
            Ok(how) => Finding::ok(what, format!("{}, {how}", origin(connection))),
            Err(error) => broken(what, &error),
        });
    }
    for (name, why) in project.connections.all_unset() {
        findings.push(Finding::missing(
            format!("connection {name}"),
            why,
            "pipelines that use it fail here; the others do not need it",
        ));
    }
    connector.close().await;
    findings
}

async fn bucket(
    connector: &Connector,
    project: &Project,
    connection: &Connection,
) -> Result<&'static str, TaskError> {
    let bucket = connector.bucket(project, &connection.name).await?;
    bucket.probe().await.map(|()| "reached")
}

fn broken(what: String, error: &TaskError) -> Finding {
    Finding::broken(what, error.full_message(), error.hint.clone())
}

fn origin(connection: &Connection) -> String {
    let origin = match connection.origin {
        Origin::Default => "the default",
        Origin::File => "from pipectl.yaml",
        Origin::Environment => "from the environment",
    };
    format!("{} ({origin})", connection.scheme())
}

async fn mail(project: &Project) -> Finding {
    let what = "mail";
    let Some(smtp) = &project.smtp else {
        let hint = "without a mail server alerts stay in the outbox and expire after a day: set PIPECTL_SMTP_URL, or `smtp:` in pipectl.yaml";
        return Finding::missing(what, "no server is configured", hint);
    };
    let server = match mail_server(project, smtp) {
        Ok(server) => server,
        Err(error) => return broken(what.to_owned(), &error),
    };
    match server.test_connection().await {
        Ok(true) => Finding::ok(
            what,
            format!("the server answers; mail is from {}", smtp.from),
        ),
        Ok(false) => Finding::broken(what, "the server does not take our connection", None),
        Err(error) => {
            let error = anyhow::Error::from(error);
            let hint = "is the address right, the password, the port (587 with STARTTLS, 465 with TLS)? An own authority needs `ca_file`";
            Finding::broken(what, one_line(&error), Some(hint.to_owned()))
        }
    }
}

/// The MLflow server, of projects that have one.
async fn mlflow(project: &Project) -> Option<Finding> {
    let what = "mlflow";
    let tell = |_: String| {};
    let caller = Caller {
        clock: &SystemClock,
        tell: &tell,
    };
    let version = match crate::wire::connector().mlflow(project).await {
        Ok(None) => return None,
        Ok(Some(server)) => server.impatient().version(&caller).await,
        Err(error) => Err(error),
    };
    Some(match version {
        Ok(version) => Finding::ok(what, format!("MLflow {version} answers")),
        Err(error) => broken(what.to_owned(), &error),
    })
}

fn python(project: &Project) -> Finding {
    let what = "python";
    match program(project, "python3").map(|path| version(&path, &["--version"])) {
        Some(Some(version)) => Finding::ok(what, version),
        Some(None) => Finding::broken(what, "python3 does not start", None),
        None => Finding::missing(
            what,
            "no python3 on the PATH",
            "only `run: python` needs it: `apt-get install python3`, or https://www.python.org/downloads",
        ),
    }
}

/// The rooms in which models run.
fn inference(project: &Project) -> [Finding; 3] {
    [
        Finding::ok("scorer", "built in, for models of tables"),
        Finding::ok("rten", "built in, for neural networks"),
        onnxruntime(project),
    ]
}

fn onnxruntime(project: &Project) -> Finding {
    let what = "onnxruntime";
    if project.onnxruntime == Some(OnnxRuntime::Unused) {
        return Finding::ok(what, "not used, as pipectl.yaml says");
    }
    let rooms = pipectl_operators::rooms(project);
    let Some(library) = &rooms.runtime else {
        let hint = "neural networks run without it, in rten; with it they are faster, and those with unusual operators run at all: `pip install onnxruntime` in an environment that is active or on the PATH, or `onnxruntime: /path/to/libonnxruntime.so` in pipectl.yaml";
        return Finding::missing(what, "not found", hint);
    };
    match runtime_loads(library) {
        Ok(version) => {
            let version = version.map_or_else(String::new, |version| format!("{version}, "));
            let place = library.display();
            Finding::ok(what, format!("{version}for neural networks, instead of rten: {place}"))
        }
        Err(error) if rooms.runtime_is_wanted => Finding::broken(
            what,
            error.to_string(),
            Some("`ORT_DYLIB_PATH`, or `onnxruntime:` in pipectl.yaml, names it; version 1.22 or newer is wanted".to_owned()),
        ),
        Err(error) => Finding::missing(
            what,
            error.to_string(),
            "rten runs neural networks instead; version 1.22 or newer is wanted: `pip install -U onnxruntime`",
        ),
    }
}

/// Where a program is on the PATH.
fn program(project: &Project, name: &str) -> Option<PathBuf> {
    std::env::split_paths(project.env.get("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// The first line that a program prints.
fn version(program: &PathBuf, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
