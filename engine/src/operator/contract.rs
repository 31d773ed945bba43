//! The typed trait that an operator's author implements.

use std::future::Future;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Complaints, Kind, Outcome, Outputs, Senses, TaskContext, TaskError};
use crate::{project::Project, services::Services};

/// An operator: a plugin that does one kind of work.
///
/// One file in `operators/src/<kind>/`, listed by two adjacent lines in that folder's `mod.rs`.
pub trait Operator: Send + Sync + 'static {
    /// What may stand under `with:`. Doc comments on its fields become the reference page; it denies unknown fields.
    type Config: DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// The kind of work.
    const KIND: Kind;
    /// The name after the kind, as in `extract: csv`.
    const NAME: &'static str;
    /// One sentence for the list of operators.
    const SUMMARY: &'static str;
    /// What may stand in `from:`.
    const TAKES: Takes;

    /// The settings that see the row of `from:` as `item`, for an operator that works row by row: they come as
    /// [`RowTemplate`](crate::spec::RowTemplate) reads them.
    const ROW_SETTINGS: &'static [&'static str] = &[];

    /// What a task with these settings will put out.
    fn outputs(config: &Self::Config) -> Outputs;

    /// Looks for mistakes that the schema cannot express. No input, no output.
    fn check(_config: &Self::Config, _found: &mut Complaints) {}

    /// What a daemon watches for when the task starts runs of its pipeline by `schedule: {sensor: …}`.
    fn senses(_config: &Self::Config) -> Option<Senses> {
        None
    }

    /// Looks whether what the task needs is reachable, on `validate --online`.
    fn probe(
        _config: &Self::Config,
        _context: &ProbeContext,
    ) -> impl Future<Output = Result<(), TaskError>> + Send {
        std::future::ready(Ok(()))
    }

    /// What the output depends on that is neither a setting nor an input: a file, a key, another table. `cache:` asks
    /// for it before each attempt.
    fn made_of(
        _config: &Self::Config,
        _context: &TaskContext,
    ) -> impl Future<Output = MadeOf> + Send {
        std::future::ready(MadeOf::Inputs)
    }

    /// Does the work: one attempt.
    fn run(
        config: Self::Config,
        context: &TaskContext,
    ) -> impl Future<Output = Result<Outcome, TaskError>> + Send;
}

/// What an output is made of beside settings and inputs, for `cache:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeOf {
    /// Of nothing else.
    Inputs,
    /// Of what this text tells from anything else: a version, a hash. It must not give a secret away.
    Also(String),
    /// Nobody can say whether it is the same as in an earlier run; the text says why. It is then made anew.
    Unknown(String),
}

/// What a task may have in `from:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// No dataset.
    Nothing,
    /// Exactly one dataset.
    One,
    /// One dataset or none.
    Optional,
    /// One or more datasets.
    Many,
    /// Any number of datasets, also none.
    Any,
    /// The map form of `from:` with exactly these names.
    Named(&'static [&'static str]),
    /// The map form of `from:` with these names, and perhaps some of the others.
    NamedAnd {
        /// What has to be there.
        needed: &'static [&'static str],
        /// What may be there.
        optional: &'static [&'static str],
    },
}

/// What an operator has at hand to look whether a task could run.
#[derive(Clone, Debug)]
pub struct ProbeContext {
    /// The project.
    pub project: std::sync::Arc<Project>,
    /// What the binary has opened.
    pub services: Services,
}
