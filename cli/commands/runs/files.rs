//! `pipectl runs files RUN [TASK [NAME]]`: what files a run has kept, and what is in one.

use pipectl_engine::store::{ArtifactRecord, TaskRecord};
use serde_json::{Value, json};

use super::logs::key;
use crate::{
    arguments::{Format, RunsFiles},
    exit::{Exit, Problem},
    project::Context,
    records::{self, find, size},
    table::{Cell, Table},
    wire::{self, House},
};

pub(super) fn run(context: &Context, arguments: &RunsFiles) -> anyhow::Result<Exit> {
    let project = context.project_with_history()?;
    wire::block_on(async {
        let house = House::open(project).await?;
        let run = find(&*house.store, &arguments.run).await?.run.id;
        let mut tasks = records::tasks(&*house.store, run, None).await?;
        if let Some(task) = &arguments.task {
            let wanted = key(task)?;
            let is_it = |record: &TaskRecord| match wanted.element {
                Some(_) => record.key == wanted,
                None => record.key.task == wanted.task,
            };
            if !tasks.iter().any(is_it) {
                let names = tasks.iter().filter(|task| task.key.element.is_none());
                let names: Vec<String> = names.map(|task| task.key.to_string()).collect();
                return Err(Problem::usage(format!("the run has no task `{task}`"))
                    .hint(format!("it has {}", names.join(", ")))
                    .into());
            }
            tasks.retain(is_it);
        }
        let files: Vec<(String, &ArtifactRecord)> = tasks
            .iter()
            .flat_map(|task| {
                let files = task.output.iter().flat_map(|output| &output.artifacts);
                files.map(|file| (task.key.to_string(), file))
            })
            .collect();
        if let Some(name) = &arguments.name {
            return print(context, &house, &files, name).await;
        }
        match arguments.format {
            Format::Json => {
                let files: Vec<Value> = files.iter().map(document).collect();
                context.output.json(&json!({"run": run, "files": files}));
            }
            Format::Text if files.is_empty() => context.output.note("no files"),
            Format::Text => list(context, &files),
        }
        Ok(Exit::Done)
    })
}

fn document((task, file): &(String, &ArtifactRecord)) -> Value {
    json!({
        "task": task,
        "name": file.name,
        "media_type": file.media_type,
        "bytes": file.bytes,
        "path": file.path,
    })
}

fn list(context: &Context, files: &[(String, &ArtifactRecord)]) {
    let mut table = Table::new(["Task", "File", "Size", "Type", "Also at"]);
    for (task, file) in files {
        table.row([
            task.as_str().into(),
            file.name.as_str().into(),
            Cell::right(size(file.bytes)),
            file.media_type.as_str().into(),
            file.path.clone().unwrap_or_default().into(),
        ]);
    }
    context.output.print(table.render(context.output.out));
}

/// Prints the file of this name, as it is.
async fn print(
    context: &Context,
    house: &House,
    files: &[(String, &ArtifactRecord)],
    name: &str,
) -> anyhow::Result<Exit> {
    let mut found = files.iter().filter(|(_, file)| file.name == name);
    let (file, other) = (found.next(), found.next());
    let Some((task, file)) = file else {
        let names: Vec<String> = files
            .iter()
            .map(|(task, file)| format!("`{}` of {task}", file.name))
            .collect();
        let hint = match names.as_slice() {
            [] => "the task has kept no files".to_owned(),
            names => format!("there is {}", names.join(", ")),
        };
        return Err(Problem::usage(format!("there is no file `{name}`"))
            .hint(hint)
            .into());
    };
    if let Some((other, _)) = other {
        return Err(
            Problem::usage(format!("several elements have a file `{name}`"))
                .hint(format!("name one of them: `{task}`, `{other}`"))
                .into(),
        );
    }
    let is_text = file.media_type.starts_with("text/") || file.media_type.contains("json");
    if context.output.out.is_terminal() && !is_text {
        return Err(
            Problem::usage(format!("`{name}` is no text ({})", file.media_type))
                .hint(format!("send it to a file: `> {name}`"))
                .into(),
        );
    }
    let bytes = house.artifacts.get(&file.key).await.map_err(|error| {
        Problem::environment(format!("cannot read `{name}` of `{task}`")).because(error)
    })?;
    context.output.bytes(&bytes);
    Ok(Exit::Done)
}
