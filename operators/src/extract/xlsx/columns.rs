//! The cells of a sheet as columns of one type each.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{
    Cell, Config,
    book::{Area, column_name},
};
use crate::support::{
    frame::polars_error,
    iso::converted,
    settings::type_name,
    text::{hint_for_name, shortened},
};

const DAY: i64 = 86_400_000_000;

/// The rows of a sheet: their numbers and cells.
type Rows = Vec<(usize, Vec<Cell>)>;

/// A column of a sheet.
struct Sheet<'a> {
    config: &'a Config,
    shown: &'a str,
    area: Area,
}

/// The table that stands in a sheet.
///
/// # Errors
/// When it has no row, its header is not one, or a cell is not of its column's declared type.
pub(super) fn table(
    config: &Config,
    shown: &str,
    area: Area,
    mut rows: Rows,
) -> Result<DataFrame, TaskError> {
    rows.retain(|(_, cells)| cells.iter().any(|cell| *cell != Cell::Empty));
    let width = rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    if rows.is_empty() {
        return Err(TaskError::user(format!("{shown} is empty"))
            .hint("a table without rows still needs its header row; see `range`"));
    }
    let sheet = Sheet {
        config,
        shown,
        area,
    };
    let names = if config.header {
        let (number, cells) = rows.remove(0);
        sheet.header(number, &cells)?
    } else {
        (0..width)
            .map(|column| column_name(area.columns.0 + column))
            .collect()
    };
    for name in config.types.keys() {
        if !names.contains(name) {
            let known = names.iter().map(String::as_str);
            return Err(TaskError::user(format!("{shown} has no column `{name}`"))
                .hint(hint_for_name(name, "its columns are", known)));
        }
    }
    let mut columns = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        columns.push(sheet.column(index, name, &rows)?);
    }
    DataFrame::new(rows.len(), columns)
        .map_err(|error| polars_error(&format!("read {shown}"), &error))
}

impl Sheet<'_> {
    fn header(&self, number: usize, cells: &[Cell]) -> Result<Vec<String>, TaskError> {
        let mut names: Vec<String> = Vec::with_capacity(cells.len());
        for (index, cell) in cells.iter().enumerate() {
            let name = text(cell)
                .map(|text| text.trim().to_owned())
                .unwrap_or_default();
            let place = self.place(index, number);
            if name.is_empty() {
                return Err(
                    TaskError::user(format!("{place} names no column: it is empty"))
                        .hint("say where the table stands by `range`, as in `B3:F`"),
                );
            }
            if names.contains(&name) {
                return Err(
                    TaskError::user(format!("{place} names a second column `{name}`"))
                        .hint("give them different names in the sheet"),
                );
            }
            names.push(name);
        }
        Ok(names)
    }

    fn place(&self, column: usize, row: usize) -> String {
        let column = column_name(self.area.columns.0 + column);
        format!("cell {column}{} of {}", row + 1, self.shown)
    }

    fn column(&self, index: usize, name: &str, rows: &Rows) -> Result<Column, TaskError> {
        let missing = |text: &str| {
            self.config
                .null_values
                .iter()
                .any(|missing| missing == text)
        };
        let cells: Vec<&Cell> = rows
            .iter()
            .map(|(_, cells)| match cells.get(index) {
                Some(Cell::Text(text)) if missing(text) => &Cell::Empty,
                Some(cell) => cell,
                None => &Cell::Empty,
            })
            .collect();
        let declared = self.config.types.get(name).map(|of| of.polars());
        let of = declared.clone().unwrap_or_else(|| common(&cells));
        let unfit = |row: usize| {
            let value = cells
                .get(row)
                .and_then(|cell| text(cell))
                .unwrap_or_default();
            let number = rows.get(row).map_or(0, |(number, _)| *number);
            let place = self.place(index, number);
            let (value, of) = (shortened(&value, 60), type_name(&of));
            TaskError::user(format!("{place}: `{value}` is no {of}"))
                .hint("the column is declared as such under `types`; mend the cell, or name its text under `null_values`")
        };
        values(name, &cells, &of).map_err(|wrong| match wrong {
            Ok(row) => unfit(row),
            Err(error) => polars_error(&format!("read {}", self.shown), &error),
        })
    }
}

/// What a cell says as text.
fn text(cell: &Cell) -> Option<String> {
    Some(match cell {
        Cell::Empty => return None,
        Cell::Number(number) => number.to_string(),
        Cell::Text(text) | Cell::Error(text) => text.clone(),
        Cell::Boolean(value) => value.to_string(),
        Cell::Moment(micros) => {
            let moment = chrono::DateTime::from_timestamp_micros(*micros)?.naive_utc();
            if micros.rem_euclid(DAY) == 0 {
                moment.date().to_string()
            } else {
                moment.format("%Y-%m-%dT%H:%M:%S%.f").to_string()
            }
        }
    })
}

