//! The server: calls with JSON, and what its refusals mean.

use std::time::Duration;

use bytes::Bytes;
use pipectl_engine::operator::TaskError;
use serde_json::Value;

use crate::http::{Answer, Call, Caller, HttpClient, Patience, Target};

/// Where the REST API begins.
const API: &str = "api/2.0/mlflow";
/// Where files of runs are put.
const ARTIFACTS: &str = "api/2.0/mlflow-artifacts/artifacts";
/// No answer but a file is larger.
const ANSWER: u64 = 64 << 20;
/// No model that is fetched is larger.
const MODEL: u64 = 4 << 30;
/// How much of what the server says a message shows.
const SHOWN: usize = 300;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a file may take on its way.
const FILE_WITHIN: Duration = Duration::from_secs(600);

/// An MLflow tracking server.
#[derive(Clone, Debug)]
pub struct Mlflow {
    client: HttpClient,
    patience: Patience,
}

/// What the server has answered.
pub(super) enum Reply {
    /// What was asked for.
    Done(Value),
    /// That something is not there, or is there already: its code for it.
    Refused(String, TaskError),
}

impl Mlflow {
    pub(crate) fn new(client: HttpClient) -> Self {
        Self {
            client,
            patience: Patience {
                timeout: ANSWER_WITHIN,
                retries: 2,
                longest_wait: Duration::from_secs(30),
                max_bytes: ANSWER,
            },
        }
    }

    /// The same server, asked with less patience: there are those who wait for the answer.
    #[must_use]
    pub fn impatient(mut self) -> Self {
        self.patience.timeout = Duration::from_secs(5);
        self.patience.retries = 1;
        self.patience.longest_wait = Duration::from_secs(2);
        self
    }

    /// The server's address without credentials, for messages.
    pub fn shown(&self) -> String {
        self.client.shown()
    }

    /// The server's version.
    ///
    /// # Errors
    /// When it does not answer, or is no MLflow.
    pub async fn version(&self, caller: &Caller<'_>) -> Result<String, TaskError> {
        let call = Call::get(Target::Path("version".to_owned()));
        let answer = self.client.send(&call, &self.patience, caller).await?;
        let text = String::from_utf8_lossy(&answer.success()?.body)
            .trim()
            .to_owned();
        if text.starts_with(|first: char| first.is_ascii_digit()) && text.len() < 40 {
            return Ok(text);
        }
        Err(TaskError::user(format!(
            "{} is no MLflow server",
            self.shown()
        )))
    }

    /// Asks for something.
    pub(super) async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        caller: &Caller<'_>,
    ) -> Result<Reply, TaskError> {
        let mut call = Call::get(Target::Path(format!("{API}/{path}")));
        let pairs = query.iter();
        call.query = pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let answer = self.client.send(&call, &self.patience, caller).await?;
        reply(answer)
    }

    /// Has something done that may be done twice without harm.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &Value,
        caller: &Caller<'_>,
    ) -> Result<Reply, TaskError> {
        let mut call = Call::post(Target::Path(format!("{API}/{path}"))).json(body);
        call.repeatable = true;
        let answer = self.client.send(&call, &self.patience, caller).await?;
        reply(answer)
    }

    /// Has something done that would be there twice.
    pub(super) async fn post_once(
        &self,
        path: &str,
        body: &Value,
        caller: &Caller<'_>,
    ) -> Result<Reply, TaskError> {
        let call = Call::post(Target::Path(format!("{API}/{path}"))).json(body);
        let answer = self.client.send(&call, &self.patience, caller).await?;
        reply(answer)
    }

    /// Puts a file at a place below the artifacts.
    pub(super) async fn put(
        &self,
        place: &str,
        content: Bytes,
        caller: &Caller<'_>,
    ) -> Result<(), TaskError> {
        let mut call = Call::put(Target::Path(format!("{ARTIFACTS}/{place}")));
        let kind = "application/octet-stream".to_owned();
        call.headers.push(("content-type".to_owned(), kind));
        call.body = Some(content);
        let patience = Patience {
            timeout: FILE_WITHIN.min(self.patience.timeout * 10),
            ..self.patience
        };
        let answer = self.client.send(&call, &patience, caller).await?;
        done(reply(answer)?).map(drop)
    }

    /// A file of a registered version.
    pub(super) async fn file(
        &self,
        query: [(&str, &str); 3],
        caller: &Caller<'_>,
    ) -> Result<Bytes, TaskError> {
        // The server reads it wherever it keeps it: on its disk or in a bucket that only it can reach.
        let mut call = Call::get(Target::Path("model-versions/get-artifact".to_owned()));
        call.query = query
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        let patience = Patience {
            timeout: FILE_WITHIN,
            max_bytes: MODEL,
            ..self.patience
        };
        let answer = self.client.send(&call, &patience, caller).await?;
        if answer.is_success() {
            return Ok(answer.body);
        }
        Err(refusal(answer)?.1)
    }
}

