//! Rows of two tables that share keys: every key of the left table becomes a small number, and rows of the right table
//! are given the number of theirs.

use std::collections::HashMap;

use pipectl_engine::operator::TaskError;
use polars::prelude::*;
use rayon::prelude::*;

use super::{
    frame::polars_error,
    settings::type_name,
    text::{hint_for_name, list},
};

/// The number of a row that has no key, or one that the left table does not have.
pub(crate) const NONE: u32 = u32::MAX;

/// How many rows a thread takes at once.
const CHUNK: usize = 1 << 15;
/// Whole numbers that lie within a range of so many times their count are looked up by position.
const DENSE: i128 = 8;

/// The numbers of two tables' keys.
#[derive(Debug)]
pub(crate) struct Keys {
    /// One number for each row of the left table.
    pub(crate) left: Vec<u32>,
    /// One number for each row of the right table.
    pub(crate) right: Vec<u32>,
    /// How many keys there are; their numbers are below.
    pub(crate) count: usize,
}

/// The columns that are called `names`.
///
/// # Errors
/// Names the first that is not there.
pub(crate) fn columns<'a>(
    table: &str,
    frame: &'a DataFrame,
    names: &[String],
) -> Result<Vec<&'a Column>, TaskError> {
    names
        .iter()
        .map(|name| column(table, frame, name))
        .collect()
}

/// The column that is called `name`.
///
/// # Errors
/// When it is not there.
pub(crate) fn column<'a>(
    table: &str,
    frame: &'a DataFrame,
    name: &str,
) -> Result<&'a Column, TaskError> {
    frame.column(name).map_err(|_| {
        let known = frame.get_column_names().into_iter().map(PlSmallStr::as_str);
        TaskError::user(format!("`{table}` has no column `{name}`")).hint(hint_for_name(
            name,
            "its columns are",
            known,
        ))
    })
}

/// Gives numbers to the keys of two tables; without columns all rows have the same one. A missing value equals nothing.
///
/// # Errors
/// When columns cannot be compared.
pub(crate) fn keys(
    left: &[&Column],
    right: &[&Column],
    [left_rows, right_rows]: [usize; 2],
) -> Result<Keys, TaskError> {
    let mut whole: Option<Keys> = None;
    for (left, right) in left.iter().zip(right) {
        let part = one(left, right)?;
        whole = Some(match whole {
            None => part,
            Some(before) => both(&before, &part),
        });
    }
    Ok(whole.unwrap_or_else(|| Keys {
        left: vec![0; left_rows],
        right: vec![0; right_rows],
        count: 1,
    }))
}

fn one(left: &Column, right: &Column) -> Result<Keys, TaskError> {
    let fail = |error: PolarsError| polars_error(&format!("compare `{}`", left.name()), &error);
    match (kind(left.dtype()), kind(right.dtype())) {
        (Some(Kind::Text), Some(Kind::Text)) => {
            let texts = |column: &Column| {
                let texts = column.as_materialized_series().cast(&DataType::String);
                texts.and_then(|texts| texts.str().cloned()).map_err(fail)
            };
            Ok(of_texts(&texts(left)?, &texts(right)?.rechunk()))
        }
        (Some(Kind::Number), Some(Kind::Number)) => {
            Ok(of_numbers(&whole_numbers(left)?, &whole_numbers(right)?))
        }
        (Some(Kind::Other), Some(Kind::Other)) if left.dtype() == right.dtype() => {
            Ok(of_numbers(&whole_numbers(left)?, &whole_numbers(right)?))
        }
        _ => Err(TaskError::user(format!(
            "the key `{}` is {} on the left and {} on the right",
            left.name(),
            type_name(left.dtype()),
            type_name(right.dtype())
        ))
        .hint("keys are whole numbers, texts, dates, times or booleans of the same kind: cast one side in a `transform: sql`")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Other,
}

fn kind(of: &DataType) -> Option<Kind> {
    Some(match of {
        DataType::String | DataType::Categorical(_, _) => Kind::Text,
        of if of.is_integer() => Kind::Number,
        DataType::Boolean | DataType::Date | DataType::Datetime(_, _) | DataType::Time => {
            Kind::Other
        }
        _ => return None,
    })
}

/// A column as whole numbers of 64 bits in one piece.
pub(crate) fn whole_numbers(column: &Column) -> Result<Int64Chunked, TaskError> {
    let fail = |error: PolarsError| polars_error(&format!("compare `{}`", column.name()), &error);
    let physical = column.as_materialized_series().to_physical_repr();
    let numbers = physical.cast(&DataType::Int64).map_err(fail)?;
    Ok(numbers.i64().map_err(fail)?.rechunk().into_owned())
}

fn of_numbers(left: &Int64Chunked, right: &Int64Chunked) -> Keys {
    let mut found = Numbers::for_values(left);
    let left = left
        .iter()
        .map(|value| value.map_or(NONE, |value| found.enter(value.cast_unsigned())))
        .collect();
    let (values, valid) = (
        right.downcast_as_array().values().as_slice(),
        right.downcast_as_array().validity(),
    );
    let mut numbers = vec![NONE; values.len()];
    numbers
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(index, part)| {
            let first = index * CHUNK;
            for ((number, value), row) in
                part.iter_mut().zip(values.iter().skip(first)).zip(first..)
            {
                if valid.is_none_or(|valid| valid.get_bit(row)) {
                    *number = found.find(value.cast_unsigned());
                }
            }
        });
    Keys {
        left,
        right: numbers,
        count: found.count(),
    }
}

fn of_texts(left: &StringChunked, right: &StringChunked) -> Keys {
    let mut found: HashMap<&str, u32> = HashMap::new();
    let left = left
        .iter()
        .map(|text| {
            let Some(text) = text else { return NONE };
            let next = number(found.len());
            *found.entry(text).or_insert(next)
        })
        .collect();
    let texts = right.downcast_as_array();
    let mut numbers = vec![NONE; right.len()];
    numbers
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(index, part)| {
            for (number, row) in part.iter_mut().zip(index * CHUNK..) {
                let known = texts.get(row).and_then(|text| found.get(text));
                *number = known.copied().unwrap_or(NONE);
            }
        });
    Keys {
        left,
        right: numbers,
        count: found.len(),
    }
}

