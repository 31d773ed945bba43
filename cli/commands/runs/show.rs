//! `pipectl runs show RUN`.

use crate::{
    arguments::{Format, RunsShow},
    console,
    exit::Exit,
    project::Context,
    records::{self, RunDocument, find},
    wire::{self, House},
};

pub(super) fn run(context: &Context, arguments: &RunsShow) -> anyhow::Result<Exit> {
    let project = context.project()?;
    wire::block_on(async {
        let store = House::store(&project).await?;
        let record = find(&*store, &arguments.run).await?;
        let tasks = records::tasks(&*store, record.run.id).await?;
        let output = &context.output;
        match arguments.format {
            Format::Json => output.json(&RunDocument::new(&record, tasks)),
            Format::Text => {
                output.print(console::summary(&record, &tasks, output.out));
                for failure in
                    console::failures(&record, &tasks, None, &project.state_dir, output.out)
                {
                    output.line(format_args!("\n{failure}"));
                }
            }
        }
        Ok(Exit::Done)
    })
}
