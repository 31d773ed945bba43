//! What may stand behind `pipectl runs`.

use clap::{Args, Subcommand};

use super::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// List runs, the newest first
    List(RunsList),
    /// Show a run, its tasks and what they put out
    Show(RunsShow),
    /// Print the logs of a run's tasks
    Logs(RunsLogs),
    /// Look into what a task of a run has put out: columns, gaps, distribution, first rows
    Preview(RunsPreview),
    /// List the files that a run has kept, such as rejected rows, or print one
    Files(RunsFiles),
    /// Stop a run, whoever works on it, or one that waits in the queue
    Cancel {
        /// The run: its id, the beginning or end of it, `last`, or `last~1` for the one before
        run: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunsList {
    /// Only of this pipeline
    #[arg(long, value_name = "NAME")]
    pub(crate) pipeline: Option<String>,
    /// Only in this state: queued, running, success, failed, cancelled
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only those before this run: the next page
    #[arg(long, value_name = "RUN")]
    pub(crate) before: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RunsPreview {
    /// The run: its id, the beginning or end of it, `last`, or `last~1` for the one before
    pub(crate) run: String,
    /// The task, or one of its datasets as in `parts.test`
    #[arg(value_name = "TASK[.DATASET]")]
    pub(crate) task: String,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RunsFiles {
    /// The run: its id, the beginning or end of it, `last`, or `last~1` for the one before
    pub(crate) run: String,
    /// Only of this task, or element as in `fetch[3]` [default: all]
    pub(crate) task: Option<String>,
    /// Print this file, as it is
    pub(crate) name: Option<String>,
    /// How the list looks
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with = "name")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RunsShow {
    /// The run: its id, the beginning or end of it, `last`, or `last~1` for the one before
    pub(crate) run: String,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RunsLogs {
    /// The run: its id, the beginning or end of it, `last`, or `last~1` for the one before
    pub(crate) run: String,
    /// Only of this task, or element as in `fetch[3]` [default: all]
    pub(crate) task: Option<String>,
    /// Only of this attempt [default: all]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) attempt: Option<u32>,
    /// Go on printing until the run is over
    #[arg(long)]
    pub(crate) follow: bool,
}
