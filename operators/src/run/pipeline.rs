//! `run: pipeline`: starts another pipeline as a child run and waits for it, holding no slot.

use pipectl_engine::{
    operator::{
        ChildResult, Complaints, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext,
        TaskError, Wait, Woken,
    },
    state::RunState,
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// `run: pipeline`.
pub(crate) struct Pipeline;

/// Which pipeline, and what it is given. Its top-level `outputs:` become this task's own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The pipeline's name.
    pipeline: String,
    /// Its parameters.
    #[serde(default)]
    params: Map<String, Value>,
    /// Its interval, when it is not this run's.
    interval: Option<Interval>,
}

/// A stretch of time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interval {
    /// Its first moment (RFC 3339).
    start: String,
    /// The first moment after it (RFC 3339).
    end: String,
}

impl Operator for Pipeline {
    type Config = Config;
    const KIND: Kind = Kind::Run;
    const NAME: &'static str = "pipeline";
    const SUMMARY: &'static str = "Starts another pipeline and waits for its end.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::open()
    }

    fn check(config: &Config, found: &mut Complaints) {
        let Some(interval) = &config.interval else {
            return;
        };
        for (name, text) in [("start", &interval.start), ("end", &interval.end)] {
            if moment(text).is_none() {
                found
                    .error(&["interval", name], format!("`{text}` is no moment"))
                    .hint("write `2026-03-01T00:00:00Z`");
            }
        }
        if let (Some(start), Some(end)) = (moment(&interval.start), moment(&interval.end))
            && start >= end
        {
            found.error(&["interval"], "the interval ends before it begins");
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        if let Some(Woken::Child(child)) = &context.woken {
            return finished(&config.pipeline, child.clone());
        }
        let interval = match &config.interval {
            None => None,
            Some(interval) => {
                let read = |text: &str| {
                    moment(text).ok_or_else(|| TaskError::user(format!("`{text}` is no moment")))
                };
                Some((read(&interval.start)?, read(&interval.end)?))
            }
        };
        Ok(Outcome::Wait(Wait::Child {
            pipeline: config.pipeline,
            params: config.params,
            interval,
        }))
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|moment| moment.to_utc())
}

fn finished(pipeline: &str, child: ChildResult) -> Result<Outcome, TaskError> {
    if child.state == RunState::Success {
        let output = Output {
            datasets: child.datasets,
            values: child.values,
            ..Output::default()
        };
        return Ok(Outcome::Done(output));
    }
    let verb = if child.state == RunState::Cancelled {
        "was cancelled"
    } else {
        "failed"
    };
    let cause = child
        .error
        .map_or_else(String::new, |error| format!(": {error}"));
    Err(
        TaskError::user(format!("run {} of `{pipeline}` {verb}{cause}", child.run))
            .hint(format!("see `pipectl runs show {}`", child.run)),
    )
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{
        id::RunId,
        operator::testing::{TestProject, complaints, run_in},
    };
    use serde_json::json;

    use super::*;

    fn child(state: RunState, error: Option<&str>) -> Woken {
        let values = json!({"count": 3}).as_object().cloned().unwrap();
        Woken::Child(ChildResult {
            run: RunId::new(Timestamp::default()),
            state,
            error: error.map(ToOwned::to_owned),
            values,
            datasets: Vec::new(),
        })
    }

    #[tokio::test]
    async fn it_waits_for_the_child_and_passes_its_outputs_on() {
        let project = TestProject::new();
        let settings = json!({"pipeline": "daily", "params": {"a": 1}, "interval": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00+00:00"}});
        let config: Config = serde_json::from_value(settings.clone()).unwrap();
        let mut context = project.context();
        let Outcome::Wait(Wait::Child {
            pipeline,
            params,
            interval,
        }) = Pipeline::run(config, &context).await.unwrap()
        else {
            panic!("it does not wait")
        };
        assert_eq!(
            (pipeline.as_str(), &params["a"], interval.is_some()),
            ("daily", &json!(1), true)
        );
        context.woken = Some(child(RunState::Success, None));
        assert_eq!(
            run_in::<Pipeline>(&context, settings.clone())
                .await
                .unwrap()
                .values["count"],
            json!(3)
        );
        context.woken = Some(child(
            RunState::Failed,
            Some("task `load` failed: no table"),
        ));
        let error = run_in::<Pipeline>(&context, settings).await.unwrap_err();
        assert!(
            error
                .message
                .ends_with("of `daily` failed: task `load` failed: no table"),
            "{}",
            error.message
        );
    }

    #[test]
    fn intervals_are_checked() {
        let found = complaints::<Pipeline>(
            json!({"pipeline": "a", "interval": {"start": "today", "end": "2026-03-01T00:00:00Z"}}),
        );
        assert_eq!(found, ["interval.start: `today` is no moment"]);
        let found = complaints::<Pipeline>(
            json!({"pipeline": "a", "interval": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}}),
        );
        assert_eq!(found, ["interval: the interval ends before it begins"]);
    }
}