fn reply(answer: Answer) -> Result<Reply, TaskError> {
    if answer.is_success() {
        if answer.body.is_empty() {
            return Ok(Reply::Done(Value::Null));
        }
        return answer.json().map(Reply::Done);
    }
    let (code, error) = refusal(answer)?;
    Ok(Reply::Refused(code, error))
}

/// What the server says about a call that it refuses: its code, and a message with its own words. What is no word of
/// MLflow's is an error of its own.
fn refusal(answer: Answer) -> Result<(String, TaskError), TaskError> {
    let said = answer.json().ok();
    let said = said.as_ref().and_then(|said| {
        let code = said.get("error_code")?.as_str()?;
        let message = said.get("message")?.as_str()?;
        Some((code.to_owned(), message.lines().next()?.to_owned()))
    });
    let Some((code, message)) = said else {
        return Err(match answer.success() {
            Err(error) => error,
            Ok(answer) => TaskError::bug(format!("`{}` is refused and not", answer.asked)),
        });
    };
    let message: String = message.chars().take(SHOWN).collect();
    let text = format!("MLflow refuses `{}`: {message}", answer.asked);
    let error = match answer.status {
        408 | 425 | 429 | 500..=599 => TaskError::external(text),
        401 | 403 => TaskError::user(text)
            .hint("check the credentials under `auth:` of `mlflow:` in pipectl.yaml"),
        _ => TaskError::user(text),
    };
    Ok((code, error))
}

/// The answer when a refusal is an error.
pub(super) fn done(reply: Reply) -> Result<Value, TaskError> {
    match reply {
        Reply::Done(value) => Ok(value),
        Reply::Refused(_, error) => Err(error),
    }
}

/// The answer, or nothing when what was asked for is not there.
pub(super) fn found(reply: Reply) -> Result<Option<Value>, TaskError> {
    match reply {
        Reply::Done(value) => Ok(Some(value)),
        Reply::Refused(code, _) if code == "RESOURCE_DOES_NOT_EXIST" => Ok(None),
        Reply::Refused(_, error) => Err(error),
    }
}

/// Whether something is new; it may be there already.
pub(super) fn made(reply: Reply) -> Result<Option<Value>, TaskError> {
    match reply {
        Reply::Done(value) => Ok(Some(value)),
        Reply::Refused(code, _) if code == "RESOURCE_ALREADY_EXISTS" => Ok(None),
        Reply::Refused(_, error) => Err(error),
    }
}

/// A text in an answer.
///
/// # Errors
/// When it is not there: then it is no answer of MLflow's.
pub(super) fn text(value: &Value, path: &str) -> Result<String, TaskError> {
    let found = value.pointer(path).and_then(Value::as_str);
    found.map(ToOwned::to_owned).ok_or_else(|| {
        TaskError::external(format!(
            "MLflow has answered without `{}`",
            path.trim_start_matches('/')
        ))
        .retryable(false)
    })
}
