//! The command line.

mod arguments;
mod commands;
mod complaints;
mod console;
mod exit;
mod features;
mod logging;
mod output;
mod pipelines;
mod project;
mod records;
mod scratch;
mod serving;
mod table;
mod wire;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error).into(),
    };
    commands::run(arguments)
}
