//! Attempts in processes of their own: what they hand over, and how they are stopped. The child is this test binary.

#![allow(
    clippy::unwrap_used,
    clippy::exit,
    clippy::disallowed_methods,
    clippy::zombie_processes,
    reason = "a test; one operator ends its process"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Artifact, Checkpoint, Evidence, Fault, Isolate as _, IsolatedTask, Kind, NewModel,
        Operator, Outcome, Output, Outputs, Past, Promote, Registry, State, Takes, TaskContext,
        TaskError, Wait, testing, testing::TestProject,
    },
    project::Project,
    services::Services,
    store::MemoryStore,
    time::SystemClock,
};
use pipectl_operators::{ChildHouse, ProcessIsolation, child};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Does what it is told, however bad.
struct Bad;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What to do.
    what: String,
}

impl Operator for Bad {
    type Config = Config;
    const KIND: Kind = Kind::Run;
    const NAME: &'static str = "bad";
    const SUMMARY: &'static str = "For tests.";
    const TAKES: Takes = Takes::Any;

    fn outputs(_: &Config) -> Outputs {
        Outputs::open()
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        context.log.info(format!("seed {}", context.seed));
        match &*config.what {
            "work" => return work(context).await,
            "fail" => {
                let mut evidence = Evidence::default();
                evidence.metrics.insert("rows".to_owned(), 3.0);
                evidence.artifacts.push(file());
                return Err(TaskError::user("it is wrong")
                    .because("the cause")
                    .hint("do this")
                    .with_evidence(evidence));
            }
            "skip" => return Ok(Outcome::Skipped("nothing to do".to_owned())),
            "wait" => return Ok(Outcome::Wait(Wait::Model("churn".to_owned()))),
            "groups" => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "what polars reads of its environment"
                )]
                let groups = std::env::var("POLARS_HOT_TABLE_SIZE").unwrap_or_default();
                return Ok(Outcome::Skipped(groups));
            }
            "panic" => panic!("oh no"),
            "exit" => std::process::exit(3),
            "overflow" => {
                std::hint::black_box(deep(1));
            }
            "kill" => {
                let own = nix::unistd::getpid();
                nix::sys::signal::kill(own, nix::sys::signal::Signal::SIGKILL).unwrap();
            }
            "hungry" => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1_u8; 4 * 1024 * 1024]);
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            "family" => {
                // A grandchild that ignores what it is asked.
                let script = "trap '' TERM; sleep 300 & echo $! > grandchild; wait; wait";
                let mut shell = std::process::Command::new("sh");
                shell
                    .args(["-c", script])
                    .current_dir(&context.project.root);
                shell.spawn().unwrap();
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_secs(300)).await;
        Ok(Outcome::Done(Output::default()))
    }
}

#[expect(unconditional_recursion, reason = "this is the point")]
fn deep(number: u64) -> u64 {
    let ballast = [number; 512];
    std::hint::black_box(deep(number + 1) + ballast[usize::try_from(number % 512).unwrap()])
}

fn file() -> Artifact {
    Artifact {
        name: "rows.csv".to_owned(),
        media_type: "text/csv".to_owned(),
        content: "a\n1\n".into(),
        path: Some("reports/rows.csv".into()),
    }
}

async fn work(context: &TaskContext) -> Result<Outcome, TaskError> {
    let input = context.inputs.one()?.clone();
    let frame = context
        .compute(move || {
            input
                .collect()
                .map_err(|error| TaskError::bug(error.to_string()))
        })
        .await?;
    context.progress.set(1, Some(2));
    let model = NewModel {
        name: "churn".to_owned(),
        content: "onnx".into(),
        metrics: [("f1".to_owned(), 0.5)].into(),
        card: json!({"target": "x"}),
        promote: Promote::Never,
    };
    let mut output = Output::table(Dataset::from_frame(frame))
        .metric("f1", 0.1 + 0.2)
        .value("item", context.item.clone().unwrap_or_default())
        .warning("careful")
        .remember(json!({"zone": context.run.zone.to_string()}))
        .artifact(file());
    output.model = Some(model);
    Ok(Outcome::Done(output))
}

