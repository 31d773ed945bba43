//! `pipectl plugin check FILE`: whether a program keeps to the protocol of external operators.

use std::{fs, path::Path, sync::Arc};

use pipectl_engine::{
    operator::{DynOperator, Registry, Takes},
    project::{Overrides, Project},
};
use pipectl_operators::{Finding, Plugins, describe, inspect, parse_program};
use serde_json::{Value, json};

use super::test::case;
use crate::{
    arguments::{self, Format},
    exit::{Exit, Problem},
    output::{GREEN, RED},
    pipelines,
    project::Context,
    wire,
};

/// The table that the program is given to read in a trial: it has each kind of column, and nothing everywhere.
const SAMPLE: &str =
    "id,name,amount,when,paid\n1,Ann,9.5,2026-03-01,true\n2,,,,\n3,Ünal,-0.25,2026-03-31,false\n";

/// The checks need the program's file; the trial runs it for real, in a pipeline of its own.
pub(crate) fn run(context: &Context, arguments: &arguments::Plugin) -> anyhow::Result<Exit> {
    let arguments::Plugin::Check {
        program,
        settings,
        format,
    } = arguments;
    let shown = program.display();
    let program = std::path::absolute(program)
        .map_err(|error| Problem::usage(format!("`{shown}` is no path")).because(error))?;
    if !program.exists() {
        let problem = Problem::usage(format!("there is no file `{shown}`"));
        return Err(problem
            .hint("name the program's file, not only its operator")
            .into());
    }
    let settings = settings.as_deref().map(object).transpose()?;
    let mut found = inspect(&program);
    if found
        .iter()
        .all(|one| one.ought != "it describes itself" || one.wrong.is_empty())
        && let Some(trial) = trial(&program, settings)?
    {
        found.push(trial);
    }
    let good = found.iter().all(|finding| finding.wrong.is_empty());
    match format {
        Format::Json => context.output.json(&document(good, &found)),
        Format::Text => show(context, &found),
    }
    Ok(if good { Exit::Done } else { Exit::Failed })
}

fn object(text: &str) -> Result<Value, Problem> {
    match serde_json::from_str(text) {
        Ok(settings @ Value::Object(_)) => Ok(settings),
        Ok(_) => Err(Problem::usage("`--settings` is no JSON object")),
        Err(error) => Err(Problem::usage("`--settings` is no JSON").because(error)),
    }
}

/// Runs the program as a task, with its example's settings or those that are given.
fn trial(program: &Path, settings: Option<Value>) -> anyhow::Result<Option<Finding>> {
    let file = program.file_name().unwrap_or_default().to_string_lossy();
    let (Some((kind, name)), Ok(description)) = (parse_program(&file), describe(program)) else {
        return Ok(None);
    };
    let directory = program.parent().unwrap_or(Path::new("/"));
    let plugins = Plugins::new(directory.to_str());
    let registry = pipectl_operators::all().with_finder(Arc::new(plugins));
    let takes = registry.get(kind, name).map(DynOperator::takes);
    let settings = settings.unwrap_or(Value::Object(description.example));
    let mut task = json!({kind.name(): name, "with": settings});
    match takes {
        None | Some(Takes::Nothing) => {}
        Some(Takes::Named(names) | Takes::NamedAnd { needed: names, .. }) => {
            let each = names
                .iter()
                .map(|name| ((*name).to_owned(), json!("sample")));
            task["from"] = Value::Object(each.collect());
        }
        Some(_) => task["from"] = json!("sample"),
    }
    let pipeline = json!({
        "name": "trial",
        "tasks": {"sample": {"extract": "csv", "with": {"path": "sample.csv"}}, "tried": task},
        "tests": {"it_runs": {"expect": {"tried": {"state": "success"}}}},
    });
    let wrong = tried(&registry, &pipeline)?;
    Ok(Some(Finding {
        ought: "it runs with its example's settings",
        wrong,
    }))
}

/// Runs the pipeline's test in a project of its own; JSON is YAML.
fn tried(registry: &Registry, pipeline: &Value) -> anyhow::Result<Vec<String>> {
    let failed = |error| Problem::environment("cannot make a directory for a trial").because(error);
    let root = case::Scratch::new()?;
    let file = root.0.join("pipelines/trial.yaml");
    fs::create_dir_all(root.0.join("pipelines")).map_err(failed)?;
    fs::write(root.0.join("sample.csv"), SAMPLE).map_err(failed)?;
    fs::write(&file, pipeline.to_string()).map_err(failed)?;
    let overrides = Overrides {
        root: Some(root.0.clone()),
        ..Overrides::default()
    };
    let env = pipectl_engine::env::Env::system();
    let (project, _) = Project::load(&root.0, &root.0, &overrides, env)
        .map_err(|_| Problem::environment("cannot open the trial's project"))?;
    let checked = pipelines::check(&project, registry, &file);
    let Some(plan) = checked.plan else {
        let complaints = checked.complaints.iter();
        return Ok(complaints
            .map(|complaint| complaint.message.clone())
            .collect());
    };
    let plan = Arc::new(plan);
    wire::block_on(async {
        let mut wrong = Vec::new();
        for test in plan.tests.values() {
            wrong.extend(case::run(&project, &plan, test).await?);
        }
        Ok(wrong)
    })
}

fn show(context: &Context, found: &[Finding]) {
    let output = &context.output;
    for finding in found {
        let (style, mark) = match finding.wrong.as_slice() {
            [] => (GREEN, "✓"),
            _ => (RED, "✕"),
        };
        let mark = output.out.paint(style, mark);
        output.line(format_args!("{mark} {}", finding.ought));
        for line in finding.wrong.iter().flat_map(|wrong| wrong.lines()) {
            output.line(format_args!("    {line}"));
        }
    }
}

fn document(good: bool, found: &[Finding]) -> Value {
    let found: Vec<Value> = found
        .iter()
        .map(|finding| json!({"ought": finding.ought, "wrong": finding.wrong}))
        .collect();
    json!({"good": good, "findings": found})
}
