//! What `run: shell` and `run: python` share: how a script gets its inputs, and what it may leave.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use indexmap::IndexMap;
use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, ConnectionName, Outcome, Output, Outputs, Script, TaskContext, TaskError,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    files::io_error,
    frame::polars_error,
    process::{self, Ended, Program},
    room::{self, Room},
};

/// The script and what it sees.
///
/// Each dataset of `from:` is a Parquet file whose path is in `PIPECTL_INPUT_<NAME>`. What the script leaves as
/// `<name>.parquet`, `<name>.arrow` (Arrow's IPC file) or `<name>.csv` in the directory `PIPECTL_OUTPUT` becomes the dataset of that name (`data` is the
/// main one); a JSON object that it writes to the file `PIPECTL_VALUES` becomes its values. Its lines go to the log.
/// Exit code 99 means skipped, any other but 0 failed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The script itself. Values reach it by `env`.
    pub(crate) script: Option<Script>,
    /// A file with the script, relative to the project, in place of `script`.
    pub(crate) file: Option<String>,
    /// Arguments for the script.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// Environment variables; a value that is no text is given as JSON.
    #[serde(default)]
    pub(crate) env: IndexMap<String, Value>,
    /// Connections whose addresses the script gets, as `PIPECTL_CONNECTION_<NAME>`.
    #[serde(default)]
    pub(crate) connections: Vec<ConnectionName>,
    /// The directory in which it runs, relative to the project; the project's own when it is left out.
    pub(crate) workdir: Option<String>,
}

/// How a kind of script is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Language {
    /// The interpreter.
    pub(crate) program: &'static str,
    /// Its own arguments before the script.
    pub(crate) before: &'static [&'static str],
    /// What a script's file is called.
    pub(crate) extension: &'static str,
}

/// What a script will put out: it alone knows.
pub(crate) fn outputs() -> Outputs {
    Outputs::open()
}

/// Looks for mistakes in the settings.
pub(crate) fn check(config: &Config, found: &mut Complaints) {
    match (&config.script, &config.file) {
        (None, None) => {
            found
                .error(&[], "neither `script` nor `file` is given")
                .hint("write one of them");
        }
        (Some(_), Some(_)) => {
            found
                .error(&["file"], "both `script` and `file` are given")
                .hint("leave one of them out");
        }
        (Some(script), None) if script.0.trim().is_empty() => {
            found.error(&["script"], "the script is empty");
        }
        _ => {}
    }
    for name in config.env.keys() {
        let good = name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_');
        if !good
            || name.is_empty()
            || name.starts_with(|character: char| character.is_ascii_digit())
        {
            found.error(
                &["env", name],
                format!("`{name}` is no name of an environment variable"),
            );
        } else if name.starts_with("PIPECTL_") {
            found
                .error(&["env", name], "names that begin with `PIPECTL_` are ours")
                .hint("choose another name");
        }
    }
}

/// Runs the script and gathers what it has left.
///
/// # Errors
/// When it cannot be started or fails, or leaves what cannot be read.
pub(crate) async fn run(
    config: Config,
    language: Language,
    context: &TaskContext,
) -> Result<Outcome, TaskError> {
    let room = Room::new(context)?;
    let script = match (&config.script, &config.file) {
        (Some(script), _) => {
            let path = room.path.join(format!("script.{}", language.extension));
            fs::write(&path, &script.0)
                .map_err(|error| io_error("write", &path.to_string_lossy(), error))?;
            path
        }
        (None, file) => existing(context, file.as_deref().unwrap_or_default())?,
    };
    let mut arguments: Vec<OsString> = language.before.iter().map(OsString::from).collect();
    arguments.push(script.into());
    arguments.extend(config.args.iter().map(OsString::from));
    let directory = match &config.workdir {
        Some(workdir) => context.project.path(workdir),
        None => context.project.root.clone(),
    };
    if !directory.is_dir() {
        return Err(TaskError::user(format!(
            "there is no directory `{}` to run in",
            directory.display()
        ))
        .hint("`workdir` is relative to the project's directory"));
    }
    let env = environment(&config, context, &room).await?;
    let program = Program {
        name: language.program.as_ref(),
        arguments,
        env,
        directory: &directory,
        talk: None,
    };
    match process::run(context, program).await? {
        Ended::Skipped => Ok(Outcome::Skipped("the script ended with 99".to_owned())),
        Ended::Done => {
            let room_path = room.path.clone();
            let output = context.compute(move || gather(&room_path)).await?;
            Ok(Outcome::Done(output))
        }
    }
}

