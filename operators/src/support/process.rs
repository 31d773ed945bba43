//! A child process that cannot outlive the attempt: its own process group, stopped gently and then for good.
//!
//! Between us and the child stands a small shim, our own binary once more: it holds the reading end of a pipe of ours,
//! and when that closes, because we were killed, it kills the whole group.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::File,
    io::Read as _,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg, raise},
    unistd::{Pid, getpgrp},
};
use pipectl_engine::operator::{TaskContext, TaskError};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::text::shortened;

/// How long a child may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How long what a child has started may hold its output after the child's own end.
const LINGER: Duration = Duration::from_secs(1);
/// How many of a child's last lines a message quotes.
const QUOTED: usize = 5;
/// How long a line of a child's output may get.
const LINE: usize = 10_000;

/// Where our own binary is, which knows the hidden command that [`shim`] implements. The binary puts it among the
/// services; without it children are started directly, as tests do.
#[derive(Clone, Debug)]
pub struct Shim {
    /// The binary.
    pub program: PathBuf,
    /// The hidden command.
    pub command: String,
}

/// Before the hidden command's arguments: the file that is the child's standard input.
const INPUT: &str = "--input";

/// The hidden command: runs `arguments` as a child and ends as it ends; when standard input closes before that, the
/// whole process group is killed.
pub fn shim(arguments: &[OsString]) -> ExitCode {
    let (input, arguments) = match arguments {
        [flag, input, rest @ ..] if flag == INPUT => (Some(input), rest),
        all => (None, all),
    };
    let Some((program, rest)) = arguments.split_first() else {
        return ExitCode::from(2);
    };
    // The group is asked to end before it is killed. Who guards it must not be the first to go.
    let deaf = ignore_requests();
    if let Err(error) = &deaf {
        tracing::warn!(%error, "cannot outlive a request to end");
    }
    std::thread::spawn(|| {
        // Nothing is ever written to the pipe: reading ends when its other end is gone.
        let _ended = std::io::stdin().read(&mut [0]);
        let _killed = killpg(getpgrp(), Signal::SIGKILL);
    });
    let stdin = input.map_or_else(
        || Ok(Stdio::null()),
        |input| File::open(input).map(Stdio::from),
    );
    let start = |stdin: Stdio| {
        let mut command = std::process::Command::new(program);
        command.args(rest).stdin(stdin).status()
    };
    let status = stdin.and_then(start);
    match status {
        Ok(status) => match (
            status.code(),
            status
                .signal()
                .and_then(|signal| Signal::try_from(signal).ok()),
        ) {
            (Some(code), _) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
            (None, Some(signal)) => {
                // Who waits for us shall see what has happened to the child.
                let _raised = raise(signal);
                // One that we let pass is told as shells tell it.
                ExitCode::from(128_u8.saturating_add(u8::try_from(signal as i32).unwrap_or(1)))
            }
            (None, None) => ExitCode::from(1),
        },
        Err(error) => {
            // 127 is what shells answer for a program that is not there.
            let _written = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("cannot start {}: {error}\n", program.to_string_lossy()).as_bytes(),
            );
            ExitCode::from(127)
        }
    }
}

/// Lets SIGTERM and SIGINT pass without an effect on this process; a child starts with the usual effect again.
fn ignore_requests() -> std::io::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let entered = runtime.enter();
    // The handlers stay when their listeners are dropped.
    drop(signal(SignalKind::terminate())?);
    drop(signal(SignalKind::interrupt())?);
    drop(entered);
    Ok(runtime)
}

/// What to run.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// The program.
    pub(crate) name: &'a OsStr,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// All of its environment.
    pub(crate) env: Vec<(String, String)>,
    /// Where it runs.
    pub(crate) directory: &'a Path,
    /// The files that are its standard input and output; without them it reads nothing, and what it writes is logged.
    pub(crate) talk: Option<Talk<'a>>,
}

/// What a program is asked, and where its answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk<'a> {
    /// The file with the request.
    pub(crate) request: &'a Path,
    /// The file for the answer.
    pub(crate) answer: &'a Path,
}

/// Runs a program to its end. Its lines go to the attempt's log.
///
/// # Errors
/// When it cannot be started, is cancelled, is killed, or ends with a code that is neither 0 nor 99.
pub(crate) async fn run(context: &TaskContext, program: Program<'_>) -> Result<Ended, TaskError> {
    let shown = program.name.to_string_lossy().into_owned();
    let mut child = start(context, &program).map_err(|error| cannot_start(&shown, error))?;
    let group = Group(
        child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw),
    );
    // The writing end stays open as long as we live: the shim watches it.
    let _alive = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (closed, over) = (CancellationToken::new(), CancellationToken::new());
    let log = &context.log;
    let read = async {
        let both = tokio::join!(
            lines(stdout, |line| log.output(line), &over),
            lines(stderr, |line| log.error_output(line), &over),
        );
        closed.cancel();
        both
    };
    let watch = async {
        let status = child.wait().await;
        // What stays in the background may hold the output for ever.
        if timeout(LINGER, closed.cancelled()).await.is_err() {
            group.signal(Signal::SIGKILL);
            // Who has left the group goes on, unheard.
            let _closed = timeout(LINGER, closed.cancelled()).await;
            over.cancel();
        }
        status
    };
    let wait = async { tokio::join!(read, watch) };
    tokio::pin!(wait);
    let ((output, errors), status) = tokio::select! {
        ended = &mut wait => ended,
        () = context.cancel.cancelled() => {
            group.signal(Signal::SIGTERM);
            if timeout(GRACE, &mut wait).await.is_err() {
                group.signal(Signal::SIGKILL);
            }
            return Err(TaskError::external(format!("`{shown}` was stopped")));
        }
    };
    let status = status
        .map_err(|error| TaskError::external(format!("lost sight of `{shown}`")).because(error))?;
    let said = if errors.is_empty() { output } else { errors };
    ended(&shown, status, &said)
}

