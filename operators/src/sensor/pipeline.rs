//! `sensor: pipeline`: waits for another pipeline, holding no slot.

use pipectl_engine::operator::{
    Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError, ValueType, Wait, Woken,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `sensor: pipeline`.
pub(crate) struct Pipeline;

/// Which pipeline, and what of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The pipeline's name.
    pipeline: String,
    /// What is waited for.
    #[serde(default)]
    until: Until,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Until {
    /// Its run of this run's interval has succeeded, whenever that was. One that has failed may still be done again.
    #[default]
    Success,
    /// None of its runs is queued or under way.
    Idle,
}

impl Operator for Pipeline {
    type Config = Config;
    const KIND: Kind = Kind::Sensor;
    const NAME: &'static str = "pipeline";
    const SUMMARY: &'static str = "Waits for another pipeline's run of the same interval.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(config: &Config) -> Outputs {
        match config.until {
            Until::Success => {
                Outputs::none().value("run", ValueType::String, "the run that has succeeded")
            }
            Until::Idle => Outputs::none(),
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        match &context.woken {
            Some(Woken::Run(Some(run))) => {
                return Ok(Outcome::Done(
                    Output::default().value("run", run.to_string()),
                ));
            }
            // A process of its own is told only that the wait is over.
            Some(_) => return Ok(Outcome::Done(Output::default())),
            None => {}
        }
        if *context.run.pipeline == *config.pipeline {
            return Err(TaskError::user(format!(
                "`{}` waits for itself",
                config.pipeline
            )));
        }
        let interval = match (config.until, context.run.interval) {
            (Until::Idle, _) => None,
            (Until::Success, Some(interval)) => Some((interval.start, interval.end)),
            (Until::Success, None) => {
                let message = format!(
                    "a run of `{}` for the same interval is waited for, and this run has none",
                    config.pipeline
                );
                return Err(TaskError::user(message)
                    .hint("give the pipeline a schedule or a top-level `interval:`, or write `until: idle`"));
            }
        };
        Ok(Outcome::Wait(Wait::Run {
            pipeline: config.pipeline,
            interval,
        }))
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{
        id::RunId,
        operator::{
            Interval,
            testing::{TestProject, run_in},
        },
        time::Clock,
    };
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn it_waits_for_the_run_of_its_interval() {
        let project = TestProject::new();
        let mut context = project.context();
        let now = project.clock().now();
        let start = now - chrono::TimeDelta::days(1);
        let settings = json!({"pipeline": "daily"});
        let error = project.run::<Pipeline>(settings.clone()).await.unwrap_err();
        assert_eq!(
            error.message,
            "a run of `daily` for the same interval is waited for, and this run has none"
        );
        context.run.interval = Some(Interval { start, end: now });
        let config = serde_json::from_value(settings.clone()).unwrap();
        let Outcome::Wait(Wait::Run { pipeline, interval }) =
            Pipeline::run(config, &context).await.unwrap()
        else {
            panic!("it does not wait")
        };
        assert_eq!((pipeline.as_str(), interval), ("daily", Some((start, now))));
        let run = RunId::new(now);
        context.woken = Some(Woken::Run(Some(run)));
        let output = run_in::<Pipeline>(&context, settings).await.unwrap();
        assert_eq!(output.values["run"], json!(run.to_string()));
    }

    #[tokio::test]
    async fn nobody_waits_for_himself() {
        let project = TestProject::new();
        let error = project
            .run::<Pipeline>(json!({"pipeline": "pipeline", "until": "idle"}))
            .await
            .unwrap_err();
        assert_eq!(error.message, "`pipeline` waits for itself");
    }
}
