//! `transform: mask`: hides personal data.

use indexmap::IndexMap;
use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, Kind, MadeOf, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
    },
};
use polars::prelude::*;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    files::io_error,
    frame::{only_input, polars_error},
    hmac::Hmac,
    keys::column,
    settings::Names,
};

/// `transform: mask`.
pub(crate) struct Mask;

/// What is hidden, and how. Missing values stay missing; columns keep their place and become text.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Columns whose values become 32 hexadecimal digits: the first half of HMAC-SHA256 of the value's text. Equal values
    /// become equal ones, in every table that is masked with the same key, so that tables can still be joined; without
    /// the key nobody can try out who is behind them.
    #[serde(default)]
    hash: Names,
    /// The secret that `hash` needs, of 16 bytes or more.
    key: Option<Key>,
    /// Columns whose values are all replaced by the same text.
    #[serde(default)]
    redact: Names,
    /// The text that `redact` puts in their place.
    #[serde(default = "redacted")]
    replacement: String,
    /// Columns of which some characters are left: `phone: {last: 3}`.
    #[serde(default)]
    partial: IndexMap<String, Partial>,
}

fn redacted() -> String {
    "[redacted]".to_owned()
}

/// Where a secret comes from: the environment or a file, never the pipeline.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Key {
    /// The environment variable that holds it.
    env: Option<String>,
    /// The file that holds it, relative to the project; a line break at its end does not count.
    file: Option<String>,
}

/// Which characters stay. A value that would stay as a whole is hidden as a whole.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Partial {
    /// So many at the beginning.
    #[serde(default)]
    first: usize,
    /// So many at the end.
    #[serde(default)]
    last: usize,
    /// What stands in place of each of the others.
    #[serde(default = "star")]
    with: String,
}

fn star() -> String {
    "*".to_owned()
}

/// The shortest key.
const SHORTEST: usize = 16;

impl Operator for Mask {
    type Config = Config;
    const KIND: Kind = Kind::Transform;
    const NAME: &'static str = "mask";
    const SUMMARY: &'static str = "Hides personal data: by a keyed hash, wholly, or in part.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
    }

    fn check(config: &Config, found: &mut Complaints) {
        if config.hash.0.is_empty() && config.redact.0.is_empty() && config.partial.is_empty() {
            found
                .error(&[], "nothing is masked")
                .hint("name columns under `hash`, `redact` or `partial`");
        }
        match &config.key {
            None if !config.hash.0.is_empty() => {
                found
                    .error(&["hash"], "a hash needs a `key`")
                    .hint("write `key: {env: MASK_KEY}` or `key: {file: secrets/mask.key}`: without a key everybody could try values out");
            }
            Some(key) if key.env.is_some() == key.file.is_some() => {
                found.error(&["key"], "a key is either `{env: NAME}` or `{file: path}`");
            }
            _ => {}
        }
        let all = config
            .hash
            .0
            .iter()
            .chain(&config.redact.0)
            .chain(config.partial.keys());
        let all: Vec<&String> = all.collect();
        for (index, name) in all.iter().enumerate() {
            if all.get(..index).is_some_and(|before| before.contains(name)) {
                found.error(&[], format!("`{name}` is masked in two ways"));
            }
        }
    }

    async fn made_of(config: &Config, context: &TaskContext) -> MadeOf {
        match config.key.as_ref().map(|key| key.read(context)) {
            None => MadeOf::Inputs,
            // What is hashed with it tells it from another key, and nothing else about it.
            Some(Ok(key)) => MadeOf::Also(key.hex(b"pipectl: which key is this?", 32)),
            Some(Err(error)) => MadeOf::Unknown(error.full_message()),
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (name, frame) = only_input(context).await?;
        let key = config
            .key
            .as_ref()
            .map(|key| key.read(context))
            .transpose()?;
        let frame = context
            .compute(move || masked(&config, key.as_ref(), &name, frame))
            .await?;
        Ok(Outcome::Done(Output::table(Dataset::from_frame(frame))))
    }
}

impl Key {
    /// The secret, as what hashes with it.
    fn read(&self, context: &TaskContext) -> Result<Hmac, TaskError> {
        let (secret, whence) = match (&self.env, &self.file) {
            (Some(name), _) => {
                let secret = context.project.env.get(name).ok_or_else(|| {
                    TaskError::user(format!("the environment variable `{name}` is not set"))
                        .hint("it holds the key that values are hashed with: any 16 bytes or more, the same for ever")
                })?;
                (
                    secret.as_bytes().to_vec(),
                    format!("the environment variable `{name}`"),
                )
            }
            (None, Some(file)) => {
                let secret = std::fs::read(context.project.path(file));
                let mut secret = secret.map_err(|error| io_error("read", file, error))?;
                while secret
                    .last()
                    .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
                {
                    secret.pop();
                }
                (secret, format!("`{file}`"))
            }
            (None, None) => return Err(TaskError::bug("a key without a place")),
        };
        if secret.len() < SHORTEST {
            return Err(TaskError::user(format!(
                "the key in {whence} is too short: {SHORTEST} bytes are the least"
            ))
            .hint("make one with: openssl rand -hex 32"));
        }
        Ok(Hmac::new(&secret))
    }
}

