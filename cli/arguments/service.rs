//! What the commands round the daemon take.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{Answer, Format};

#[derive(Debug, Args)]
pub(crate) struct Daemon {
    /// How many attempts may be under way at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) slots: u32,
    /// How long runs may go on after SIGTERM, before they are left to the next daemon
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    pub(crate) grace: String,
    /// Where /health and /metrics are [env: PIPECTL_LISTEN] [default: 127.0.0.1:4747]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Listen nowhere
    #[arg(long)]
    pub(crate) no_serve: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// A model to load at once: `churn` (its champion), `churn@challenger`, `churn:7`, `zoo:churn`, a file; may be repeated.
    /// When it is one, /predict asks it
    #[arg(long = "model", value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    /// Where to listen [env: PIPECTL_LISTEN] [default: 127.0.0.1:4747]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Something in front of it decides who may come, so that it may listen on other addresses than those of this machine
    #[arg(long)]
    pub(crate) behind_proxy: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Backfill {
    #[command(subcommand)]
    pub(crate) command: Option<BackfillCommand>,
    #[command(flatten)]
    pub(crate) new: NewBackfill,
}

#[derive(Debug, Args)]
pub(crate) struct NewBackfill {
    /// A pipeline's file, or its name
    #[arg(value_name = "FILE|NAME")]
    pub(crate) pipeline: Option<String>,
    /// From this date on, in the pipeline's zone; or from this moment (RFC 3339)
    #[arg(long, value_name = "DATE")]
    pub(crate) from_date: Option<String>,
    /// Up to this date, itself excluded
    #[arg(long, value_name = "DATE")]
    pub(crate) to_date: Option<String>,
    /// What becomes of intervals that have a run
    #[arg(long, value_enum, default_value_t = ReprocessBehavior::None, value_name = "WHAT")]
    pub(crate) reprocess_behavior: ReprocessBehavior,
    /// How many of its runs may be under way at once [default: the pipeline's `max_active_runs`, which holds in any case]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) max_active_runs: Option<u32>,
    /// The last interval first
    #[arg(long)]
    pub(crate) run_backwards: bool,
    /// Also start the pipelines that run `after` this one
    #[arg(long)]
    pub(crate) cascade: bool,
    /// Show the intervals, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Set a parameter; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// What becomes of intervals that have a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReprocessBehavior {
    /// They are left as they are
    None,
    /// Those that have failed are done again
    Failed,
    /// Those that are over are done again
    Completed,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackfillCommand {
    /// List backfills, the newest first
    List(Answer),
    /// Start no more runs of a backfill
    Pause {
        /// The backfill: its id, the beginning of it, or `last`
        backfill: String,
    },
    /// Go on with a backfill
    Resume {
        /// The backfill: its id, the beginning of it, or `last`
        backfill: String,
    },
    /// Stop a backfill and its runs
    Cancel {
        /// The backfill: its id, the beginning of it, or `last`
        backfill: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schedules {
    /// List the pipelines that something starts, and when they run next
    List(Answer),
    /// Let a schedule start nothing until it is resumed
    Pause {
        /// The pipeline's name
        pipeline: String,
    },
    /// Let a schedule go on from now
    Resume {
        /// The pipeline's name
        pipeline: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sensors {
    /// List the sensors that start pipelines
    List(Answer),
    /// Show what a sensor has seen, and which run took it
    Show(SensorThings),
    /// Forget what a sensor has seen: whatever is still there is sensed anew
    Reset {
        /// The sensor, as in `churn.arrived`
        sensor: String,
        /// Also when what it was to leave alone is then moved or removed
        #[arg(long)]
        yes: bool,
    },
    /// Forget one thing, so that it is sensed anew
    Replay {
        /// The sensor, as in `churn.arrived`
        sensor: String,
        /// The thing's name, as `sensors show` prints it
        thing: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SensorThings {
    /// The sensor, as in `churn.arrived`
    pub(crate) sensor: String,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum History {
    /// Remove old runs with their data and logs; registered models and what they saw stay
    Prune(Prune),
    /// Print runs as JSON, one a line, the newest first
    Export {
        /// Only of this pipeline
        #[arg(long, value_name = "NAME")]
        pipeline: Option<String>,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("rule").args(["older_than", "keep"]).required(true).multiple(true))]
pub(crate) struct Prune {
    /// Only of this pipeline
    #[arg(long, value_name = "NAME")]
    pub(crate) pipeline: Option<String>,
    /// Those that ended longer ago than this, as in 90d
    #[arg(long, value_name = "DURATION")]
    pub(crate) older_than: Option<String>,
    /// Those beyond the newest N of each pipeline
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<u32>,
    /// Say how many there are, and remove none
    #[arg(long)]
    pub(crate) dry_run: bool,
}