/// The numbers of pairs of keys.
fn both(first: &Keys, second: &Keys) -> Keys {
    let pair = |(first, second): (&u32, &u32)| {
        (*first != NONE && *second != NONE).then(|| u64::from(*first) << 32 | u64::from(*second))
    };
    let mut found = Numbers::sparse(first.left.len());
    let left = first
        .left
        .iter()
        .zip(&second.left)
        .map(|both| pair(both).map_or(NONE, |pair| found.enter(pair)))
        .collect();
    let right = first
        .right
        .par_iter()
        .zip(&second.right)
        .map(|both| pair(both).map_or(NONE, |pair| found.find(pair)))
        .collect();
    Keys {
        left,
        right,
        count: found.count(),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NONE)
}

/// Whole numbers with the small ones that stand for them.
enum Numbers {
    /// By position from the least.
    Dense {
        least: u64,
        numbers: Vec<u32>,
        count: u32,
    },
    /// By an open table whose places are a power of two, at most half of them taken.
    Sparse {
        places: Vec<(u64, u32)>,
        shift: u32,
        count: u32,
    },
}

impl Numbers {
    fn for_values(values: &Int64Chunked) -> Self {
        let range = values.min().zip(values.max());
        match range {
            Some((least, most))
                if i128::from(most) - i128::from(least)
                    < DENSE * (values.len() as i128 + 1_024) =>
            {
                let length = usize::try_from(i128::from(most) - i128::from(least) + 1);
                Self::Dense {
                    least: least.cast_unsigned(),
                    numbers: vec![NONE; length.unwrap_or(1)],
                    count: 0,
                }
            }
            _ => Self::sparse(values.len()),
        }
    }

    fn sparse(values: usize) -> Self {
        let size = (values.max(8) * 2).next_power_of_two();
        Self::Sparse {
            places: vec![(0, NONE); size],
            shift: 64 - size.trailing_zeros(),
            count: 0,
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Dense { count, .. } | Self::Sparse { count, .. } => *count as usize,
        }
    }

