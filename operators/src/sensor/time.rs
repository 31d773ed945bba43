//! `sensor: time`: waits until a moment.

use chrono::TimeDelta;
use pipectl_engine::{
    operator::{
        Complaints, DurationText, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext,
        TaskError, ValueType, Wait,
    },
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// `sensor: time`.
pub(crate) struct Time;

/// Until when to wait: a moment, or so long after the run's interval.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The moment (RFC 3339), as in `2026-03-01T06:00:00+01:00` or `${{ interval.end | date("%F") }}T06:00:00Z`.
    until: Option<String>,
    /// How long after the end of the run's interval, as in `2h`.
    after_interval: Option<DurationText>,
}

fn moment(text: &str) -> Option<Timestamp> {
    let moment = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(moment.to_utc())
}

impl Operator for Time {
    type Config = Config;
    const KIND: Kind = Kind::Sensor;
    const NAME: &'static str = "time";
    const SUMMARY: &'static str = "Waits until a moment.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none().value("moment", ValueType::String, "the moment (RFC 3339)")
    }

    fn check(config: &Config, found: &mut Complaints) {
        match (&config.until, config.after_interval) {
            (None, None) => {
                found
                    .error(&[], "it is not said until when to wait")
                    .hint("write `until: 2026-03-01T06:00:00Z` or `after_interval: 2h`");
            }
            (Some(_), Some(_)) => {
                found
                    .error(
                        &["after_interval"],
                        "both `until` and `after_interval` are given",
                    )
                    .hint("leave one of them out");
            }
            (Some(text), None) if moment(text).is_none() => {
                found
                    .error(&["until"], format!("`{text}` is no moment"))
                    .hint("write `2026-03-01T06:00:00Z`");
            }
            _ => {}
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let at = match (&config.until, config.after_interval) {
            (Some(text), _) => {
                moment(text).ok_or_else(|| TaskError::user(format!("`{text}` is no moment")))?
            }
            (None, after) => {
                let interval = context.run.interval.ok_or_else(|| {
                    TaskError::user("`after_interval` counts from the end of the run's interval, and this run has none")
                        .hint("give the pipeline a schedule or a top-level `interval:`, or write `until:`")
                })?;
                let after =
                    TimeDelta::from_std(after.map_or_else(Default::default, |after| after.0)).ok();
                let at = after.and_then(|after| interval.end.checked_add_signed(after));
                at.ok_or_else(|| TaskError::user("`after_interval` is too long"))?
            }
        };
        if context.clock.now() < at {
            return Ok(Outcome::Wait(Wait::Until(at)));
        }
        let output = Output::default().value("moment", at.format("%FT%TZ").to_string());
        Ok(Outcome::Done(output))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pipectl_engine::{
        operator::{
            Interval,
            testing::{TestProject, complaints, run_in},
        },
        time::Clock,
    };
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn it_waits_until_the_moment() {
        let project = TestProject::new();
        let now = project.clock().now();
        let mut context = project.context();
        context.run.interval = Some(Interval {
            start: now - TimeDelta::days(1),
            end: now,
        });
        for settings in [
            json!({"until": "2026-03-01T15:00:00+01:00"}),
            json!({"after_interval": "2h"}),
        ] {
            let config: Config = serde_json::from_value(settings).unwrap();
            let Outcome::Wait(Wait::Until(at)) = Time::run(config, &context).await.unwrap() else {
                panic!("it does not wait")
            };
            assert_eq!(at, now + TimeDelta::hours(2));
        }
        project.clock().advance(Duration::from_secs(7_200));
        let output = run_in::<Time>(&context, json!({"after_interval": "2h"}))
            .await
            .unwrap();
        assert_eq!(output.values["moment"], json!("2026-03-01T14:00:00Z"));
        let error = project
            .run::<Time>(json!({"after_interval": "2h"}))
            .await
            .unwrap_err();
        assert!(
            error.message.ends_with("and this run has none"),
            "{}",
            error.message
        );
    }

    #[test]
    fn one_moment_is_said() {
        for (settings, complaint) in [
            (json!({}), ": it is not said until when to wait"),
            (json!({"until": "noon"}), "until: `noon` is no moment"),
            (
                json!({"until": "2026-03-01T15:00:00Z", "after_interval": "1h"}),
                "after_interval: both `until` and `after_interval` are given",
            ),
        ] {
            assert_eq!(complaints::<Time>(settings), [complaint]);
        }
    }
}