/// Whether a number is whole and can be counted exactly.
fn whole(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0
}

/// The type of all cells, text where they differ.
fn common(cells: &[&Cell]) -> DataType {
    let mut of = None;
    for cell in cells {
        let now = match cell {
            Cell::Empty | Cell::Error(_) => continue,
            Cell::Number(number) if whole(*number) => DataType::Int64,
            Cell::Number(_) => DataType::Float64,
            Cell::Text(_) => return DataType::String,
            Cell::Boolean(_) => DataType::Boolean,
            Cell::Moment(micros) if micros.rem_euclid(DAY) == 0 => DataType::Date,
            Cell::Moment(_) => DataType::Datetime(TimeUnit::Microseconds, None),
        };
        of = Some(match (of, now) {
            (None, now) => now,
            (Some(before), now) if before == now => now,
            (Some(DataType::Int64 | DataType::Float64), DataType::Int64 | DataType::Float64) => {
                DataType::Float64
            }
            (Some(before), now) if before.is_temporal() && now.is_temporal() => {
                DataType::Datetime(TimeUnit::Microseconds, None)
            }
            _ => return DataType::String,
        });
    }
    of.unwrap_or(DataType::String)
}

/// The cells as values of a type; where they cannot be, the row.
fn values(
    name: &str,
    cells: &[&Cell],
    of: &DataType,
) -> Result<Column, Result<usize, PolarsError>> {
    let name = PlSmallStr::from_str(name);
    // What a formula could not compute is not there.
    let there = |cell: &&Cell| !matches!(cell, Cell::Empty | Cell::Error(_));
    let numbers = || -> Result<Vec<Option<f64>>, Result<usize, PolarsError>> {
        let number = |(row, cell): (usize, &&Cell)| match cell {
            cell if !there(cell) => Ok(None),
            Cell::Number(number) => Ok(Some(*number)),
            Cell::Text(text) => text.trim().parse().map(Some).map_err(|_| Ok(row)),
            _ => Err(Ok(row)),
        };
        cells.iter().enumerate().map(number).collect()
    };
    let cast = |column: Column| column.cast(of).map_err(Err);
    match of {
        DataType::Float64 | DataType::Float32 => cast(Column::new(name, numbers()?)),
        DataType::Int64 | DataType::Int32 => {
            let numbers = numbers()?;
            let most = if *of == DataType::Int32 {
                f64::from(i32::MAX)
            } else {
                f64::MAX
            };
            let unfit = |number: &f64| !whole(*number) || number.abs() > most;
            match numbers
                .iter()
                .position(|number| number.as_ref().is_some_and(unfit))
            {
                Some(row) => Err(Ok(row)),
                None => cast(Column::new(name, numbers)),
            }
        }
        DataType::Boolean => {
            let boolean = |(row, cell): (usize, &&Cell)| match cell {
                cell if !there(cell) => Ok(None),
                Cell::Boolean(value) => Ok(Some(*value)),
                Cell::Text(text) => text
                    .trim()
                    .to_lowercase()
                    .parse()
                    .map(Some)
                    .map_err(|_| Ok(row)),
                _ => Err(Ok(row)),
            };
            let values: Result<Vec<Option<bool>>, _> =
                cells.iter().enumerate().map(boolean).collect();
            Ok(Column::new(name, values?))
        }
        DataType::String => {
            let texts: Vec<Option<String>> = cells
                .iter()
                .map(|cell| text(cell).filter(|_| there(cell)))
                .collect();
            Ok(Column::new(name, texts))
        }
        of => {
            let midnight = |text: String| match of {
                DataType::Datetime(_, zone) if text.len() == 10 => {
                    format!("{text}T00:00:00{}", if zone.is_some() { "Z" } else { "" })
                }
                DataType::Datetime(_, Some(_)) if text.contains('T') && !text.ends_with('Z') => {
                    format!("{text}Z")
                }
                _ => text,
            };
            let texts = cells.iter().map(|cell| match cell {
                Cell::Moment(micros) if *of == DataType::Time => {
                    let moment = chrono::DateTime::from_timestamp_micros(*micros)?;
                    Some(moment.format("%H:%M:%S").to_string())
                }
                cell => text(cell).filter(|_| there(cell)).map(midnight),
            });
            let texts: StringChunked = texts.collect();
            converted(&texts.with_name(name), of)
        }
    }
}
