//! The parent: starts a child for an attempt, watches it, and takes its answer.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use pipectl_engine::{
    dataset::Dataset,
    operator::{Isolate, IsolatedTask, Outcome, TaskContext, TaskError, Woken},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};

use super::{
    message::{DoneWork, Input, MARK, Request, Said},
    session::{Session, kills_for_memory},
    watched::{Watched, passes},
};
use crate::support::{files::io_failure, text::shortened};

/// How long a child may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How many of a child's last lines are looked at when it ends without an answer.
const LAST: usize = 5;

/// Runs attempts in processes of this program.
#[derive(Clone, Debug)]
pub struct ProcessIsolation {
    /// The program.
    pub program: PathBuf,
    /// The arguments with which it does what [`child`](super::child) does.
    pub arguments: Vec<String>,
    /// What its environment has besides ours.
    pub environment: Vec<(String, String)>,
}

#[async_trait]
impl Isolate for ProcessIsolation {
    async fn run(&self, task: IsolatedTask, context: &TaskContext) -> Result<Outcome, TaskError> {
        if let Some(Woken::Child(_)) = &context.woken {
            // What the child run has put out is here, and only has to be handed on.
            let config = task
                .operator
                .parse(&task.settings)
                .map_err(|error| TaskError::bug("the settings do not fit").because(error))?;
            return task.operator.run(config, context).await;
        }
        let directory = Scratch::new(context)?;
        let inputs = inputs(context, &directory.0).await?;
        let size = sizes(&inputs);
        let request = request(&task, context, inputs, &directory.0);
        let before = kills_for_memory();
        let mut child = self.start()?;
        let session = child.id().and_then(|id| i32::try_from(id).ok());
        let session = Running(Session(session.unwrap_or(i32::MAX)));
        let _open = send(&mut child, &request).await;
        let watched = Arc::new(Watched::new(task.memory, size));
        let (status, answer, last) = tokio::select! {
            ended = conversation(context, &mut child) => ended,
            () = passes(&watched, session.0) => return Err(watched.error()),
            error = stopped(context, session.0) => return Err(error),
        };
        drop(session);
        match answer {
            Some(answer) => outcome(context, answer).await,
            None if watched.passed() => Err(watched.error()),
            None => Err(watched.silent(status?, &last, before)),
        }
    }
}

impl ProcessIsolation {
    fn start(&self) -> Result<Child, TaskError> {
        let started = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        started.map_err(|error| io_failure("start a process for the task", error))
    }
}

/// A directory for files of the answer, gone with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new(context: &TaskContext) -> Result<Self, TaskError> {
        let path = context.artifacts.temporary();
        let made = std::fs::create_dir_all(&path);
        made.map_err(|error| io_failure(&format!("make the directory {}", path.display()), error))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies among the temporary files of the artifact store.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

/// The processes of a child; all are killed when this is dropped, so that nothing it has started stays.
struct Running(Session);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// The datasets as files: those that are durable as they are, others are written.
async fn inputs(context: &TaskContext, directory: &Path) -> Result<Vec<Input>, TaskError> {
    let mut inputs = Vec::new();
    for (number, (name, dataset)) in context.inputs.iter().enumerate() {
        let what = format!("cannot hand the dataset `{name}` on");
        let stored = dataset.stored().cloned();
        let path = if let Some(stored) = &stored {
            let local = context.artifacts.local(&stored.key).await;
            local.map_err(|error| TaskError::external(what).because(error))?
        } else {
            let path = directory.join(format!("input-{number}.parquet"));
            let (dataset, target) = (dataset.clone(), path.clone());
            context
                .compute(move || {
                    let written = dataset.write(&target).map(drop);
                    written.map_err(|error| TaskError::user(what).because(error))
                })
                .await?;
            path
        };
        let name = name.to_owned();
        inputs.push(Input { name, path, stored });
    }
    Ok(inputs)
}

fn sizes(inputs: &[Input]) -> u64 {
    let size = |input: &Input| match &input.stored {
        Some(stored) => stored.bytes,
        None => std::fs::metadata(&input.path).map_or(0, |about| about.len()),
    };
    inputs.iter().map(size).sum()
}

