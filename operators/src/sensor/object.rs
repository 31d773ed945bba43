//! `sensor: object`: waits for an object in a bucket.

use std::time::Duration;

use pipectl_engine::operator::{
    Complaints, ConnectionName, DurationText, Existing, Kind, Operator, Outcome, Outputs,
    ProbeContext, Senses, Takes, TaskContext, TaskError, ValueType, Wait,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::sensing::{self, After, connector};

/// `sensor: object`.
pub(crate) struct Object;

/// Which object, and how patiently.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The bucket, or a directory that is used like one.
    connection: ConnectionName,
    /// The object's key below the connection's prefix; `*` stands for any name, `**` for any path. Of several the newest
    /// counts.
    path: String,
    /// How often to look. Sensors that look below the same prefix share one listing.
    #[serde(default = "minute")]
    poll: DurationText,
    /// How long an object must have been unchanged. Objects appear whole; files of a directory that is used like a bucket
    /// may still be written, so say `settle: 2s` there.
    #[serde(default = "at_once")]
    settle: DurationText,
    /// For `schedule: {sensor: …}`: whether objects that are there when the sensor is first watched get runs too.
    #[serde(default)]
    existing: Existing,
    /// For `schedule: {sensor: …}`: what becomes of an object whose run has succeeded.
    #[serde(default)]
    after_success: After,
    /// The prefix that objects move to by `after_success: move`, below the connection's. An object keeps its whole key
    /// below it.
    archive: Option<String>,
}

fn minute() -> DurationText {
    DurationText(Duration::from_secs(60))
}

fn at_once() -> DurationText {
    DurationText(Duration::ZERO)
}

impl Config {
    fn wait(&self) -> Wait {
        Wait::Things {
            connection: Some(self.connection.0.clone()),
            pattern: self.path.clone(),
            poll: self.poll.0,
            settle: self.settle.0,
        }
    }
}

impl Operator for Object {
    type Config = Config;
    const KIND: Kind = Kind::Sensor;
    const NAME: &'static str = "object";
    const SUMMARY: &'static str = "Waits for an object in a bucket.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value(
                "file",
                ValueType::String,
                "the object's place as `connection://key`, as `extract` takes it",
            )
            .value("key", ValueType::String, "its key")
            .value("size", ValueType::Integer, "its size in bytes")
            .value(
                "modified",
                ValueType::String,
                "when it was last changed (RFC 3339)",
            )
            .value("etag", ValueType::String, "its tag")
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

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        let connector = connector(&context.services);
        let bucket = connector
            .bucket(&context.project, &config.connection.0)
            .await?;
        bucket.probe().await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        sensing::sense(context, config.wait()).await
    }
}

#[cfg(test)]
mod tests {
    use pipectl_connections::Connector;
    use pipectl_engine::operator::testing::{TestProject, complaints};
    use pipectl_test_support::TestBucket;
    use serde_json::{Value, json};

    use super::*;

    async fn sense(project: &TestProject, settings: Value) -> Result<Outcome, TaskError> {
        let config = serde_json::from_value(settings).unwrap();
        Object::run(config, &project.context()).await
    }

    #[tokio::test]
    async fn the_newest_object_is_sensed_else_it_waits() {
        let place = TestBucket::new();
        let project = TestProject::new()
            .with_connection("lake", place.address())
            .with_environment(place.environment());
        let settings = json!({"connection": "lake", "path": "in/**/*.csv"});
        let Outcome::Wait(Wait::Things { poll, .. }) =
            sense(&project, settings.clone()).await.unwrap()
        else {
            panic!("it does not wait")
        };
        assert_eq!(poll, Duration::from_secs(60));
        let bucket = Connector::default()
            .bucket(&project.context().project, "lake")
            .await
            .unwrap();
        bucket
            .put("in/a b+ü/x.csv", "id\n1\n".into())
            .await
            .unwrap();
        let Outcome::Done(output) = sense(&project, settings).await.unwrap() else {
            panic!("it waits")
        };
        assert_eq!(output.values["file"], json!("lake://in/a b+ü/x.csv"));
        assert_eq!(output.values["key"], json!("in/a b+ü/x.csv"));
        assert_eq!(output.values["size"], json!(5));
        assert!(!output.values["etag"].as_str().unwrap().contains('"'));
    }

    #[tokio::test]
    async fn a_directory_is_used_like_a_bucket() {
        let project = TestProject::new().with_connection("lake", "file:lake");
        project.write("lake/in/a.csv", "id\n1\n");
        let output = project
            .run::<Object>(json!({"connection": "lake", "path": "in/*"}))
            .await
            .unwrap();
        assert_eq!(output.values["file"], json!("lake://in/a.csv"));
    }

    #[tokio::test]
    async fn what_is_no_bucket_is_told() {
        let project = TestProject::new().with_connection("lake", "sqlite:a.db");
        let error = sense(&project, json!({"connection": "lake", "path": "a"}))
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "connection `lake` is no bucket: its address begins with `sqlite:`"
        );
        let project = TestProject::new().with_connection("lake", "file:lake");
        let error = sense(&project, json!({"connection": "lake", "path": "../a"}))
            .await
            .unwrap_err();
        assert_eq!(error.message, "`../a` is no key of `lake`");
    }

    #[test]
    fn an_archive_within_reach_is_refused() {
        let settings =
            json!({"connection": "lake", "path": "**", "after_success": "move", "archive": "done"});
        assert_eq!(
            complaints::<Object>(settings),
            ["archive: what is moved there would be sensed again"]
        );
    }
}
