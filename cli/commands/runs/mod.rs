//! `pipectl runs …`.

mod cancel;
mod files;
mod list;
mod logs;
mod preview;
mod show;

use crate::{arguments::Runs, exit::Exit, project::Context};

pub(crate) fn run(context: &Context, command: &Runs) -> anyhow::Result<Exit> {
    match command {
        Runs::List(arguments) => list::run(context, arguments),
        Runs::Show(arguments) => show::run(context, arguments),
        Runs::Logs(arguments) => logs::run(context, arguments),
        Runs::Preview(arguments) => preview::run(context, arguments),
        Runs::Files(arguments) => files::run(context, arguments),
        Runs::Cancel { run } => cancel::run(context, run),
    }
}
