//! `run: shell`: runs a script of the shell.

use pipectl_engine::operator::{
    Complaints, Kind, Operator, Outcome, Outputs, Takes, TaskContext, TaskError,
};

use crate::support::script::{self, Config, Language};

/// `run: shell`.
pub(crate) struct Shell;

/// `-e`: the first command that fails ends the script.
const SHELL: Language = Language {
    program: "sh",
    before: &["-e"],
    extension: "sh",
};

impl Operator for Shell {
    type Config = Config;
    const KIND: Kind = Kind::Run;
    const NAME: &'static str = "shell";
    const SUMMARY: &'static str = "Runs a script of the shell (`sh -e`).";
    const TAKES: Takes = Takes::Any;

    fn outputs(_: &Config) -> Outputs {
        script::outputs()
    }

    fn check(config: &Config, found: &mut Complaints) {
        script::check(config, found);
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        script::run(config, SHELL, context).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use pipectl_engine::operator::{
        Fault, Operator, Output,
        testing::{TestProject, complaints, frame, run_in},
    };
    use polars::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    async fn shell(script: &str) -> Result<Output, TaskError> {
        TestProject::new()
            .run::<Shell>(json!({"script": script}))
            .await
    }

    #[tokio::test]
    async fn its_lines_go_to_the_log() {
        let project = TestProject::new();
        project
            .run::<Shell>(json!({"script": "echo one; echo two >&2; printf three"}))
            .await
            .unwrap();
        let mut log = project.log();
        log.sort();
        assert_eq!(log, ["ERR two", "OUT one", "OUT three"]);
    }

    #[tokio::test]
    async fn data_goes_in_and_comes_out() {
        let project = TestProject::new().with_connection("warehouse", "sqlite:w.db");
        let rows = df!["a" => [1i64, 2]].unwrap();
        let script = "cp \"$PIPECTL_INPUT_ROWS\" \"$PIPECTL_OUTPUT/data.parquet\"\n\
                      printf 'x,y\\n1,%s\\n' \"$NAME\" > \"$PIPECTL_OUTPUT/extra.csv\"\n\
                      printf '{\"address\": \"%s\", \"list\": %s}' \"$PIPECTL_CONNECTION_WAREHOUSE\" \"$LIST\" > \"$PIPECTL_VALUES\"\n\
                      pwd";
        let settings = json!({
            "script": script, "connections": ["warehouse"], "workdir": ".pipectl",
            "env": {"NAME": "o'hara; rm -rf /", "LIST": [1, 2]},
        });
        let output = run_in::<Shell>(&project.context_with([("rows", rows.clone())]), settings)
            .await
            .unwrap();
        assert!(frame(&output).equals(&rows));
        assert_eq!(output.datasets[1].0, "extra");
        let extra = output.datasets[1].1.collect().unwrap();
        assert_eq!(
            extra.column("y").unwrap().str().unwrap().get(0),
            Some("o'hara; rm -rf /")
        );
        assert_eq!(
            Value::Object(output.values),
            json!({"address": "sqlite:w.db", "list": [1, 2]})
        );
        assert!(project.log()[0].ends_with("/.pipectl"));
        assert!(project.list(".pipectl/tmp").is_empty());
    }

    #[tokio::test]
    async fn how_it_ends_is_told() {
        for (script, fault, message) in [
            ("echo no >&2; exit 3", Fault::User, "`sh` ended with 3: no"),
            ("false; echo not reached", Fault::User, "`sh` ended with 1"),
            (
                "kill -TERM $$",
                Fault::External,
                "`sh` was killed by SIGTERM",
            ),
            (
                "echo full; kill -KILL $$",
                Fault::External,
                "`sh` was killed by SIGKILL: full",
            ),
            (
                "touch $PIPECTL_OUTPUT/a.txt",
                Fault::User,
                "the script has left `a.txt`, which is no dataset",
            ),
            (
                "echo 3 > $PIPECTL_VALUES",
                Fault::User,
                "what the script has written to `PIPECTL_VALUES` is no JSON object: invalid type: integer `3`, expected a map at line 1 column 1",
            ),
        ] {
            let error = shell(script).await.unwrap_err();
            assert_eq!(
                (error.fault, error.full_message().as_str()),
                (fault, message),
                "{script}"
            );
        }
        assert!(shell("exit 3").await.unwrap_err().retryable);
        for (script, hint) in [
            (
                "sh -c 'kill -SEGV $$' || exit $?",
                "139 is 128 + 11: a program that it started was killed by SIGSEGV",
            ),
            (
                "exit 137",
                "137 is 128 + 9: a program that it started was killed by SIGKILL; perhaps the machine was out of memory: see `dmesg`",
            ),
            (
                "exit 255",
                "the log has all that it has written; an exit code of 99 means skipped",
            ),
        ] {
            let error = shell(script).await.unwrap_err();
            assert!(error.retryable);
            assert_eq!(error.hint.as_deref(), Some(hint), "{script}");
        }
        let error = shell("no-such-program").await.unwrap_err();
        assert!(!error.retryable);
        assert!(
            error.message.starts_with("`sh` ended with 127: "),
            "{}",
            error.message
        );
        let project = TestProject::new();
        let context = project.context();
        let config = serde_json::from_value(json!({"script": "exit 99"})).unwrap();
        let skipped = Shell::run(config, &context);
        assert!(matches!(skipped.await.unwrap(), Outcome::Skipped(_)));
    }

    #[tokio::test]
    async fn a_file_may_hold_the_script() {
        let project = TestProject::new();
        project.write("scripts/a.sh", "echo \"$1\"");
        project
            .run::<Shell>(json!({"file": "scripts/a.sh", "args": ["x y"]}))
            .await
            .unwrap();
        assert_eq!(project.log(), ["OUT x y"]);
        let error = project
            .run::<Shell>(json!({"file": "scripts/b.sh"}))
            .await
            .unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (Fault::User, "there is no script `scripts/b.sh`")
        );
        let error = project
            .run::<Shell>(json!({"script": "true", "workdir": "nowhere"}))
            .await
            .unwrap_err();
        assert!(
            error.message.ends_with("/nowhere` to run in"),
            "{}",
            error.message
        );
    }

