//! How the program ends, and the errors that say so.

use std::{fmt, process::ExitCode};

use pipectl_engine::operator::{Fault, TaskError};

/// How the program ends. The numbers are part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything went well.
    Done = 0,
    /// The run, the check or the test failed.
    Failed = 1,
    /// Wrong usage, or an invalid file.
    Usage = 2,
    /// The environment failed: the store, a connection, a permission.
    Environment = 3,
    /// A person stopped it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows how the program ends and what a person can do.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) exit: Exit,
    message: String,
    pub(crate) hint: Option<String>,
    source: Option<anyhow::Error>,
}

impl Problem {
    /// The command was given something that it cannot work with.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something outside failed.
    pub(crate) fn environment(message: impl Into<String>) -> Self {
        Self::new(Exit::Environment, message)
    }

    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// What a task would have failed with: by whose fault it is.
    pub(crate) fn of_task(error: &TaskError) -> Self {
        let message = error.full_message();
        let mut problem = match error.fault {
            Fault::User => Self::usage(message),
            _ => Self::environment(message),
        };
        problem.hint.clone_from(&error.hint);
        problem
    }

    /// Says what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the cause.
    pub(crate) fn because(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// How the program ends after `error`, and what to do. What nobody has judged is the environment's doing.
pub(crate) fn verdict(error: &anyhow::Error) -> (Exit, Option<&str>) {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Problem>())
        .map_or((Exit::Environment, None), |problem| {
            (problem.exit, problem.hint.as_deref())
        })
}

/// An error and its causes in one line; a cause that its parent already prints is left out.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = cause.to_string();
        if text.is_empty() {
            text = part;
        } else if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_decides_how_it_ends_wherever_it_stands() {
        let error = anyhow::Error::from(Problem::usage("no such file").hint("look again"))
            .context("cannot run");
        assert_eq!(verdict(&error), (Exit::Usage, Some("look again")));
        assert_eq!(one_line(&error), "cannot run: no such file");
        assert_eq!(verdict(&anyhow::anyhow!("boom")), (Exit::Environment, None));
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("refused").context("cannot connect: refused");
        assert_eq!(one_line(&error), "cannot connect: refused");
    }
}
