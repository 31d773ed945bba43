//! `pipectl run`: makes a run and works on it in the foreground.

use std::sync::Arc;

use pipectl_engine::{
    id::RunId,
    operator::Interval,
    plan::Plan,
    runner::{Options, Redo},
    state::{RunState, TaskState},
    store::{NewRun, RunKind, TaskRecord},
    time::Timestamp,
    trigger::Trigger,
};

use super::{
    execute::Execution,
    params,
    part::{Chosen, Source, Wanted},
    plan,
};
use crate::{
    arguments, console,
    exit::{Exit, Problem},
    output::CYAN,
    pipelines,
    project::{Context, registry},
    records::{self, find},
    wire::{self, House},
};

pub(crate) fn run(context: &Context, arguments: &arguments::Run) -> anyhow::Result<Exit> {
    match (&arguments.resume, &arguments.pipeline) {
        (Some(run), _) => resume(context, run, arguments),
        (None, Some(pipeline)) => start(context, pipeline, arguments),
        (None, None) => Err(Problem::usage("no pipeline was named").into()),
    }
}

fn start(context: &Context, pipeline: &str, arguments: &arguments::Run) -> anyhow::Result<Exit> {
    let project = context.project_of(pipeline)?;
    let plan = context.plan(&project, pipeline)?;
    let params = params::complete(&plan, &arguments.params)?;
    let chosen = Chosen::of(&plan, arguments.from.as_deref(), arguments.only.as_deref())?;
    if arguments.inputs.is_some() && chosen.reads_nothing() {
        return Err(
            Problem::usage("--inputs is of no use here: all that is read runs itself")
                .hint("it belongs to --from TASK or --only TASK")
                .into(),
        );
    }
    let now = wire::clock(&context.env).now();
    if arguments.dry_run && chosen.reads_nothing() {
        show(context, &plan, &chosen, None, arguments.format);
        return Ok(Exit::Done);
    }
    let interval = interval(&plan, now)?;
    wire::block_on(async {
        let house = House::open(project).await?;
        let wanted = Wanted {
            plan: &plan,
            params: &params,
            interval,
            run: arguments.inputs.as_deref(),
        };
        let source = chosen.source(&house, &wanted).await?;
        if arguments.dry_run {
            show(context, &plan, &chosen, source.as_ref(), arguments.format);
            return Ok(Exit::Done);
        }
        if let Some(source) = &source {
            source.tell(&context.output, false);
        }
        // Inputs of an interval belong to that interval.
        let own = source.as_ref().and_then(Source::interval);
        let new = NewRun {
            id: RunId::new(now),
            pipeline: plan.name.to_string(),
            version: plan.source.hash.clone(),
            kind: RunKind::Manual,
            trigger_key: None,
            trigger: chosen.part(&plan, source.as_ref()).to_trigger(),
            params,
            interval: own.or(interval),
            parent: None,
            created: now,
            enqueued: false,
            max_active: None,
            backfill: None,
        };
        work(context, &house, plan, &new, arguments.format).await
    })
}

/// Shows what would run.
fn show(
    context: &Context,
    plan: &Plan,
    chosen: &Chosen,
    source: Option<&Source>,
    format: arguments::Format,
) {
    let says = |task| chosen.says(task, source);
    match format {
        arguments::Format::Json => plan::json(&context.output, plan, Some(&says)),
        arguments::Format::Text => {
            plan::text(&context.output, plan, Some(&says));
            if let Some(source) = source {
                source.tell(&context.output, true);
            }
        }
    }
}

/// Makes a run and works on it.
async fn work(
    context: &Context,
    house: &House,
    plan: Arc<Plan>,
    new: &NewRun,
    format: arguments::Format,
) -> anyhow::Result<Exit> {
    let listener = console::listener(&context.output, &plan, context.global.verbose > 0);
    let runner = house.runner(vec![listener])?;
    runner.create(&plan, new).await.map_err(|error| {
        Problem::environment("the run could not be written down").because(error)
    })?;
    context
        .output
        .note(format_args!("Run {} of {}", new.id, plan.name));
    let execution = Execution {
        context,
        house,
        plan,
        format,
    };
    execution.work(&runner, new.id, Options::default()).await
}

