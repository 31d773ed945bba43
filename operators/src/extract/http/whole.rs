//! The pages of all slices as one table, in the order of slices, pages and records, whatever the order of their arrival.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use indexmap::IndexMap;
use pipectl_engine::{dataset::Dataset, operator::TaskError};
use polars::prelude::*;

use super::table::{PAGE, SLICE, UNKNOWN};
use crate::support::{
    frame::polars_error,
    settings::{ColumnType, type_name},
    text::hint_for_name,
};

/// Pages that take more space than this are read from their files when the table is, and not before.
const IN_MEMORY: u64 = 256 * 1024 * 1024;

/// What the table is to be.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) key: Vec<String>,
    pub(super) columns: Vec<String>,
    pub(super) types: IndexMap<String, ColumnType>,
}

/// The table, and what is to be said of it.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) dataset: Dataset,
    pub(super) duplicates: Option<u64>,
    pub(super) warnings: Vec<String>,
}

/// A stretch of a file that is one page.
struct Stretch {
    file: usize,
    offset: usize,
    length: usize,
}

/// Puts the files together. Computes.
pub(super) fn whole(files: &[PathBuf], wanted: &Wanted) -> Result<Whole, TaskError> {
    whole_within(files, wanted, IN_MEMORY)
}

fn whole_within(files: &[PathBuf], wanted: &Wanted, limit: u64) -> Result<Whole, TaskError> {
    let failed = |error: PolarsError| polars_error("read the pages", &error);
    let schemas: Vec<SchemaRef> = files
        .iter()
        .map(|file| scan(file)?.collect_schema())
        .collect::<PolarsResult<_>>()
        .map_err(failed)?;
    let (schema, warnings) = unified(&schemas, &wanted.types);
    let schema = selected(schema, wanted)?;
    let order = order(files).map_err(failed)?;
    let size: u64 = files
        .iter()
        .map(|file| std::fs::metadata(file).map_or(0, |about| about.len()))
        .sum();
    let (dataset, duplicates) = if size <= limit {
        let frame = in_memory(files, &schemas, &schema, &order).map_err(failed)?;
        let before = frame.height();
        let frame = if wanted.key.is_empty() {
            frame
        } else {
            frame
                .unique_stable(Some(&wanted.key), UniqueKeepStrategy::First, None)
                .map_err(failed)?
        };
        let frame = shown(frame.lazy(), wanted).collect().map_err(failed)?;
        let duplicates = (before - frame.height()) as u64;
        (Dataset::from_frame(frame), Some(duplicates))
    } else {
        let mut plan = streamed(files, &schemas, &schema, &order).map_err(failed)?;
        if !wanted.key.is_empty() {
            let key = wanted.key.iter().map(|name| col(name.as_str())).collect();
            plan = plan.unique_stable_generic(Some(key), UniqueKeepStrategy::First);
        }
        (
            Dataset::from_lazy(shown(plan, wanted)).map_err(failed)?,
            None,
        )
    };
    Ok(Whole {
        dataset,
        duplicates,
        warnings,
    })
}

/// A table without rows, when all its columns are declared.
pub(super) fn empty(wanted: &Wanted) -> Option<DataFrame> {
    let names: Vec<&String> = if wanted.columns.is_empty() {
        wanted.types.keys().collect()
    } else {
        wanted.columns.iter().collect()
    };
    let column = |name: &&String| {
        Some(Column::new_empty(
            name.as_str().into(),
            &wanted.types.get(*name)?.polars(),
        ))
    };
    let columns: Vec<Column> = names.iter().map(column).collect::<Option<_>>()?;
    if columns.is_empty() {
        None
    } else {
        DataFrame::new(0, columns).ok()
    }
}

fn scan(file: &Path) -> PolarsResult<LazyFrame> {
    LazyFrame::scan_parquet(PlRefPath::try_from_path(file)?, ScanArgsParquet::default())
}

