//! One file for each command.

mod backfill;
mod completions;
mod daemon;
mod docs;
mod doctor;
mod execute;
mod features;
mod history;
mod init;
mod models;
mod operators;
mod params;
mod part;
mod plan;
mod plugin;
mod retry;
mod run;
mod runs;
mod schedules;
mod schema;
mod sensors;
mod serve;
mod supervisor;
mod task;
mod test;
mod turn;
mod upcoming;
mod validate;

use std::process::ExitCode;

use pipectl_engine::failpoint;

use crate::{
    arguments::{Arguments, Command},
    exit::{Exit, Problem},
    logging,
    project::Context,
};

/// Does what the command line says.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if let Command::Shim { command } = arguments.command {
        return pipectl_operators::shim(&command);
    }
    if let Command::Task = arguments.command {
        let context = Context::new(arguments.global);
        logging::start(&context.global, &context.env, &context.output, false);
        if let Some(Err(error)) = context.env.get("PIPECTL_FAILPOINT").map(failpoint::arm) {
            tracing::warn!(error, "no fail point is armed");
        }
        return task::run(&context.env);
    }
    done(arguments).into()
}

fn done(arguments: Arguments) -> Exit {
    let context = Context::new(arguments.global);
    let service = matches!(arguments.command, Command::Daemon(_) | Command::Serve(_));
    logging::start(&context.global, &context.env, &context.output, service);
    if let Some(Err(error)) = context.env.get("PIPECTL_FAILPOINT").map(failpoint::arm) {
        return context.output.error(&Problem::usage(error).into());
    }
    let result = match arguments.command {
        Command::Run(arguments) => run::run(&context, &arguments),
        Command::Retry(arguments) => retry::run(&context, &arguments),
        Command::Daemon(arguments) => daemon::run(&context, &arguments),
        Command::Serve(arguments) => serve::run(&context, &arguments),
        Command::Backfill(arguments) => backfill::run(&context, &arguments),
        Command::Schedules(arguments) => schedules::run(&context, &arguments),
        Command::Sensors(arguments) => sensors::run(&context, &arguments),
        Command::History(arguments) => history::run(&context, &arguments),
        Command::Validate(arguments) => validate::run(&context, &arguments),
        Command::Plan(arguments) => plan::run(&context, &arguments),
        Command::Test(arguments) => test::run(&context, &arguments),
        Command::Runs(arguments) => runs::run(&context, &arguments),
        Command::Models(arguments) => models::run(&context, &arguments),
        Command::Features(arguments) => features::run(&context, &arguments),
        Command::Operators(arguments) => operators::run(&context, &arguments),
        Command::Plugin(arguments) => plugin::run(&context, &arguments),
        Command::Schema { of } => Ok(schema::run(&context, of)),
        Command::Docs { page } => docs::run(&context, page.as_deref()),
        Command::Init(arguments) => init::run(&context, &arguments),
        Command::Doctor(arguments) => doctor::run(&context, &arguments),
        Command::Completions { shell } => completions::run(&context, shell),
        // They need nothing of what is made here, and have been done before.
        Command::Shim { .. } | Command::Task => Ok(Exit::Done),
    };
    result.unwrap_or_else(|error| context.output.error(&error))
}
