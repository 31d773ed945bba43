//! What the operators that call APIs share: which API, how patiently, and places in an answer's JSON.

use std::time::Duration;

use indexmap::IndexMap;
use pipectl_connections::{Call, Caller, HttpClient, Target};
use pipectl_engine::{
    operator::{Complaints, ConnectionName, DurationText, ProbeContext, TaskContext, TaskError},
    project::Project,
    services::Services,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::sensing::connector;

/// What an API is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    /// To answer.
    Get,
    /// To take something, or to answer a question that stands in the body.
    Post,
    /// To put something in a place.
    Put,
    /// To change something.
    Patch,
    /// To remove something.
    Delete,
}

impl Method {
    /// The call of this method.
    pub(crate) fn call(self, target: Target) -> Call {
        match self {
            Self::Get => Call::get(target),
            Self::Post => Call::post(target),
            Self::Put => Call::put(target),
            Self::Patch => Call::patch(target),
            Self::Delete => Call::delete(target),
        }
    }
}

/// Where an API is: behind a connection, or at an address.
pub(crate) struct Place<'a> {
    pub(crate) connection: Option<&'a ConnectionName>,
    pub(crate) path: &'a str,
    pub(crate) url: Option<&'a str>,
}

impl Place<'_> {
    /// Looks for settings that do not go together.
    pub(crate) fn check(&self, found: &mut Complaints) {
        match (self.connection, self.url) {
            (None, None) => {
                found
                    .error(&[], "neither `connection` nor `url` is given")
                    .hint("write `connection` and `path`, or the whole address as `url`");
            }
            (Some(_), Some(_)) => {
                found
                    .error(&["url"], "both `connection` and `url` are given")
                    .hint("write what follows the connection's address as `path`");
            }
            (None, Some(_)) if !self.path.is_empty() => {
                found
                    .error(&["path"], "`url` is the whole address already")
                    .hint("leave `path` out");
            }
            _ => {}
        }
    }

    /// The client, and the target of a call there.
    ///
    /// # Errors
    /// When there is no such connection, or its address is none of an API.
    pub(crate) async fn open(
        &self,
        project: &Project,
        services: &Services,
    ) -> Result<(HttpClient, Target), TaskError> {
        let connector = connector(services);
        if let Some(connection) = self.connection {
            let client = connector.api(project, &connection.0).await?;
            return Ok((client, Target::Path(self.path.to_owned())));
        }
        let address = self.url.unwrap_or_default();
        let wrong = || {
            TaskError::user(format!("`{address}` is no address"))
                .hint("write `https://api.example.com/v2/things`")
        };
        let mut url = Url::parse(address).map_err(|_| wrong())?;
        let query = url.query().map(ToOwned::to_owned);
        let path = url.path().to_owned();
        url.set_query(None);
        url.set_fragment(None);
        url.set_path("");
        let client = connector.api_at(url.as_str()).await?;
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        Ok((client, Target::Path(format!("{path}{query}"))))
    }

    /// Whether a call could be made there.
    ///
    /// # Errors
    /// As `open`.
    pub(crate) async fn probe(&self, context: &ProbeContext) -> Result<(), TaskError> {
        self.open(&context.project, &context.services)
            .await
            .map(drop)
    }
}

/// The statuses that an operator calls success; every 2xx when none is named.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(crate) struct Statuses(Vec<u16>);

impl Statuses {
    /// Looks for numbers that are no status.
    pub(crate) fn check(&self, found: &mut Complaints) {
        if let Some(wrong) = self.0.iter().find(|status| !(100..600).contains(*status)) {
            found.error(&["status"], format!("`{wrong}` is no status"));
        }
    }

    /// Whether `status` is one of them.
    pub(crate) fn have(&self, status: u16) -> bool {
        if self.0.is_empty() {
            (200..300).contains(&status)
        } else {
            self.0.contains(&status)
        }
    }
}

/// What the settings of a call are when they are left out.
pub(crate) mod defaults {
    use super::{Duration, DurationText};

    /// `answer_within`.
    pub(crate) fn one_minute() -> DurationText {
        DurationText(Duration::from_secs(60))
    }

    /// `longest_wait`.
    pub(crate) fn five_minutes() -> DurationText {
        DurationText(Duration::from_secs(300))
    }

    /// `retries`.
    pub(crate) fn five() -> u32 {
        5
    }

    /// `parallel`.
    pub(crate) fn four() -> u16 {
        4
    }
}

/// Calls with the attempt's clock; tries that fail are told in its log.
pub(crate) async fn with_caller<T>(
    context: &TaskContext,
    work: impl AsyncFnOnce(&Caller<'_>) -> T,
) -> T {
    let log = context.log.clone();
    let tell = move |line: String| log.warn(line);
    let caller = Caller {
        clock: context.clock.as_ref(),
        tell: &tell,
    };
    work(&caller).await
}

/// Query parameters: a list gives one for each of its items, what is null is left out.
///
/// # Errors
/// When one is a map.
pub(crate) fn query(settings: &Map<String, Value>) -> Result<Vec<(String, String)>, TaskError> {
    let mut query = Vec::new();
    for (name, value) in settings {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for item in items {
            match item {
                Value::Null => {}
                Value::Object(_) | Value::Array(_) => {
                    return Err(TaskError::user(format!(
                        "the parameter `{name}` of `query` is no plain value"
                    )));
                }
                Value::String(text) => query.push((name.clone(), text.clone())),
                plain => query.push((name.clone(), plain.to_string())),
            }
        }
    }
    Ok(query)
}

/// Headers as pairs.
pub(crate) fn headers(settings: &IndexMap<String, String>) -> Vec<(String, String)> {
    let all = settings.iter();
    all.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What stands at `path` in JSON: names and places in lists with dots between them; `$` is the whole.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path == "$" {
        return Some(value);
    }
    // A name may have dots itself.
    if let Some(found) = value.as_object().and_then(|map| map.get(path)) {
        return Some(found);
    }
    path.split('.').try_fold(value, |value, part| match value {
        Value::Object(map) => map.get(part),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// A value as text: a text without its quotes, anything else as JSON.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Runs `work` until the attempt is to stop.
///
/// # Errors
/// Those of `work`; and when the attempt is to stop.
pub(crate) async fn unless_cancelled<T>(
    context: &TaskContext,
    work: impl Future<Output = Result<T, TaskError>>,
) -> Result<T, TaskError> {
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::external("the attempt was stopped")),
        result = work => result,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_in_json() {
        let value = json!({"a": {"b": [{"c": 1}]}, "d.e": 2});
        for (path, expected) in [
            ("a.b.0.c", Some(json!(1))),
            ("d.e", Some(json!(2))),
            ("$", Some(value.clone())),
            ("a.x", None),
            ("a.b.1", None),
            ("a.b.0.c.d", None),
        ] {
            assert_eq!(at(&value, path).cloned(), expected, "{path}");
        }
    }

    #[test]
    fn parameters_are_plain() {
        let settings = json!({"a": "x y", "b": 3, "c": [1, "z"], "d": null, "e": true});
        let pairs = query(settings.as_object().unwrap()).unwrap();
        let expected = [
            ("a", "x y"),
            ("b", "3"),
            ("c", "1"),
            ("c", "z"),
            ("e", "true"),
        ];
        assert_eq!(
            pairs,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        let error = query(json!({"a": {"b": 1}}).as_object().unwrap()).unwrap_err();
        assert_eq!(
            error.message,
            "the parameter `a` of `query` is no plain value"
        );
    }
}
