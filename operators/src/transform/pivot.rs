//! `transform: pivot`: makes columns out of the values of one.

use std::collections::HashMap;

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
    },
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    frame::{only_input, polars_error},
    keys::{column, columns, groups},
    settings::Names,
    text::shortened,
    values::{Addends, missing, picked, places, whole_sum},
};

/// `transform: pivot`.
pub(crate) struct Pivot;

/// What becomes rows, columns and cells. Rows come in the order in which they first appear in the table.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The columns that stay: one row for each of their combinations.
    index: Names,
    /// The column whose values become columns; a missing value becomes the column `null`.
    columns: String,
    /// The column whose values fill the cells.
    values: String,
    /// What becomes of several values for one cell. When it is left out, that is an error.
    aggregate: Option<Aggregate>,
    /// The new columns, in this order; other values are left out. All values in their order when it is not given: then
    /// the columns depend on the data.
    #[serde(default)]
    names: Vec<String>,
    /// What is put before the names of the new columns.
    #[serde(default)]
    prefix: String,
}

/// What becomes of several values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Aggregate {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// How many there are; 0 where there is none.
    Count,
    /// The first in the table.
    First,
    /// The last in the table.
    Last,
}

/// More new columns than this are a mistake.
const MOST: usize = 10_000;

impl Operator for Pivot {
    type Config = Config;
    const KIND: Kind = Kind::Transform;
    const NAME: &'static str = "pivot";
    const SUMMARY: &'static str = "Makes columns out of the values of one: long to wide.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
    }

    fn check(config: &Config, found: &mut Complaints) {
        if config.index.0.is_empty() {
            found
                .error(&["index"], "the list is empty")
                .hint("name the columns that stay");
        }
        for (setting, name) in [("columns", &config.columns), ("values", &config.values)] {
            if config.index.0.contains(name) {
                found.error(&[setting], format!("`{name}` is a column that stays"));
            }
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (name, frame) = only_input(context).await?;
        let frame = context
            .compute(move || pivoted(&config, &name, &frame))
            .await?;
        Ok(Outcome::Done(Output::table(Dataset::from_frame(frame))))
    }
}

fn pivoted(config: &Config, name: &str, frame: &DataFrame) -> Result<DataFrame, TaskError> {
    let (rows, height) = groups(name, frame, &config.index.0)?;
    let on = column(name, frame, &config.columns)?;
    let values = column(name, frame, &config.values)?;
    let texts = texts(on)?;
    let names = if config.names.is_empty() {
        all_names(on, &texts)?
    } else {
        config.names.clone()
    };
    let numbers: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
    let cell = |row: usize| {
        let text = texts
            .get(row)
            .map_or("null", |text| text.as_deref().unwrap_or("null"));
        Some((*rows.get(row)? as usize, *numbers.get(text)?))
    };
    let cells = Cells {
        of: (0..frame.height()).map(cell).collect(),
        height,
        width: names.len(),
    };
    let mut firsts: Vec<Option<u32>> = vec![None; height];
    for (group, row) in rows.iter().zip(0..) {
        if let Some(first) = firsts.get_mut(*group as usize) {
            first.get_or_insert(row);
        }
    }
    let mut parts = Vec::new();
    for column in columns(name, frame, &config.index.0)? {
        parts.push(picked(column, firsts.iter().copied())?);
    }
    for (mut column, name) in cells.filled(config, name, values)?.into_iter().zip(&names) {
        column.rename(format!("{}{name}", config.prefix).into());
        parts.push(column);
    }
    DataFrame::new(height, parts).map_err(|error| {
        polars_error("pivot the table", &error)
            .hint("a value has the name of a column that stays: give the new columns a `prefix`")
    })
}

fn texts(on: &Column) -> Result<Vec<Option<String>>, TaskError> {
    let fail = |error: PolarsError| polars_error(&format!("read `{}`", on.name()), &error);
    let texts = on
        .as_materialized_series()
        .cast(&DataType::String)
        .map_err(fail)?;
    let texts = texts.str().map_err(fail)?;
    Ok(texts
        .iter()
        .map(|text| text.map(ToOwned::to_owned))
        .collect())
}

/// All values in their order: numbers by size, texts by the alphabet.
fn all_names(on: &Column, texts: &[Option<String>]) -> Result<Vec<String>, TaskError> {
    let mut names: Vec<String> = Vec::new();
    for row in on
        .arg_sort(SortOptions::default().with_nulls_last(true))
        .iter()
        .flatten()
    {
        let text = texts
            .get(row as usize)
            .map_or("null", |text| text.as_deref().unwrap_or("null"));
        if names.last().is_none_or(|last| last != text) {
            names.push(text.to_owned());
        }
        if names.len() > MOST {
            return Err(TaskError::user(format!(
                "`{}` has more than {MOST} values: they would all become columns",
                on.name()
            ))
            .hint("name the ones you need under `names`"));
        }
    }
    Ok(names)
}

