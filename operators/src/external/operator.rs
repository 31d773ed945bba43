//! A program as an operator.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use indexmap::IndexMap;
use pipectl_engine::{
    artifact::sha256_of_file,
    dataset::Dataset,
    operator::{
        Artifact, BoxFuture, Complaints, ConnectionName, DynOperator, ErasedConfig, Kind, MadeOf,
        Outcome, Output, Outputs, ProbeContext, Senses, Takes, TaskContext, TaskError,
    },
};
use schemars::Schema;
use serde_json::{Map, Value};

use super::{
    description::{Description, describe, kept},
    protocol::{Answer, Failure, Request, Table},
};
use crate::support::{
    files::io_error,
    frame::polars_error,
    process::{self, Ended, Program, Talk},
    room::{self, Room},
};

/// How long an answer may be.
const LONGEST: u64 = 16 << 20;

/// An operator that is a program; a plan may hold on to it for as long as it likes.
#[derive(Clone, Copy, Debug)]
pub(super) struct External(&'static Inside);

#[derive(Debug)]
struct Inside {
    kind: Kind,
    name: &'static str,
    program: PathBuf,
    /// What it says of itself, asked when that is needed for the first time.
    described: OnceLock<Described>,
}

#[derive(Debug)]
struct Described {
    takes: Takes,
    summary: &'static str,
    description: Result<Description, String>,
}

impl External {
    pub(super) fn new(kind: Kind, name: &str, program: PathBuf) -> Self {
        Self(Box::leak(Box::new(Inside {
            kind,
            name: kept(name),
            program,
            described: OnceLock::new(),
        })))
    }

    fn described(self) -> &'static Described {
        self.0.described.get_or_init(|| {
            let description = describe(&self.0.program);
            let (takes, summary) = match &description {
                Ok(description) => (description.takes(), kept(&description.summary)),
                // The complaint about it shall be the only one.
                Err(_) => (
                    Takes::Any,
                    "A program that cannot be used: `pipectl plugin check` says why.",
                ),
            };
            Described {
                takes,
                summary,
                description,
            }
        })
    }

    fn description(self) -> Option<&'static Description> {
        self.described().description.as_ref().ok()
    }

    async fn work(self, settings: &Value, context: &TaskContext) -> Result<Outcome, TaskError> {
        let room = Room::new(context)?;
        let request = self.request(settings, context, &room).await?;
        let [asked, answered] = ["request.json", "answer.json"].map(|name| room.path.join(name));
        fs::write(&asked, request)
            .map_err(|error| io_error("write", &asked.to_string_lossy(), error))?;
        let program = Program {
            name: self.0.program.as_os_str(),
            arguments: vec!["run".into()],
            env: room::environment(context),
            directory: &context.project.root,
            talk: Some(Talk {
                request: &asked,
                answer: &answered,
            }),
        };
        let ended = process::run(context, program).await;
        let answer = self.answer(&answered);
        // What it says itself of its failure is better than its exit code.
        if let Ok(Answer {
            error: Some(failure),
            ..
        }) = answer
        {
            return Err(failure.into());
        }
        if ended? == Ended::Skipped {
            return Ok(Outcome::Skipped("the program ended with 99".to_owned()));
        }
        let answer = answer?;
        if let Some(reason) = answer.skipped {
            return Ok(Outcome::Skipped(reason));
        }
        let declared = self.description().map(Description::outputs);
        let output = context.compute(move || gather(answer, &room, &declared.unwrap_or_default()));
        output.await.map(Outcome::Done)
    }

    async fn request(
        self,
        settings: &Value,
        context: &TaskContext,
        room: &Room,
    ) -> Result<Vec<u8>, TaskError> {
        let mut inputs = IndexMap::new();
        for (name, dataset) in context.inputs.iter() {
            let path = room.input(context, name, dataset).await?;
            let table = Table {
                path: path.display().to_string(),
                rows: dataset.known_rows(),
            };
            inputs.insert(name, table);
        }
        let schema = self.description().map(|description| &description.settings);
        let mut names = Vec::new();
        if let Some(schema) = schema {
            connections(&Value::Object(schema.clone()), settings, &mut names);
        }
        let mut connections = BTreeMap::new();
        for name in names {
            let address = context.connection(name)?.url.expose().clone();
            connections.insert(name, address);
        }
        let output = room.output().display().to_string();
        let request = Request::new(context, settings, inputs, connections, output);
        serde_json::to_vec(&request)
            .map_err(|error| TaskError::bug("cannot write the request").because(error))
    }

    fn answer(self, path: &Path) -> Result<Answer, TaskError> {
        let shown = self.0.program.display();
        let long = path.metadata().is_ok_and(|is| is.len() > LONGEST);
        if long {
            let message = format!("the answer of `{shown}` is longer than {LONGEST} bytes");
            return Err(TaskError::user(message).hint("tables belong into the output directory"));
        }
        let text =
            fs::read(path).map_err(|error| io_error("read", &path.to_string_lossy(), error))?;
        serde_json::from_slice(&text).map_err(|error| {
            TaskError::user(format!("`{shown}` has not answered as it should"))
                .because(error)
                .hint("standard output is for the answer alone; what people are to read goes to standard error")
        })
    }
}

