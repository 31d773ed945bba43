//! `run: python`: runs a script of Python.

use pipectl_engine::operator::{
    Complaints, Kind, Operator, Outcome, Outputs, Takes, TaskContext, TaskError,
};

use crate::support::script::{self, Config, Language};

/// `run: python`.
pub(crate) struct Python;

const PYTHON: Language = Language {
    program: "python3",
    before: &[],
    extension: "py",
};

impl Operator for Python {
    type Config = Config;
    const KIND: Kind = Kind::Run;
    const NAME: &'static str = "python";
    const SUMMARY: &'static str = "Runs a script of Python (the `python3` on the PATH).";
    const TAKES: Takes = Takes::Any;

    fn outputs(_: &Config) -> Outputs {
        script::outputs()
    }

    fn check(config: &Config, found: &mut Complaints) {
        script::check(config, found);
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        script::run(config, PYTHON, context).await
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn values_come_back_and_a_traceback_is_quoted() {
        let project = TestProject::new();
        let script = "import json, os\njson.dump({'n': int(os.environ['N']) + 1}, open(os.environ['PIPECTL_VALUES'], 'w'))\n";
        let output = project
            .run::<Python>(json!({"script": script, "env": {"N": 41}}))
            .await
            .unwrap();
        assert_eq!(output.values["n"], json!(42));
        let error = project
            .run::<Python>(json!({"script": "print('x')\nraise ValueError('no rows')\n"}))
            .await
            .unwrap_err();
        assert!(
            error
                .message
                .starts_with("`python3` ended with 1: Traceback"),
            "{}",
            error.message
        );
        assert!(
            error.message.ends_with("ValueError: no rows"),
            "{}",
            error.message
        );
    }
}
