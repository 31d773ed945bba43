//! `pipectl runs list`: the newest first, by pages.

use std::collections::HashMap;

use pipectl_engine::{
    id::RunId,
    state::RunState,
    store::{RunFilter, RunRecord},
    time::human_duration,
};
use serde_json::{Value, json};

use crate::{
    arguments::{Format, RunsList},
    console::run_style,
    exit::{Exit, Problem},
    output::many,
    project::Context,
    records::{find, moment},
    table::{Cell, Table},
    wire::{self, House},
};

pub(super) fn run(context: &Context, arguments: &RunsList) -> anyhow::Result<Exit> {
    let state = arguments.state.as_deref().map(state).transpose()?;
    let project = context.project_with_history()?;
    wire::block_on(async {
        let house = House::open(project).await?;
        house.give_up_lost().await?;
        let store = &house.store;
        let before = match &arguments.before {
            Some(text) => Some(find(&**store, text).await?.run.id),
            None => None,
        };
        let filter = RunFilter {
            pipeline: arguments.pipeline.clone(),
            state,
            before,
            limit: arguments.limit,
        };
        let runs = store.runs(&filter).await?;
        // A full page may be the last one; the next one is then empty.
        let next = (runs.len() == usize::try_from(arguments.limit)?)
            .then(|| runs.last().map(|record| record.run.id))
            .flatten();
        let ids: Vec<RunId> = runs.iter().map(|record| record.run.id).collect();
        let warnings = store.warnings(&ids).await?;
        match arguments.format {
            Format::Json => {
                let document = |record: &RunRecord| document(record, warned(&warnings, record));
                let runs: Vec<Value> = runs.iter().map(document).collect();
                context.output.json(&json!({"runs": runs, "next": next}));
            }
            Format::Text => {
                text(context, &runs, &warnings);
                if let Some(next) = next {
                    context
                        .output
                        .note(format_args!("more: pipectl runs list --before {next}"));
                }
            }
        }
        Ok(Exit::Done)
    })
}

fn state(text: &str) -> Result<RunState, Problem> {
    text.parse().map_err(|_| {
        let names: Vec<&str> = RunState::ALL.iter().map(|state| state.name()).collect();
        Problem::usage(format!("there is no state `{text}`"))
            .hint(format!("the states of a run are {}", names.join(", ")))
    })
}

fn warned(warnings: &HashMap<RunId, u64>, record: &RunRecord) -> u64 {
    warnings.get(&record.run.id).copied().unwrap_or(0)
}

fn text(context: &Context, runs: &[RunRecord], warnings: &HashMap<RunId, u64>) {
    if runs.is_empty() {
        context.output.note("no runs");
        return;
    }
    let mut table = Table::new([
        "Run",
        "Pipeline",
        "State",
        "Kind",
        "Created (UTC)",
        "Took",
        "Error",
    ]);
    for record in runs {
        let took = match (record.started, record.ended) {
            (Some(started), Some(ended)) => (ended - started).to_std().ok().map(human_duration),
            _ => None,
        };
        let error = record.error.as_deref().unwrap_or_default();
        let error = context.output.out.one_line(error, 60);
        let state = match warned(warnings, record) {
            0 => record.state.to_string(),
            count => format!("{}, {}", record.state, many(count, "warning")),
        };
        table.row([
            record.run.id.short().into(),
            record.run.pipeline.as_str().into(),
            Cell::styled(run_style(record.state), state),
            record.run.kind.name().into(),
            moment(record.run.created).into(),
            Cell::right(took.unwrap_or_default()),
            error.into(),
        ]);
    }
    context.output.print(table.render(context.output.out));
}

fn document(record: &RunRecord, warnings: u64) -> Value {
    json!({
        "run": record.run.id,
        "pipeline": record.run.pipeline,
        "state": record.state,
        "kind": record.run.kind,
        "interval": record.run.interval,
        "created": record.run.created,
        "started": record.started,
        "ended": record.ended,
        "error": record.error,
        "warnings": warnings,
    })
}
