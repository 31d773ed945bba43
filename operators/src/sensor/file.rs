//! `sensor: file`: waits for a file of the project.

use std::time::Duration;

use pipectl_engine::operator::{
    Complaints, DurationText, Existing, Kind, Operator, Outcome, Outputs, Senses, Takes,
    TaskContext, TaskError, ValueType, Wait,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::sensing::{self, After};

/// `sensor: file`.
pub(crate) struct File;

/// Which file, and how patiently.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project; `*` stands for any name, `**` for any directories. Of several the newest
    /// counts.
    path: String,
    /// How often to look. A new file is noticed at once where the operating system tells of it.
    #[serde(default = "second")]
    poll: DurationText,
    /// How long a file must have been unchanged, so that one that is still being written is left alone. A writer that
    /// pauses for longer between its writes lets the file appear whole: it writes under another name, which the pattern
    /// does not match, and renames; where all do so, `settle: 0s` saves the wait.
    #[serde(default = "two_seconds")]
    settle: DurationText,
    /// For `schedule: {sensor: …}`: whether files that are there when the sensor is first watched get runs too.
    #[serde(default)]
    existing: Existing,
    /// For `schedule: {sensor: …}`: what becomes of a file whose run has succeeded.
    #[serde(default)]
    after_success: After,
    /// The directory that files move to by `after_success: move`, relative to the project. A file keeps its whole path
    /// below it.
    archive: Option<String>,
}

impl Config {
    fn wait(&self) -> Wait {
        Wait::Things {
            connection: None,
            pattern: self.path.clone(),
            poll: self.poll.0,
            settle: self.settle.0,
        }
    }
}

fn second() -> DurationText {
    DurationText(Duration::from_secs(1))
}

fn two_seconds() -> DurationText {
    DurationText(Duration::from_secs(2))
}

impl Operator for File {
    type Config = Config;
    const KIND: Kind = Kind::Sensor;
    const NAME: &'static str = "file";
    const SUMMARY: &'static str = "Waits for a file of the project.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value(
                "file",
                ValueType::String,
                "the file's path, as `extract` takes it",
            )
            .value("size", ValueType::Integer, "its size in bytes")
            .value(
                "modified",
                ValueType::String,
                "when it was last changed (RFC 3339)",
            )
    }

    fn check(config: &Config, found: &mut Complaints) {
        sensing::check(
            &config.path,
            config.poll,
            config.after_success,
            config.archive.as_deref(),
            found,
        );
    }

    fn senses(config: &Config) -> Option<Senses> {
        Some(sensing::senses(
            config.wait(),
            config.existing,
            config.after_success,
            config.archive.as_deref(),
        ))
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        sensing::sense(context, config.wait()).await
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::SystemTime};

    use pipectl_engine::{
        operator::{
            AfterSuccess,
            testing::{TestProject, complaints},
        },
        time::Clock,
    };
    use serde_json::{Value, json};

    use super::*;

    async fn sense(project: &TestProject, settings: Value) -> Outcome {
        let config = serde_json::from_value(settings).unwrap();
        File::run(config, &project.context()).await.unwrap()
    }

    /// Sets a file's time to `seconds` before the project's clock.
    fn aged(project: &TestProject, path: &str, seconds: u64) {
        let time = SystemTime::from(project.clock().now()) - Duration::from_secs(seconds);
        let file = fs::File::options()
            .write(true)
            .open(project.root().join(path))
            .unwrap();
        file.set_modified(time).unwrap();
    }

    #[tokio::test]
    async fn it_waits_until_the_file_is_there() {
        let project = TestProject::new();
        let Outcome::Wait(Wait::Things {
            connection: None,
            pattern,
            poll,
            ..
        }) = sense(&project, json!({"path": "in/today.csv", "poll": "5s"})).await
        else {
            panic!("it does not wait")
        };
        assert_eq!(
            (pattern.as_str(), poll),
            ("in/today.csv", Duration::from_secs(5))
        );
        project.write("in/today.csv", "abc");
        let output = project
            .run::<File>(json!({"path": "in/today.csv", "settle": "0s"}))
            .await
            .unwrap();
        assert_eq!(
            (&output.values["file"], &output.values["size"]),
            (&json!("in/today.csv"), &json!(3))
        );
    }

    #[tokio::test]
    async fn the_newest_of_several_counts_once_it_is_settled() {
        let project = TestProject::new();
        for (path, age) in [("in/a.csv", 100), ("in/b.csv", 50), ("in/c.csv", 5)] {
            project.write(path, "x");
            aged(&project, path, age);
        }
        for (settle, expected) in [("0s", "in/c.csv"), ("10s", "in/b.csv"), ("1m", "in/a.csv")] {
            let output = project
                .run::<File>(json!({"path": "in/*.csv", "settle": settle}))
                .await
                .unwrap();
            assert_eq!(output.values["file"], json!(expected), "{settle}");
        }
        assert!(matches!(
            sense(&project, json!({"path": "in/*.csv", "settle": "1h"})).await,
            Outcome::Wait(_)
        ));
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        for (settings, complaint) in [
            (
                json!({"path": "a", "poll": "0s"}),
                "poll: a sensor that looks all the time leaves nothing for others",
            ),
            (
                json!({"path": "a", "after_success": "move"}),
                "after_success: it is not said where to move it",
            ),
            (
                json!({"path": "in/**/*.csv", "after_success": "move", "archive": "in/done"}),
                "archive: what is moved there would be sensed again",
            ),
            (
                json!({"path": "a", "archive": "done"}),
                "archive: nothing is moved there",
            ),
        ] {
            assert_eq!(complaints::<File>(settings), [complaint]);
        }
    }

    #[test]
    fn a_daemon_is_told_what_to_watch_for() {
        let settings = json!({"path": "in/*.csv", "existing": "ignore", "after_success": "move", "archive": "done"});
        let senses = File::senses(&serde_json::from_value(settings).unwrap()).unwrap();
        assert_eq!(senses.existing, Existing::Ignore);
        let archive = "done".to_owned();
        assert_eq!(senses.after_success, AfterSuccess::Move { archive });
        assert!(matches!(
            senses.wait,
            Wait::Things {
                connection: None,
                ..
            }
        ));
    }
}
