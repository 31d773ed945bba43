//! A child's memory, its limit, and what is said when the child is gone.

use std::{
    collections::VecDeque,
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use nix::sys::signal::Signal;
use pipectl_engine::operator::TaskError;

use super::session::{Session, kills_for_memory};
use crate::support::text::shortened;

/// How often a child's memory is looked at; more often when it has taken half of what it may.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_CLOSELY: Duration = Duration::from_millis(10);
/// A child's memory.
pub(super) struct Watched {
    limit: Option<u64>,
    peak: AtomicU64,
    passed: AtomicBool,
    inputs: u64,
}

/// Returns when the limit is passed; all of the child is then gone.
pub(super) async fn passes(watched: &Arc<Watched>, session: Session) {
    loop {
        let inner = Arc::clone(watched);
        let looked = tokio::task::spawn_blocking(move || inner.look(session));
        let near = looked.await.unwrap_or(false);
        if watched.passed() {
            return;
        }
        tokio::time::sleep(if near { LOOK_CLOSELY } else { LOOK }).await;
    }
}

impl Watched {
    pub(super) fn new(limit: Option<u64>, inputs: u64) -> Self {
        Self {
            limit,
            peak: AtomicU64::new(0),
            passed: AtomicBool::new(false),
            inputs,
        }
    }

    /// Whether the limit was passed.
    pub(super) fn passed(&self) -> bool {
        self.passed.load(Ordering::SeqCst)
    }

    /// Looks once; kills the child at its limit. Whether it has taken half of what it may.
    fn look(&self, session: Session) -> bool {
        let memory = session.memory();
        self.peak.fetch_max(memory, Ordering::SeqCst);
        let Some(limit) = self.limit else {
            return false;
        };
        if memory > limit {
            self.passed.store(true, Ordering::SeqCst);
            session.kill();
        }
        memory > limit / 2
    }

    fn shown(&self) -> String {
        let peak = mebibytes(self.peak.load(Ordering::SeqCst));
        format!(
            "it had taken {peak}, and its inputs are {}",
            mebibytes(self.inputs)
        )
    }

    pub(super) fn error(&self) -> TaskError {
        let limit = mebibytes(self.limit.unwrap_or_default());
        let mut error = TaskError::user(format!(
            "stopped at its limit of {limit} of memory: {}",
            self.shown()
        ))
        .hint("raise `memory:`, or give the task less at once: fewer columns, a filter, parts by `foreach`");
        #[expect(clippy::cast_precision_loss, reason = "a measure")]
        let peak = self.peak.load(Ordering::SeqCst) as f64;
        error.evidence.metrics.insert("memory".to_owned(), peak);
        error
    }

    /// Why there is no answer.
    pub(super) fn silent(
        &self,
        status: ExitStatus,
        last: &VecDeque<String>,
        kills_before: Option<u64>,
    ) -> TaskError {
        if last
            .iter()
            .any(|line| line.contains("overflowed its stack"))
        {
            return TaskError::bug("the task's process has overflowed its stack")
                .hint("an expression or a document may be nested too deeply");
        }
        let quoted = match last.back() {
            Some(line) => format!(": {}", shortened(line, 500)),
            None => String::new(),
        };
        let signal = status
            .signal()
            .and_then(|number| Signal::try_from(number).ok());
        match (status.code(), signal) {
            (_, Some(Signal::SIGKILL)) if kills_for_memory() > kills_before => {
                TaskError::external(format!(
                    "the kernel has killed the task's process because the machine was out of memory: {}",
                    self.shown()
                ))
                .hint("give the task a limit by `memory:`, or run fewer tasks at once")
            }
            (_, Some(signal)) => TaskError::external(format!(
                "the task's process was killed by {signal}{quoted}; {}",
                self.shown()
            )),
            (code, None) => TaskError::bug(format!(
                "the task's process has ended with code {} and without an answer{quoted}",
                code.unwrap_or(-1)
            )),
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    let tenths = bytes.saturating_mul(10).div_ceil(MIB);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