/// Where each row's value goes.
struct Cells {
    of: Vec<Option<(usize, usize)>>,
    height: usize,
    width: usize,
}

impl Cells {
    /// The new columns.
    fn filled(
        &self,
        config: &Config,
        name: &str,
        values: &Column,
    ) -> Result<Vec<Column>, TaskError> {
        match config.aggregate {
            Some(Aggregate::Count) => Ok(self.counted(values)),
            Some(Aggregate::Sum) => match Addends::of(values, "sum")? {
                Addends::Whole(whole) => self.whole_sums(&whole, values.name()),
                Addends::Real(real) => Ok(self.sums(&real, false)),
            },
            Some(Aggregate::Mean) => Ok(self.sums(&Addends::of(values, "mean")?.reals(), true)),
            aggregate => self.picked(aggregate, config, name, values),
        }
    }

    /// One cell for each row and column, by column.
    fn grid<T: Clone>(&self, empty: T) -> Vec<Vec<T>> {
        vec![vec![empty; self.height]; self.width]
    }

    /// The rows with a value, and their cells.
    fn full<'a>(
        &'a self,
        missing: &'a [bool],
    ) -> impl Iterator<Item = (usize, (usize, usize))> + 'a {
        let rows = self.of.iter().zip(missing).enumerate();
        rows.filter_map(|(row, (cell, missing))| {
            (*cell).filter(|_| !missing).map(|cell| (row, cell))
        })
    }

    fn counted(&self, values: &Column) -> Vec<Column> {
        let mut counts = self.grid(0_i64);
        for (_, (row, column)) in self.full(&missing(values)) {
            counts[column][row] += 1;
        }
        counts
            .into_iter()
            .map(|counts| Column::new("count".into(), counts))
            .collect()
    }

    fn whole_sums(&self, values: &[Option<i64>], name: &str) -> Result<Vec<Column>, TaskError> {
        let mut sums = self.grid(None::<i128>);
        for (value, cell) in values.iter().zip(&self.of) {
            if let (Some(value), Some((row, column))) = (value, cell) {
                let sum = &mut sums[*column][*row];
                *sum = Some(sum.unwrap_or(0) + i128::from(*value));
            }
        }
        let column = |sums: Vec<Option<i128>>| {
            let sums = sums
                .into_iter()
                .map(|sum| sum.map(|sum| whole_sum(sum, name)).transpose());
            sums.collect::<Result<Vec<_>, _>>()
                .map(|sums| Column::new("sum".into(), sums))
        };
        sums.into_iter().map(column).collect()
    }

    fn sums(&self, values: &[Option<f64>], mean: bool) -> Vec<Column> {
        let mut sums = self.grid((0.0, 0.0));
        for (value, cell) in values.iter().zip(&self.of) {
            if let (Some(value), Some((row, column))) = (value, cell) {
                let (sum, count) = &mut sums[*column][*row];
                *sum += value;
                *count += 1.0;
            }
        }
        let result = |(sum, count): (f64, f64)| {
            (count > 0.0).then_some(if mean { sum / count } else { sum })
        };
        sums.into_iter()
            .map(|sums| {
                Column::new(
                    "sum".into(),
                    sums.into_iter().map(result).collect::<Vec<_>>(),
                )
            })
            .collect()
    }

    /// Cells that are filled by one of the rows.
    fn picked(
        &self,
        aggregate: Option<Aggregate>,
        config: &Config,
        name: &str,
        values: &Column,
    ) -> Result<Vec<Column>, TaskError> {
        let by_size = matches!(aggregate, Some(Aggregate::Min | Aggregate::Max));
        let places = if by_size { places(values) } else { Vec::new() };
        let missing = if by_size {
            missing(values)
        } else {
            vec![false; values.len()]
        };
        let mut chosen = self.grid(None::<u32>);
        for (row, (group, column)) in self.full(&missing) {
            let slot = &mut chosen[column][group];
            let taken = match (aggregate, *slot) {
                (_, None) | (Some(Aggregate::Last), _) => true,
                (Some(Aggregate::Min), Some(other)) => places[row] < places[other as usize],
                (Some(Aggregate::Max), Some(other)) => places[row] > places[other as usize],
                (None, Some(other)) => return Err(twice(config, name, other as usize, row)),
                _ => false,
            };
            if taken {
                *slot = u32::try_from(row).ok();
            }
        }
        chosen
            .into_iter()
            .map(|rows| picked(values, rows.into_iter()))
            .collect()
    }
}

