//! `predict: text`: classifies texts by a tokenizer and a network, as Hugging Face's tools export them.

mod answer;
mod source;

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext,
        TaskError, ValueType,
    },
};
use pipectl_models::text::{Classification, Limits, TextHooks, TextModel, TextSettings, Truncate};
use polars::prelude::DataFrame;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{answer::Answer, source::load};
use crate::support::{frame::only_input, model::model_error, text::count};

/// `predict: text`.
pub(crate) struct Text;

/// Which texts, by which model.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"column": "review", "model": "zoo:sentiment"}]))]
pub(crate) struct Config {
    /// The column that holds the texts.
    column: String,
    /// The model: `zoo:sentiment`, which ships, or a directory with `model.onnx`, `tokenizer.json` and `config.json`, as
    /// `optimum-cli export onnx` writes it; relative to the project, or `connection://key`, or `s3://bucket/key`.
    model: String,
    /// The connection that the directory is below, when it is not the project.
    connection: Option<ConnectionName>,
    /// What is left out of a text that is longer than the model reads.
    #[serde(default)]
    truncate: TruncateRule,
    /// How many tokens of a text are read at most; as many as the model can when not said.
    #[serde(default)]
    #[schemars(range(min = 3))]
    max_tokens: Option<usize>,
    /// Of two labels: the probability from which the second is predicted; the more probable one when not said. Of labels
    /// that can hold together: the probability from which one holds; 0.5 when not said.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    threshold: Option<f64>,
    /// How large a batch may become.
    #[serde(default)]
    batch: Batch,
}

/// What is left out of a text that is longer than the model reads.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TruncateRule {
    /// Its end.
    #[default]
    End,
    /// Its beginning.
    Start,
    /// Its middle: a quarter of what is kept is its beginning, the rest its end.
    Middle,
    /// Nothing: such a text fails the task.
    Never,
}

/// How large a batch may become. Texts of about one length go through the network together.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Batch {
    /// Texts.
    #[schemars(range(min = 1))]
    rows: usize,
    /// Tokens, padding included: with less of them less memory is used.
    #[schemars(range(min = 1))]
    tokens: usize,
}

impl Default for Batch {
    fn default() -> Self {
        let Limits { rows, tokens } = Limits::default();
        Self { rows, tokens }
    }
}

impl Config {
    fn settings(&self) -> TextSettings {
        TextSettings {
            most_tokens: self.max_tokens,
            truncate: match self.truncate {
                TruncateRule::End => Truncate::End,
                TruncateRule::Start => Truncate::Start,
                TruncateRule::Middle => Truncate::Middle,
                TruncateRule::Never => Truncate::Never,
            },
            limits: Limits {
                rows: self.batch.rows,
                tokens: self.batch.tokens,
            },
        }
    }

    /// What is wrong with it, and where.
    fn wrong(&self) -> Vec<(&'static [&'static str], &'static str)> {
        let mut found: Vec<(&'static [&'static str], &'static str)> = Vec::new();
        if self
            .threshold
            .is_some_and(|threshold| !(0.0..=1.0).contains(&threshold))
        {
            found.push((&["threshold"], "a threshold is a probability, from 0 to 1"));
        }
        if self.max_tokens.is_some_and(|most| most < 3) {
            found.push((
                &["max_tokens"],
                "a text has two special tokens besides its own: 3 at least",
            ));
        }
        if self.batch.rows == 0 {
            found.push((&["batch", "rows"], "a batch holds one text at least"));
        }
        if self.batch.tokens == 0 {
            found.push((&["batch", "tokens"], "a batch holds one token at least"));
        }
        found
    }
}

impl Operator for Text {
    type Config = Config;
    const KIND: Kind = Kind::Predict;
    const NAME: &'static str = "text";
    const SUMMARY: &'static str = "Classifies texts, such as by sentiment: keeps their columns, adds `prediction` and `probability`.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
            .value("model", ValueType::String, "the model that was used")
            .value("digest", ValueType::String, "SHA-256 of its files")
    }

    fn check(config: &Config, found: &mut Complaints) {
        for (path, message) in config.wrong() {
            found.error(path, message);
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        if let Some((path, message)) = config.wrong().first() {
            return Err(TaskError::user(format!("`{}`: {message}", path.join("."))));
        }
        let (name, frame) = only_input(context).await?;
        let texts = answer::texts(&name, &frame, &config.column)?;
        let model = load(context, config.connection.as_ref(), &config.model).await?;
        context
            .log
            .info(format!("`{}` runs in {}", config.model, model.room.name()));
        if let Some(note) = &model.note {
            context
                .log
                .warn(format!("ONNX Runtime was found, but: {note}"));
        }
        let answer = classified(context, &config, frame, texts, model).await?;
        Ok(Outcome::Done(told(context, &config, answer)))
    }
}

/// The rows with their answers.
async fn classified(
    context: &TaskContext,
    config: &Config,
    frame: DataFrame,
    texts: polars::prelude::StringChunked,
    model: TextModel,
) -> Result<Told, TaskError> {
    let (settings, threshold) = (config.settings(), config.threshold);
    let (progress, cancel) = (context.progress.clone(), context.cancel.clone());
    context
        .compute(move || {
            let texts: Vec<Option<&str>> = texts.iter().collect();
            let total = texts.len() as u64;
            let hooks = TextHooks {
                progress: &|done| progress.set(done as u64, Some(total)),
                cancelled: &|| cancel.is_cancelled(),
            };
            let found = model
                .classify(&texts, &settings, &hooks)
                .map_err(model_error)?;
            let answer = Answer::of(&found, threshold);
            Ok(Told {
                rows: answer.append_to(&frame)?,
                shares: answer.shares(),
                most: settings
                    .most_tokens
                    .unwrap_or(usize::MAX)
                    .min(model.most_tokens()),
                digest: model.digest().to_owned(),
                warnings: model.warnings,
                found,
            })
        })
        .await
}

/// What came out.
struct Told {
    rows: DataFrame,
    shares: Vec<(String, f64)>,
    most: usize,
    digest: String,
    warnings: Vec<String>,
    found: Classification,
}

fn told(context: &TaskContext, config: &Config, told: Told) -> Output {
    let rows = told.rows.height() as u64;
    context
        .log
        .info(format!("{} by `{}`", count(rows, "row"), config.model));
    if told.found.silent > 0 {
        let silent = count(told.found.silent as u64, "row");
        context
            .log
            .info(format!("{silent} without a text: their prediction is null"));
    }
    if told.found.cut > 0 {
        let cut = count(told.found.cut as u64, "text");
        context
            .log
            .info(format!("{cut} longer than {} tokens, and cut", told.most));
    }
    let mut output = Output::table(Dataset::from_frame(told.rows))
        .value("model", config.model.clone())
        .value("digest", told.digest);
    #[allow(clippy::cast_precision_loss, reason = "counts of rows")]
    let counted = [
        ("without_text", told.found.silent as f64),
        ("cut", told.found.cut as f64),
    ];
    for (name, value) in counted {
        output = output.metric(name, value);
    }
    for (label, share) in told.shares {
        output = output.metric(format!("share_{label}"), share);
    }
    for warning in told.warnings {
        output = output.warning(warning);
    }
    output
}

#[cfg(test)]
mod tests;
