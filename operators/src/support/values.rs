//! A column's values for adding up and comparing.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{frame::polars_error, settings::type_name};

/// The first row in which a column of numbers has `inf` or `NaN`.
///
/// # Errors
/// When it is no column of numbers.
pub(crate) fn not_finite(column: &Column) -> Result<Option<usize>, TaskError> {
    let numbers = column
        .cast(&DataType::Float64)
        .map_err(|error| polars_error("look at the numbers", &error))?;
    let numbers = numbers
        .f64()
        .map_err(|error| polars_error("look at the numbers", &error))?;
    Ok(numbers
        .iter()
        .position(|value| value.is_some_and(|value| !value.is_finite())))
}

/// Values that can be added up.
#[derive(Clone, Debug)]
pub(crate) enum Addends {
    /// Whole numbers, and booleans as 0 and 1.
    Whole(Vec<Option<i64>>),
    /// Other numbers.
    Real(Vec<Option<f64>>),
}

impl Addends {
    /// The values of a column; `what` is what is wanted of them.
    ///
    /// # Errors
    /// When they are no numbers.
    pub(crate) fn of(column: &Column, what: &str) -> Result<Self, TaskError> {
        let fail = |error: PolarsError| polars_error(&format!("read `{}`", column.name()), &error);
        let series = column.as_materialized_series();
        match series.dtype() {
            of if of.is_integer() || of.is_bool() => {
                let whole = series.cast(&DataType::Int64).map_err(fail)?;
                Ok(Self::Whole(whole.i64().map_err(fail)?.iter().collect()))
            }
            of if of.is_float() || of.is_decimal() => Ok(Self::Real(reals(column)?)),
            other => Err(TaskError::user(format!(
                "`{}` is {}: `{what}` needs numbers",
                column.name(),
                type_name(other)
            ))
            .hint("cast it in a `transform: sql`")),
        }
    }

    /// The values as floating-point numbers.
    #[expect(
        clippy::cast_precision_loss,
        reason = "means of whole numbers are no whole numbers"
    )]
    pub(crate) fn reals(self) -> Vec<Option<f64>> {
        match self {
            Self::Whole(whole) => whole
                .into_iter()
                .map(|value| value.map(|value| value as f64))
                .collect(),
            Self::Real(real) => real,
        }
    }
}

/// A column's values as floating-point numbers.
///
/// # Errors
/// When polars cannot cast them.
pub(crate) fn reals(column: &Column) -> Result<Vec<Option<f64>>, TaskError> {
    let fail = |error: PolarsError| polars_error(&format!("read `{}`", column.name()), &error);
    let real = column
        .as_materialized_series()
        .cast(&DataType::Float64)
        .map_err(fail)?;
    Ok(real.f64().map_err(fail)?.iter().collect())
}

/// The sum of whole numbers as one of 64 bits.
///
/// # Errors
/// When it does not fit.
pub(crate) fn whole_sum(sum: i128, name: &str) -> Result<i64, TaskError> {
    i64::try_from(sum).map_err(|_| {
        TaskError::user(format!("a sum of `{name}` does not fit into 64 bits"))
            .hint("cast it to a floating-point number in a `transform: sql`")
    })
}

/// The place of each value among all, the least first; equal values have places in the table's order.
pub(crate) fn places(column: &Column) -> Vec<u32> {
    let mut places = vec![0; column.len()];
    let order = column.arg_sort(SortOptions::default().with_maintain_order(true));
    for (place, row) in order.iter().flatten().enumerate() {
        if let Some(slot) = places.get_mut(row as usize) {
            *slot = u32::try_from(place).unwrap_or(u32::MAX);
        }
    }
    places
}

/// The rows that lack a value.
pub(crate) fn missing(column: &Column) -> Vec<bool> {
    if column.null_count() == 0 {
        return vec![false; column.len()];
    }
    column
        .is_null()
        .iter()
        .map(|missing| missing == Some(true))
        .collect()
}

/// The values of chosen rows.
///
/// # Errors
/// When polars cannot take them.
pub(crate) fn picked(
    column: &Column,
    rows: impl Iterator<Item = Option<u32>>,
) -> Result<Column, TaskError> {
    let rows: Vec<Option<IdxSize>> = rows.collect();
    let rows = IdxCa::from_slice_options("rows".into(), &rows);
    column
        .take(&rows)
        .map_err(|error| polars_error(&format!("take values of `{}`", column.name()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_places() {
        let column = Column::new("v".into(), [Some("b"), None, Some("a"), Some("b")]);
        assert_eq!(places(&column), [2, 0, 1, 3]);
        assert_eq!(missing(&column), [false, true, false, false]);
        let found = picked(&column, [Some(2), None].into_iter()).unwrap();
        assert_eq!(found, Column::new("v".into(), [Some("a"), None]));
    }

    #[test]
    fn texts_are_not_added_up() {
        let error = Addends::of(&Column::new("v".into(), ["x"]), "sum").unwrap_err();
        assert_eq!(error.message, "`v` is string: `sum` needs numbers");
        assert!(whole_sum(i128::from(i64::MAX) + 1, "v").is_err());
    }
}
