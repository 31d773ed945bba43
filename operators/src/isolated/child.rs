//! The child: one task, from standard input to standard output.

use std::{
    fmt,
    future::Future,
    io::{BufRead as _, Read as _, Write as _},
    panic::AssertUnwindSafe,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use futures::FutureExt as _;
use nix::unistd::setsid;
use pipectl_engine::{
    artifact::{ArtifactStore, check_file},
    dataset::Dataset,
    id::{RunId, TaskKey},
    model::ModelRegistry,
    operator::{
        Checkpoint, Inputs, Logger, Outcome, Past, Progress, Registry, RunInfo, State, TaskContext,
        TaskError, TaskIdentity, Woken,
    },
    project::Project,
    services::Services,
    time::Clock,
};
use polars::prelude::{LazyFrame, PlRefPath, ScanArgsParquet};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{
    message::{DoneWork, Exchange, Input, MARK, Request, Said},
    session::Session,
};

/// What the binary has to know to open the house for a child.
#[derive(Clone, Debug)]
pub struct ChildProject {
    /// The project's directory.
    pub root: PathBuf,
    /// Its state directory.
    pub state_dir: PathBuf,
    /// The pipeline.
    pub pipeline: String,
    /// The run.
    pub run: RunId,
    /// The task.
    pub key: TaskKey,
    /// The run's fencing token.
    pub fence: u64,
}

/// What the binary opens for a child.
#[derive(Clone)]
pub struct ChildHouse {
    /// The project.
    pub project: Arc<Project>,
    /// What operators share.
    pub services: Services,
    /// The artifact store.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// The registered models.
    pub models: Arc<dyn ModelRegistry>,
    /// The memory of this run, task and element.
    pub checkpoint: Checkpoint,
    /// What the task has left for its next run.
    pub state: State,
    /// What the task has done in earlier runs.
    pub past: Past,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for ChildHouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildHouse")
            .field("project", &self.project.root)
            .finish_non_exhaustive()
    }
}