/// Goes on with a run that was stopped, lost, or has failed.
fn resume(context: &Context, run: &str, arguments: &arguments::Run) -> anyhow::Result<Exit> {
    again(context, run, arguments.format, |state| match state {
        RunState::Success => Err(Problem::usage(
            "the run has succeeded: there is nothing to go on with",
        )
        .hint("`pipectl retry RUN` does all of it again")),
        RunState::Failed => Ok(Some(Redo::Unfinished)),
        RunState::Queued | RunState::Running | RunState::Cancelled => Ok(None),
    })
}

/// Works on an earlier run again: with its own parameters, interval and pipeline version.
pub(super) fn again(
    context: &Context,
    run: &str,
    format: arguments::Format,
    redo: impl FnOnce(RunState) -> Result<Option<Redo>, Problem>,
) -> anyhow::Result<Exit> {
    let project = context.project()?;
    wire::block_on(async {
        let house = House::open(project).await?;
        let mut record = find(&*house.store, run).await?;
        if record.cancelling {
            // Whoever was to stop it may be gone: the wish has come true then, and is not for this attempt.
            house.give_up_lost().await?;
            record = find(&*house.store, &record.run.id.to_string()).await?;
        }
        let redo = redo(record.state)?;
        let hash = &record.run.version;
        let version = house.store.version(hash).await?.ok_or_else(|| {
            Problem::environment(format!(
                "the pipeline version {hash} of the run is gone from the history"
            ))
        })?;
        let checked = pipelines::check_version(&house.project, &registry(), version);
        let plan = context.judged(checked)?;
        let id = record.run.id;
        let listener = console::listener(&context.output, &plan, context.global.verbose > 0);
        let runner = house.runner(vec![listener])?;
        context
            .output
            .note(format_args!("Run {id} of {}, again", plan.name));
        if pipelines::changed(&plan) {
            let whole = redo.is_some_and(Redo::is_whole);
            context
                .output
                .note(changed(context, &house, &plan, id, whole).await?);
        }
        let options = Options {
            redo,
            ..Options::default()
        };
        let execution = Execution {
            context,
            house: &house,
            plan,
            format,
        };
        execution.work(&runner, id, options).await
    })
}

/// Says that a run goes on by an older version than its file, and how the newer one is run.
async fn changed(
    context: &Context,
    house: &House,
    plan: &Plan,
    run: RunId,
    whole: bool,
) -> anyhow::Result<String> {
    let note = format!(
        "{} {} has changed since; this goes on with the version of the run",
        context.output.err.paint(CYAN, "note:"),
        plan.source.path
    );
    let now = pipelines::check(&house.project, &registry(), &plan.source.file);
    let Some(now) = now.plan else {
        return Ok(note + " (the file is not valid now)");
    };
    let stem = plan.source.file.file_stem().unwrap_or_default();
    let name = if stem == &*now.name {
        &now.name
    } else {
        &now.source.path
    };
    let tasks = records::tasks(&*house.store, run, Some(plan)).await?;
    let open = tasks
        .iter()
        .find(|task| task.state != TaskState::Success && task.key.element.is_none())
        .filter(|_| !whole);
    // What reads nothing of others begins the whole anew.
    let reads = |task: &&TaskRecord| {
        let chosen = Chosen::of(&now, Some(&task.key.task), None);
        chosen.is_ok_and(|chosen| !chosen.reads_nothing())
    };
    let from = open.filter(reads).map_or_else(String::new, |task| {
        format!(" --from {} --inputs {}", task.key.task, run.short())
    });
    Ok(format!(
        "{note} (`pipectl run {name}{from}` takes the new one)"
    ))
}

/// Refuses a run that would not know its interval, before there is a run.
fn interval(plan: &Plan, now: Timestamp) -> Result<Option<Interval>, Problem> {
    plan.manual_interval(now).map_err(|error| {
        let after = match plan.schedule.as_ref().map(|schedule| &schedule.trigger) {
            Some(Trigger::After { pipelines, .. }) => {
                format!(
                    "; or run `{}`, whose interval it takes",
                    pipelines.join("`, `")
                )
            }
            _ => String::new(),
        };
        Problem::usage(error.to_string()).hint(format!(
            "declare it at the top level: `interval: 1d`{after}"
        ))
    })
}
