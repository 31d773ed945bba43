//! `sensor: http`: waits until an API says what is waited for.

use std::time::Duration;

use chrono::TimeDelta;
use indexmap::IndexMap;
use pipectl_connections::Patience;
use pipectl_engine::operator::{
    Complaints, ConnectionName, DurationText, Fault, Kind, Operator, Outcome, Output, Outputs,
    ProbeContext, Takes, TaskContext, TaskError, ValueType, Wait,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::api::{
    Method, Place, Statuses, at, defaults, headers, query, text_of, unless_cancelled, with_caller,
};

/// No answer that a sensor looks at is larger.
const LARGEST: u64 = 16 * 1024 * 1024;

/// `sensor: http`.
pub(crate) struct Http;

/// Which API, and what it has to answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The connection to the API: its address, credentials and rate limit.
    connection: Option<ConnectionName>,
    /// What follows the connection's address.
    #[serde(default)]
    path: String,
    /// The whole address of an API that needs no credentials, in place of `connection` and `path`.
    url: Option<String>,
    /// Parameters of the address.
    #[serde(default)]
    query: Map<String, Value>,
    /// Headers besides those of the connection.
    #[serde(default)]
    headers: IndexMap<String, String>,
    /// The statuses that are waited for; every 2xx when it is left out. Others are waited away, but for 400, 401, 403 and
    /// those between 405 and 422, which do not change by waiting.
    #[serde(default)]
    status: Statuses,
    /// What the answer has to hold: values by their place in its JSON, as in `{job.state: done}`. A list stands for any of
    /// its values.
    #[serde(default)]
    json: IndexMap<String, Value>,
    /// Values that say that the wait is in vain, in the same way: the task fails.
    #[serde(default)]
    fail_on: IndexMap<String, Value>,
    /// How often to ask.
    #[serde(default = "half_a_minute")]
    poll: DurationText,
    /// How long an answer may take.
    #[serde(default = "defaults::one_minute")]
    answer_within: DurationText,
}

fn half_a_minute() -> DurationText {
    DurationText(Duration::from_secs(30))
}

impl Config {
    fn place(&self) -> Place<'_> {
        Place {
            connection: self.connection.as_ref(),
            path: &self.path,
            url: self.url.as_deref(),
        }
    }
}

impl Operator for Http {
    type Config = Config;
    const KIND: Kind = Kind::Sensor;
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "Waits until an API answers as it should.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value("status", ValueType::Integer, "the answer's status")
            .value(
                "body",
                ValueType::Any,
                "the answer: its JSON, else its text",
            )
    }

    fn check(config: &Config, found: &mut Complaints) {
        config.place().check(found);
        if config.poll.0.is_zero() {
            found
                .error(
                    &["poll"],
                    "a sensor that looks all the time leaves nothing for others",
                )
                .hint("write `1s`");
        }
        config.status.check(found);
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        config.place().probe(context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        unless_cancelled(context, sense(config, context)).await
    }
}

async fn sense(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
    let (client, target) = config
        .place()
        .open(&context.project, &context.services)
        .await?;
    let mut call = Method::Get.call(target);
    call.query = query(&config.query)?;
    call.headers = headers(&config.headers);
    // Asking again is what the wait is for.
    let patience = Patience {
        timeout: config.answer_within.0,
        retries: 0,
        longest_wait: defaults::five_minutes().0,
        max_bytes: LARGEST,
    };
    let again = || {
        let poll = TimeDelta::from_std(config.poll.0).unwrap_or(TimeDelta::MAX);
        let at = context.clock.now().checked_add_signed(poll);
        Outcome::Wait(Wait::Until(at.unwrap_or_else(|| context.clock.now())))
    };
    let answer = match with_caller(context, async |caller| {
        client.send(&call, &patience, caller).await
    })
    .await
    {
        Ok(answer) => answer,
        Err(error) if error.fault == Fault::External => {
            context.log.info(error.full_message());
            return Ok(again());
        }
        Err(error) => return Err(error),
    };
    if !config.status.have(answer.status) {
        if matches!(answer.status, 400 | 401 | 403 | 405..=407 | 410..=422) {
            let status = answer.status_text();
            return Err(answer.success().err().unwrap_or_else(|| {
                TaskError::user(format!(
                    "the API answered {status}, which is not waited for"
                ))
            }));
        }
        context
            .log
            .info(format!("not yet: {}", answer.status_text()));
        return Ok(again());
    }
    let body = answer.json();
    if let (Some(first), Err(_)) = (
        config.json.keys().chain(config.fail_on.keys()).next(),
        &body,
    ) {
        return Err(body.err().map_or_else(
            || TaskError::bug("no answer"),
            |error| error.hint(format!("`{first}` was looked for in its JSON")),
        ));
    }
    let body =
        body.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&answer.body).into_owned()));
    if let Some((place, value)) = first(&config.fail_on, &body, true) {
        return Err(TaskError::user(format!(
            "the wait is in vain: `{place}` is {value}"
        )));
    }
    if let Some((place, value)) = first(&config.json, &body, false) {
        context.log.info(format!("not yet: `{place}` is {value}"));
        return Ok(again());
    }
    let output = Output::default()
        .value("status", answer.status)
        .value("body", body);
    Ok(Outcome::Done(output))
}