/// One type for each column of all files, in the order of their first appearance.
fn unified(
    schemas: &[SchemaRef],
    types: &IndexMap<String, ColumnType>,
) -> (IndexMap<String, DataType>, Vec<String>) {
    let mut columns: IndexMap<String, DataType> = IndexMap::new();
    let mut mixed: BTreeMap<String, String> = BTreeMap::new();
    for (name, dtype) in schemas.iter().flat_map(|schema| schema.iter()) {
        if [SLICE, PAGE].contains(&name.as_str()) {
            continue;
        }
        let known = columns
            .entry(name.to_string())
            .or_insert_with(|| dtype.clone());
        let both = (known.clone(), dtype.clone());
        *known = match both {
            (known, dtype) if known == dtype || dtype == UNKNOWN => known,
            (known, dtype) if known == UNKNOWN => dtype,
            (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => {
                DataType::Float64
            }
            (known, dtype) => {
                let what = format!("{} and {}", type_name(&known), type_name(&dtype));
                mixed.entry(name.to_string()).or_insert(what);
                DataType::String
            }
        };
    }
    // Where a map may be missing, null stands in the place of its columns.
    let parts: Vec<String> = columns.keys().cloned().collect();
    let is_map = |name: &str| {
        parts.iter().any(|part| {
            part.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('_'))
        })
    };
    columns.retain(|name, dtype| *dtype != UNKNOWN || types.contains_key(name) || !is_map(name));
    for dtype in columns.values_mut().filter(|dtype| **dtype == UNKNOWN) {
        *dtype = DataType::String;
    }
    for (name, declared) in types {
        columns.insert(name.clone(), declared.polars());
    }
    let warning = |(name, what): (String, String)| {
        format!(
            "`{name}` is {what} in different pages, and text in the table; declare it under `types`"
        )
    };
    (columns, mixed.into_iter().map(warning).collect())
}

/// The columns that are read: those that are wanted, and those of the key.
fn selected(
    schema: IndexMap<String, DataType>,
    wanted: &Wanted,
) -> Result<IndexMap<String, DataType>, TaskError> {
    let known = || schema.keys().map(String::as_str);
    let named = wanted
        .columns
        .iter()
        .map(|name| ("columns", name))
        .chain(wanted.key.iter().map(|name| ("key", name)));
    for (setting, name) in named {
        if !schema.contains_key(name) {
            let message = format!("the records have no `{name}`, which `{setting}` names");
            let known: Vec<&str> = known().collect();
            return Err(TaskError::user(message).hint(hint_for_name(
                name,
                "their columns are",
                known.iter().copied(),
            )));
        }
    }
    if wanted.columns.is_empty() {
        return Ok(schema);
    }
    let all = wanted.columns.iter().chain(&wanted.key);
    Ok(all
        .filter_map(|name| Some((name.clone(), schema.get(name)?.clone())))
        .collect())
}

/// Only the columns that are wanted, in their order.
fn shown(plan: LazyFrame, wanted: &Wanted) -> LazyFrame {
    if wanted.columns.is_empty() {
        return plan;
    }
    plan.select(
        wanted
            .columns
            .iter()
            .map(|name| col(name.as_str()))
            .collect::<Vec<_>>(),
    )
}

/// The pages in their order.
fn order(files: &[PathBuf]) -> PolarsResult<Vec<Stretch>> {
    let mut pages: BTreeMap<(u32, u32), Stretch> = BTreeMap::new();
    for (file, path) in files.iter().enumerate() {
        let tags = scan(path)?.select([col(SLICE), col(PAGE)]).collect()?;
        let (slices, numbers) = (tags.column(SLICE)?.u32()?, tags.column(PAGE)?.u32()?);
        for (offset, tag) in slices.iter().zip(numbers.iter()).enumerate() {
            let (Some(slice), Some(number)) = tag else {
                continue;
            };
            let page = pages.entry((slice, number)).or_insert(Stretch {
                file,
                offset,
                length: 0,
            });
            // A page stands in one file.
            if page.file == file {
                page.length += 1;
            }
        }
    }
    let mut order: Vec<Stretch> = Vec::new();
    for page in pages.into_values() {
        match order.last_mut() {
            Some(last) if last.file == page.file && last.offset + last.length == page.offset => {
                last.length += page.length;
            }
            _ => order.push(page),
        }
    }
    Ok(order)
}

/// The columns of a file as they are wanted.
fn aligned(plan: LazyFrame, own: &Schema, schema: &IndexMap<String, DataType>) -> LazyFrame {
    let column = |(name, dtype): (&String, &DataType)| match own.get(name) {
        Some(found) if found == dtype => col(name.as_str()),
        Some(found) if *found != UNKNOWN => col(name.as_str()).cast(dtype.clone()),
        _ => lit(NULL).cast(dtype.clone()).alias(name.as_str()),
    };
    // A column of the file tells how many rows there are, also when all that is wanted is missing in it.
    let mut columns: Vec<Expr> = schema.iter().map(column).collect();
    columns.push(col(PAGE));
    plan.select(columns).drop(by_name([PAGE], true, false))
}