fn existing(context: &TaskContext, file: &str) -> Result<PathBuf, TaskError> {
    let path = context.project.path(file);
    if path.is_file() {
        return Ok(path);
    }
    Err(
        TaskError::user(format!("there is no script `{file}`")).hint(format!(
            "relative paths hang on the project's directory {}",
            context.project.root.display()
        )),
    )
}

/// The environment: ours without our own settings and secrets, then what the task is to see.
async fn environment(
    config: &Config,
    context: &TaskContext,
    room: &Room,
) -> Result<Vec<(String, String)>, TaskError> {
    let mut env = room::environment(context);
    let mut set = |name: String, value: String| {
        env.retain(|(known, _)| *known != name);
        env.push((name, value));
    };
    set("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
    set("PIPECTL_RUN".to_owned(), context.run.id.to_string());
    set(
        "PIPECTL_PIPELINE".to_owned(),
        context.run.pipeline.to_string(),
    );
    set("PIPECTL_TASK".to_owned(), context.task.key.to_string());
    set(
        "PIPECTL_ATTEMPT".to_owned(),
        context.task.attempt.to_string(),
    );
    set("PIPECTL_SEED".to_owned(), context.seed.to_string());
    set(
        "PIPECTL_PROJECT".to_owned(),
        context.project.root.display().to_string(),
    );
    set(
        "PIPECTL_OUTPUT".to_owned(),
        room.output().display().to_string(),
    );
    set(
        "PIPECTL_VALUES".to_owned(),
        room.path.join("values.json").display().to_string(),
    );
    if let Some(interval) = context.run.interval {
        set(
            "PIPECTL_INTERVAL_START".to_owned(),
            interval.start.to_rfc3339(),
        );
        set("PIPECTL_INTERVAL_END".to_owned(), interval.end.to_rfc3339());
    }
    if let Some(item) = &context.item {
        set("PIPECTL_ITEM".to_owned(), plain(item));
    }
    for connection in &config.connections {
        let address = context.connection(&connection.0)?.url.expose().clone();
        set(
            format!("PIPECTL_CONNECTION_{}", connection.0.to_uppercase()),
            address,
        );
    }
    for (name, dataset) in context.inputs.iter() {
        let path = room.input(context, name, dataset).await?;
        set(
            format!("PIPECTL_INPUT_{}", name.to_uppercase()),
            path.display().to_string(),
        );
    }
    for (name, value) in &config.env {
        set(name.clone(), plain(value));
    }
    Ok(env)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// What the script has left in its room.
fn gather(room: &Path) -> Result<Output, TaskError> {
    let mut output = Output {
        values: values(&room.join("values.json"))?,
        ..Output::default()
    };
    let directory = room.join("output");
    let fail = |error| io_error("read", &directory.to_string_lossy(), error);
    let mut files = Vec::new();
    for entry in fs::read_dir(&directory).map_err(fail)? {
        files.push(entry.map_err(fail)?.path());
    }
    // The main dataset comes first.
    files.sort_by_key(|path| {
        (
            path.file_stem().is_none_or(|stem| stem != Outputs::MAIN),
            path.clone(),
        )
    });
    for path in files {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let shown = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let doing = format!("read `{shown}`, which the script has left");
        let Some(frame) = room::table(&path) else {
            return Err(TaskError::user(format!(
                "the script has left `{shown}`, which is no dataset"
            ))
            .hint(
                "write `<name>.parquet`, `<name>.arrow` or `<name>.csv`; other files belong elsewhere",
            ));
        };
        let frame = frame.map_err(|error| polars_error(&doing, &error))?;
        output = output.dataset(name, Dataset::from_frame(frame));
    }
    Ok(output)
}

fn values(path: &Path) -> Result<Map<String, Value>, TaskError> {
    let Ok(content) = fs::read(path) else {
        return Ok(Map::new());
    };
    if content.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&content).map_err(|error| {
        TaskError::user("what the script has written to `PIPECTL_VALUES` is no JSON object")
            .because(error)
    })
}