fn twice(config: &Config, name: &str, first: usize, second: usize) -> TaskError {
    let index: Vec<_> = config
        .index
        .0
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    TaskError::user(format!(
        "rows {} and {} of `{name}` have the same {} and `{}`",
        first + 1,
        second + 1,
        shortened(&index.join(", "), 80),
        config.columns
    ))
    .hint("say what becomes of several values: `aggregate: sum`")
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, complaints, frame};
    use serde_json::{Value, json};

    use super::*;

    fn sales() -> DataFrame {
        df![
            "shop" => ["b", "a", "b", "b", "a"],
            "year" => [2_024, 2_023, 2_023, 2_024, 2_023],
            "product" => [Some("tea"), Some("tea"), Some("rice"), Some("tea"), None],
            "amount" => [Some(1), Some(2), Some(3), Some(4), None],
            "price" => [0.5, 1.5, 2.5, 3.5, 4.5],
        ]
        .unwrap()
    }

    async fn pivot(settings: Value) -> Result<DataFrame, TaskError> {
        let project = TestProject::new();
        project
            .run_on::<Pivot>(sales(), settings)
            .await
            .map(|output| frame(&output))
    }

    fn with(aggregate: &str, values: &str) -> Value {
        json!({"index": "shop", "columns": "product", "values": values, "aggregate": aggregate})
    }

    #[tokio::test]
    async fn each_aggregate_fills_its_cells() {
        let none = None::<f64>;
        for (settings, rice, tea, null) in [
            (
                with("sum", "amount"),
                [Some(3_i64), None],
                [Some(5), Some(2)],
                [None, None],
            ),
            (
                with("count", "amount"),
                [Some(1), Some(0)],
                [Some(2), Some(1)],
                [Some(0), Some(0)],
            ),
        ] {
            let expected =
                df!["shop" => ["b", "a"], "rice" => rice, "tea" => tea, "null" => null].unwrap();
            let found = pivot(settings.clone()).await.unwrap();
            assert!(found.equals_missing(&expected), "{settings} {found:?}");
        }
        for (aggregate, tea) in [
            ("sum", 4.0),
            ("mean", 2.0),
            ("min", 0.5),
            ("max", 3.5),
            ("first", 0.5),
            ("last", 3.5),
        ] {
            let expected = df![
                "shop" => ["b", "a"],
                "rice" => [Some(2.5), none],
                "tea" => [tea, 1.5],
                "null" => [none, Some(4.5)],
            ]
            .unwrap();
            let found = pivot(with(aggregate, "price")).await.unwrap();
            assert!(found.equals_missing(&expected), "{aggregate} {found:?}");
        }
    }

    #[tokio::test]
    async fn columns_are_named_ordered_and_prefixed() {
        let settings = json!({"index": ["shop"], "columns": "year", "values": "price", "aggregate": "sum", "prefix": "y"});
        let found = pivot(settings).await.unwrap();
        assert_eq!(found.get_column_names(), ["shop", "y2023", "y2024"]);
        let settings = json!({"index": ["shop"], "columns": "product", "values": "price", "aggregate": "max", "names": ["tea", "soap"]});
        let found = pivot(settings).await.unwrap();
        assert_eq!(found.get_column_names(), ["shop", "tea", "soap"]);
        assert_eq!(found.column("soap").unwrap().null_count(), 2);
    }

    #[tokio::test]
    async fn misuse_is_explained() {
        let twice = json!({"index": "shop", "columns": "product", "values": "price"});
        let clash = json!({"index": "product", "columns": "product", "values": "price"});
        for (settings, message) in [
            (
                twice,
                "rows 1 and 4 of `rows` have the same `shop` and `product`",
            ),
            (
                json!({"index": "shp", "columns": "a", "values": "b"}),
                "`rows` has no column `shp`",
            ),
            (
                json!({"index": "year", "columns": "year", "values": "shop", "aggregate": "sum"}),
                "`shop` is string: `sum` needs numbers",
            ),
        ] {
            assert_eq!(pivot(settings).await.unwrap_err().message, message);
        }
        assert_eq!(
            complaints::<Pivot>(clash),
            ["columns: `product` is a column that stays"]
        );
        assert_eq!(
            complaints::<Pivot>(json!({"index": [], "columns": "a", "values": "b"})),
            ["index: the list is empty"]
        );
    }
}