fn in_memory(
    files: &[PathBuf],
    schemas: &[SchemaRef],
    schema: &IndexMap<String, DataType>,
    order: &[Stretch],
) -> PolarsResult<DataFrame> {
    let frames = files
        .iter()
        .zip(schemas)
        .map(|(file, own)| aligned(scan(file)?, own, schema).collect());
    let frames: Vec<DataFrame> = frames.collect::<PolarsResult<_>>()?;
    let mut whole: Option<DataFrame> = None;
    for stretch in order {
        let page = frames[stretch.file].slice(
            i64::try_from(stretch.offset).unwrap_or(i64::MAX),
            stretch.length,
        );
        match &mut whole {
            None => whole = Some(page),
            Some(whole) => {
                whole.vstack_mut_owned(page)?;
            }
        }
    }
    let mut whole = whole.unwrap_or_else(DataFrame::empty);
    whole.rechunk_mut();
    Ok(whole)
}

fn streamed(
    files: &[PathBuf],
    schemas: &[SchemaRef],
    schema: &IndexMap<String, DataType>,
    order: &[Stretch],
) -> PolarsResult<LazyFrame> {
    let page = |stretch: &Stretch| {
        let length = IdxSize::try_from(stretch.length).unwrap_or(IdxSize::MAX);
        let plan = scan(&files[stretch.file])?
            .slice(i64::try_from(stretch.offset).unwrap_or(i64::MAX), length);
        Ok(aligned(plan, &schemas[stretch.file], schema))
    };
    let pages: Vec<LazyFrame> = order.iter().map(page).collect::<PolarsResult<_>>()?;
    concat(
        pages,
        UnionArgs {
            maintain_order: true,
            ..UnionArgs::default()
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::table::Records, *};

    type Page = ((u32, u32), Vec<serde_json::Value>);

    /// Two files: pages 0 and 2 of slice 0 and page 0 of slice 1; page 1 of slice 0.
    fn files(directory: &std::path::Path) -> Vec<PathBuf> {
        let record = |id: i32| json!({"id": id, "x": f64::from(id) / 2.0});
        let contents = [
            vec![
                ((0, 0), vec![record(1), record(2)]),
                ((1, 0), vec![record(6)]),
                ((0, 2), vec![record(4), record(5)]),
            ],
            vec![((0, 1), vec![record(2), json!({"id": 3, "y": "z"})])],
        ];
        let write = |(number, pages): (usize, Vec<Page>)| {
            let mut records = Records::default();
            for (tag, page) in pages {
                records.add(tag, page, &[]).unwrap();
            }
            let path = directory.join(format!("{number}.parquet"));
            let table = Dataset::from_frame(records.tagged(&IndexMap::new()).unwrap());
            table.write(&path).unwrap();
            path
        };
        contents.into_iter().enumerate().map(write).collect()
    }

    #[test]
    fn large_and_small_are_put_together_alike() {
        let directory = pipectl_engine::operator::testing::TestProject::new();
        let files = files(directory.root());
        let mut wanted = Wanted {
            key: vec!["id".to_owned()],
            columns: Vec::new(),
            types: IndexMap::new(),
        };
        let expected = df![
            "id" => [1_i64, 2, 3, 4, 5, 6],
            "x" => [Some(0.5), Some(1.0), None, Some(2.0), Some(2.5), Some(3.0)],
            "y" => [None, None, Some("z"), None, None, None],
        ];
        let expected = expected.unwrap();
        for limit in [0, u64::MAX] {
            let whole = whole_within(&files, &wanted, limit).unwrap();
            assert!(
                whole.dataset.collect().unwrap().equals_missing(&expected),
                "{limit}"
            );
            assert_eq!(whole.duplicates, (limit > 0).then_some(1));
        }
        wanted.columns = vec!["y".to_owned()];
        for limit in [0, u64::MAX] {
            let whole = whole_within(&files, &wanted, limit).unwrap();
            assert!(
                whole
                    .dataset
                    .collect()
                    .unwrap()
                    .equals_missing(&expected.select(["y"]).unwrap()),
                "{limit}"
            );
        }
    }
}
