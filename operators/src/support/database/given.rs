//! The rows that are to be written: in memory, or read part by part when they are too many for that.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use pipectl_engine::{
    dataset::Dataset,
    operator::{TaskContext, TaskError},
};
use polars::prelude::*;

use crate::support::{
    frame::{batches, collect, polars_error},
    spill::{are_large, dataset_error, written},
};

/// How many keys are compared in one pass over the rows.
const KEYS: u64 = 1 << 24;
/// How many keys that seem to be there twice are looked at.
const SUSPECTS: usize = 1 << 12;

/// The rows of a dataset.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    dataset: Dataset,
    /// Its columns, without rows.
    shape: DataFrame,
}

impl Given {
    /// The rows of a table in memory.
    pub(crate) fn frame(frame: DataFrame) -> Self {
        Self::of(Dataset::from_frame(frame))
    }

    fn of(dataset: Dataset) -> Self {
        let shape = DataFrame::empty_with_schema(dataset.schema());
        Self { dataset, shape }
    }

    /// The only input, with its name: in memory unless it is large. What is read more than `once` is computed into a
    /// file first.
    ///
    /// # Errors
    /// When there is none or more than one, or it cannot be read.
    pub(crate) async fn input(
        context: &TaskContext,
        once: bool,
    ) -> Result<(String, Self), TaskError> {
        let dataset = context.inputs.one()?.clone();
        let name = context.inputs.iter().next();
        let name = name.map_or_else(String::new, |(name, _)| name.to_owned());
        if !are_large(&context.inputs) {
            let frame = collect(context, &name, &dataset).await?;
            return Ok((name, Self::frame(frame)));
        }
        if once || dataset.in_memory().is_some() || dataset.file().is_some() {
            return Ok((name, Self::of(dataset)));
        }
        let (inner, doing) = (context.clone(), format!("read `{name}`"));
        let computed = context.compute(move || {
            let fail = |error: PolarsError| dataset_error(&dataset, &doing, &error);
            written(&inner, dataset.lazy().map_err(fail)?, fail)
        });
        Ok((name, Self::of(computed.await?)))
    }

    /// The columns, without rows.
    pub(crate) fn columns(&self) -> &[Column] {
        self.shape.columns()
    }

    /// A column, without rows.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.shape.column(name).ok()
    }

    /// The columns' names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.shape
            .columns()
            .iter()
            .map(|column| column.name().as_str())
    }

    /// Whether a column is known to have no value at all, so that it fits into a column of any type.
    pub(super) fn is_without_values(&self, name: &str) -> bool {
        let frame = self.dataset.in_memory();
        let column = frame.and_then(|frame| frame.column(name).ok());
        column.is_some_and(|column| column.null_count() == column.len())
    }

    /// How many rows there are, when that is known before they are read.
    pub(super) fn known(&self) -> Option<u64> {
        self.dataset.known_rows()
    }

    /// Gives all rows to `each`, in parts and in order, each part with the number of rows before it. Computes: call it
    /// where blocking is allowed.
    ///
    /// # Errors
    /// Those of `each`; when the rows cannot be read.
    pub(super) fn parts(
        &self,
        name: &str,
        mut each: impl FnMut(DataFrame, usize) -> Result<(), TaskError> + Send + 'static,
    ) -> Result<(), TaskError> {
        let mut before = 0;
        batches(&self.dataset, &format!("read `{name}`"), move |part| {
            let rows = part.height();
            each(part, before)?;
            before += rows;
            Ok(())
        })
    }

    /// The whole of them in memory. Computes, as [`Given::parts`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn whole(&self, name: &str) -> Result<DataFrame, TaskError> {
        let fail = |error| dataset_error(&self.dataset, &format!("read `{name}`"), &error);
        self.dataset.collect().map_err(fail)
    }

    /// Only some of the columns. Computes, as [`Given::parts`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn only(&self, name: &str, columns: &[String]) -> Result<Self, TaskError> {
        let fail = |error| dataset_error(&self.dataset, &format!("read `{name}`"), &error);
        if let Some(frame) = self.dataset.in_memory() {
            return Ok(Self::frame(frame.select(columns).map_err(fail)?));
        }
        let wanted: Vec<_> = columns.iter().map(|name| col(name.as_str())).collect();
        let plan = self.dataset.lazy().map_err(fail)?.select(wanted);
        let dataset = Dataset::from_lazy(plan).map_err(fail)?;
        Ok(Self::of(dataset.reading(&self.dataset)))
    }

    /// The rows that share all their values with another one, or some of them when they are many. Computes, as
    /// [`Given::parts`], and holds no more than [`KEYS`] at a time: of each row it remembers a hash.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn repeated(&self, name: &str) -> Result<DataFrame, TaskError> {
        let fail = |error: PolarsError| polars_error("look for duplicate keys", &error);
        if self.dataset.in_memory().is_some() {
            return repeated(&self.whole(name)?).map_err(fail);
        }
        let rows = self.known().map_or_else(|| self.count(name), Ok)?;
        let passes = rows.div_ceil(KEYS).max(1);
        for pass in 0..passes {
            let hashes = self.hashes(name, move |hash| hash % passes == pass)?;
            let suspects = twice(hashes);
            if suspects.is_empty() {
                continue;
            }
            let found = repeated(&self.having(name, suspects)?).map_err(fail)?;
            if found.height() > 0 {
                return Ok(found);
            }
        }
        Ok(self.shape.clone())
    }

    fn count(&self, name: &str) -> Result<u64, TaskError> {
        let (sender, counts) = std::sync::mpsc::channel();
        self.parts(name, move |part, _| {
            let _listened = sender.send(part.height() as u64);
            Ok(())
        })?;
        Ok(counts.iter().sum())
    }

    fn hashes(
        &self,
        name: &str,
        wanted: impl Fn(u64) -> bool + Send + 'static,
    ) -> Result<Vec<u64>, TaskError> {
        let (sender, parts) = std::sync::mpsc::channel();
        self.parts(name, move |part, _| {
            let mut hashes = hashed(&part)?;
            hashes.retain(|hash| wanted(*hash));
            let _listened = sender.send(hashes);
            Ok(())
        })?;
        Ok(parts.iter().flatten().collect())
    }

    /// The rows whose hash is one of these, which are in order.
    fn having(&self, name: &str, suspects: Vec<u64>) -> Result<DataFrame, TaskError> {
        let fail = |error: PolarsError| polars_error("look for duplicate keys", &error);
        let (sender, parts) = std::sync::mpsc::channel();
        self.parts(name, move |part, _| {
            let hashes = hashed(&part)?;
            let is_one = |hash: &u64| suspects.binary_search(hash).is_ok();
            let mask =
                BooleanChunked::from_iter_values(PlSmallStr::EMPTY, hashes.iter().map(is_one));
            let _listened = sender.send(part.filter(&mask).map_err(fail)?);
            Ok(())
        })?;
        let mut all = self.shape.clone();
        for part in parts {
            all.vstack_mut_owned(part).map_err(fail)?;
        }
        Ok(all)
    }

    /// A value of a row, for who is told of it. Computes, as [`Given::parts`].
    pub(super) fn value(&self, column: &str, row: usize) -> Option<AnyValue<'static>> {
        if let Some(frame) = self.dataset.in_memory() {
            return Some(frame.column(column).ok()?.get(row).ok()?.into_static());
        }
        let plan = self.dataset.lazy().ok()?.select([col(column)]);
        let one = plan.slice(i64::try_from(row).ok()?, 1).collect().ok()?;
        Some(one.column(column).ok()?.get(0).ok()?.into_static())
    }
}

