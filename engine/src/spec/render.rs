//! Diagnostics as people read them: file, line and column, the line itself with carets, the hint.

use std::{collections::HashMap, fmt::Write, path::Path};

use super::{Diagnostic, Diagnostics, Place, Severity, veil::veiled};

/// How diagnostics are coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Not at all.
    #[default]
    Plain,
    /// With ANSI escapes.
    Ansi,
}

/// The texts of files by the names that places use.
#[derive(Debug, Default)]
pub struct Sources<'a>(HashMap<&'a str, &'a str>);

impl<'a> Sources<'a> {
    /// No text yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file's text.
    #[must_use]
    pub fn with(mut self, name: &'a str, text: &'a str) -> Self {
        self.0.insert(name, text);
        self
    }
}

/// Renders all complaints about the files of `sources`.
pub fn render(diagnostics: &Diagnostics, sources: &Sources<'_>, colour: Colour) -> String {
    let lines: HashMap<&str, Vec<&str>> = sources
        .0
        .iter()
        .map(|(name, text)| (*name, text.lines().collect()))
        .collect();
    let mut text = String::new();
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let line = lines
            .get(&*diagnostic.place.file)
            .and_then(|lines| lines.get(diagnostic.place.line as usize - 1))
            .copied();
        one(diagnostic, line, colour, &mut text);
    }
    text
}

/// Renders complaints, reading the files that they name below `root` again for their lines.
pub fn render_files(diagnostics: &Diagnostics, root: &Path, colour: Colour) -> String {
    let mut texts: HashMap<String, String> = HashMap::new();
    for diagnostic in diagnostics.iter() {
        let name = diagnostic.place.file.to_string();
        texts.entry(name).or_insert_with_key(|name| {
            // What cannot be read any more is rendered without its line.
            super::SourceFile::read(&root.join(name), name.as_str())
                .map(|source| source.text.to_string())
                .unwrap_or_default()
        });
    }
    let sources = texts.iter().fold(Sources::new(), |sources, (name, text)| {
        sources.with(name, text)
    });
    render(diagnostics, &sources, colour)
}

fn one(diagnostic: &Diagnostic, line: Option<&str>, colour: Colour, text: &mut String) {
    let place = &diagnostic.place;
    let paint = |code: &'static str| if colour == Colour::Ansi { code } else { "" };
    let strong = match diagnostic.severity {
        Severity::Error => paint("\u{1b}[1;31m"),
        Severity::Warning => paint("\u{1b}[1;33m"),
    };
    let (blue, bold, reset) = (paint("\u{1b}[34m"), paint("\u{1b}[1m"), paint("\u{1b}[0m"));
    let gutter = " ".repeat(place.line.to_string().len());
    let severity = diagnostic.severity.name();
    // Writing to a string cannot fail.
    let mut put = |line: std::fmt::Arguments<'_>| text.write_fmt(line).unwrap_or_default();
    put(format_args!(
        "{strong}{severity}[{}]{reset}{bold}: {}{reset}\n",
        diagnostic.code, diagnostic.message
    ));
    put(format_args!(
        "{gutter}{blue}-->{reset} {}:{}:{}\n",
        place.file, place.line, place.column
    ));
    if let Some(line) = line {
        let (shown, carets) = snippet(line, place.column, place.length);
        put(format_args!("{gutter} {blue}|{reset}\n"));
        put(format_args!("{blue}{} |{reset} {shown}\n", place.line));
        put(format_args!(
            "{gutter} {blue}|{reset} {strong}{carets}{reset}\n"
        ));
    }
    if let Some(hint) = &diagnostic.hint {
        put(format_args!("{bold}hint{reset}: {hint}\n"));
    }
}

