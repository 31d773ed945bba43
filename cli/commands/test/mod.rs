//! `pipectl test`: the tests that stand in the pipelines' files.

pub(super) mod case;
mod rows;
mod verdict;

use std::sync::Arc;

use pipectl_engine::plan::{Plan, TestCase};
use serde_json::{Value, json};

use crate::{
    arguments::{self, Format},
    exit::{Exit, Problem},
    output::{GREEN, RED},
    pipelines,
    project::{Context, registry},
    wire,
};

/// How a test has ended: what was not as expected.
struct Tested {
    pipeline: String,
    test: String,
    place: String,
    failures: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: &arguments::Test) -> anyhow::Result<Exit> {
    let project = match arguments.pipelines.first() {
        Some(first) => context.project_of(first)?,
        None => context.project()?,
    };
    let files = if arguments.pipelines.is_empty() {
        pipelines::all(&project)?
    } else {
        let wanted = arguments.pipelines.iter();
        wanted
            .map(|text| pipelines::find(&project, text))
            .collect::<Result<_, Problem>>()?
    };
    let operators = registry();
    let (mut plans, mut invalid) = (Vec::new(), Vec::new());
    for file in files {
        match context.judged(pipelines::check(&project, &operators, &file)) {
            Ok(plan) => plans.push(plan),
            Err(error) => {
                context.output.error(&error);
                invalid.push(pipelines::shown(&project, &file));
            }
        }
    }
    let text = arguments.format == Format::Text;
    let tested = wire::block_on(async {
        let mut tested = Vec::new();
        for (plan, name, test) in plans.iter().flat_map(tests) {
            let ended = Tested {
                pipeline: plan.name.to_string(),
                test: name.to_owned(),
                place: format!("{}:{}", test.place.file, test.place.line),
                failures: case::run(&project, plan, test).await?,
            };
            if text {
                show(context, &ended);
            }
            tested.push(ended);
        }
        Ok(tested)
    })?;
    let failed = tested.iter().filter(|one| !one.failures.is_empty()).count();
    if text {
        if tested.is_empty() && invalid.is_empty() {
            context
                .output
                .note("there are no tests: write them under `tests:` in a pipeline");
        } else if !tested.is_empty() {
            let passed = tested.len() - failed;
            context
                .output
                .line(format_args!("\n{passed} passed, {failed} failed"));
        }
    } else {
        context.output.json(&document(&tested, &invalid));
    }
    Ok(match (invalid.len(), failed) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Failed,
        _ => Exit::Usage,
    })
}

fn tests(plan: &Arc<Plan>) -> impl Iterator<Item = (&Arc<Plan>, &str, &TestCase)> {
    plan.tests
        .iter()
        .map(move |(name, test)| (plan, name.as_str(), test))
}

fn show(context: &Context, tested: &Tested) {
    let output = &context.output;
    let name = format!("{}: {}", tested.pipeline, tested.test);
    if tested.failures.is_empty() {
        return output.line(format_args!("{} {name}", output.out.paint(GREEN, "✓")));
    }
    output.line(format_args!(
        "{} {name}  ({})",
        output.out.paint(RED, "✕"),
        tested.place
    ));
    for line in tested.failures.iter().flat_map(|failure| failure.lines()) {
        output.line(format_args!("    {line}"));
    }
}

/// What `--format json` answers; `invalid` are the files that cannot be tested.
fn document(tested: &[Tested], invalid: &[Arc<str>]) -> Value {
    let tests: Vec<Value> = tested
        .iter()
        .map(|one| {
            json!({
                "pipeline": one.pipeline,
                "test": one.test,
                "place": one.place,
                "passed": one.failures.is_empty(),
                "failures": one.failures,
            })
        })
        .collect();
    let passed = tested.iter().all(|one| one.failures.is_empty()) && invalid.is_empty();
    json!({"passed": passed, "tests": tests, "invalid": invalid})
}
