//! `pipectl init DIR`: a new project that runs at once.

use std::path::{Path, PathBuf};

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
    let was_there = directory.is_dir();
    for (place, (name, content)) in FILES.iter().enumerate() {
        if let Err(problem) = write(&directory.join(name), content) {
            undo(directory, was_there, &FILES[..=place]);
            return Err(problem.into());
        }
        context.output.note(
            context
                .output
                .err
                .paint(DIM, format_args!("  {shown}/{name}")),
        );
    }
    let (place, go) = if directory == Path::new(".") {
        ("here".to_owned(), String::new())
    } else {
        (format!("in {shown}"), format!("  cd {shown}\n"))
    };
    context.output.line(format_args!(
        "A new project stands {place}. Run it:\n\n{go}  pipectl run sales\n  pipectl test"
    ));
    Ok(Exit::Done)
}

/// Takes away what was written of a project that could not be written whole. What was there before stays.
fn undo(directory: &Path, was_there: bool, written: &[(&str, &str)]) {
    for (name, _) in written {
        let _gone = std::fs::remove_file(directory.join(name));
    }
    let mut empty: Vec<PathBuf> = ["data", "pipelines/fixtures", "pipelines"]
        .map(|name| directory.join(name))
        .into();
    if !was_there {
        empty.push(directory.to_owned());
    }
    for directory in empty {
        // One that is not empty, or was never made, is left alone.
        let _gone = std::fs::remove_dir(directory);
    }
}

fn write(path: &Path, content: &str) -> Result<(), Problem> {
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, content));
    written.map_err(|error| {
        Problem::environment(format!("cannot write `{}`", path.display()))
            .because(error)
            .hint("is there room on the disk, and may you write there? Nothing of the project was left")
    })
}
