//! `report: data`: a page about a table: what is in each column, what is missing, a few rows.

use pipectl_engine::operator::{
    Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError, ValueType,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    frame::only_input,
    page::{publish, render},
    profile::Profile,
};

const TEMPLATE: &str = include_str!("templates/data.hbs");

/// `report: data`.
pub(crate) struct Data;

/// Where the page goes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The HTML file, relative to the project.
    path: String,
    /// The heading; the dataset's name when not said.
    title: Option<String>,
    /// How many of the first rows are shown.
    #[serde(default = "ten")]
    sample: usize,
}

fn ten() -> usize {
    10
}

impl Operator for Data {
    type Config = Config;
    const KIND: Kind = Kind::Report;
    const NAME: &'static str = "data";
    const SUMMARY: &'static str =
        "Writes a page about a table: types, gaps, distributions, a few rows.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none().value("path", ValueType::String, "the page")
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (name, frame) = only_input(context).await?;
        let title = config.title.unwrap_or(name);
        let (html, rows, gaps) = context
            .compute(move || {
                let profile = Profile::of(&title, &frame, config.sample)?;
                Ok((render(TEMPLATE, &profile)?, frame.height(), profile.gaps))
            })
            .await?;
        let artifact = publish(context, &config.path, html)?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of rows is far below 2^53"
        )]
        let rows = rows as f64;
        let output = Output::default()
            .artifact(artifact)
            .value("path", config.path);
        Ok(Outcome::Done(
            output.metric("rows", rows).metric("missing_share", gaps),
        ))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the measures are counts")]
mod tests {
    use pipectl_engine::operator::testing::TestProject;
    use polars::prelude::*;
    use serde_json::json;

    use super::*;

    fn rows() -> DataFrame {
        let day = Column::new("day".into(), [Some("2026-03-01"), Some("2026-03-09"), None]);
        let mut frame = df![
            "name" => [Some("<b>ada</b>"), Some("bob"), Some("bob")],
            "age" => [Some(36i64), None, Some(41)],
            "score" => [0.5, f64::NAN, f64::INFINITY],
            "ok" => [true, false, true],
        ]
        .unwrap();
        frame
            .with_column(day.cast(&DataType::Date).unwrap())
            .unwrap();
        frame
    }

    #[tokio::test]
    async fn a_page_describes_every_column() {
        let project = TestProject::new();
        let output = project
            .run_on::<Data>(rows(), json!({"path": "reports/data.html"}))
            .await
            .unwrap();
        let page = project.read("reports/data.html");
        for part in [
            "<h1>rows</h1>",
            "&lt;b&gt;ada&lt;/b&gt;",
            "2026-03-09",
            "33.3 %",
            "prefers-color-scheme: dark",
            "<svg",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        assert!(
            !page.contains("<b>ada</b>") && !page.contains("<script") && !page.contains("http://")
                || page.contains("w3.org")
        );
        assert_eq!(output.artifacts[0].content, page.as_bytes());
        assert_eq!(output.metrics["rows"], 3.0);
        project
            .run_on::<Data>(rows(), json!({"path": "reports/again.html"}))
            .await
            .unwrap();
        assert_eq!(
            project.read("reports/again.html"),
            page,
            "equal input gives equal bytes"
        );
    }

    #[tokio::test]
    async fn a_table_without_rows_has_a_page_too() {
        let project = TestProject::new();
        project
            .run_on::<Data>(
                rows().head(Some(0)),
                json!({"path": "a.html", "title": "Nothing"}),
            )
            .await
            .unwrap();
        assert!(project.read("a.html").contains("<h1>Nothing</h1>"));
    }
}