fn masked(
    config: &Config,
    key: Option<&Hmac>,
    name: &str,
    mut frame: DataFrame,
) -> Result<DataFrame, TaskError> {
    let mut hide = |which: &str, by: &(dyn Fn(&str) -> String + Sync)| {
        let column = column(name, &frame, which)?;
        let texts = texts(column)?;
        let hidden: Vec<Option<String>> = texts
            .into_par_iter()
            .map(|text| text.map(|text| by(&text)))
            .collect();
        frame
            .with_column(Column::new(which.into(), hidden))
            .map(|_| ())
            .map_err(|error| polars_error(&format!("mask `{which}`"), &error))
    };
    for which in &config.hash.0 {
        let key = key.ok_or_else(|| TaskError::bug("a hash without a key"))?;
        hide(which, &|text| key.hex(text.as_bytes(), 16))?;
    }
    for which in &config.redact.0 {
        hide(which, &|_| config.replacement.clone())?;
    }
    for (which, partial) in &config.partial {
        hide(which, &|text| partial.hide(text))?;
    }
    Ok(frame)
}

/// A column as texts.
fn texts(column: &Column) -> Result<Vec<Option<String>>, TaskError> {
    let texts = column.as_materialized_series().cast(&DataType::String);
    let texts =
        texts.map_err(|error| polars_error(&format!("read `{}`", column.name()), &error))?;
    let texts = texts
        .str()
        .map_err(|error| polars_error(&format!("read `{}`", column.name()), &error))?;
    Ok(texts
        .iter()
        .map(|text| text.map(ToOwned::to_owned))
        .collect())
}

impl Partial {
    fn hide(&self, text: &str) -> String {
        let count = text.chars().count();
        let hidden = count.saturating_sub(self.first + self.last);
        let mut shown = String::with_capacity(text.len());
        for (index, character) in text.chars().enumerate() {
            if hidden > 0 && (index < self.first || index >= count - self.last) {
                shown.push(character);
            } else {
                shown.push_str(&self.with);
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, complaints, frame};
    use serde_json::{Value, json};

    use super::*;

    fn people() -> DataFrame {
        df![
            "id" => [Some(17_i64), Some(4), None, Some(17)],
            "mail" => [Some("ada@example.com"), Some("bob@example.com"), None, Some("ada@example.com")],
            "phone" => [Some("030 1234567"), Some("12"), None, Some("äöü")],
        ]
        .unwrap()
    }

    fn project() -> TestProject {
        let project = TestProject::new();
        project.write("mask.key", "0123456789abcdef\n");
        project.write("short.key", "0123");
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        project.with_environment(&[variable("MASK_KEY", "0123456789abcdef")])
    }

    fn cells(frame: &DataFrame, name: &str) -> Vec<Option<String>> {
        let column = frame.column(name).unwrap().str().unwrap().clone();
        column
            .iter()
            .map(|text| text.map(ToOwned::to_owned))
            .collect()
    }

    #[tokio::test]
    async fn a_hash_joins_but_tells_nothing() {
        let from = |key: Value| json!({"hash": ["mail", "id"], "key": key});
        let mut found = Vec::new();
        for key in [json!({"env": "MASK_KEY"}), json!({"file": "mask.key"})] {
            let output = project().run_on::<Mask>(people(), from(key)).await.unwrap();
            found.push(frame(&output));
        }
        assert!(found[0].equals_missing(&found[1]));
        let mails = cells(&found[0], "mail");
        // python3 -c 'import hmac; print(hmac.new(b"0123456789abcdef", b"ada@example.com", "sha256").hexdigest()[:32])'
        assert_eq!(
            mails[0].as_deref(),
            Some("512383176ce1b4c279ee430548cf07ec")
        );
        assert_eq!(
            (mails[0] == mails[3], mails[0] == mails[1], &mails[2]),
            (true, false, &None)
        );
        assert_eq!(cells(&found[0], "id")[0], cells(&found[0], "id")[3]);
    }

    #[tokio::test]
    async fn values_are_hidden_wholly_or_in_part() {
        let settings = json!({
            "redact": "mail", "replacement": "-",
            "partial": {"phone": {"first": 1, "last": 2}, "id": {"last": 1, "with": "#"}},
        });
        let found = frame(&project().run_on::<Mask>(people(), settings).await.unwrap());
        let some =
            |texts: [Option<&str>; 4]| texts.map(|text| text.map(ToOwned::to_owned)).to_vec();
        assert_eq!(
            cells(&found, "mail"),
            some([Some("-"), Some("-"), None, Some("-")])
        );
        assert_eq!(
            cells(&found, "phone"),
            some([Some("0********67"), Some("**"), None, Some("***")])
        );
        assert_eq!(
            cells(&found, "id"),
            some([Some("#7"), Some("#"), None, Some("#7")])
        );
        assert_eq!(found.get_column_names(), ["id", "mail", "phone"]);
    }

    #[tokio::test]
    async fn misuse_is_explained() {
        let key = json!({"env": "MASK_KEY"});
        for (settings, message) in [
            (
                json!({"hash": "mial", "key": key}),
                "`rows` has no column `mial`",
            ),
            (
                json!({"hash": "mail", "key": {"env": "NO_KEY"}}),
                "the environment variable `NO_KEY` is not set",
            ),
            (
                json!({"hash": "mail", "key": {"file": "no.key"}}),
                "cannot read `no.key`",
            ),
            (
                json!({"hash": "mail", "key": {"file": "short.key"}}),
                "the key in `short.key` is too short: 16 bytes are the least",
            ),
        ] {
            let error = project()
                .run_on::<Mask>(people(), settings)
                .await
                .unwrap_err();
            assert_eq!(error.message, message);
        }
    }

    #[test]
    fn settings_are_checked() {
        for (settings, complaint) in [
            (json!({}), ": nothing is masked"),
            (json!({"hash": "a"}), "hash: a hash needs a `key`"),
            (
                json!({"hash": "a", "key": {}}),
                "key: a key is either `{env: NAME}` or `{file: path}`",
            ),
            (
                json!({"redact": ["a", "b"], "partial": {"b": {}}}),
                ": `b` is masked in two ways",
            ),
        ] {
            assert_eq!(complaints::<Mask>(settings), [complaint]);
        }
    }
}