impl From<Failure> for TaskError {
    fn from(failure: Failure) -> Self {
        let error = if failure.retryable {
            Self::external(failure.message)
        } else {
            Self::user(failure.message)
        };
        match failure.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl DynOperator for External {
    fn kind(&self) -> Kind {
        self.0.kind
    }

    fn name(&self) -> &'static str {
        self.0.name
    }

    fn summary(&self) -> &'static str {
        self.described().summary
    }

    fn takes(&self) -> Takes {
        self.described().takes
    }

    fn schema(&self) -> Schema {
        let schema = self.description().map(|description| &description.settings);
        schema.cloned().map(Schema::from).unwrap_or_default()
    }

    fn parse(&self, settings: &Value) -> Result<ErasedConfig, serde_json::Error> {
        Ok(Box::new(settings.clone()))
    }

    fn outputs(&self, _: &ErasedConfig) -> Outputs {
        self.description()
            .map_or_else(Outputs::open, Description::outputs)
    }

    fn check(&self, _: &ErasedConfig, found: &mut Complaints) {
        if let Err(error) = &self.described().description {
            let program = self.0.program.display();
            found
                .error(&[], format!("`{program}` cannot be used: {error}"))
                .hint(format!("`pipectl plugin check {program}` tells more"));
        }
    }

    fn senses(&self, _: &ErasedConfig) -> Option<Senses> {
        None
    }

    fn probe<'a>(
        &self,
        _: &'a ErasedConfig,
        _: &'a ProbeContext,
    ) -> BoxFuture<'a, Result<(), TaskError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn made_of<'a>(&self, _: &'a ErasedConfig, context: &'a TaskContext) -> BoxFuture<'a, MadeOf> {
        let program = &self.0.program;
        Box::pin(async move {
            let hash = context.compute(move || {
                let fail = |error| io_error("read", &program.to_string_lossy(), error);
                sha256_of_file(program).map(|(hash, _)| hash).map_err(fail)
            });
            match hash.await {
                Ok(hash) => MadeOf::Also(hash),
                Err(error) => MadeOf::Unknown(error.full_message()),
            }
        })
    }

    fn run<'a>(
        &self,
        config: ErasedConfig,
        context: &'a TaskContext,
    ) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        let this = *self;
        Box::pin(async move {
            let settings = config
                .downcast::<Value>()
                .map_err(|_| TaskError::bug("an operator was given the settings of another one"))?;
            this.work(&settings, context).await
        })
    }
}

/// The connections that `settings` name, by the schema's marks.
fn connections<'a>(schema: &Value, settings: &'a Value, names: &mut Vec<&'a str>) {
    match settings {
        Value::String(name) if schema["format"] == ConnectionName::FORMAT => names.push(name),
        Value::Array(items) => {
            for item in items {
                connections(&schema["items"], item, names);
            }
        }
        Value::Object(settings) => {
            for (name, setting) in settings {
                let schema = schema["properties"]
                    .get(name)
                    .unwrap_or(&schema["additionalProperties"]);
                connections(schema, setting, names);
            }
        }
        _ => {}
    }
}

/// What the program has left, as it answers.
fn gather(answer: Answer, room: &Room, declared: &Outputs) -> Result<Output, TaskError> {
    let mut output = Output {
        values: answer.values,
        metrics: answer.metrics,
        warnings: answer.warnings,
        ..Output::default()
    };
    missing(&output.values, &answer.datasets, declared)?;
    for (name, path) in answer.datasets {
        let wrong = |what: &str| {
            TaskError::user(format!(
                "`{path}`, which is to be the dataset `{name}`, {what}"
            ))
        };
        let Some(frame) = room::table(&within(room, &path)?) else {
            return Err(wrong("is no table").hint("write .parquet, .arrow or .csv"));
        };
        let doing = format!("read `{path}`, which is to be the dataset `{name}`");
        let frame = frame.map_err(|error| polars_error(&doing, &error))?;
        output = output.dataset(name, Dataset::from_frame(frame));
    }
    for (name, file) in answer.artifacts {
        let path = within(room, &file.path)?;
        let content = fs::read(&path).map_err(|error| io_error("read", &file.path, error))?;
        output = output.artifact(Artifact {
            name,
            media_type: file.media_type,
            content: content.into(),
            path: None,
        });
    }
    Ok(output)
}

fn missing(
    values: &Map<String, Value>,
    datasets: &IndexMap<String, String>,
    declared: &Outputs,
) -> Result<(), TaskError> {
    let dataset = declared.datasets.iter().map(|dataset| &dataset.name);
    let value = declared.values.iter().map(|value| &value.name);
    let gone = dataset
        .filter(|name| !datasets.contains_key(*name))
        .map(|name| format!("the dataset `{name}`"))
        .chain(
            value
                .filter(|name| !values.contains_key(*name))
                .map(|name| format!("the value `{name}`")),
        );
    let gone: Vec<String> = gone.collect();
    if gone.is_empty() {
        return Ok(());
    }
    let message = format!("the program has not put out {}", gone.join(", "));
    Err(TaskError::user(message).hint("its description says that it does"))
}

/// A path of an answer; it must lie in the room.
fn within(room: &Room, path: &str) -> Result<PathBuf, TaskError> {
    let output = room.output();
    let full = output.join(path);
    let real = fs::canonicalize(&full).map_err(|error| io_error("read", path, error))?;
    let inside = fs::canonicalize(&output).is_ok_and(|output| real.starts_with(output));
    if inside {
        return Ok(real);
    }
    Err(
        TaskError::user(format!("`{path}` does not lie in the output directory"))
            .hint("the request's `output` says where that is"),
    )
}