    /// The place of a value in the open table: where it is, or where it would be.
    fn place(places: &[(u64, u32)], shift: u32, value: u64) -> usize {
        // Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, 6.4).
        let mixed = (value ^ (value >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift;
        let mut place = usize::try_from(mixed).unwrap_or(0);
        loop {
            match places.get(place) {
                Some((key, number)) if *number != NONE && *key != value => {
                    place = (place + 1) & (places.len() - 1);
                }
                _ => return place,
            }
        }
    }

    fn find(&self, value: u64) -> u32 {
        match self {
            Self::Dense { least, numbers, .. } => usize::try_from(value.wrapping_sub(*least))
                .ok()
                .and_then(|place| numbers.get(place).copied())
                .unwrap_or(NONE),
            Self::Sparse { places, shift, .. } => places
                .get(Self::place(places, *shift, value))
                .map_or(NONE, |(_, number)| *number),
        }
    }

    fn enter(&mut self, value: u64) -> u32 {
        let (slot, count) = match self {
            Self::Dense {
                least,
                numbers,
                count,
            } => {
                let place = usize::try_from(value.wrapping_sub(*least)).unwrap_or(0);
                (numbers.get_mut(place), count)
            }
            Self::Sparse {
                places,
                shift,
                count,
            } => {
                let place = Self::place(places, *shift, value);
                let slot = places.get_mut(place).map(|(key, number)| {
                    *key = value;
                    number
                });
                (slot, count)
            }
        };
        let Some(slot) = slot else { return NONE };
        if *slot == NONE {
            *slot = *count;
            *count += 1;
        }
        *slot
    }
}

/// The groups of a table's rows, in the order in which they first appear: each row's group, and how many there are.
/// Missing values are a value like others.
///
/// # Errors
/// When a column is not there.
pub(crate) fn groups(
    table: &str,
    frame: &DataFrame,
    names: &[String],
) -> Result<(Vec<u32>, usize), TaskError> {
    columns(table, frame, names)?;
    if names.is_empty() || frame.height() == 0 {
        return Ok((vec![0; frame.height()], usize::from(frame.height() > 0)));
    }
    let doing = format!(
        "group the rows by {}",
        list(names.iter().map(String::as_str))
    );
    let grouped = frame
        .group_by_stable(names)
        .map_err(|error| polars_error(&doing, &error))?;
    let mut numbers = vec![0; frame.height()];
    let mut count = 0;
    for (index, group) in grouped.get_groups().iter().enumerate() {
        let index = number(index);
        let mut put = |row: IdxSize| {
            if let Some(number) = numbers.get_mut(row as usize) {
                *number = index;
            }
        };
        match group {
            GroupsIndicator::Idx((_, rows)) => rows.iter().copied().for_each(&mut put),
            GroupsIndicator::Slice([first, length]) => {
                (first..first + length).for_each(&mut put);
            }
        }
        count += 1;
    }
    Ok((numbers, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(left: &[Column], right: &[Column]) -> Result<Keys, TaskError> {
        let rows = [&left, &right].map(|side| side.first().map_or(0, Column::len));
        keys(
            &left.iter().collect::<Vec<_>>(),
            &right.iter().collect::<Vec<_>>(),
            rows,
        )
    }

    #[test]
    fn equal_keys_have_equal_numbers() {
        let far = i64::MAX - 3;
        let cases: Vec<(Column, Column)> = vec![
            (
                Column::new("k".into(), [Some(5_i64), Some(9), None, Some(5)]),
                Column::new("k".into(), [Some(9_i32), None, Some(4), Some(5)]),
            ),
            (
                Column::new("k".into(), [Some(5_i64), Some(far), None, Some(5)]),
                Column::new("k".into(), [Some(far), None, Some(i64::MIN), Some(5)]),
            ),
            (
                Column::new("k".into(), [Some("a"), Some("b"), None, Some("a")]),
                Column::new("k".into(), [Some("b"), None, Some("c"), Some("a")]),
            ),
        ];
        for (left, right) in cases {
            let found = numbers(&[left], &[right]).unwrap();
            assert_eq!(found.left, [0, 1, NONE, 0]);
            assert_eq!(found.right, [1, NONE, NONE, 0]);
            assert_eq!(found.count, 2);
        }
    }

    #[test]
    fn several_columns_are_one_key() {
        let left = [
            Column::new("a".into(), [1_i64, 1, 2, 1]),
            Column::new("b".into(), [Some("x"), Some("y"), None, Some("x")]),
        ];
        let right = [
            Column::new("a".into(), [1_i64, 2, 2, 1]),
            Column::new("b".into(), [Some("y"), Some("x"), None, Some("x")]),
        ];
        let found = numbers(&left, &right).unwrap();
        assert_eq!(found.left, [0, 1, NONE, 0]);
        assert_eq!(found.right, [1, NONE, NONE, 0]);
    }

    #[test]
    fn keys_of_different_kinds_are_refused() {
        let number = Column::new("k".into(), [1_i64]);
        for other in [
            Column::new("k".into(), ["1"]),
            Column::new("k".into(), [1.0]),
            Column::new("k".into(), [true]),
        ] {
            let error = numbers(std::slice::from_ref(&number), &[other]).unwrap_err();
            assert!(
                error
                    .message
                    .starts_with("the key `k` is integer on the left and ")
            );
        }
    }

    #[test]
    fn groups_are_counted_as_they_appear() {
        let frame = df!["a" => [Some(2), None, Some(2), Some(1), None]].unwrap();
        let (found, count) = groups("t", &frame, &["a".to_owned()]).unwrap();
        assert_eq!((found.as_slice(), count), (&[0, 1, 0, 2, 1][..], 3));
        assert!(groups("t", &frame, &["b".to_owned()]).is_err());
    }
}
