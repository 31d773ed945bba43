//! `run: noop`: does nothing, on the same road as every operator.

use pipectl_engine::operator::{
    Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// `run: noop`.
pub(crate) struct Noop;

/// It has no settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {}

impl Operator for Noop {
    type Config = Config;
    const KIND: Kind = Kind::Run;
    const NAME: &'static str = "noop";
    const SUMMARY: &'static str =
        "Does nothing; a place where edges meet, or a pipeline's skeleton.";
    const TAKES: Takes = Takes::Any;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
    }

    async fn run(_: Config, _: &TaskContext) -> Result<Outcome, TaskError> {
        Ok(Outcome::Done(Output::default()))
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn it_puts_nothing_out() {
        let project = TestProject::new();
        let output = project.run::<Noop>(json!({})).await.unwrap();
        assert!(output.datasets.is_empty() && output.values.is_empty());
    }

    #[tokio::test]
    async fn it_takes_no_settings() {
        let error = serde_json::from_value::<Config>(json!({"a": 1})).unwrap_err();
        assert!(error.to_string().contains("unknown field `a`"));
    }
}
