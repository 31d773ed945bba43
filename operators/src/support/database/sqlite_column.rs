//! Columns out of SQLite: what type their values make together.

use std::borrow::Cow;

use pipectl_engine::operator::TaskError;
use polars::prelude::{Column as PolarsColumn, *};
use sqlx::{Decode, TypeInfo, ValueRef, sqlite::SqliteValueRef};

use super::table::Holds;
use crate::support::{
    frame::polars_error,
    iso::{Form, converted, form, physical},
    text::shortened,
};

/// What a column was declared to hold; an expression is declared nothing.
pub(super) fn declared(name: &str) -> Option<Holds> {
    match name {
        "NULL" => None,
        "DATETIME" => Some(Holds::Timestamp),
        other => Some(Holds::of_sqlite(other)),
    }
}

/// A value as SQLite has it.
pub(super) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    pub(super) fn of(raw: SqliteValueRef<'_>) -> Result<Self, sqlx::error::BoxDynError> {
        if raw.is_null() {
            return Ok(Self::Null);
        }
        let kind = raw.type_info().name().to_owned();
        Ok(match kind.as_str() {
            "INTEGER" => Self::Integer(Decode::<sqlx::Sqlite>::decode(raw)?),
            "REAL" => Self::Real(Decode::<sqlx::Sqlite>::decode(raw)?),
            "TEXT" => Self::Text(Decode::<sqlx::Sqlite>::decode(raw)?),
            _ => Self::Bytes(Decode::<sqlx::Sqlite>::decode(raw)?),
        })
    }

    /// How much room it takes, about.
    pub(super) fn size(&self) -> usize {
        let own = match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        size_of::<Self>() + own
    }

    fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Integer(value) => value.to_string(),
            Self::Real(value) => value.to_string(),
            Self::Text(text) => format!("'{}'", shortened(text, 60)),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
        }
    }
}

/// What is known of a column: its declaration and the values that it has had so far.
#[expect(
    clippy::struct_excessive_bools,
    reason = "which kinds of values there were"
)]
pub(super) struct Column {
    pub(super) name: String,
    declared: Option<Holds>,
    integer: bool,
    real: bool,
    text: bool,
    bytes: bool,
    /// What its texts are, when they were declared to be dates or times.
    moments: Option<DataType>,
    /// Whether they all are that. Other programs write them in other ways: then they stay text.
    are_moments: bool,
}

impl Column {
    /// A column without values.
    pub(super) fn new(name: &str, declared: Option<Holds>) -> Self {
        Self {
            name: name.to_owned(),
            declared,
            integer: false,
            real: false,
            text: false,
            bytes: false,
            moments: match declared {
                Some(Holds::Date) => Some(DataType::Date),
                Some(Holds::Time) => Some(DataType::Time),
                _ => None,
            },
            are_moments: true,
        }
    }

    /// Takes note of a value.
    pub(super) fn see(&mut self, cell: &Cell) {
        match cell {
            Cell::Null => {}
            Cell::Integer(_) => self.integer = true,
            Cell::Real(_) => self.real = true,
            Cell::Bytes(_) => self.bytes = true,
            Cell::Text(text) => self.see_text(text),
        }
    }

    fn see_text(&mut self, text: &str) {
        self.text = true;
        let of_moments = matches!(self.declared, Some(Holds::Timestamp | Holds::TimestampTz));
        if self.moments.is_none() && of_moments {
            // Whether they have a zone is told by the first of them.
            let zone = (form(text) == Some(Form::Zoned)).then_some(TimeZone::UTC);
            self.moments = Some(DataType::Datetime(TimeUnit::Microseconds, zone));
        }
        if let Some(to) = self.moments.as_ref().filter(|_| self.are_moments) {
            self.are_moments = physical(text, to).is_some();
        }
    }

