//! A workbook: its sheets, and the cells of one.
//!
//! By ECMA-376, part 1, section 18: `SpreadsheetML`.

use std::{collections::HashMap, io, path::Path};

use super::{
    sheet::SheetRows,
    xml::{Document, Element, LONGEST, Node},
};
use crate::support::archive::Archive;

/// How long all texts of a workbook together may be.
const TEXTS: usize = 1 << 30;

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// Nothing.
    Empty,
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// True or false.
    Boolean(bool),
    /// A date or time, as microseconds since 1970.
    Moment(i64),
    /// What a formula could not compute: `#DIV/0!`.
    Error(String),
}

/// An open workbook.
pub(super) struct Book {
    archive: Archive,
    /// Names, and where they are in the archive.
    sheets: Vec<(String, String)>,
    texts: Vec<String>,
    /// Which styles show a number as a date.
    dates: Vec<bool>,
    /// Whether days count from 1904.
    from_1904: bool,
}

/// Part of a sheet: rows and columns count from 0, ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    /// The first and the last row.
    pub(super) rows: (usize, usize),
    /// The first and the last column.
    pub(super) columns: (usize, usize),
}

impl Area {
    /// All of a sheet.
    pub(super) const ALL: Self = Self {
        rows: (0, usize::MAX),
        columns: (0, usize::MAX),
    };

    /// Reads `B2:F100`, `B:F` or `B2:F`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (from, to) = text.split_once(':')?;
        let ((left, top), (right, bottom)) = (corner(from)?, corner(to)?);
        let area = Self {
            rows: (top.unwrap_or(0), bottom.unwrap_or(usize::MAX)),
            columns: (left, right),
        };
        (area.rows.0 <= area.rows.1 && left <= right).then_some(area)
    }

    pub(super) fn holds(&self, row: usize, column: usize) -> bool {
        (self.rows.0..=self.rows.1).contains(&row)
            && (self.columns.0..=self.columns.1).contains(&column)
    }
}

/// `B2` as column 1 and row 1; the row may be missing.
pub(super) fn corner(text: &str) -> Option<(usize, Option<usize>)> {
    let letters = text.chars().take_while(char::is_ascii_alphabetic).count();
    let (letters, digits) = text.split_at(letters);
    let mut column = 0_usize;
    for letter in letters.bytes() {
        let value = usize::from(letter.to_ascii_uppercase() - b'A') + 1;
        column = column.checked_mul(26)?.checked_add(value)?;
    }
    let row = match digits {
        "" => None,
        digits => Some(digits.parse::<usize>().ok()?.checked_sub(1)?),
    };
    Some((column.checked_sub(1)?, row))
}

/// The name of a column: `A`, …, `Z`, `AA`.
pub(super) fn column_name(column: usize) -> String {
    let (mut name, mut rest) = (String::new(), column + 1);
    while rest > 0 {
        rest -= 1;
        let letter = u8::try_from(rest % 26).unwrap_or_default();
        name.insert(0, char::from(b'A' + letter));
        rest /= 26;
    }
    name
}

