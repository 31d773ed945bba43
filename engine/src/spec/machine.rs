//! Diagnostics as machines read them: JSON, SARIF 2.1.0, annotations of GitHub.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Diagnostic, Diagnostics, Severity, codes};

/// What `pipectl validate --format json` answers.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// Whether there is no error.
    pub valid: bool,
    /// All complaints.
    pub complaints: Vec<ReportedComplaint<'a>>,
}

/// A complaint in a [`Report`].
#[derive(Debug, Serialize)]
pub struct ReportedComplaint<'a> {
    /// The file.
    pub file: &'a str,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
    /// The code.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: &'a str,
    /// What to do.
    pub hint: Option<&'a str>,
}

impl<'a> Report<'a> {
    /// A report of all these complaints.
    pub fn of(diagnostics: &'a Diagnostics) -> Self {
        Self {
            valid: !diagnostics.has_errors(),
            complaints: diagnostics.iter().map(Into::into).collect(),
        }
    }
}

impl<'a> From<&'a Diagnostic> for ReportedComplaint<'a> {
    fn from(diagnostic: &'a Diagnostic) -> Self {
        Self {
            file: &diagnostic.place.file,
            line: diagnostic.place.line,
            column: diagnostic.place.column,
            code: diagnostic.code,
            severity: diagnostic.severity,
            message: &diagnostic.message,
            hint: diagnostic.hint.as_deref(),
        }
    }
}

/// A log in the format SARIF 2.1.0, which code hosts and editors show.
pub fn sarif(diagnostics: &Diagnostics, version: &str) -> Value {
    let rules: Vec<Value> = codes::ALL
        .iter()
        .filter(|code| {
            diagnostics
                .iter()
                .any(|diagnostic| diagnostic.code == code.code)
        })
        .map(|code| json!({"id": code.code, "shortDescription": {"text": code.meaning}}))
        .collect();
    let results: Vec<Value> = diagnostics.iter().map(sarif_result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "pipectl", "version": version, "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn sarif_result(diagnostic: &Diagnostic) -> Value {
    let place = &diagnostic.place;
    json!({
        "ruleId": diagnostic.code,
        "level": diagnostic.severity.name(),
        "message": {"text": full_message(diagnostic)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": &*place.file},
            "region": {
                "startLine": place.line,
                "startColumn": place.column,
                "endColumn": place.column.saturating_add(place.length),
            },
        }}],
    })
}

/// Workflow commands that GitHub shows beside the lines.
pub fn github(diagnostics: &Diagnostics) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics.iter() {
        let place = &diagnostic.place;
        // Writing to a string cannot fail.
        writeln!(
            text,
            "::{} file={},line={},col={},endColumn={},title={}::{}",
            diagnostic.severity.name(),
            property(&place.file),
            place.line,
            place.column,
            place.column.saturating_add(place.length),
            property(diagnostic.code),
            data(&full_message(diagnostic)),
        )
        .unwrap_or_default();
    }
    text
}

fn full_message(diagnostic: &Diagnostic) -> String {
    match &diagnostic.hint {
        Some(hint) => format!("{} ({hint})", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Place;

    fn one() -> Diagnostics {
        let place = Place {
            file: "a,b.yaml".into(),
            line: 3,
            column: 5,
            length: 2,
        };
        Diagnostic::error("P012", place, "50% is wrong\nhere")
            .with_hint("mend it")
            .into()
    }

    #[test]
    fn json_has_the_documented_shape() {
        assert_eq!(
            serde_json::to_value(Report::of(&one())).unwrap(),
            json!({"valid": false, "complaints": [{"file": "a,b.yaml", "line": 3, "column": 5, "code": "P012",
                "severity": "error", "message": "50% is wrong\nhere", "hint": "mend it"}]})
        );
    }

    #[test]
    fn github_escapes_what_it_must() {
        assert_eq!(
            github(&one()),
            "::error file=a%2Cb.yaml,line=3,col=5,endColumn=7,title=P012::50%25 is wrong%0Ahere (mend it)\n"
        );
    }

    #[test]
    fn sarif_names_rule_and_region() {
        let log = sarif(&one(), "0.1.0");
        assert_eq!(log["version"], "2.1.0");
        assert_eq!(log["runs"][0]["results"][0]["ruleId"], "P012");
        assert_eq!(
            log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["endColumn"],
            7
        );
        assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][0]["id"], "P012");
    }
}
