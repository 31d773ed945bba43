//! What the parser says, in words that help.

use super::{
    super::{Found, Mark, SourceFile, codes},
    builder::MAX_DEPTH,
};

/// One clear complaint for what the parser says.
pub(super) fn complain(error: &granit_parser::ScanError, source: &SourceFile, found: &mut Found) {
    let marker = error.marker();
    let start = u32::try_from(marker.byte_offset().unwrap_or_default()).unwrap_or_default();
    let mut mark = Mark {
        line: u32::try_from(marker.line().max(1)).unwrap_or(u32::MAX),
        column: u32::try_from(marker.col() + 1).unwrap_or(u32::MAX),
        length: 1,
        start,
        end: start,
    };
    let line = source
        .text
        .lines()
        .nth(mark.line as usize - 1)
        .unwrap_or_default();
    let hint = if error.info().contains("nesting") || error.info().contains("recursion") {
        found
            .error(
                codes::BOMB,
                mark,
                format!("the file is nested more than {MAX_DEPTH} deep"),
            )
            .hint(TOO_DEEP);
        return;
    } else if let Some(tab) = line
        .find(|letter| letter != ' ')
        .filter(|at| line.get(*at..).is_some_and(|rest| rest.starts_with('\t')))
    {
        mark.column = u32::try_from(tab + 1).unwrap_or(u32::MAX);
        Some("YAML is indented with spaces; replace the tab")
    } else if line.contains("${{") {
        Some("put the expression in quotes: \"${{ … }}\"")
    } else {
        None
    };
    let complaint = found.error(codes::SYNTAX, mark, plain(&error.info()));
    if let Some(hint) = hint {
        complaint.hint(hint);
    }
}

/// What to do about a file that is nested too deep.
pub(super) const TOO_DEEP: &str =
    "a pipeline needs a few levels; is a bracket or an indentation repeated by mistake?";

/// The parser's words as a lower-case fragment.
fn plain(message: &str) -> String {
    let message = message.trim_end_matches('.');
    let message = message.split(" at byte ").next().unwrap_or(message);
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}