/// The first place at which one of the wanted values stands (or, with `not`, does not), and what stands there.
fn first(wanted: &IndexMap<String, Value>, body: &Value, stands: bool) -> Option<(String, String)> {
    wanted.iter().find_map(|(place, wanted)| {
        let found = at(body, place);
        (found.is_some_and(|found| is_one_of(found, wanted)) == stands).then(|| {
            (
                place.clone(),
                found.map_or_else(
                    || "missing".to_owned(),
                    |found| format!("`{}`", text_of(found)),
                ),
            )
        })
    })
}

fn is_one_of(found: &Value, wanted: &Value) -> bool {
    let same = |wanted: &Value| {
        found == wanted || (found.is_number() && found.as_f64() == wanted.as_f64())
    };
    match wanted {
        Value::Array(several) => several.iter().any(same),
        one => same(one),
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, complaints};
    use pipectl_test_support::{ApiTrouble, TestApi};
    use serde_json::json;

    use super::*;

    async fn sense(project: &TestProject, settings: Value) -> Result<Outcome, TaskError> {
        let config = serde_json::from_value(settings).unwrap();
        Http::run(config, &project.context()).await
    }

    fn waits(outcome: &Result<Outcome, TaskError>) -> bool {
        matches!(outcome, Ok(Outcome::Wait(Wait::Until(_))))
    }

    #[tokio::test]
    async fn it_waits_for_what_the_api_says() {
        let api = TestApi::start();
        let project = TestProject::new().with_connection("api", &api.url());
        let settings = json!({"connection": "api", "path": "value", "json": {"job.state": ["done", "skipped"], "job.part": 1}, "fail_on": {"job.state": "failed"}});
        for (status, value, over) in [
            (404, json!(null), false),
            (503, json!(null), false),
            (200, json!({"job": {"state": "running", "part": 1}}), false),
            (200, json!({"job": {}}), false),
            (200, json!({"job": {"state": "done", "part": 2}}), false),
            (200, json!({"job": {"state": "done", "part": 1.0}}), true),
        ] {
            api.set_value(status, value.clone());
            assert_eq!(
                waits(&sense(&project, settings.clone()).await),
                !over,
                "{status} {value}"
            );
        }
        let output = project.run::<Http>(settings.clone()).await.unwrap();
        assert_eq!(
            (
                &output.values["status"],
                &output.values["body"]["job"]["state"]
            ),
            (&json!(200), &json!("done"))
        );
        api.set_value(200, json!({"job": {"state": "failed"}}));
        let error = sense(&project, settings.clone()).await.unwrap_err();
        assert_eq!(
            error.message,
            "the wait is in vain: `job.state` is `failed`"
        );
        api.set_value(401, json!({}));
        let error = sense(&project, settings.clone()).await.unwrap_err();
        assert!(
            error.message.contains("answered 401 Unauthorized"),
            "{}",
            error.message
        );
        api.trouble([ApiTrouble::Html]);
        let error = sense(&project, settings).await.unwrap_err();
        assert!(
            error.message.contains("with HTML, where JSON was expected"),
            "{}",
            error.message
        );
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_waited_for() {
        let project = TestProject::new();
        assert!(waits(
            &sense(&project, json!({"url": "http://127.0.0.1:1/health"})).await
        ));
        let api = TestApi::start();
        let url = format!("{}/status/202?x=1", api.url());
        let output = project
            .run::<Http>(json!({"url": url, "status": [202]}))
            .await
            .unwrap();
        assert_eq!(output.values["body"], json!("as you wish"));
        assert_eq!(api.calls()[0].query["x"], "1");
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        for (settings, complaint) in [
            (json!({}), ": neither `connection` nor `url` is given"),
            (
                json!({"connection": "a", "url": "http://a"}),
                "url: both `connection` and `url` are given",
            ),
            (
                json!({"url": "http://a", "path": "b"}),
                "path: `url` is the whole address already",
            ),
            (
                json!({"connection": "a", "poll": "0s"}),
                "poll: a sensor that looks all the time leaves nothing for others",
            ),
            (
                json!({"connection": "a", "status": [2000]}),
                "status: `2000` is no status",
            ),
        ] {
            assert_eq!(complaints::<Http>(settings), [complaint]);
        }
    }
}