static OPERATORS: [&dyn pipectl_engine::operator::DynOperator; 1] = [&Bad];

/// The child of the tests: not a test, but what they start.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "what the tests start"]
async fn helper_process() {
    let registry = Registry::new(OPERATORS);
    let open = |project: pipectl_operators::ChildProject| async move {
        let artifacts = testing::artifacts(&project.state_dir);
        Ok(ChildHouse {
            project: Arc::new(Project {
                root: project.root,
                state_dir: project.state_dir,
                ..Project::default()
            }),
            services: Services::default(),
            artifacts,
            models: Arc::new(MemoryStore::new(Arc::new(SystemClock))),
            checkpoint: Checkpoint::none(),
            state: State::none(),
            past: Past::none(),
            clock: Arc::new(SystemClock),
        })
    };
    let _code = child(&registry, open).await;
}

fn isolation() -> ProcessIsolation {
    let arguments = [
        "--exact",
        "helper_process",
        "--ignored",
        "--nocapture",
        "--quiet",
    ];
    ProcessIsolation {
        program: std::env::current_exe().unwrap(),
        arguments: arguments.map(str::to_owned).into(),
        environment: vec![("POLARS_HOT_TABLE_SIZE".to_owned(), "65536".to_owned())],
    }
}

fn told(what: &str, memory: Option<u64>) -> IsolatedTask {
    IsolatedTask {
        operator: &Bad,
        settings: json!({"what": what}),
        memory,
    }
}

fn rows() -> DataFrame {
    df!["id" => [1_i64, 2], "name" => [Some("ada"), None]].unwrap()
}

