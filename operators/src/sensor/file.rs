//! `sensor: file`: waits for a file of the project.

use std::time::Duration;

use pipectl_engine::operator::{
    Complaints, DurationText, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext,
    TaskError, ValueType, Wait,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    files::{Found, io_error, is_pattern, matching},
    text::thousands,
};

/// `sensor: file`.
pub(crate) struct File;

/// Which file, and how patiently.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project; `*` stands for any name, `**` for any directories. Of several the newest
    /// counts.
    path: String,
    /// How often to look. In the foreground a new file is noticed at once.
    #[serde(default = "second")]
    poll: DurationText,
    /// How long a file must have been unchanged, so that one that is still being written is left alone.
    #[serde(default = "at_once")]
    settle: DurationText,
}

fn second() -> DurationText {
    DurationText(Duration::from_secs(1))
}

fn at_once() -> DurationText {
    DurationText(Duration::ZERO)
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
        if config.poll.0.is_zero() {
            found
                .error(
                    &["poll"],
                    "a sensor that looks all the time leaves nothing for others",
                )
                .hint("write `1s`");
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let root = context.project.root.clone();
        let pattern = config.path.clone();
        let found = context
            .compute(move || {
                matching(&root, &pattern).map_err(|error| io_error("look for", &pattern, error))
            })
            .await?;
        let now = context.clock.now();
        let settled =
            |file: &&Found| (now - file.modified).to_std().unwrap_or_default() >= config.settle.0;
        let newest = found
            .iter()
            .filter(settled)
            .max_by_key(|file| (file.modified, &file.path));
        let Some(file) = newest else {
            return Ok(Outcome::Wait(Wait::Things {
                connection: None,
                pattern: config.path,
                poll: config.poll.0,
                settle: config.settle.0,
            }));
        };
        if is_pattern(&config.path) && found.len() > 1 {
            context.log.info(format!(
                "{} of {} files is the newest",
                file.shown,
                found.len()
            ));
        }
        context
            .log
            .info(format!("{}: {} bytes", file.shown, thousands(file.size)));
        let output = Output::default()
            .value("file", file.shown.clone())
            .value("size", file.size)
            .value("modified", file.modified.to_rfc3339());
        Ok(Outcome::Done(output))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::SystemTime};

    use pipectl_engine::{
        operator::testing::{TestProject, complaints},
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
            .run::<File>(json!({"path": "in/today.csv"}))
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
    fn looking_without_pause_is_refused() {
        assert_eq!(
            complaints::<File>(json!({"path": "a", "poll": "0s"})).len(),
            1
        );
    }
}