    /// The type of the column: that which was declared, unless the values are numbers of another kind or nothing was.
    fn holds(&self) -> Holds {
        match self.declared {
            Some(Holds::Numeric | Holds::Anything) | None if self.bytes => Holds::Bytes,
            Some(Holds::Numeric | Holds::Anything) | None if self.text => Holds::Text,
            Some(Holds::Numeric) => Holds::Float64,
            Some(Holds::Int64 | Holds::Anything) | None if self.real => Holds::Float64,
            Some(Holds::Anything) | None if self.integer => Holds::Int64,
            Some(Holds::Anything) | None => Holds::Text,
            Some(holds) => holds,
        }
    }

    /// Values of the column, all of one type; `before` rows of the query come before them.
    ///
    /// # Errors
    /// Names the first value that is of another type.
    pub(super) fn of(&self, cells: &[Cell], before: usize) -> Result<PolarsColumn, TaskError> {
        let name = PlSmallStr::from_str(&self.name);
        let part = Part {
            column: self,
            cells,
            before,
        };
        Ok(match self.holds() {
            Holds::Int64 => PolarsColumn::new(name, part.integers()?),
            Holds::Boolean => {
                let truths = part.integers()?.into_iter();
                let truths = truths.map(|value| value.map(|value| value != 0));
                PolarsColumn::new(name, truths.collect::<Vec<_>>())
            }
            Holds::Float64 => PolarsColumn::new(name, part.floats()?),
            Holds::Bytes => {
                let bytes = part.gather("bytes", |cell| match cell {
                    Cell::Bytes(bytes) => Some(bytes.as_slice()),
                    Cell::Text(text) => Some(text.as_bytes()),
                    _ => None,
                })?;
                BinaryChunked::from_iter_options(name, bytes.into_iter()).into_column()
            }
            Holds::Date => part.moments("a date")?,
            Holds::Time => part.moments("a time")?,
            Holds::Timestamp | Holds::TimestampTz => part.moments("a date with a time")?,
            _ => {
                let texts = part.gather("text", |cell| match cell {
                    Cell::Text(text) => Some(Cow::Borrowed(text.as_str())),
                    Cell::Integer(value) => Some(Cow::Owned(value.to_string())),
                    Cell::Real(value) => Some(Cow::Owned(value.to_string())),
                    _ => None,
                })?;
                StringChunked::from_iter_options(name, texts.into_iter()).into_column()
            }
        })
    }
}

/// Some values of a column.
#[derive(Clone, Copy)]
struct Part<'a> {
    column: &'a Column,
    cells: &'a [Cell],
    before: usize,
}

