//! `pipectl models …`.

mod alias;
mod compare;
mod facts;
mod list;
mod named;
mod show;
mod transfer;

use crate::{
    arguments::{Models, ModelsAlias},
    exit::Exit,
    project::Context,
    wire::{self, House},
};

pub(crate) fn run(context: &Context, command: &Models) -> anyhow::Result<Exit> {
    let project = context.project()?;
    wire::block_on(async {
        if let Models::Show(arguments) = command
            && let Some(file) = show::file(&arguments.model)
        {
            return show::of_file(context, &project, file, arguments.format);
        }
        let house = House::open(project).await?;
        match command {
            Models::List(arguments) => list::run(context, &house, arguments.format).await,
            Models::Show(arguments) => show::run(context, &house, arguments).await,
            Models::Promote(arguments) => alias::promote(context, &house, arguments).await,
            Models::Alias(ModelsAlias::Set(arguments)) => {
                alias::set(context, &house, arguments).await
            }
            Models::Alias(ModelsAlias::Remove(arguments)) => {
                alias::remove(context, &house, arguments).await
            }
            Models::Compare(arguments) => compare::run(context, &house, arguments).await,
            Models::Export(arguments) => transfer::export(context, &house, arguments).await,
            Models::Import(arguments) => transfer::import(context, &house, arguments).await,
        }
    })
}