    #[tokio::test]
    async fn our_own_secrets_are_not_passed_on() {
        let project = TestProject::new().with_connection("other", "postgres://me:s3cret@db/x");
        project
            .run::<Shell>(json!({"script": "env"}))
            .await
            .unwrap();
        assert!(project.log().iter().all(|line| !line.contains("s3cret")));
        assert!(
            project
                .log()
                .iter()
                .any(|line| line.starts_with("OUT PIPECTL_RUN="))
        );
    }

    #[tokio::test]
    async fn a_cancelled_script_and_all_it_has_started_is_stopped() {
        let project = TestProject::new();
        let context = project.context();
        let cancel = context.cancel.clone();
        let script = "sleep 60 & echo $! > child; echo ready; wait";
        let started = Instant::now();
        let run = run_in::<Shell>(&context, json!({"script": script}));
        let stop = async {
            while !project.log().contains(&"OUT ready".to_owned()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            cancel.cancel();
        };
        let (result, ()) = tokio::join!(run, stop);
        assert_eq!(result.unwrap_err().message, "`sh` was stopped");
        assert!(started.elapsed() < Duration::from_secs(5));
        let child: i32 = project.read("child").trim().parse().unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }

    #[test]
    fn settings_are_checked() {
        for (settings, complaint) in [
            (json!({}), ": neither `script` nor `file` is given"),
            (
                json!({"script": "a", "file": "b"}),
                "file: both `script` and `file` are given",
            ),
            (json!({"script": " "}), "script: the script is empty"),
            (
                json!({"script": "a", "env": {"A-B": 1}}),
                "env.A-B: `A-B` is no name of an environment variable",
            ),
            (
                json!({"script": "a", "env": {"PIPECTL_X": 1}}),
                "env.PIPECTL_X: names that begin with `PIPECTL_` are ours",
            ),
        ] {
            assert_eq!(complaints::<Shell>(settings), [complaint]);
        }
    }
}
