//! Documents out of templates: handlebars fills them, Markdown becomes HTML where a page is wanted.

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderErrorReason,
    Template, no_escape,
};
use pulldown_cmark::{Options, Parser, html};
use serde_json::{Map, Value};

use super::text::list;

/// The style of every page.
const STYLE: &str = include_str!("../report/templates/style.css");

/// What a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Markdown.
    Markdown,
    /// HTML.
    Html,
}

impl Kind {
    /// By a file's name.
    pub(crate) fn of(path: &str) -> Self {
        let path = path.to_ascii_lowercase();
        if [".html", ".htm", ".hbs"]
            .iter()
            .any(|end| path.ends_with(end))
        {
            Self::Html
        } else {
            Self::Markdown
        }
    }
}

/// Looks whether a template can be read.
///
/// # Errors
/// Says where it cannot.
pub(crate) fn parse(template: &str) -> Result<(), String> {
    Template::compile(template)
        .map(|_| ())
        .map_err(|error| described(&error))
}

fn described(error: &handlebars::TemplateError) -> String {
    match error.pos() {
        Some((line, column)) => format!(
            "line {line}, column {column} of the template: {}",
            error.reason()
        ),
        None => error.reason().to_string(),
    }
}

/// Fills a template written in `from` into a document in `to`.
///
/// # Errors
/// Says what is wrong with the template, or which value it lacks.
pub(crate) fn render(
    template: &str,
    from: Kind,
    to: Kind,
    title: &str,
    scope: &Value,
) -> Result<String, String> {
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    handlebars.register_helper(
        "table",
        Box::new(Table {
            html: to == Kind::Html,
        }),
    );
    if to == Kind::Markdown {
        handlebars.register_escape_fn(no_escape);
    }
    handlebars
        .register_template_string("document", template)
        .map_err(|error| described(&error))?;
    let filled = handlebars.render("document", scope).map_err(|error| {
        let place = error
            .line_no
            .zip(error.column_no)
            .map(|(line, column)| format!("line {line}, column {column}: "));
        let reason = match error.reason() {
            RenderErrorReason::MissingVariable(Some(name)) => {
                let known = scope.as_object().into_iter().flat_map(Map::keys);
                format!(
                    "there is no `{name}`; there are {}",
                    list(known.map(String::as_str))
                )
            }
            reason => reason.to_string(),
        };
        format!("{}{reason}", place.unwrap_or_default())
    })?;
    if from == to || to == Kind::Markdown {
        return Ok(filled);
    }
    let mut body = String::new();
    html::push_html(
        &mut body,
        Parser::new_ext(
            &filled,
            Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH,
        ),
    );
    let title = handlebars::html_escape(title);
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    ))
}

/// `{{table data.scores}}`: the rows of a dataset as a table.
struct Table {
    html: bool,
}

impl HelperDef for Table {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let wrong = || {
            RenderErrorReason::Other(
                "`table` takes a dataset, as in `{{table data.scores}}`".to_owned(),
            )
        };
        let data = helper
            .param(0)
            .map(handlebars::PathAndJson::value)
            .ok_or_else(wrong)?;
        let names: Vec<&str> = data
            .get("columns")
            .and_then(Value::as_array)
            .ok_or_else(wrong)?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let rows = data
            .get("rows")
            .and_then(Value::as_array)
            .ok_or_else(wrong)?;
        let cells = rows.iter().map(|row| {
            names
                .iter()
                .map(|name| row.get(*name).map(text).unwrap_or_default())
                .collect::<Vec<_>>()
        });
        let names = names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>();
        out.write(&if self.html {
            page_table(&names, cells)
        } else {
            plain_table(&names, cells)
        })?;
        Ok(())
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn page_table(names: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |tag: &str, cells: &[String]| {
        let cells = cells.iter().map(|cell| {
            // A line break would end the block of HTML within Markdown.
            format!(
                "<{tag}>{}</{tag}>",
                handlebars::html_escape(cell).replace('\n', " ")
            )
        });
        format!("<tr>{}</tr>", cells.collect::<String>())
    };
    let rows: String = rows.map(|cells| line("td", &cells)).collect();
    format!("<table>{}{rows}</table>", line("th", names))
}

fn plain_table(names: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<_> = cells
            .iter()
            .map(|cell| cell.replace('|', "\\|").replace('\n', " "))
            .collect();
        format!("| {} |", cells.join(" | "))
    };
    let mut lines = vec![line(names), format!("|{}", "---|".repeat(names.len()))];
    lines.extend(rows.map(|cells| line(&cells)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_are_written_in_both_languages() {
        let scope = json!({"data": {"columns": ["a", "b"], "rows": [{"a": 1, "b": "x|y"}, {"a": null, "b": "<i>"}]}});
        let text = render("{{table data}}", Kind::Markdown, Kind::Markdown, "", &scope).unwrap();
        assert_eq!(text, "| a | b |\n|---|---|\n| 1 | x\\|y |\n|  | <i> |");
        let page = render("{{table data}}", Kind::Markdown, Kind::Html, "", &scope).unwrap();
        assert!(
            page.contains("<tr><td></td><td>&lt;i&gt;</td></tr>"),
            "{page}"
        );
    }

    #[test]
    fn a_broken_template_is_placed() {
        assert!(
            parse("a\n{{#if x}}").unwrap_err().starts_with("line "),
            "{:?}",
            parse("a\n{{#if x}}")
        );
        assert!(parse("{{values.x}} {{#each a}}{{b}}{{/each}}").is_ok());
        let error = render(
            "{{table 3}}",
            Kind::Markdown,
            Kind::Markdown,
            "",
            &json!({}),
        )
        .unwrap_err();
        assert!(error.contains("takes a dataset"), "{error}");
    }
}