/// How a program ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It is done.
    Done,
    /// It says that there was nothing to do.
    Skipped,
}

fn start(context: &TaskContext, program: &Program<'_>) -> std::io::Result<Child> {
    let mut command = if let Some(shim) = context.services.get::<Shim>() {
        let mut command = std::process::Command::new(&shim.program);
        command.arg(&shim.command);
        if let Some(talk) = program.talk {
            command.arg(INPUT).arg(talk.request);
        }
        command.arg(program.name).stdin(Stdio::piped());
        command
    } else {
        let mut command = std::process::Command::new(program.name);
        command.stdin(match program.talk {
            Some(talk) => File::open(talk.request)?.into(),
            None => Stdio::null(),
        });
        command
    };
    let stdout = match program.talk {
        Some(talk) => File::create(talk.answer)?.into(),
        None => Stdio::piped(),
    };
    command
        .args(&program.arguments)
        .env_clear()
        .envs(program.env.iter().map(|(name, value)| (name, value)))
        .current_dir(program.directory)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .process_group(0);
    Command::from(command).kill_on_drop(true).spawn()
}

fn cannot_start(program: &str, error: std::io::Error) -> TaskError {
    let wrong = TaskError::user(format!("cannot start `{program}`"));
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            wrong.hint("is it installed and on the PATH, and does `workdir` exist?")
        }
        _ => wrong,
    }
    .because(error)
}

/// The process group of a child; all of it is killed when this is dropped, so that nothing it has started stays.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Where nobody is left there is nothing to do.
            let _sent = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Sends lines to the log as they come, and keeps the last ones.
async fn lines(
    stream: Option<impl AsyncRead + Unpin>,
    log: impl Fn(&str),
    over: &CancellationToken,
) -> VecDeque<String> {
    let mut last = VecDeque::new();
    let Some(stream) = stream else { return last };
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        tokio::select! {
            read = reader.read_until(b'\n', &mut bytes) => match read {
                Ok(0) | Err(_) => return last,
                Ok(_) => {}
            },
            () = over.cancelled() => return last,
        }
        let line = shortened(String::from_utf8_lossy(&bytes).trim_end(), LINE);
        log(&line);
        if !line.is_empty() {
            last.push_back(line);
        }
        if last.len() > QUOTED {
            last.pop_front();
        }
    }
}

/// The signal that a shell tells of by its exit code.
fn signal_behind(code: i32) -> Option<Signal> {
    Signal::try_from(code - 128).ok()
}

fn ended(program: &str, status: ExitStatus, said: &VecDeque<String>) -> Result<Ended, TaskError> {
    let last = if said.is_empty() {
        String::new()
    } else {
        format!(
            ": {}",
            shortened(
                &said
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(" / "),
                1_000
            )
        )
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(Ended::Done),
        (Some(99), _) => Ok(Ended::Skipped),
        (Some(127), _) => Err(TaskError::user(format!("`{program}` ended with 127{last}"))
            .hint("127 means that a program was not found; is it installed and on the PATH?")),
        (Some(code), _) if signal_behind(code).is_some() => {
            let signal = signal_behind(code).map_or("a signal", Signal::as_str);
            let hint = match signal {
                "SIGKILL" => "; perhaps the machine was out of memory: see `dmesg`",
                "SIGPIPE" => "; what it wrote to has stopped reading",
                _ => "",
            };
            let error = TaskError::user(format!("`{program}` ended with {code}{last}"));
            Err(error.retryable(true).hint(format!(
                "{code} is 128 + {}: a program that it started was killed by {signal}{hint}",
                code - 128
            )))
        }
        (Some(code), _) => Err(
            // Nobody but its author knows why a script gives up: `retry:` is to be taken at its word.
            TaskError::user(format!("`{program}` ended with {code}{last}"))
                .retryable(true)
                .hint("the log has all that it has written; an exit code of 99 means skipped"),
        ),
        (None, signal) => {
            let name = signal
                .and_then(|signal| Signal::try_from(signal).ok())
                .map_or("a signal", Signal::as_str);
            let error = TaskError::external(format!("`{program}` was killed by {name}{last}"));
            Err(if name == "SIGKILL" {
                error.hint("perhaps the machine was out of memory: see `dmesg`")
            } else {
                error
            })
        }
    }
}
