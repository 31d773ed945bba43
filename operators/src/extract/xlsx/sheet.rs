//! The rows of a sheet, as its cells come: each is put where it says that it belongs.

use std::{io, mem::take};

use super::book::{Area, Cell, column_name, corner, wrong};

/// How many columns a sheet may have: a limit of the format.
const COLUMNS: usize = 16_384;
/// How many rows.
const ROWS: usize = 1 << 20;
/// How many cells are read, with the empty ones before others: they are all in memory.
const CELLS: usize = 1 << 26;

/// Rows that are being read.
pub(super) struct SheetRows {
    area: Area,
    rows: Vec<(usize, Vec<Cell>)>,
    /// Where the next cell belongs that does not say so itself.
    row: usize,
    column: usize,
    /// Where the next row belongs.
    next: usize,
    /// How many cells there are.
    count: usize,
    /// Whether the rows have come in their order.
    ordered: bool,
}

impl SheetRows {
    /// Those of an area.
    pub(super) fn new(area: Area) -> Self {
        Self {
            area,
            rows: Vec::new(),
            row: 0,
            column: 0,
            next: 0,
            count: 0,
            ordered: true,
        }
    }

    /// A row begins.
    pub(super) fn row(&mut self, number: Option<&str>) -> io::Result<()> {
        self.row = match number {
            None => self.next,
            Some(text) => text
                .parse::<usize>()
                .ok()
                .and_then(|number| number.checked_sub(1))
                .ok_or_else(|| wrong(format!("`{}` is no number of a row", shown(text))))?,
        };
        if self.row >= ROWS {
            let row = self.row + 1;
            return Err(wrong(format!(
                "there is a row {row}, and a sheet has {ROWS} at most"
            )));
        }
        (self.next, self.column) = (self.row + 1, 0);
        Ok(())
    }

    /// A cell begins.
    pub(super) fn cell(&mut self, place: Option<&str>) -> io::Result<()> {
        if let Some(text) = place {
            let (column, row) =
                corner(text).ok_or_else(|| wrong(format!("`{}` is no cell", shown(text))))?;
            if row.is_some_and(|row| row != self.row) {
                let row = self.row + 1;
                return Err(wrong(format!(
                    "there is a cell {} in row {row}",
                    shown(text)
                )));
            }
            self.column = column;
        }
        if self.column >= COLUMNS {
            let cell = place.map_or_else(|| self.place(), shown);
            let last = column_name(COLUMNS - 1);
            return Err(wrong(format!(
                "there is a cell {cell}, and the last column of a sheet is {last}"
            )));
        }
        Ok(())
    }

    /// The cell's name.
    pub(super) fn place(&self) -> String {
        format!("{}{}", column_name(self.column), self.row + 1)
    }

    /// The cell ends.
    pub(super) fn put(&mut self, cell: impl FnOnce() -> Cell) -> io::Result<()> {
        if self.area.holds(self.row, self.column) {
            let row = self.row;
            match self.rows.last() {
                Some((number, _)) if *number == row => {}
                last => {
                    self.ordered &= last.is_none_or(|(number, _)| *number < row);
                    self.rows.push((row, Vec::new()));
                }
            }
            self.put_into(cell())?;
        }
        self.column += 1;
        Ok(())
    }

    fn put_into(&mut self, cell: Cell) -> io::Result<()> {
        let index = self.column - self.area.columns.0;
        let Some((_, cells)) = self.rows.last_mut() else {
            return Ok(());
        };
        if index >= cells.len() {
            self.count += index + 1 - cells.len();
            if self.count > CELLS {
                let place = self.place();
                return Err(wrong(format!(
                    "up to cell {place} it has more than {CELLS} cells: name a `range`"
                )));
            }
            cells.resize(index + 1, Cell::Empty);
        }
        match cells.get_mut(index) {
            Some(own) if *own == Cell::Empty => *own = cell,
            _ if cell == Cell::Empty => {}
            _ => return Err(wrong(format!("cell {} is there twice", self.place()))),
        }
        Ok(())
    }

    /// All rows in their order.
    pub(super) fn done(mut self) -> io::Result<Vec<(usize, Vec<Cell>)>> {
        let mut rows = take(&mut self.rows);
        if !self.ordered {
            rows.sort_by_key(|(number, _)| *number);
            let mut pairs = rows.iter().zip(rows.iter().skip(1));
            if let Some(((number, _), _)) = pairs.find(|((left, _), (right, _))| left == right) {
                return Err(wrong(format!("row {} is there twice", number + 1)));
            }
        }
        Ok(rows)
    }
}

/// The beginning of a name that may be anything.
fn shown(text: &str) -> String {
    text.chars().take(20).collect()
}
