//! `pipectl backfill`: runs for the intervals of the past.

mod care;
mod make;

use crate::{arguments, exit::Exit, project::Context};

pub(crate) fn run(context: &Context, arguments: &arguments::Backfill) -> anyhow::Result<Exit> {
    match &arguments.command {
        Some(command) => care::run(context, command),
        None => make::run(context, &arguments.new),
    }
}