fn request(
    task: &IsolatedTask,
    context: &TaskContext,
    inputs: Vec<Input>,
    directory: &Path,
) -> Request {
    Request {
        root: context.project.root.clone(),
        state_dir: context.project.state_dir.clone(),
        kind: task.operator.kind(),
        operator: task.operator.name().to_owned(),
        settings: task.settings.clone(),
        run: context.run.id,
        pipeline: context.run.pipeline.to_string(),
        version: context.run.version.to_string(),
        interval: context.run.interval,
        zone: context.run.zone.to_string(),
        redo: context.run.redo,
        key: context.task.key.clone(),
        attempt: context.task.attempt,
        fence: context.task.fence,
        feature_views: context.feature_views.clone(),
        item: context.item.clone(),
        woken: context.woken.is_some(),
        seed: context.seed,
        inputs,
        directory: directory.to_owned(),
    }
}

/// Sends the request. The end that is answered with stays open as long as the child shall live.
async fn send(child: &mut Child, request: &Request) -> Option<tokio::process::ChildStdin> {
    let mut pipe = child.stdin.take()?;
    let mut line = serde_json::to_string(request).ok()?;
    line.push('\n');
    // A child that is gone already is noticed by its status.
    drop(pipe.write_all(line.as_bytes()).await);
    drop(pipe.flush().await);
    Some(pipe)
}

type Ended = (
    Result<ExitStatus, TaskError>,
    Option<Said>,
    VecDeque<String>,
);

/// Listens until the child has ended.
async fn conversation(context: &TaskContext, child: &mut Child) -> Ended {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut answer = None;
    let mut last = VecDeque::new();
    let heard = lines(stdout, |line| match line.strip_prefix(MARK) {
        Some(text) => match serde_json::from_str(text) {
            Ok(Said::Log { level, line }) => match &*level {
                "WARN" => context.log.warn(line),
                "ERROR" => context.log.error(line),
                "OUT" => context.log.output(line),
                "ERR" => context.log.error_output(line),
                _ => context.log.info(line),
            },
            Ok(Said::Progress { done, total }) => context.progress.set(done, total),
            Ok(said) => answer = Some(said),
            Err(error) => context.log.warn(format!(
                "a line of the task's process cannot be read: {error}"
            )),
        },
        None if line.is_empty() => {}
        None => context.log.output(line),
    });
    let complained = lines(stderr, |line| {
        if line.is_empty() {
            return;
        }
        let line = shortened(line, 10_000);
        context.log.error_output(&line);
        last.push_back(line);
        if last.len() > LAST {
            last.pop_front();
        }
    });
    let status = {
        let both = async { tokio::join!(heard, complained) };
        let mut both = std::pin::pin!(both);
        tokio::select! {
            status = child.wait() => {
                // What it has started may hold its outputs open after it has ended.
                let _rest = tokio::time::timeout(Duration::from_secs(1), &mut both).await;
                status
            }
            _ = &mut both => child.wait().await,
        }
    };
    let status = status
        .map_err(|error| TaskError::external("lost sight of the task's process").because(error));
    (status, answer, last)
}

async fn lines(stream: Option<impl AsyncRead + Unpin>, mut each: impl FnMut(&str)) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.read_until(b'\n', &mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => each(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r'])),
        }
    }
}

/// Asks the child to end when the attempt is cancelled, and then makes it.
async fn stopped(context: &TaskContext, session: Session) -> TaskError {
    context.cancel.cancelled().await;
    session.signal(Signal::SIGTERM);
    tokio::time::sleep(GRACE).await;
    TaskError::external("the task's process was stopped")
}

async fn outcome(context: &TaskContext, answer: Said) -> Result<Outcome, TaskError> {
    let lost = |error: std::io::Error| {
        TaskError::external("cannot read what the task's process has put out").because(error)
    };
    match answer {
        Said::Skipped(reason) => Ok(Outcome::Skipped(reason)),
        Said::Wait(wait) => Ok(Outcome::Wait(wait)),
        Said::Failed(failure) => Err(failure.unpack().map_err(lost)?),
        Said::Done(mut done) => {
            let datasets = std::mem::take(&mut done.datasets);
            let mut output = context
                .compute(move || DoneWork::unpack(done).map_err(lost))
                .await?;
            for stored in datasets {
                let what = format!("cannot read the dataset `{}`", stored.name);
                let failed = |error| TaskError::external(what.clone()).because(error);
                let path = context.artifacts.local(&stored.key).await.map_err(failed)?;
                let name = stored.name.clone();
                let dataset = context
                    .compute(move || {
                        Dataset::from_stored(stored, path)
                            .map_err(|error| TaskError::external(what).because(error))
                    })
                    .await?;
                output.datasets.push((name, dataset));
            }
            Ok(Outcome::Done(output))
        }
        Said::Log { .. } | Said::Progress { .. } => Err(TaskError::bug("no answer was given")),
    }
}
