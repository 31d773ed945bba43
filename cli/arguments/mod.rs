//! What may stand on the command line.

#![expect(
    clippy::doc_markdown,
    clippy::struct_field_names,
    reason = "the comments are the text of `--help`, the fields the names of its flags"
)]

mod features;
mod models;
mod runs;
mod service;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use features::{Features, FeaturesGet, FeaturesShow, SchemaOf};
pub(crate) use models::{
    AliasRemove, AliasSet, Models, ModelsAlias, ModelsCompare, ModelsExport, ModelsImport,
    ModelsPromote, ModelsShow, Noted,
};
pub(crate) use runs::{Runs, RunsFiles, RunsList, RunsLogs, RunsPreview, RunsShow};
pub(crate) use service::{
    Backfill, BackfillCommand, Daemon, History, NewBackfill, Prune, ReprocessBehavior, Schedules,
    SensorThings, Sensors, Serve,
};

/// Turns YAML files into running data and machine-learning pipelines.
#[derive(Debug, Parser)]
#[command(
    name = "pipectl",
    version,
    about,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done · 1 the run, check or test failed · 2 wrong usage or invalid file · 3 the environment failed · 130 interrupted"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command knows.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The project's directory [default: the nearest one upward with pipectl.yaml]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Global options"
    )]
    pub(crate) project: Option<PathBuf>,
    /// Where runs, data and logs are kept [env: PIPECTL_STATE_DIR] [default: .pipectl in the project]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Global options"
    )]
    pub(crate) state_dir: Option<PathBuf>,
    /// Say more: -v what happens, -vv details
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
    /// Say nothing but results and errors
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Global options"
    )]
    pub(crate) quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN", hide_possible_values = true, help_heading = "Global options", help = "When to use colours: auto, always, never")]
    pub(crate) color: Colour,
    /// How log lines look: text, json
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT", hide_possible_values = true, help_heading = "Global options")]
    pub(crate) log_format: LogFormat,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    Auto,
    Always,
    Never,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// How an answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// How complaints look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ComplaintFormat {
    Text,
    Json,
    /// For code-scanning tools
    Sarif,
    /// Annotations of GitHub Actions
    Github,
}

/// How a plan looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    Text,
    Json,
    Mermaid,
    /// For Graphviz
    Dot,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline now
    Run(Run),
    /// Do a run, or what failed in it, again: with its own parameters, interval and pipeline version
    Retry(Retry),
    /// Work on schedules, sensors and the queue until stopped
    Daemon(Daemon),
    /// Serve models over HTTP: /predict, the Open Inference Protocol, MLflow's /invocations
    Serve(Serve),
    /// Run a pipeline for the intervals of the past
    Backfill(Backfill),
    /// Look at schedules, pause them and let them go on
    #[command(subcommand)]
    Schedules(Schedules),
    /// Look at the sensors that start pipelines, and at what they have seen
    #[command(subcommand)]
    Sensors(Sensors),
    /// Check pipelines without running them
    Validate(Validate),
    /// Show what a pipeline would do, and in which order
    Plan(Plan),
    /// Run the tests that stand in the pipelines' files
    Test(Test),
    /// Look at runs
    #[command(subcommand)]
    Runs(Runs),
    /// Let go of old runs, or take them out as JSON
    #[command(subcommand)]
    History(History),
    /// Look at registered models, promote, compare, bring in and take out
    #[command(subcommand)]
    Models(Models),
    /// Look at feature views and what they know
    #[command(subcommand)]
    Features(Features),
    /// Say what operators there are and what they take
    Operators(Operators),
    /// Look after operators that are programs of your own
    #[command(subcommand)]
    Plugin(Plugin),
    /// Print the JSON Schema of the project's files, for editors
    Schema {
        /// Which files
        #[arg(value_enum, default_value_t = SchemaOf::Pipeline)]
        of: SchemaOf,
    },
    /// Read the manual: its pages, or one of them
    Docs {
        /// A page, such as `sql`
        page: Option<String>,
    },
    /// Make a new project that runs at once
    Init(Init),
    /// Say what is reachable, what is missing, and how to get it
    Doctor(Answer),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Runs one task in a process of its own.
    #[command(name = "__task", hide = true)]
    Task,
    /// Stops a task's children when the process that started them is gone.
    #[command(name = "__shim", hide = true)]
    Shim {
        /// The command to start
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
}

/// A command that only answers.
#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A pipeline's file, or its name
    #[arg(value_name = "FILE|NAME", required_unless_present = "resume")]
    pub(crate) pipeline: Option<String>,
    /// Set a parameter; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// Start at this task: what comes before is taken from the newest run of the whole pipeline that succeeded
    #[arg(long, value_name = "TASK", conflicts_with = "only")]
    pub(crate) from: Option<String>,
    /// Run this task alone: what it reads is taken from the newest run of the whole pipeline that succeeded
    #[arg(long, value_name = "TASK")]
    pub(crate) only: Option<String>,
    /// With --from or --only, take it from this run, however it ended
    #[arg(long, value_name = "RUN")]
    pub(crate) inputs: Option<String>,
    /// Show what would run, and run nothing
    #[arg(long, conflicts_with = "resume")]
    pub(crate) dry_run: bool,
    /// Go on with a run that was stopped or lost: what has succeeded is not done again
    #[arg(long, value_name = "RUN", conflicts_with_all = ["pipeline", "params", "from", "only", "inputs"])]
    pub(crate) resume: Option<String>,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The run: its id, the beginning or end of it, `last`, or `last~1` for the one before
    pub(crate) run: String,
    /// Only what has failed, and what comes after it
    #[arg(long)]
    pub(crate) failed: bool,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Files or names of pipelines [default: all of the project]
    #[arg(value_name = "FILE|NAME")]
    pub(crate) pipelines: Vec<String>,
    /// Also look whether databases, APIs and buckets can be reached
    #[arg(long)]
    pub(crate) online: bool,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = ComplaintFormat::Text)]
    pub(crate) format: ComplaintFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// A pipeline's file, or its name
    #[arg(value_name = "FILE|NAME")]
    pub(crate) pipeline: String,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub(crate) format: PlanFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Files or names of pipelines [default: all of the project]
    #[arg(value_name = "FILE|NAME")]
    pub(crate) pipelines: Vec<String>,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Operators {
    /// A kind, a name, or both: `extract`, `csv`, `extract: csv` [default: all]
    #[arg(value_name = "KIND[: NAME]", num_args = 0..=2)]
    pub(crate) operator: Vec<String>,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Operators that are programs `pipectl-<kind>-<name>` on the PATH.
#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// Say whether a program keeps to the protocol, and run it once
    Check {
        /// The program's file, such as `./pipectl-extract-orders`
        #[arg(value_name = "FILE")]
        program: PathBuf,
        /// The settings for the run, as JSON [default: the `example` of its description]
        #[arg(long, value_name = "JSON")]
        settings: Option<String>,
        /// How the answer looks
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The new directory
    pub(crate) directory: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }
}