/// The rows that share all their values with another one.
fn repeated(frame: &DataFrame) -> PolarsResult<DataFrame> {
    // Mostly there are none, and for a single column that is told sooner.
    if let [key] = frame.columns()
        && key.n_unique()? == key.len()
    {
        return Ok(frame.clear());
    }
    frame.filter(&frame.is_duplicated()?)
}

/// The hashes that are there more than once, in order.
fn twice(mut hashes: Vec<u64>) -> Vec<u64> {
    hashes.sort_unstable();
    let pairs = hashes.array_windows().filter(|[one, next]| one == next);
    let mut suspects: Vec<_> = pairs.map(|[one, _]| *one).collect();
    suspects.dedup();
    suspects.truncate(SUSPECTS);
    suspects
}

/// A hash of each row: equal rows have equal ones.
fn hashed(frame: &DataFrame) -> Result<Vec<u64>, TaskError> {
    let fail = |error: PolarsError| polars_error("look for duplicate keys", &error);
    let by = BuildHasherDefault::<DefaultHasher>::default();
    let mut hashes = vec![0_u64; frame.height()];
    for column in frame.columns() {
        let of = column.dtype();
        if of.is_integer() || (of.is_temporal() && !of.is_duration()) || of.is_bool() {
            let numbers = crate::support::keys::whole_numbers(column)?;
            for (hash, value) in hashes.iter_mut().zip(numbers.iter()) {
                *hash = by.hash_one((*hash, value));
            }
            continue;
        }
        let texts = column.cast(&DataType::String).map_err(fail)?;
        for (hash, text) in hashes.iter_mut().zip(texts.str().map_err(fail)?.iter()) {
            *hash = by.hash_one((*hash, text));
        }
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lazily(frame: &DataFrame) -> Given {
        Given::of(Dataset::from_lazy(frame.clone().lazy()).unwrap())
    }

    #[test]
    fn rows_that_are_read_in_parts_are_compared_as_those_in_memory_are() {
        let numbers: Vec<i64> = (0..200_000).map(|row| row % 199_999).collect();
        let texts: Vec<_> = numbers.iter().map(|number| format!("k{number}")).collect();
        let frame = df!["number" => &numbers, "text" => &texts].unwrap();
        let unique = frame.head(Some(199_999));
        for (frame, count) in [(&frame, 2), (&unique, 0)] {
            for given in [lazily(frame), Given::frame(frame.clone())] {
                let found = given.repeated("rows").unwrap();
                assert_eq!((found.height(), found.width()), (count, 2));
            }
        }
        let found = lazily(&frame).repeated("rows").unwrap();
        assert_eq!(
            found.column("text").unwrap().str().unwrap().get(0),
            Some("k0")
        );
        assert_eq!(
            lazily(&frame).value("text", 150_000).unwrap().to_string(),
            Given::frame(frame)
                .value("text", 150_000)
                .unwrap()
                .to_string()
        );
    }

    #[test]
    fn parts_say_what_is_before_them() {
        let frame = df!["n" => (0..120_000_i64).collect::<Vec<_>>()].unwrap();
        let (sender, seen) = std::sync::mpsc::channel();
        let check = move |part: DataFrame, before: usize| {
            let first = part.column("n").unwrap().i64().unwrap().get(0);
            sender.send((first, before, part.height())).unwrap();
            Ok(())
        };
        lazily(&frame).parts("rows", check).unwrap();
        let seen: Vec<_> = seen.iter().collect();
        assert!(seen.len() > 1, "{seen:?}");
        for (first, before, _) in &seen {
            assert_eq!(*first, i64::try_from(*before).ok());
        }
        assert_eq!(seen.iter().map(|(_, _, rows)| rows).sum::<usize>(), 120_000);
    }
}
