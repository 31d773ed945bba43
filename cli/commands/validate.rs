//! `pipectl validate`: checks pipelines; a bad file never stops the good ones.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use pipectl_engine::{
    operator::{ProbeContext, TaskError},
    project::Project,
    spec::{
        Diagnostic, Diagnostics, Place, Scope, codes,
        machine::{Report, github, sarif},
    },
    time::Timestamp,
};
use serde::Serialize;

use super::upcoming::Upcoming;
use crate::{
    arguments::{self, ComplaintFormat},
    complaints,
    exit::{Exit, Problem},
    features,
    output::{DIM, GREEN, Output, RED},
    pipelines::{self, Checked},
    project::{Context, registry},
    wire,
};

pub(crate) fn run(context: &Context, arguments: &arguments::Validate) -> anyhow::Result<Exit> {
    let first = arguments.pipelines.first().map(String::as_str);
    let project = match (arguments.format, first) {
        (ComplaintFormat::Text, Some(first)) => context.project_of(first)?,
        (ComplaintFormat::Text, None) => context.project()?,
        // Whoever reads complaints by machine reads those about the project's settings so too.
        (format, first) => match context.checked_project(first)? {
            Ok(project) => project,
            Err(found) => {
                answer(&context.output, format, &found, Vec::new());
                return Ok(Exit::Usage);
            }
        },
    };
    let files = files(&project, &arguments.pipelines)?;
    let operators = registry();
    let neighbours = OnceCell::new();
    let mut checked: Vec<Checked> = files
        .iter()
        .map(|file| {
            if features::is_view(&project, file) {
                features::check(&project, file)
            } else {
                pipelines::check_among(&project, &operators, file, &neighbours)
            }
        })
        .collect();
    told_apart(&project, &mut checked);
    let broken = checked.iter().any(|one| one.complaints.has_errors());
    if arguments.online {
        wire::block_on(async {
            for checked in &mut checked {
                probe(&project, checked).await;
            }
            Ok(())
        })?;
    }
    let output = &context.output;
    let mut all = Diagnostics::default();
    for checked in &checked {
        all.append(checked.complaints.clone());
    }
    let now = wire::clock(&context.env).now();
    match arguments.format {
        ComplaintFormat::Text => text(output, &checked, now, context.global.quiet),
        format => {
            let plans = checked.iter().filter_map(|one| one.plan.as_ref());
            let schedules = plans.filter_map(|plan| Upcoming::of(plan, now)).collect();
            answer(output, format, &all, schedules);
        }
    }
    Ok(if broken {
        Exit::Usage
    } else if all.has_errors() {
        // The files are in order; what they name is not.
        Exit::Environment
    } else {
        Exit::Done
    })
}

/// Answers machines.
fn answer(output: &Output, format: ComplaintFormat, all: &Diagnostics, schedules: Vec<Upcoming>) {
    match format {
        ComplaintFormat::Text | ComplaintFormat::Github => output.print(github(all)),
        ComplaintFormat::Json => output.json(&Answer {
            report: Report::of(all),
            schedules,
        }),
        ComplaintFormat::Sarif => output.json(&sarif(all, env!("CARGO_PKG_VERSION"))),
    }
}

/// What `--format json` answers.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: Report<'a>,
    schedules: Vec<Upcoming>,
}

/// Complains of pipelines of the same name in the project's directory: other pipelines, and people, know one by it.
fn told_apart(project: &Project, checked: &mut [Checked]) {
    let pipelines = pipelines::directory(project);
    let is_one = |name: &str| project.path(name).starts_with(&pipelines);
    let stem = |name: &str| Path::new(name).file_stem().map(std::ffi::OsStr::to_owned);
    let mut first: HashMap<std::ffi::OsString, Arc<str>> = HashMap::new();
    for one in checked.iter_mut().filter(|one| is_one(&one.name)) {
        let Some(stem) = stem(&one.name) else {
            continue;
        };
        if let Some(other) = first.get(&stem) {
            let message = format!("`{other}` holds a pipeline of this name too");
            let place = Place::start_of(Arc::clone(&one.name));
            one.complaints.push(
                Diagnostic::error(codes::NAME_FILE, place, message).with_hint("rename one of them"),
            );
        } else {
            first.insert(stem, Arc::clone(&one.name));
        }
    }
}

fn files(project: &Project, wanted: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    if !wanted.is_empty() {
        let files: Result<Vec<PathBuf>, Problem> = wanted
            .iter()
            .map(|text| pipelines::find(project, text))
            .collect();
        let mut seen = HashSet::new();
        let mut files = files?;
        files.retain(|file| seen.insert(std::path::absolute(file).ok()));
        return Ok(files);
    }
    let mut files = pipelines::all(project)?;
    files.extend(features::files(project)?);
    if files.is_empty() {
        return Err(Problem::usage(format!(
            "there are no pipelines in `{}`",
            project.path("pipelines").display()
        ))
        .hint("name a file, or begin with `pipectl init DIR`")
        .into());
    }
    Ok(files)
}

fn text(output: &Output, checked: &[Checked], now: Timestamp, quiet: bool) {
    for one in checked.iter().filter(|one| !one.complaints.is_empty()) {
        output.line(complaints::text(one, output.out));
    }
    for one in checked {
        let count = complaints::count(&one.complaints);
        let valid = (one.plan.is_some() || one.view.is_some()) && !one.complaints.has_errors();
        let line = match (valid, count.as_str()) {
            (true, "") => output.out.paint(GREEN, format_args!("✓ {}", one.name)),
            (true, count) => format!(
                "{}: {count}",
                output.out.paint(GREEN, format_args!("✓ {}", one.name))
            ),
            (false, count) => format!(
                "{}: {count}",
                output.out.paint(RED, format_args!("✕ {}", one.name))
            ),
        };
        output.line(line);
        let upcoming = one.plan.as_ref().and_then(|plan| Upcoming::of(plan, now));
        for line in upcoming.iter().filter(|_| !quiet).flat_map(Upcoming::lines) {
            output.line(output.out.paint(DIM, format_args!("  {line}")));
        }
    }
}

/// Looks whether what each task needs is reachable; settings that are known only at run time are left out.
async fn probe(project: &Arc<Project>, checked: &mut Checked) {
    let Some(plan) = &checked.plan else { return };
    let context = ProbeContext {
        project: Arc::clone(project),
        services: wire::services(),
    };
    for (_, task) in plan.tasks() {
        let Ok(settings) = task.with.resolve(&Scope::default()) else {
            continue;
        };
        let Ok(config) = task.operator.parse(&settings) else {
            continue;
        };
        if let Err(error) = task.operator.probe(&config, &context).await {
            checked
                .complaints
                .push(unreachable(task.place.clone(), &task.name, &error));
        }
    }
}

fn unreachable(place: Place, task: &str, error: &TaskError) -> Diagnostic {
    let message = format!("task `{task}`: {}", error.full_message());
    let diagnostic = Diagnostic::error(codes::UNREACHABLE, place, message);
    match &error.hint {
        Some(hint) => diagnostic.with_hint(hint.clone()),
        None => diagnostic,
    }
}
