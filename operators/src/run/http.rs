//! `run: http`: calls an API, once or for each row of a table.

mod calls;
mod results;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use pipectl_engine::operator::{
    Complaints, ConnectionName, DurationText, Kind, Operator, Outcome, Outputs, ProbeContext,
    SizeText, Takes, TaskContext, TaskError, ValueType,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::support::api::{Method, Place, Statuses, defaults, unless_cancelled};

/// `run: http`.
pub(crate) struct Http;

/// Which API, and what it is sent: once, or for each row of `from:`, which expressions see as `item`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The connection to the API: its address, credentials and rate limit.
    connection: Option<ConnectionName>,
    /// What follows the connection's address, as in `clients/${{ item.id }}`.
    #[serde(default)]
    path: Value,
    /// The whole address of an API that needs no credentials, in place of `connection` and `path`.
    url: Option<String>,
    /// What the API is asked to do.
    #[serde(default = "post")]
    method: Method,
    /// Parameters of the address.
    #[serde(default)]
    query: IndexMap<String, Value>,
    /// Headers besides those of the connection.
    #[serde(default)]
    headers: IndexMap<String, Value>,
    /// The body, sent as JSON. Without it a row is sent as it is, unless the method is `get` or `delete`.
    body: Option<Value>,
    /// The statuses that count as success; every 2xx when it is left out.
    #[serde(default)]
    status: Statuses,
    /// How many rows may fail before the task fails. It then sends no more, and what was answered so far is kept with
    /// the failure. Rows that have failed stand in the dataset with their `error`.
    #[serde(default)]
    max_failures: u64,
    /// Values taken from each answer's JSON, by their place in it, as in `{label: predictions.0.label}`; they become
    /// columns.
    #[serde(default)]
    values: IndexMap<String, String>,
    /// The columns of the rows that stand in the dataset beside `status`, `body` and `error`; all when it is left out.
    keep: Option<Vec<String>>,
    /// How many calls are under way at once.
    #[serde(default = "defaults::four")]
    parallel: u16,
    /// Whether the API may get the same call twice without harm. What breaks off is then tried again; without it only
    /// what the API surely has not heard or not served. `get`, `put` and `delete` always may be. Each call bears an
    /// `Idempotency-Key` of its own, the same in every try.
    #[serde(default)]
    repeatable: bool,
    /// How long an answer may take, to its last byte.
    #[serde(default = "defaults::one_minute")]
    answer_within: DurationText,
    /// How often a call is tried again, with growing pauses or those that the API asks for (`Retry-After`).
    #[serde(default = "defaults::five")]
    retries: u32,
    /// When the API asks for a longer pause than this, the call has failed.
    #[serde(default = "defaults::five_minutes")]
    longest_wait: DurationText,
    /// How large an answer may be.
    #[serde(default = "large")]
    max_bytes: SizeText,
}

fn post() -> Method {
    Method::Post
}

fn large() -> SizeText {
    SizeText(16 * 1024 * 1024)
}

impl Config {
    fn place(&self) -> Place<'_> {
        Place {
            connection: self.connection.as_ref(),
            // The rows' own paths come later.
            path: self.path.as_str().unwrap_or_default(),
            url: self.url.as_deref(),
        }
    }
}

impl Operator for Http {
    type Config = Config;
    const KIND: Kind = Kind::Run;
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "Calls an API, once or for each row of a table.";
    const TAKES: Takes = Takes::Optional;
    const ROW_SETTINGS: &'static [&'static str] = &["path", "query", "headers", "body"];

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
            .value(
                "status",
                ValueType::Integer,
                "the answer's status, when there is one call",
            )
            .value(
                "body",
                ValueType::Any,
                "the answer: its JSON, else its text, when there is one call",
            )
            .value(
                "succeeded",
                ValueType::Integer,
                "how many calls have succeeded",
            )
            .value("failed", ValueType::Integer, "how many calls have failed")
    }

    fn check(config: &Config, found: &mut Complaints) {
        config.place().check(found);
        if matches!(config.method, Method::Get) && config.body.is_some() {
            found
                .error(&["body"], "a call by `get` has no body")
                .hint("leave it out, or write `method: post`");
        }
        if config.parallel == 0 {
            found
                .error(&["parallel"], "nothing would be sent")
                .hint("write a number from 1 on");
        }
        let reserved = config
            .values
            .keys()
            .find(|name| results::OWN.contains(&name.as_str()));
        if let Some(name) = reserved {
            found
                .error(
                    &["values", name],
                    format!("`{name}` is a column of its own already"),
                )
                .hint("give it another name");
        }
        config.status.check(found);
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        config.place().probe(context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        unless_cancelled(context, calls::all(config, context)).await
    }
}
