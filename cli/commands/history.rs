//! `pipectl history`: lets go of old runs, and takes them out.

use std::sync::Arc;

use pipectl_daemon::{prune_batch, sweep};
use pipectl_engine::{
    store::{PruneRule, RunFilter},
    time::parse_duration,
};

use crate::{
    arguments::{History, Prune},
    exit::{Exit, Problem},
    output::many,
    pipelines,
    project::Context,
    records::{self, RunDocument},
    wire::{self, House},
};

/// How many runs are exported at once.
const PAGE: u32 = 200;
/// How many are counted at most.
const COUNTED: u32 = 1_000_000;

pub(crate) fn run(context: &Context, command: &History) -> anyhow::Result<Exit> {
    let project = context.project_with_history()?;
    wire::block_on(async {
        let house = House::open(project).await?;
        match command {
            History::Prune(arguments) => {
                known(&house, arguments.pipeline.as_deref()).await?;
                prune(context, &house, arguments).await
            }
            History::Export { pipeline } => {
                known(&house, pipeline.as_deref()).await?;
                export(context, &house, pipeline.clone()).await
            }
        }
    })
}

/// Refuses a name that neither a file nor the history knows.
async fn known(house: &House, pipeline: Option<&str>) -> anyhow::Result<()> {
    let Some(name) = pipeline else {
        return Ok(());
    };
    let filter = RunFilter {
        pipeline: Some(name.to_owned()),
        limit: 1,
        ..RunFilter::default()
    };
    if house.store.runs(&filter).await?.is_empty() {
        pipelines::find(&house.project, name)?;
    }
    Ok(())
}

async fn prune(context: &Context, house: &House, arguments: &Prune) -> anyhow::Result<Exit> {
    let age = arguments
        .older_than
        .as_deref()
        .map(parse_duration)
        .transpose();
    let age = age.map_err(|error| Problem::usage(format!("--older-than: {error}")))?;
    let now = house.clock().now();
    let rule = PruneRule {
        pipeline: arguments.pipeline.clone(),
        before: age.and_then(|age| now.checked_sub_signed(chrono::TimeDelta::from_std(age).ok()?)),
        keep: arguments.keep,
    };
    if arguments.dry_run {
        let runs = house.store.prunable(&rule, COUNTED).await?;
        context.output.line(format_args!(
            "{} may go; nothing was removed",
            many(runs.len() as u64, "run")
        ));
        return Ok(Exit::Done);
    }
    let mut gone = 0;
    loop {
        let removed = prune_batch(&*house.store, &*house.artifacts, &house.project, &rule).await?;
        if removed == 0 {
            break;
        }
        gone += removed;
    }
    sweep(&*house.store, &house.project.state_dir, now).await?;
    let gone = many(gone, "run");
    context
        .output
        .line(format_args!("removed {gone}, with data and logs"));
    Ok(Exit::Done)
}

async fn export(
    context: &Context,
    house: &House,
    pipeline: Option<String>,
) -> anyhow::Result<Exit> {
    let store = Arc::clone(&house.store);
    let mut before = None;
    loop {
        let filter = RunFilter {
            pipeline: pipeline.clone(),
            before,
            limit: PAGE,
            ..RunFilter::default()
        };
        let page = store.runs(&filter).await?;
        for record in &page {
            let tasks = records::tasks(&*store, record.run.id, None).await?;
            context
                .output
                .line(serde_json::to_string(&RunDocument::new(record, tasks))?);
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => before = Some(last.run.id),
            _ => return Ok(Exit::Done),
        }
    }
}
