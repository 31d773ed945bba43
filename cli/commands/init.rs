//! `pipectl init DIR`: a new project that runs at once.

use std::path::Path;

use crate::{
    arguments,
    exit::{Exit, Problem},
    output::DIM,
    project::Context,
};

/// The files of a new project.
const FILES: [(&str, &str); 6] = [
    ("pipectl.yaml", include_str!("init/pipectl.yaml")),
    (".gitignore", include_str!("init/gitignore")),
    ("README.md", include_str!("init/README.md")),
    ("data/orders.csv", include_str!("init/orders.csv")),
    ("pipelines/sales.yaml", include_str!("init/sales.yaml")),
    (
        "pipelines/fixtures/few_orders.csv",
        include_str!("init/few_orders.csv"),
    ),
];

pub(crate) fn run(context: &Context, arguments: &arguments::Init) -> anyhow::Result<Exit> {
    let directory = &arguments.directory;
    let shown = directory.display();
    // What git, an editor or a look at the empty history has left is in nobody's way.
    let taken = std::fs::read_dir(directory).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        })
    });
    if taken {
        return Err(Problem::usage(format!("`{shown}` is not empty"))
            .hint("name a directory that does not exist yet")
            .into());
    }
    for (name, content) in FILES {
        write(&directory.join(name), content)?;
        context.output.note(
            context
                .output
                .err
                .paint(DIM, format_args!("  {shown}/{name}")),
        );
    }
    context.output.line(format_args!(
        "A new project stands in {shown}. Run it:\n\n  cd {shown}\n  pipectl run sales\n  pipectl test"
    ));
    Ok(Exit::Done)
}

fn write(path: &Path, content: &str) -> Result<(), Problem> {
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, content));
    written.map_err(|error| {
        Problem::environment(format!("cannot write `{}`", path.display())).because(error)
    })
}