impl<'a> Part<'a> {
    fn integers(self) -> Result<Vec<Option<i64>>, TaskError> {
        self.gather("a whole number", |cell| match cell {
            Cell::Integer(value) => Some(*value),
            _ => None,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "SQLite itself mixes them so")]
    fn floats(self) -> Result<Vec<Option<f64>>, TaskError> {
        self.gather("a number", |cell| match cell {
            Cell::Integer(value) => Some(*value as f64),
            Cell::Real(value) => Some(*value),
            _ => None,
        })
    }

    /// All values as one type.
    fn gather<T>(
        self,
        what: &str,
        of: impl Fn(&'a Cell) -> Option<T>,
    ) -> Result<Vec<Option<T>>, TaskError> {
        let name = &self.column.name;
        let one = |(row, cell): (usize, &'a Cell)| match cell {
            Cell::Null => Ok(None),
            cell => of(cell).map(Some).ok_or_else(|| {
                TaskError::user(format!(
                    "row {} of the query: `{name}` is {}, not {what} like the column",
                    self.before + row + 1,
                    cell.shown()
                ))
                .hint(format!(
                    "change it in the query, for example by `cast({name} as text)`"
                ))
            }),
        };
        self.cells.iter().enumerate().map(one).collect()
    }

    /// Texts as dates or times, or as the text that they are.
    fn moments(self, what: &str) -> Result<PolarsColumn, TaskError> {
        let texts = self.gather(what, |cell| match cell {
            Cell::Text(text) => Some(text.as_str()),
            _ => None,
        })?;
        let name = &self.column.name;
        let texts = StringChunked::from_iter_options(PlSmallStr::from_str(name), texts.into_iter());
        let naive = DataType::Datetime(TimeUnit::Microseconds, None);
        let to = self.column.moments.as_ref().unwrap_or(&naive);
        if !self.column.are_moments {
            return Ok(texts.into_column());
        }
        match converted(&texts, to) {
            Ok(column) => Ok(column),
            Err(Ok(_)) => Ok(texts.into_column()),
            Err(Err(error)) => Err(polars_error(&format!("read `{name}`"), &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(declared: Option<Holds>, values: &[Cell]) -> Result<PolarsColumn, TaskError> {
        let mut column = Column::new("c", declared);
        values.iter().for_each(|cell| column.see(cell));
        column.of(values, 0)
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn a_column_is_what_it_was_declared_or_what_its_values_are() {
        let utc = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
        let naive = DataType::Datetime(TimeUnit::Microseconds, None);
        for (declared, values, expected) in [
            (None, vec![Cell::Null, Cell::Integer(1)], DataType::Int64),
            (
                None,
                vec![Cell::Integer(1), Cell::Real(1.5)],
                DataType::Float64,
            ),
            (None, vec![Cell::Integer(1), text("x")], DataType::String),
            (None, vec![], DataType::String),
            (Some(Holds::Int64), vec![], DataType::Int64),
            (
                Some(Holds::Boolean),
                vec![Cell::Integer(1)],
                DataType::Boolean,
            ),
            (Some(Holds::Date), vec![text("2026-03-01")], DataType::Date),
            (Some(Holds::Date), vec![text("1.3.2026")], DataType::String),
            (
                Some(Holds::Timestamp),
                vec![text("2026-03-01 12:00:00")],
                naive,
            ),
            (
                Some(Holds::Timestamp),
                vec![text("2026-03-01 12:00:00.123456+00:00")],
                utc,
            ),
        ] {
            assert_eq!(gathered(declared, &values).unwrap().dtype(), &expected);
        }
    }

    #[test]
    fn a_value_of_another_type_is_named() {
        let error = gathered(Some(Holds::Int64), &[Cell::Integer(1), text("many")]).unwrap_err();
        assert_eq!(
            error.message,
            "row 2 of the query: `c` is 'many', not a whole number like the column"
        );
    }

    #[test]
    fn parts_of_a_column_are_what_the_whole_of_it_is() {
        let values = [
            [Cell::Integer(1), Cell::Null],
            [Cell::Real(0.5), text("2026-03-01")],
        ];
        for (declared, last, of) in [
            (None, text("x"), DataType::String),
            (None, Cell::Bytes(vec![1]), DataType::Binary),
            (Some(Holds::Int64), Cell::Null, DataType::Float64),
        ] {
            let mut column = Column::new("c", declared);
            for cell in values[0].iter().chain([&values[1][0], &last]) {
                column.see(cell);
            }
            if of == DataType::Binary {
                let error = column.of(&values[0], 7).unwrap_err();
                let message = "row 8 of the query: `c` is 1, not bytes like the column";
                assert_eq!(error.message, message);
            } else {
                assert_eq!(column.of(&values[0], 0).unwrap().dtype(), &of);
            }
        }
        let mut days = Column::new("c", Some(Holds::Date));
        days.see(&values[1][1]);
        assert_eq!(
            days.of(&values[1][1..], 0).unwrap().dtype(),
            &DataType::Date
        );
        days.see(&text("1.3.2026"));
        let first = days.of(&values[1][1..], 0).unwrap();
        assert_eq!(first.get(0).unwrap(), AnyValue::String("2026-03-01"));
    }
}