/// The hidden command: runs the task that standard input names, in the house that `open` opens.
pub async fn child<O, F>(registry: &Registry, open: O) -> ExitCode
where
    O: FnOnce(ChildProject) -> F,
    F: Future<Output = Result<ChildHouse, TaskError>>,
{
    // A session of its own: all that is started here can be found and stopped.
    let _alone = setsid();
    // When memory runs out, this process goes before the one that watches over many runs.
    let _first = std::fs::write("/proc/self/oom_score_adj", "1000");
    let Some(request) = request() else {
        return ExitCode::from(2);
    };
    std::thread::spawn(end_with_the_parent);
    let exchange = Exchange {
        directory: &request.directory.clone(),
    };
    let result = AssertUnwindSafe(work(registry, open, request, &exchange))
        .catch_unwind()
        .await;
    let said = match result {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(error)) => exchange.pack_error(error).map(Said::Failed),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            let message = format!("the operator panicked: {}", text.unwrap_or("no message"));
            exchange
                .pack_error(TaskError::bug(message))
                .map(Said::Failed)
        }
    };
    match said {
        Ok(said) if say(&said) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn request() -> Option<Request> {
    let mut line = String::new();
    // Not buffered beyond the line: the thread that waits for the end reads on.
    std::io::stdin().lock().read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// Nothing more is ever written to standard input: reading ends when the parent is gone.
fn end_with_the_parent() {
    let _ended = std::io::stdin().lock().read(&mut [0]);
    if let Ok(own) = i32::try_from(std::process::id()) {
        Session(own).kill();
    }
}

fn say(said: &Said) -> bool {
    let Ok(text) = serde_json::to_string(said) else {
        return false;
    };
    let mut output = std::io::stdout().lock();
    // On a line of its own, whatever else was printed.
    write!(output, "\n{MARK}{text}\n")
        .and_then(|()| output.flush())
        .is_ok()
}

async fn work<O, F>(
    registry: &Registry,
    open: O,
    request: Request,
    exchange: &Exchange<'_>,
) -> Result<Said, TaskError>
where
    O: FnOnce(ChildProject) -> F,
    F: Future<Output = Result<ChildHouse, TaskError>>,
{
    let operator = registry
        .get(request.kind, &request.operator)
        .ok_or_else(|| TaskError::bug("the task's process knows another set of operators"))?;
    let config = operator
        .parse(&request.settings)
        .map_err(|error| TaskError::bug("the settings have changed on the way").because(error))?;
    let house = open(ChildProject {
        root: request.root.clone(),
        state_dir: request.state_dir.clone(),
        pipeline: request.pipeline.clone(),
        run: request.run,
        key: request.key.clone(),
        fence: request.fence,
    })
    .await?;
    let cancel = CancellationToken::new();
    stop_when_told(&cancel)?;
    let context = context(request, house, cancel).await?;
    let lost = |error: std::io::Error| {
        TaskError::external("cannot write what the task has put out").because(error)
    };
    match operator.run(config, &context).await? {
        Outcome::Skipped(reason) => Ok(Said::Skipped(reason)),
        Outcome::Wait(wait) => Ok(Said::Wait(wait)),
        Outcome::Done(mut output) => {
            let datasets = std::mem::take(&mut output.datasets);
            let mut done: DoneWork = exchange.pack(output).map_err(lost)?;
            for (name, dataset) in datasets {
                done.datasets.push(keep(&context, &name, dataset).await?);
            }
            Ok(Said::Done(done))
        }
    }
}

fn stop_when_told(cancel: &CancellationToken) -> Result<(), TaskError> {
    let cancel = cancel.clone();
    let mut told = signal(SignalKind::terminate())
        .map_err(|error| TaskError::external("cannot hear signals").because(error))?;
    let runtime = tokio::runtime::Handle::current();
    // It ends with the process.
    let _listening = std::thread::spawn(move || {
        runtime.block_on(async move {
            told.recv().await;
            cancel.cancel();
        });
    });
    Ok(())
}

async fn context(
    request: Request,
    house: ChildHouse,
    cancel: CancellationToken,
) -> Result<TaskContext, TaskError> {
    let mut context = TaskContext {
        run: RunInfo {
            id: request.run,
            pipeline: request.pipeline.into(),
            version: request.version.into(),
            interval: request.interval,
            zone: request.zone.parse().unwrap_or_default(),
            redo: request.redo,
        },
        task: TaskIdentity {
            key: request.key,
            attempt: request.attempt,
            fence: request.fence,
        },
        inputs: Inputs::default(),
        feature_views: request.feature_views,
        item: request.item,
        woken: request.woken.then_some(Woken::Time),
        project: house.project,
        services: house.services,
        artifacts: house.artifacts,
        models: house.models,
        cancel,
        clock: house.clock,
        seed: request.seed,
        progress: Progress::new(|done, total| {
            let _heard = say(&Said::Progress { done, total });
        }),
        log: Logger::new(|level, line| {
            let (level, line) = (level.to_owned(), line.to_owned());
            let _heard = say(&Said::Log { level, line });
        }),
        checkpoint: house.checkpoint,
        state: house.state,
        past: house.past,
        passes_on: false,
        slot: None,
    };
    let mut inputs = Vec::new();
    for input in request.inputs {
        let name = input.name.clone();
        inputs.push((name, context.compute(move || open_input(input)).await?));
    }
    context.inputs = Inputs::new(inputs);
    Ok(context)
}

fn open_input(input: Input) -> Result<Dataset, TaskError> {
    let unread = || TaskError::external(format!("cannot read the dataset `{}`", input.name));
    if let Some(stored) = &input.stored {
        let checked = check_file(&input.path, &stored.fingerprint);
        checked.map_err(|error| unread().because(error))?;
    }
    let opened = match input.stored {
        Some(stored) => Dataset::from_stored(stored, input.path),
        None => PlRefPath::try_from_path(&input.path)
            .and_then(|path| LazyFrame::scan_parquet(path, ScanArgsParquet::default()))
            .and_then(Dataset::from_lazy),
    };
    opened.map_err(|error| unread().because(error))
}

/// Makes a dataset durable, under the key that it would have from the parent.
async fn keep(
    context: &TaskContext,
    name: &str,
    dataset: Dataset,
) -> Result<pipectl_engine::dataset::StoredDataset, TaskError> {
    if let Some(stored) = dataset.stored() {
        return Ok(stored.clone());
    }
    let key = format!("{}/{name}.parquet", context.prefix());
    let temporary = context.artifacts.temporary();
    let (source, path) = (dataset.clone(), temporary.clone());
    let written = context
        .compute(move || {
            source.write(&path).map_err(|error| {
                TaskError::user(format!("the dataset cannot be written: {error}")).because(error)
            })
        })
        .await?;
    let kept = context.artifacts.put_file(&key, temporary).await;
    kept.map_err(|error| {
        let message = format!("cannot keep the dataset `{name}` in the artifact store");
        TaskError::external(message).because(error)
    })?;
    Ok(dataset.stored_as(name, &key, written))
}
