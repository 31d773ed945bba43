//! `report: markdown`: the user's own document, a handlebars template filled with values and rows.

use pipectl_engine::operator::{
    Artifact, Complaints, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
    ValueType,
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::{
    document::{self, Kind as DocumentKind},
    files::io_error,
    frame::collect,
    whole::Whole,
};

/// `report: markdown`.
pub(crate) struct Markdown;

/// The document. In a template `{{values.name}}` is a value of `values`, `{{data.scores.count}}` the number of rows of
/// the dataset `scores`, `{{#each data.scores.rows}}{{name}}{{/each}}` its rows, `{{table data.scores}}` all of them as
/// a table, `{{run.id}}`, `{{run.pipeline}}` and `{{task}}` what they say.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// A file with the template, relative to the project: Markdown (`.md`) or HTML (`.html`, `.hbs`).
    template: Option<String>,
    /// The template itself, in Markdown, in place of a file.
    text: Option<String>,
    /// Values for the template.
    #[serde(default)]
    values: Map<String, Value>,
    /// The file to write, relative to the project: `.md`, or `.html`, into which Markdown is turned.
    path: String,
    /// The heading of the browser's window; the task's name when not said.
    title: Option<String>,
    /// How many rows of each dataset the template gets.
    #[serde(default = "hundred")]
    rows: usize,
}

fn hundred() -> usize {
    100
}

impl Operator for Markdown {
    type Config = Config;
    const KIND: Kind = Kind::Report;
    const NAME: &'static str = "markdown";
    const SUMMARY: &'static str =
        "Writes a document of your own: a template filled with values and rows.";
    const TAKES: Takes = Takes::Any;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none().value("path", ValueType::String, "the document")
    }

    fn check(config: &Config, found: &mut Complaints) {
        match (&config.template, &config.text) {
            (None, None) => {
                found
                    .error(&[], "neither `template` nor `text` is given")
                    .hint("write one of them");
            }
            (Some(_), Some(_)) => {
                found
                    .error(&["text"], "both `template` and `text` are given")
                    .hint("leave one of them out");
            }
            (None, Some(text)) => {
                if let Err(error) = document::parse(text) {
                    found.error(&["text"], error);
                }
            }
            (Some(_), None) => {}
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let mut data = Map::new();
        for (name, dataset) in context.inputs.iter() {
            let frame = collect(context, name, dataset).await?;
            data.insert(name.to_owned(), rows(&frame, config.rows));
        }
        let (template, kind) = match (&config.template, &config.text) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(context.project.path(file));
                (
                    text.map_err(|error| io_error("read", file, error))?,
                    DocumentKind::of(file),
                )
            }
            (None, text) => (text.clone().unwrap_or_default(), DocumentKind::Markdown),
        };
        let title = config
            .title
            .unwrap_or_else(|| context.task.key.task.clone());
        let scope = json!({
            "values": config.values,
            "data": data,
            "run": {"id": context.run.id.to_string(), "pipeline": &*context.run.pipeline},
            "task": context.task.key.to_string(),
        });
        let (path, shown) = (
            config.path.clone(),
            config.template.unwrap_or_else(|| "text".to_owned()),
        );
        let target = DocumentKind::of(&path);
        let document = context
            .compute(move || {
                document::render(&template, kind, target, &title, &scope).map_err(|error| {
                    TaskError::user(format!("the template `{shown}` cannot be filled: {error}"))
                })
            })
            .await?;
        Whole::write(context, &path, document.as_bytes())?;
        let (name, media_type) = match target {
            DocumentKind::Markdown => ("report.md", "text/markdown"),
            DocumentKind::Html => ("report.html", "text/html"),
        };
        let artifact = Artifact {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            content: document.into(),
            path: Some(path.clone().into()),
        };
        Ok(Outcome::Done(
            Output::default().artifact(artifact).value("path", path),
        ))
    }
}

