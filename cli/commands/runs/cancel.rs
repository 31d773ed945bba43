//! `pipectl runs cancel`: stops a run, whoever works on it, or one that waits.

use pipectl_engine::store::Cancelled;

use crate::{
    exit::{Exit, Problem},
    project::Context,
    records::find,
    wire::{self, House},
};

pub(super) fn run(context: &Context, run: &str) -> anyhow::Result<Exit> {
    let project = context.project_with_history()?;
    wire::block_on(async {
        let house = House::open(project).await?;
        // Of a command that is gone nobody would hear it.
        house.give_up_lost().await?;
        let run = find(&*house.store, run).await?.run.id;
        match house.store.cancel(run, house.clock().now()).await? {
            Cancelled::AtOnce => context.output.note(format_args!("run {run} is cancelled")),
            Cancelled::Restored(state) => context.output.note(format_args!(
                "run {run} is not done again: it is {state}, as it was"
            )),
            Cancelled::Asked => {
                let gone = house.gone().await?;
                let record = house.store.run(run).await?;
                let owner = record.and_then(|record| record.owner);
                let who = if owner.is_none_or(|owner| gone(&owner)) {
                    ": the next daemon stops it, for nobody works on it now"
                } else {
                    ""
                };
                context
                    .output
                    .note(format_args!("run {run} is asked to stop{who}"));
            }
            Cancelled::Over(state) => {
                return Err(Problem::usage(format!("run {run} is over: {state}")).into());
            }
        }
        Ok(Exit::Done)
    })
}
