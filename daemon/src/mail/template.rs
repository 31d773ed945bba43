//! Handlebars templates of mails.

use std::sync::LazyLock;

use handlebars::{Handlebars, handlebars_helper, no_escape};
use pipectl_engine::store::NewMail;

use super::content::{Content, Digest};

/// How wide the labels of a text mail are.
const LABEL: usize = 12;

/// A mail as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// For readers without HTML.
    pub text: String,
    /// For all others.
    pub html: String,
}

/// Why a mail could not be rendered.
#[derive(Debug, thiserror::Error)]
#[error("cannot render the mail")]
pub struct RenderError(#[from] handlebars::RenderError);

handlebars_helper!(pad: |label: String| format!("{label:<LABEL$}"));

/// Templates of plain text escape nothing; a template of HTML escapes everything.
static TEXT: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut templates = Handlebars::new();
    templates.register_escape_fn(no_escape);
    templates.register_helper("pad", Box::new(pad));
    templates
});
static HTML: LazyLock<Handlebars<'static>> = LazyLock::new(Handlebars::new);

/// Renders a mail's subject, text and HTML.
///
/// # Errors
/// When a template fails.
pub fn render(mail: &NewMail) -> Result<Rendered, RenderError> {
    let content = Content::of(mail);
    let subject = TEXT.render_template(include_str!("templates/subject.hbs"), &content)?;
    Ok(Rendered {
        subject: one_line(&format!("[pipectl] {subject}")),
        text: TEXT.render_template(include_str!("templates/text.hbs"), &content)?,
        html: HTML.render_template(include_str!("templates/html.hbs"), &content)?,
    })
}

/// Renders many mails as one: subject, text and HTML.
///
/// # Errors
/// When a template fails.
pub fn render_digest(mails: &[&NewMail]) -> Result<Rendered, RenderError> {
    let digest = Digest::of(mails);
    let pipelines = digest.pipelines.join(", ");
    Ok(Rendered {
        subject: one_line(&format!("[pipectl] {} alerts: {pipelines}", digest.count)),
        text: TEXT.render_template(include_str!("templates/digest_text.hbs"), &digest)?,
        html: HTML.render_template(include_str!("templates/digest_html.hbs"), &digest)?,
    })
}

/// A header holds one line, whatever a name or a message brings along.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{plan::AlertKind, time::Timestamp};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn mail(kind: AlertKind, content: serde_json::Value) -> NewMail {
        NewMail {
            id: Uuid::nil(),
            run: None,
            kind,
            to: vec!["a@example.com".to_owned()],
            content,
            created: Timestamp::default(),
        }
    }

    #[test]
    fn a_failure_says_what_where_and_what_to_do() {
        let rendered = render(&mail(
            AlertKind::Failure,
            json!({
                "pipeline": "churn", "run": "0190-1", "task": "valid", "attempt": 4,
                "message": "column `tenure` has 3 values < 0 & more", "hint": "look at the rows",
                "interval": {"start": "2026-11-20T00:00:00Z", "end": "2026-11-21T00:00:00Z"},
                "log_tail": ["one <b>", "two"], "description": null,
            }),
        ))
        .unwrap();
        assert_eq!(rendered.subject, "[pipectl] churn failed at valid");
        assert_eq!(
            rendered.text,
            "\
The task `valid` of the pipeline `churn` has failed

column `tenure` has 3 values < 0 & more

What to do: look at the rows

Run         0190-1
Attempt     4
Interval    2026-11-20T00:00:00Z to 2026-11-21T00:00:00Z

The end of the log:
  one <b>
  two

The run:
  pipectl runs show 0190-1
The whole log:
  pipectl runs logs 0190-1 valid
Try what failed again:
  pipectl retry 0190-1 --failed
"
        );
        assert!(rendered.html.contains("one &lt;b&gt;"), "{}", rendered.html);
        assert!(
            rendered.html.contains("&lt; 0 &amp; more"),
            "{}",
            rendered.html
        );
        assert!(!rendered.html.contains("<b>"));
    }

    #[test]
    fn every_occasion_has_its_subject() {
        for (kind, subject) in [
            (AlertKind::Failure, "[pipectl] churn failed"),
            (AlertKind::Recovery, "[pipectl] churn has recovered"),
            (AlertKind::Warning, "[pipectl] churn: warning"),
            (AlertKind::Deadline, "[pipectl] churn is late"),
        ] {
            let rendered = render(&mail(kind, json!({"pipeline": "churn", "run": "1"}))).unwrap();
            assert_eq!(rendered.subject, subject);
            assert!(rendered.text.contains("pipectl runs show 1"));
            assert!(!rendered.text.contains("\n\n\n"), "{}", rendered.text);
        }
        let late = json!({"pipeline": "churn", "task": "scores", "run": "1"});
        let rendered = render(&mail(AlertKind::Deadline, late)).unwrap();
        assert_eq!(rendered.subject, "[pipectl] churn is late at scores");
        let headline = "The task `scores` of the pipeline `churn` has not finished by its deadline";
        assert!(rendered.text.contains(headline), "{}", rendered.text);
    }

    #[test]
    fn warnings_are_listed_and_a_subject_is_one_line() {
        let rendered = render(&mail(
            AlertKind::Warning,
            json!({"pipeline": "churn", "task": "a\r\nBcc: x@example.com", "warnings": ["3 columns drift"]}),
        ))
        .unwrap();
        assert_eq!(
            rendered.subject,
            "[pipectl] churn: warning from a Bcc: x@example.com"
        );
        assert!(rendered.text.contains("  - 3 columns drift\n"));
        assert!(rendered.html.contains("<li>3 columns drift</li>"));
    }
}