impl Book {
    /// Opens a workbook.
    ///
    /// # Errors
    /// When it is none, or damaged.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut book = Self {
            archive: Archive::open(path)?,
            sheets: Vec::new(),
            texts: Vec::new(),
            dates: Vec::new(),
            from_1904: false,
        };
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "there is no workbook in it");
        let mut targets = HashMap::new();
        book.each("xl/_rels/workbook.xml.rels", |element| {
            if let (Some(id), Some(target)) = (element.get("Id"), element.get("Target")) {
                let target = match target.strip_prefix('/') {
                    Some(whole) => whole.to_owned(),
                    None => format!("xl/{target}"),
                };
                targets.insert(id.to_owned(), target);
            }
        })?;
        let (mut sheets, mut from_1904) = (Vec::new(), false);
        let found = book.each("xl/workbook.xml", |element| match &*element.name {
            "sheet" => {
                let target = element.get("id").and_then(|id| targets.get(id));
                if let (Some(name), Some(target)) = (element.get("name"), target) {
                    sheets.push((name.to_owned(), target.clone()));
                }
            }
            "workbookPr" => {
                from_1904 = element
                    .get("date1904")
                    .is_some_and(|value| matches!(value, "1" | "true"));
            }
            _ => {}
        })?;
        if !found {
            return Err(missing());
        }
        (book.sheets, book.from_1904) = (sheets, from_1904);
        book.read_styles()?;
        book.read_texts()?;
        Ok(book)
    }

    /// The names of the sheets.
    pub(super) fn sheets(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.sheets.iter().map(|(name, _)| name.as_str())
    }

    /// Calls `take` with each element of a part; says whether there is such a part.
    fn each(&self, name: &str, mut take: impl FnMut(&Element)) -> io::Result<bool> {
        let Some(member) = self
            .archive
            .members()
            .iter()
            .find(|member| member.name == name)
        else {
            return Ok(false);
        };
        let mut document = Document::new(self.archive.read(member)?);
        loop {
            match document.next()? {
                Node::Start(element) => take(&element),
                Node::Done => return Ok(true),
                _ => {}
            }
        }
    }

    fn read_styles(&mut self) -> io::Result<()> {
        let (mut own, mut dates, mut within) = (HashMap::new(), Vec::new(), false);
        self.each("xl/styles.xml", |element| match &*element.name {
            "numFmt" => {
                if let (Some(id), Some(code)) = (element.get("numFmtId"), element.get("formatCode"))
                {
                    own.insert(id.to_owned(), is_date(code));
                }
            }
            "cellXfs" => within = true,
            "cellStyles" | "dxfs" => within = false,
            "xf" if within => {
                let id = element.get("numFmtId").unwrap_or("0");
                let usual = matches!(id.parse(), Ok(14..=22 | 27..=36 | 45..=47 | 50..=58_u32));
                dates.push(own.get(id).copied().unwrap_or(usual));
            }
            _ => {}
        })?;
        self.dates = dates;
        Ok(())
    }

    fn read_texts(&mut self) -> io::Result<()> {
        let name = "xl/sharedStrings.xml";
        let Some(member) = self
            .archive
            .members()
            .iter()
            .find(|member| member.name == name)
        else {
            return Ok(());
        };
        let mut document = Document::new(self.archive.read(member)?);
        let (mut text, mut inside, mut spoken) = (String::new(), false, false);
        let mut total = 0;
        loop {
            match document.next()? {
                Node::Start(element) => match &*element.name {
                    "si" => text.clear(),
                    "t" => inside = true,
                    // How it is pronounced is not what it says.
                    "rPh" => spoken = true,
                    _ => {}
                },
                Node::Text(part) if inside && !spoken => {
                    total += part.len();
                    append(&mut text, &part, || "one of its texts".to_owned())?;
                    if total > TEXTS {
                        return Err(wrong(format!(
                            "its texts have more than {} MiB",
                            TEXTS >> 20
                        )));
                    }
                }
                Node::Text(_) => {}
                Node::End(name) => match &*name {
                    "t" => inside = false,
                    "rPh" => spoken = false,
                    "si" => self.texts.push(std::mem::take(&mut text)),
                    _ => {}
                },
                Node::Done => return Ok(()),
            }
        }
    }

    /// The rows of a sheet within an area, with their numbers; those without any cell are left out.
    ///
    /// # Errors
    /// When the sheet is damaged.
    pub(super) fn rows(&self, sheet: usize, area: Area) -> io::Result<Vec<(usize, Vec<Cell>)>> {
        let place = self.sheets.get(sheet).map(|(_, place)| place.as_str());
        let mut members = self.archive.members().iter();
        let Some(member) = members.find(|member| Some(member.name.as_str()) == place) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the sheet is missing in it",
            ));
        };
        let mut document = Document::new(self.archive.read(member)?);
        let mut rows = SheetRows::new(area);
        let (mut cell, mut value, mut inside) = (Element::default(), String::new(), false);
        loop {
            match document.next()? {
                Node::Start(element) => match &*element.name {
                    "row" => rows.row(element.get("r"))?,
                    "c" => {
                        rows.cell(element.get("r"))?;
                        value.clear();
                        cell = element;
                    }
                    "v" | "t" => inside = true,
                    _ => {}
                },
                Node::Text(part) if inside => {
                    append(&mut value, &part, || format!("cell {}", rows.place()))?;
                }
                Node::Text(_) => {}
                Node::End(name) => match &*name {
                    "v" | "t" => inside = false,
                    "c" => rows.put(|| self.cell(&cell, &value))?,
                    _ => {}
                },
                Node::Done => return rows.done(),
            }
        }
    }

    fn cell(&self, cell: &Element, value: &str) -> Cell {
        match cell.get("t").unwrap_or("n") {
            "s" => {
                let text = value
                    .parse()
                    .ok()
                    .and_then(|index: usize| self.texts.get(index));
                text.map_or(Cell::Empty, |text| Cell::Text(text.clone()))
            }
            "str" | "inlineStr" | "d" => Cell::Text(value.to_owned()),
            "b" => Cell::Boolean(value == "1"),
            "e" => Cell::Error(value.to_owned()),
            _ => {
                let Ok(number) = value.parse::<f64>() else {
                    return Cell::Empty;
                };
                let style = cell.get("s").and_then(|style| style.parse::<usize>().ok());
                let date = self.dates.get(style.unwrap_or(0)).copied().unwrap_or(false);
                if date {
                    Cell::Moment(moment(number, self.from_1904))
                } else {
                    Cell::Number(number)
                }
            }
        }
    }
}

