//! Tables for terminals: columns as wide as their widest cell.

use std::borrow::Cow;

use anstyle::Style;

use crate::output::{DIM, Painter};

/// A table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// One cell: text, and how it is painted.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    /// A cell in a style.
    pub(crate) fn styled(style: Style, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            style,
            right: false,
        }
    }

    /// A cell that stands to the right, for numbers.
    pub(crate) fn right(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
            right: true,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(Style::new(), text)
    }
}

impl Table {
    /// A table with these column heads.
    pub(crate) fn new(heads: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            heads: heads.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let shown = |cell: Cell| Cell {
            text: visible(&cell.text).into_owned(),
            ..cell
        };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The table's lines; columns in which no row has anything are left out.
    pub(crate) fn render(&self, painter: Painter) -> String {
        let columns: Vec<(usize, usize)> = (0..self.heads.len())
            .filter_map(|column| {
                let widest = self
                    .rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| width(&cell.text))
                    .max()
                    .unwrap_or(0);
                let empty = widest == 0 && !self.rows.is_empty();
                (!empty).then(|| (column, widest.max(width(&self.heads[column]))))
            })
            .collect();
        let head: Vec<Cell> = self
            .heads
            .iter()
            .enumerate()
            .map(|(column, head)| Cell {
                text: head.clone(),
                style: DIM,
                right: self
                    .rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .any(|cell| cell.right),
            })
            .collect();
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            let mut owed = 0;
            for (place, (column, widest)) in columns.iter().enumerate() {
                let Some(cell) = row.get(*column) else { break };
                let gap = widest - width(&cell.text);
                let (before, after) = if cell.right { (gap, 0) } else { (0, gap) };
                let between = if place == 0 { 0 } else { 2 };
                // Blanks are written only when something follows: no line ends in blanks.
                if cell.text.is_empty() {
                    owed += between + gap;
                    continue;
                }
                line.push_str(&" ".repeat(owed + between + before));
                line.push_str(&painter.paint(cell.style, &cell.text));
                owed = after;
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// A text in which line breaks and what else controls a terminal are written out: a name may have them.
fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown.into()
}

/// How many columns of a terminal a text takes: close enough for what we print.
pub(crate) fn width(text: &str) -> usize {
    text.chars().count()
}

/// The lines of a text that are no wider than so many columns, as far as its words allow.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped() {
        assert_eq!(wrapped("", 10), Vec::<String>::new());
        assert_eq!(
            wrapped("one two  three\nübermäßig long-word-that-fits-nowhere x", 9),
            [
                "one two",
                "three",
                "übermäßig",
                "long-word-that-fits-nowhere",
                "x"
            ]
        );
    }

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let mut table = Table::new(["Task", "Empty", "Rows", "Note"]);
        table.row(["✓ a".into(), "".into(), Cell::right("2,001"), "".into()]);
        table.row(["✕ longer".into(), "".into(), Cell::right("7"), "bad".into()]);
        assert_eq!(
            table.render(Painter::PLAIN),
            "\
Task       Rows  Note
✓ a       2,001
✕ longer      7  bad
"
        );
    }

    #[test]
    fn a_line_break_in_a_name_stays_in_its_line() {
        let mut table = Table::new(["Thing", "Run"]);
        table.row(["in/a\nb\u{1b}[2J.csv".into(), "7".into()]);
        assert_eq!(
            table.render(Painter::PLAIN),
            "Thing                 Run\nin/a\\nb\\u{1b}[2J.csv  7\n"
        );
    }

    #[test]
    fn a_table_without_rows_shows_its_heads() {
        assert_eq!(
            Table::new(["Run", "State"]).render(Painter::PLAIN),
            "Run  State\n"
        );
    }
}
