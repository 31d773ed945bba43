//! One new column.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{
    Function, New,
    frames::Lines,
    sliding::{Least, Moments, Sliding, WholeSum},
};
use crate::support::{
    frame::polars_error,
    keys::column,
    settings::type_name,
    values::{Addends, missing, picked, places, whole_sum},
};

/// The values of a new column, in the order of the table.
pub(super) fn computed(
    new: &New,
    name: &str,
    frame: &DataFrame,
    lines: &Lines,
) -> Result<Column, TaskError> {
    let function = new.function;
    if function.is_rank() {
        return Ok(lines.spread(&lines.ranks(function)));
    }
    let Some(of) = &new.of else {
        return Ok(lines.spread(&lines.sizes(new)));
    };
    let source = column(name, frame, of)?;
    match function {
        Function::Lag | Function::Lead => {
            picked(source, lines.shifted(function, new.steps).into_iter())
        }
        Function::Diff => difference(source, lines, new),
        Function::First | Function::Last => picked(source, lines.ends(new).into_iter()),
        Function::Min | Function::Max => picked(source, lines.extremes(new, source).into_iter()),
        Function::Count => {
            let missing = missing(source);
            let value = |line: usize| WholeSum(u64::from(!missing[lines.row(line)]), 0);
            let totals = Sliding::totals(&lines.frames(new), value);
            Ok(lines.spread(
                &totals
                    .iter()
                    .map(|total| total.0.cast_signed())
                    .collect::<Vec<_>>(),
            ))
        }
        Function::Sum | Function::Mean | Function::Std => sums(source, lines, new),
        Function::RowNumber | Function::Rank | Function::DenseRank => {
            Err(TaskError::bug("ranks are computed before"))
        }
    }
}

fn sums(source: &Column, lines: &Lines, new: &New) -> Result<Column, TaskError> {
    let frames = lines.frames(new);
    let addends = Addends::of(source, new.function.name())?;
    if let (Function::Sum, Addends::Whole(values)) = (new.function, &addends) {
        let value = |line: usize| {
            values[lines.row(line)].map_or(WholeSum(0, 0), |value| WholeSum(1, value.into()))
        };
        let sums = Sliding::totals(&frames, value).into_iter();
        let sums = sums.map(|WholeSum(count, sum)| {
            (count > 0)
                .then(|| whole_sum(sum, source.name()))
                .transpose()
        });
        return Ok(lines.spread(&sums.collect::<Result<Vec<_>, _>>()?));
    }
    let values = addends.reals();
    let totals = Sliding::totals(&frames, |line| Moments::of(values[lines.row(line)]));
    let result = |total: &Moments| match new.function {
        Function::Std => total.deviation(),
        Function::Mean => (total.count > 0.0).then(|| total.sum / total.count),
        _ => (total.count > 0.0).then_some(total.sum),
    };
    Ok(lines.spread(&totals.iter().map(result).collect::<Vec<_>>()))
}

fn difference(source: &Column, lines: &Lines, new: &New) -> Result<Column, TaskError> {
    let fail = |error: PolarsError| polars_error(&format!("subtract `{}`", source.name()), &error);
    let of = source.dtype();
    let source = if of.is_integer() {
        // Unsigned numbers have no negative differences.
        source.cast(&DataType::Int64).map_err(fail)?
    } else if of.is_numeric() || of.is_decimal() || of.is_temporal() {
        source.clone()
    } else {
        return Err(TaskError::user(format!(
            "`{}` is {}: `diff` needs numbers, dates or times",
            source.name(),
            type_name(of)
        ))
        .hint("cast it in a `transform: sql`"));
    };
    let before = picked(&source, lines.shifted(Function::Lag, new.steps).into_iter())?;
    (&source - &before).map_err(fail)
}

impl Lines {
    /// The row at a line, as an index.
    fn row(&self, line: usize) -> usize {
        self.rows[line] as usize
    }

    /// One value a line as a column in the order of the table.
    fn spread<T: Clone + Default>(&self, values: &[T]) -> Column
    where
        Series: NamedFrom<Vec<T>, [T]>,
    {
        let mut spread = vec![T::default(); self.rows.len()];
        for (row, value) in self.rows.iter().zip(values) {
            spread[*row as usize] = value.clone();
        }
        Series::new("value".into(), spread).into_column()
    }

    /// The same for rows.
    fn spread_rows(&self, values: impl Iterator<Item = Option<u32>>) -> Vec<Option<u32>> {
        let mut spread = vec![None; self.rows.len()];
        for (row, value) in self.rows.iter().zip(values) {
            spread[*row as usize] = value;
        }
        spread
    }

    fn sizes(&self, new: &New) -> Vec<i64> {
        let size = |(start, end): (usize, usize)| i64::try_from(end - start).unwrap_or(i64::MAX);
        self.frames(new).into_iter().map(size).collect()
    }

    fn ranks(&self, function: Function) -> Vec<i64> {
        let mut ranks = Vec::with_capacity(self.rows.len());
        for group in &self.groups {
            let (mut rank, mut before) = (0, None);
            for (number, line) in (1..).zip(group.clone()) {
                let peer = self.peers[self.row(line)];
                let same = before.replace(peer) == Some(peer);
                rank = match function {
                    Function::RowNumber => number,
                    _ if same => rank,
                    Function::DenseRank => rank + 1,
                    _ => number,
                };
                ranks.push(rank);
            }
        }
        ranks
    }

    /// The row so many steps before or after each row, within its group.
    fn shifted(&self, function: Function, steps: Option<usize>) -> Vec<Option<u32>> {
        let steps = steps.unwrap_or(1);
        let groups = self.groups.iter().flat_map(|group| {
            group.clone().map(move |line| {
                let other = if function == Function::Lead {
                    line.checked_add(steps)
                } else {
                    line.checked_sub(steps)
                };
                other
                    .filter(|other| group.contains(other))
                    .map(|other| self.rows[other])
            })
        });
        self.spread_rows(groups)
    }

    fn ends(&self, new: &New) -> Vec<Option<u32>> {
        let frames = self.frames(new).into_iter();
        self.spread_rows(frames.map(|(start, end)| {
            let line = if new.function == Function::First {
                start
            } else {
                end.wrapping_sub(1)
            };
            (start < end).then(|| self.rows[line])
        }))
    }

    fn extremes(&self, new: &New, source: &Column) -> Vec<Option<u32>> {
        let (places, missing) = (places(source), missing(source));
        let value = |line: usize| {
            let row = self.row(line);
            let place = if new.function == Function::Min {
                places[row]
            } else {
                !places[row]
            };
            Least((!missing[row]).then_some((place, self.rows[line])))
        };
        let totals = Sliding::totals(&self.frames(new), value);
        self.spread_rows(totals.into_iter().map(|least| least.0.map(|(_, row)| row)))
    }
}
