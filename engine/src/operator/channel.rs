//! What an attempt tells while it works: how far it is, and the lines of its log.

use std::{fmt, sync::Arc};

/// Tells how far the work is.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(u64, Option<u64>) + Send + Sync>);

impl Progress {
    /// Progress that calls `report` with what is done and, where known, the total.
    pub fn new(report: impl Fn(u64, Option<u64>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// Progress that nobody looks at.
    pub fn none() -> Self {
        Self::new(|_, _| ())
    }

    /// Says that `done` of `total` is done.
    pub fn set(&self, done: u64, total: Option<u64>) {
        (self.0)(done, total);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// Writes lines to the attempt's log.
#[derive(Clone)]
pub struct Logger(Arc<WriteLine>);

/// Takes a level and a line.
type WriteLine = dyn Fn(&str, &str) + Send + Sync;

impl Logger {
    /// A logger that calls `write` with a level and a line.
    pub fn new(write: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// A logger that drops everything.
    pub fn none() -> Self {
        Self::new(|_, _| ())
    }

    /// Something that a person wants to read later.
    pub fn info(&self, line: impl AsRef<str>) {
        (self.0)("INFO", line.as_ref());
    }

    /// Something that may be wrong.
    pub fn warn(&self, line: impl AsRef<str>) {
        (self.0)("WARN", line.as_ref());
    }

    /// Something that went wrong.
    pub fn error(&self, line: impl AsRef<str>) {
        (self.0)("ERROR", line.as_ref());
    }

    /// A line that a script has written to its standard output.
    pub fn output(&self, line: impl AsRef<str>) {
        (self.0)("OUT", line.as_ref());
    }

    /// A line that a script has written to its standard error: where many a program tells how far it is.
    pub fn error_output(&self, line: impl AsRef<str>) {
        (self.0)("ERR", line.as_ref());
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logger")
    }
}
