//! What the binary said, compared with what it said before.

use super::Ran;

/// What differs from run to run, and what stands for it in a snapshot.
pub(crate) const FILTERS: [(&str, &str); 11] = [
    (
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "<id>",
    ),
    (r"\b[0-9a-f]{64}\b", "<hash>"),
    (r"(?m)^[0-9a-f]{8}  ", "<short>  "),
    (
        r"(runs (?:files|logs|show)|retry|--resume) [0-9a-f]{8}\b",
        "$1 <short>",
    ),
    (
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| UTC)?",
        "<moment>",
    ),
    (r" +\b\d+(\.\d+)? (ms|s|m)\b( \d+ s)?", " <time>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-?[0-9a-f]*…", "<id>…"),
    (r"\(os error \d+\)", "(os error)"),
    (r#""bytes": \d+"#, r#""bytes": 0"#),
    (r"localhost:\d+|127\.0\.0\.1:\d+", "<host>"),
    (r"Python 3\.\d+\.\d+", "Python 3"),
];

/// Compares what the binary did with the snapshot of this name.
#[track_caller]
pub(crate) fn check(name: &str, ran: &Ran) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../e2e/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, with) in FILTERS {
        settings.add_filter(pattern, with);
    }
    settings.bind(|| insta::assert_snapshot!(name, evened(&ran.to_string())));
}

/// Rows of tables without the blanks that make columns: a column is as wide as its widest time.
fn evened(text: &str) -> String {
    let is_row = |line: &str| {
        ["Run  ", "Task  "]
            .iter()
            .any(|head| line.starts_with(head))
            || ["✓", "✕", "∅", "⊘", "–", "success"]
                .iter()
                .any(|mark| line.contains(mark))
    };
    let lines = text.lines().map(|line| {
        if !is_row(line) {
            return line.to_owned();
        }
        line.split("  ")
            .filter(|cell| !cell.is_empty())
            .map(str::trim)
            .collect::<Vec<_>>()
            .join("  ")
    });
    lines.collect::<Vec<_>>().join("\n")
}