/// Adds to a text that is not longer than it may be.
fn append(text: &mut String, part: &str, what: impl Fn() -> String) -> io::Result<()> {
    text.push_str(part);
    if text.len() > LONGEST {
        return Err(wrong(format!(
            "{} is longer than {} MiB",
            what(),
            LONGEST >> 20
        )));
    }
    Ok(())
}

/// What is wrong with a workbook.
pub(super) fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Days since the last day of 1899, as spreadsheets count, as microseconds since 1970.
#[expect(
    clippy::cast_possible_truncation,
    reason = "days of a calendar are far from the bounds"
)]
fn moment(days: f64, from_1904: bool) -> i64 {
    const SECOND: i64 = 1_000_000;
    // Lotus took 1900 for a leap year, and all others followed.
    let first = if from_1904 {
        -24_107.0
    } else if days < 60.0 {
        -25_568.0
    } else {
        -25_569.0
    };
    // Fractions of a day are not exact: milliseconds are what is meant.
    let milliseconds = ((first + days) * 86_400_000.0).round();
    milliseconds as i64 * (SECOND / 1000)
}

/// Whether a format shows a number as a date or a time.
fn is_date(code: &str) -> bool {
    let (mut quoted, mut bracket, mut skipped) = (false, false, false);
    for letter in code.chars() {
        if std::mem::take(&mut skipped) {
            continue;
        }
        match letter {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '\\' | '_' | '*' => skipped = true,
            '[' => bracket = true,
            ']' => bracket = false,
            _ if bracket => {}
            // What follows is for negative numbers.
            ';' | 'G' | 'g' => return false,
            'y' | 'Y' | 'm' | 'M' | 'd' | 'D' | 'h' | 'H' | 's' | 'S' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_named() {
        assert_eq!(corner("B2"), Some((1, Some(1))));
        assert_eq!(corner("AA"), Some((26, None)));
        assert_eq!(corner("2"), None);
        assert_eq!(corner("A0"), None);
        for column in [0, 25, 26, 701, 702] {
            assert_eq!(corner(&column_name(column)), Some((column, None)));
        }
        let area = Area::read("B2:C").unwrap();
        assert!(area.holds(1, 1) && area.holds(900, 2) && !area.holds(0, 1));
        assert_eq!(Area::read("C1:B2"), None);
        assert_eq!(Area::read("B2"), None);
    }

    #[test]
    fn dates_are_told_by_their_format() {
        for (code, expected) in [
            ("General", false),
            ("0.00", false),
            ("yyyy-mm-dd", true),
            ("[$-407]d. mmmm yyyy", true),
            ("#,##0.00 \"days\"", false),
            ("0.0\\d", false),
            ("[Red]0;[Blue]d", false),
            ("h:mm", true),
        ] {
            assert_eq!(is_date(code), expected, "{code}");
        }
        assert_eq!(moment(46_082.5, false), 1_772_366_400_000_000);
        assert_eq!(moment(46_082.5 - 1_462.0, true), 1_772_366_400_000_000);
        assert_eq!(moment(1.0, false), -25_567 * 86_400_000_000);
    }
}
