//! `pipectl retry RUN [--failed]`.

use pipectl_engine::{runner::Redo, state::RunState};

use super::run::again;
use crate::{
    arguments,
    exit::{Exit, Problem},
    project::Context,
};

pub(crate) fn run(context: &Context, arguments: &arguments::Retry) -> anyhow::Result<Exit> {
    again(context, &arguments.run, arguments.format, |state| {
        match (state, arguments.failed) {
            (RunState::Queued | RunState::Running, _) => Err(Problem::usage("the run is not over")
                .hint("if its process is gone, `pipectl run --resume RUN` goes on with it")),
            (RunState::Success, true) => Err(Problem::usage("nothing in the run has failed")
                .hint("without --failed all of it is done again")),
            (_, true) => Ok(Some(Redo::Unfinished)),
            (_, false) => Ok(Some(Redo::All)),
        }
    })
}
