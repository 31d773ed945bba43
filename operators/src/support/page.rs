//! Pages for people: handlebars templates into one self-contained HTML file.

use std::path::Path;

use bytes::Bytes;
use handlebars::Handlebars;
use pipectl_engine::operator::{Artifact, Complaints, TaskContext, TaskError};
use serde::Serialize;

use super::whole::Whole;

/// The style of every page.
const STYLE: &str = include_str!("../report/templates/style.css");

/// Renders a template; `{{> style}}` is the common style. What is shown is escaped; a missing field is an error.
pub(crate) fn render<T: Serialize>(template: &str, page: &T) -> Result<String, TaskError> {
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    let broken = |error: handlebars::TemplateError| {
        TaskError::bug("a report's template is broken").because(error)
    };
    handlebars
        .register_partial("style", STYLE)
        .map_err(broken)?;
    handlebars
        .register_template_string("page", template)
        .map_err(broken)?;
    handlebars
        .render("page", page)
        .map_err(|error| TaskError::bug("a report cannot be rendered").because(error))
}

/// Writes a page to its path and makes it an artifact too.
pub(crate) fn publish(
    context: &TaskContext,
    path: &str,
    html: String,
) -> Result<Artifact, TaskError> {
    Whole::write(context, path, html.as_bytes())?;
    Ok(Artifact {
        name: "report.html".to_owned(),
        media_type: "text/html".to_owned(),
        content: Bytes::from(html),
        path: Some(path.into()),
    })
}

/// Complains about a page that the JSON file beside it would replace.
pub(crate) fn check_path(path: &str, found: &mut Complaints) {
    if Path::new(path)
        .extension()
        .is_some_and(|ending| ending == "json")
    {
        found
            .error(
                &["path"],
                "this is the page; its JSON file would have the same name",
            )
            .hint("let it end in `.html`");
    }
}

/// Writes a JSON artifact beside the page at `path`, under the page's name with `.json` instead of its ending.
pub(crate) fn publish_json(
    context: &TaskContext,
    path: &str,
    mut artifact: Artifact,
) -> Result<Artifact, TaskError> {
    let beside = Path::new(path).with_extension("json");
    Whole::write(context, &beside.to_string_lossy(), &artifact.content)?;
    artifact.path = Some(beside);
    Ok(artifact)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::render;

    #[test]
    fn what_is_shown_is_escaped() {
        let html = render("{{name}}", &json!({"name": "<script>"})).unwrap();
        assert_eq!(html, "&lt;script&gt;");
        assert!(render("{{missing}}", &json!({})).is_err());
    }
}
