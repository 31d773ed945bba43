//! Complaints about files, as people read them.

use pipectl_engine::spec::{
    Diagnostics, Severity,
    render::{Colour, Sources, render},
};

use crate::{output::Painter, pipelines::Checked};

/// All complaints about a file, with its lines.
pub(crate) fn text(checked: &Checked, painter: Painter) -> String {
    let sources = checked.source.as_ref().map_or_else(Sources::new, |source| {
        Sources::new().with(&source.name, &source.text)
    });
    render(&checked.complaints, &sources, colour(painter))
}

/// How the engine's renderer is told of colours.
pub(crate) fn colour(painter: Painter) -> Colour {
    if painter.has_colour() {
        Colour::Ansi
    } else {
        Colour::Plain
    }
}

/// How many errors and warnings there are, in words.
pub(crate) fn count(diagnostics: &Diagnostics) -> String {
    let words = |severity: Severity| {
        let found = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count();
        let plural = if found == 1 { "" } else { "s" };
        (found > 0).then(|| format!("{found} {}{plural}", severity.name()))
    };
    let parts: Vec<String> = [words(Severity::Error), words(Severity::Warning)]
        .into_iter()
        .flatten()
        .collect();
    parts.join(", ")
}