async fn fails(project: &TestProject, what: &str, memory: Option<u64>) -> TaskError {
    let context = project.context_with([("rows", rows())]);
    isolation()
        .run(told(what, memory), &context)
        .await
        .unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_put_out_comes_over() {
    let project = TestProject::new();
    let mut context = project.context_with([("rows", rows())]);
    context.item = Some(json!({"city": "Köln"}));
    let outcome = isolation().run(told("work", None), &context).await.unwrap();
    let Outcome::Done(output) = outcome else {
        panic!("it is not done: {outcome:?}")
    };
    let (name, dataset) = &output.datasets[0];
    assert_eq!(name, "data");
    let key = &dataset.stored().unwrap().key;
    assert_eq!(key, &format!("runs/{}/task/1/data.parquet", context.run.id));
    let table = dataset.clone();
    let table = tokio::task::spawn_blocking(move || table.collect().unwrap());
    assert!(table.await.unwrap().equals_missing(&rows()));
    assert!(output.metrics["f1"].to_bits() == (0.1_f64 + 0.2).to_bits());
    assert_eq!(output.values["item"], json!({"city": "Köln"}));
    assert_eq!(output.warnings, ["careful"]);
    assert_eq!(output.state, Some(json!({"zone": "UTC"})));
    assert_eq!(output.artifacts[0].content, "a\n1\n");
    assert_eq!(output.artifacts[0].path, Some("reports/rows.csv".into()));
    assert_eq!(output.model.unwrap().content, "onnx");
    assert!(project.log().contains(&"INFO seed 42".to_owned()));
    // Nothing of the exchange is left.
    assert_eq!(project.list(".pipectl/artifacts"), ["runs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_ends_come_over() {
    let project = TestProject::new();
    let context = project.context();
    let isolation = isolation();
    let outcome = isolation.run(told("skip", None), &context).await.unwrap();
    assert!(matches!(outcome, Outcome::Skipped(reason) if reason == "nothing to do"));
    let outcome = isolation.run(told("groups", None), &context).await.unwrap();
    assert!(matches!(outcome, Outcome::Skipped(reason) if reason == "65536"));
    let outcome = isolation.run(told("wait", None), &context).await.unwrap();
    assert!(matches!(outcome, Outcome::Wait(Wait::Model(name)) if name == "churn"));
    let error = fails(&project, "fail", None).await;
    assert_eq!((error.fault, error.retryable), (Fault::User, false));
    assert_eq!(error.full_message(), "it is wrong: the cause");
    assert_eq!(error.hint.as_deref(), Some("do this"));
    assert_eq!(error.evidence.artifacts[0].content, "a\n1\n");
    assert!((error.evidence.metrics["rows"] - 3.0).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_is_a_failed_attempt_with_a_name() {
    let project = TestProject::new();
    for (what, message) in [
        ("panic", "the operator panicked: oh no"),
        (
            "exit",
            "the task's process has ended with code 3 and without an answer",
        ),
        ("overflow", "the task's process has overflowed its stack"),
        ("kill", "the task's process was killed by SIGKILL"),
    ] {
        let error = fails(&project, what, None).await;
        println!("{what}: {} {:?}", error.full_message(), error.hint);
        assert!(error.message.starts_with(message), "{}", error.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_eats_the_machine_is_stopped_at_its_limit() {
    let project = TestProject::new();
    let error = fails(&project, "hungry", Some(256 * 1024 * 1024)).await;
    println!("{} {:?}", error.full_message(), error.hint);
    let start = "stopped at its limit of 256.0 MiB of memory: it had taken ";
    let rest = error.message.strip_prefix(start).unwrap();
    let (peak, rest) = rest.split_once(" MiB").unwrap();
    let peak: f64 = peak.parse().unwrap();
    assert!((256.0..330.0).contains(&peak), "{peak}");
    assert_eq!(rest, ", and its inputs are 0.1 MiB");
    assert_eq!((error.fault, error.retryable), (Fault::User, false));
    assert!(error.evidence.metrics["memory"] > 256.0 * 1024.0 * 1024.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_process_goes_with_all_that_it_has_started() {
    let project = TestProject::new();
    let context = project.context();
    let cancel = context.cancel.clone();
    let started = Instant::now();
    let work = tokio::spawn(async move {
        let ended = isolation().run(told("family", None), &context).await;
        ended.unwrap_err().message
    });
    let pid = project.root().join("grandchild");
    let process = loop {
        match std::fs::read_to_string(&pid) {
            Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert!(std::path::Path::new(&format!("/proc/{process}")).exists());
    cancel.cancel();
    assert_eq!(work.await.unwrap(), "the task's process was stopped");
    assert!(started.elapsed() < Duration::from_secs(20));
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

/// A parent that is killed: not a test, but what one starts.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "what a test starts"]
async fn parent_process() {
    let project = TestProject::new();
    println!("\n> {}", project.root().display());
    let context = project.context();
    let _never = isolation().run(told("family", None), &context).await;
}

#[test]
fn nothing_is_left_when_the_parent_is_killed() {
    use std::io::BufRead as _;
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap());
    parent.args([
        "--exact",
        "parent_process",
        "--ignored",
        "--nocapture",
        "--quiet",
    ]);
    let mut parent = parent.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let output = std::io::BufReader::new(parent.stdout.take().unwrap());
    let mut lines = output.lines().map(Result::unwrap);
    let root = lines
        .find_map(|line| line.strip_prefix("> ").map(ToOwned::to_owned))
        .unwrap();
    let pid = std::path::Path::new(&root).join("grandchild");
    let wait = |done: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !done() {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "it takes too long"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let grandchild = || std::fs::read_to_string(&pid).unwrap_or_default();
    wait(&|| grandchild().ends_with('\n'));
    let stat = format!("/proc/{}/stat", grandchild().trim());
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait(&|| std::fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z ")));
    std::fs::remove_dir_all(root).unwrap();
}