/// The first rows of a table, for a template.
fn rows(frame: &DataFrame, limit: usize) -> Value {
    let names: Vec<_> = frame
        .get_column_names()
        .into_iter()
        .map(ToString::to_string)
        .collect();
    let row = |row: usize| {
        let cells = frame.columns().iter().map(|column| {
            let value = column.get(row).map_or(Value::Null, |value| plain(&value));
            (column.name().to_string(), value)
        });
        Value::Object(cells.collect())
    };
    let rows: Vec<_> = (0..frame.height().min(limit)).map(row).collect();
    json!({"count": frame.height(), "columns": names, "rows": rows})
}

fn plain(value: &AnyValue<'_>) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(value) => (*value).into(),
        AnyValue::String(text) => (*text).into(),
        AnyValue::StringOwned(text) => text.as_str().into(),
        value if value.is_integer() => value
            .extract::<i64>()
            .map_or_else(|| value.to_string().into(), Value::from),
        value if value.is_float() => value.extract::<f64>().map_or(Value::Null, Value::from),
        other => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, complaints};

    use super::*;

    fn scores() -> DataFrame {
        df!["name" => ["a<b", "c|d"], "score" => [Some(0.5), None]].unwrap()
    }

    #[tokio::test]
    async fn markdown_becomes_a_page() {
        let project = TestProject::new();
        let text = "# {{values.heading}}\n\n{{data.rows.count}} rows\n\n{{table data.rows}}\n\n{{#each data.rows.rows}}- {{name}}\n{{/each}}";
        let settings = json!({"text": text, "path": "out/a.html", "values": {"heading": "Today & <tomorrow>"}, "title": "T"});
        let output = project
            .run_on::<Markdown>(scores(), settings)
            .await
            .unwrap();
        let page = project.read("out/a.html");
        for part in [
            "<title>T</title>",
            "<h1>Today &amp; &lt;tomorrow&gt;</h1>",
            "<p>2 rows</p>",
            "<th>score</th>",
            "<td>0.5</td>",
            "<li>a&lt;b</li>",
            "<td>c|d</td>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(output.artifacts[0].media_type, "text/html");
    }

    #[tokio::test]
    async fn a_file_may_hold_the_template() {
        let project = TestProject::new();
        project.write("t/a.md", "{{values.x}}: {{data.rows.count}}\n");
        project
            .run_on::<Markdown>(
                scores(),
                json!({"template": "t/a.md", "path": "a.md", "values": {"x": "<1>"}}),
            )
            .await
            .unwrap();
        assert_eq!(project.read("a.md"), "<1>: 2\n");
        project.write("t/a.html", "<p>{{values.x}}</p>");
        project
            .run_on::<Markdown>(
                scores(),
                json!({"template": "t/a.html", "path": "a.html", "values": {"x": "<1>"}}),
            )
            .await
            .unwrap();
        assert_eq!(project.read("a.html"), "<p>&lt;1&gt;</p>");
        let error = project
            .run_on::<Markdown>(scores(), json!({"template": "t/b.md", "path": "a.md"}))
            .await
            .unwrap_err();
        assert_eq!(error.message, "cannot read `t/b.md`");
    }

    #[tokio::test]
    async fn a_value_that_is_not_there_is_an_error() {
        let project = TestProject::new();
        let error = project
            .run_on::<Markdown>(scores(), json!({"text": "{{values.x}}", "path": "a.md"}))
            .await
            .unwrap_err();
        assert!(
            error
                .message
                .starts_with("the template `text` cannot be filled: "),
            "{}",
            error.message
        );
        assert!(error.message.contains("values.x"), "{}", error.message);
    }

    #[test]
    fn templates_are_checked() {
        let found = complaints::<Markdown>(json!({"text": "{{#each x}}", "path": "a.md"}));
        assert!(found[0].starts_with("text: "), "{found:?}");
        assert_eq!(
            complaints::<Markdown>(json!({"path": "a.md"})),
            [": neither `template` nor `text` is given"]
        );
    }
}
