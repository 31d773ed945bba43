//! `pipectl runs show RUN`.

use std::sync::Arc;

use pipectl_engine::state::RunState;

use crate::{
    arguments::{Format, RunsShow},
    console,
    exit::Exit,
    output::DIM,
    pipelines,
    project::{Context, registry},
    records::{self, RunDocument, find},
    wire::{self, House},
};

pub(super) fn run(context: &Context, arguments: &RunsShow) -> anyhow::Result<Exit> {
    let project = context.project_with_history()?;
    wire::block_on(async {
        let house = House::open(Arc::clone(&project)).await?;
        house.give_up_lost().await?;
        let store = &house.store;
        let record = find(&**store, &arguments.run).await?;
        let version = store.version(&record.run.version).await?;
        let plan = version
            .and_then(|version| pipelines::check_version(&project, &registry(), version).plan);
        let tasks = records::tasks(&**store, record.run.id, plan.as_ref()).await?;
        let output = &context.output;
        match arguments.format {
            Format::Json => output.json(&RunDocument::new(&record, tasks)),
            Format::Text => {
                output.print(console::summary(
                    &record,
                    &tasks,
                    &records::standings(&**store, &tasks).await?,
                    output.out,
                ));
                for failure in console::failures(
                    &record,
                    &tasks,
                    plan.as_ref(),
                    &project.state_dir,
                    output.out,
                ) {
                    output.line(format_args!("\n{failure}"));
                }
                if record.state != RunState::Success {
                    let next = console::next(&record, &tasks).join("\n  ");
                    output.note(output.err.paint(DIM, format_args!("\n  {next}")));
                }
            }
        }
        Ok(Exit::Done)
    })
}