/// The lines of what begins at a place, a task of a pipeline say: the first with carets, then those that are indented
/// deeper, `most` in all.
pub fn excerpt(text: &str, place: &Place, most: usize, colour: Colour) -> Vec<String> {
    let paint = |code: &'static str| if colour == Colour::Ansi { code } else { "" };
    let (blue, red, reset) = (
        paint("\u{1b}[34m"),
        paint("\u{1b}[1;31m"),
        paint("\u{1b}[0m"),
    );
    let lines: Vec<(u32, &str)> = (1..).zip(text.lines()).collect();
    let from = place.line as usize - 1;
    let inside = |line: &str| {
        let indent = line.chars().take_while(|letter| *letter == ' ').count();
        line.trim().is_empty() || indent >= place.column as usize
    };
    let block = lines.iter().skip(from + 1);
    let block = block.take_while(|(_, line)| inside(line)).count();
    let own = lines.get(from..=from + block).unwrap_or_default();
    let blank = |(_, line): &&(u32, &str)| line.trim().is_empty();
    let own = own
        .get(..own.len() - own.iter().rev().take_while(blank).count())
        .unwrap_or_default();
    let shown = own.get(..most).unwrap_or(own);
    let width = shown
        .last()
        .map_or(1, |(number, _)| number.to_string().len());
    let gutter = " ".repeat(width);
    let mut found = Vec::new();
    for (number, line) in shown {
        let (text, carets) = snippet(line, place.column, place.length);
        if found.is_empty() {
            found.push(format!("{gutter} {blue}|{reset}"));
            found.push(format!("{blue}{number:width$} |{reset} {text}"));
            found.push(format!("{gutter} {blue}|{reset} {red}{carets}{reset}"));
        } else {
            found.push(
                format!("{blue}{number:width$} |{reset} {text}")
                    .trim_end()
                    .to_owned(),
            );
        }
    }
    if own.len() > shown.len() {
        found.push(format!("{gutter} {blue}|{reset} …"));
    }
    found
}

/// A line, cut to what fits round the place, and the carets under it. Tabs and control characters become spaces.
fn snippet(line: &str, column: u32, length: u32) -> (String, String) {
    const WIDTH: usize = 160;
    let letters: Vec<char> = veiled(line)
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    let column = (column as usize - 1).min(letters.len());
    let start = if letters.len() > WIDTH {
        column.saturating_sub(WIDTH / 2)
    } else {
        0
    };
    let end = (start + WIDTH).min(letters.len());
    let shown: String = letters.get(start..end).unwrap_or_default().iter().collect();
    let carets = (length as usize).min(end.saturating_sub(column)).max(1);
    (
        shown.trim_end().to_owned(),
        format!("{}{}", " ".repeat(column - start), "^".repeat(carets)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_points_at_its_place() {
        let text = "tasks:\n  today:\n    extract: cvs\n";
        let place = Place {
            file: "pipelines/churn.yaml".into(),
            line: 3,
            column: 14,
            length: 3,
        };
        let diagnostic = Diagnostic::error("P012", place, "unknown operator `extract: cvs`")
            .with_hint("did you mean `csv`? `pipectl operators` lists them all");
        let rendered = render(
            &diagnostic.into(),
            &Sources::new().with("pipelines/churn.yaml", text),
            Colour::Plain,
        );
        assert_eq!(
            rendered,
            "error[P012]: unknown operator `extract: cvs`\n --> pipelines/churn.yaml:3:14\n  |\n3 |     extract: cvs\n  |              ^^^\nhint: did you mean `csv`? `pipectl operators` lists them all\n"
        );
    }

    #[test]
    fn an_excerpt_has_the_lines_of_a_task() {
        let text = "tasks:\n  first:\n    run: noop\n\n  today:\n    extract: csv\n    with:\n      path: a\n\n  next: {}\n";
        let place = |line| Place {
            file: "a.yaml".into(),
            line,
            column: 3,
            length: 5,
        };
        let shown = |line, most| excerpt(text, &place(line), most, Colour::Plain).join("\n");
        assert_eq!(
            shown(5, 8),
            "  |\n5 |   today:\n  |   ^^^^^\n6 |     extract: csv\n7 |     with:\n8 |       path: a"
        );
        assert_eq!(
            shown(5, 2),
            "  |\n5 |   today:\n  |   ^^^^^\n6 |     extract: csv\n  | …"
        );
        assert_eq!(shown(10, 8), "   |\n10 |   next: {}\n   |   ^^^^^");
        assert_eq!(shown(11, 8), "");
    }

    #[test]
    fn a_long_line_is_cut_round_the_place() {
        let line = format!("{}here{}", "x".repeat(500), "y".repeat(500));
        let (shown, carets) = snippet(&line, 501, 4);
        assert_eq!(shown.chars().count(), 160);
        assert_eq!(
            carets.find('^').and_then(|at| shown.get(at..at + 4)),
            Some("here")
        );
    }
}
