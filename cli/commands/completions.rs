//! `pipectl completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{arguments::Arguments, exit::Exit, project::Context};

pub(crate) fn run(context: &Context, shell: Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "pipectl", &mut script);
    context.output.print(String::from_utf8(script)?);
    Ok(Exit::Done)
}
