//! `transform: unpivot`: makes rows out of columns.

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
    keys::columns,
    settings::{Names, type_name},
};

/// `transform: unpivot`.
pub(crate) struct Unpivot;

/// Which columns become rows: for each row of the table one row for each of them, in their order.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The columns that stay.
    index: Names,
    /// The columns that become rows; all others when it is left out. They have the same type, or are all numbers.
    #[serde(default)]
    columns: Vec<String>,
    /// The name of the column that says which column a value comes from.
    #[serde(default = "name")]
    name: String,
    /// The name of the column with the values.
    #[serde(default = "value")]
    value: String,
    /// Whether rows without a value are left out.
    #[serde(default)]
    drop_nulls: bool,
}

fn name() -> String {
    "name".to_owned()
}

fn value() -> String {
    "value".to_owned()
}

impl Operator for Unpivot {
    type Config = Config;
    const KIND: Kind = Kind::Transform;
    const NAME: &'static str = "unpivot";
    const SUMMARY: &'static str = "Makes rows out of columns: wide to long.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
    }

    fn check(config: &Config, found: &mut Complaints) {
        if let Some(both) = config
            .columns
            .iter()
            .find(|name| config.index.0.contains(name))
        {
            found.error(&["columns"], format!("`{both}` is a column that stays"));
        }
        for (setting, name) in [("name", &config.name), ("value", &config.value)] {
            if config.index.0.contains(name) || config.name == config.value {
                found
                    .error(&[setting], format!("there would be two columns `{name}`"))
                    .hint("choose another name");
            }
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (name, frame) = only_input(context).await?;
        let frame = context
            .compute(move || unpivoted(&config, &name, &frame))
            .await?;
        Ok(Outcome::Done(Output::table(Dataset::from_frame(frame))))
    }
}

fn unpivoted(config: &Config, name: &str, frame: &DataFrame) -> Result<DataFrame, TaskError> {
    let fail = |error: PolarsError| polars_error("unpivot the table", &error);
    let kept = columns(name, frame, &config.index.0)?;
    let names: Vec<String> = if config.columns.is_empty() {
        let all = frame
            .get_column_names()
            .into_iter()
            .map(ToString::to_string);
        all.filter(|name| !config.index.0.contains(name)).collect()
    } else {
        config.columns.clone()
    };
    let sources = columns(name, frame, &names)?;
    let of = common(name, &sources)?;
    let (height, width) = (frame.height(), sources.len());
    let mut whole: Option<Column> = None;
    for source in &sources {
        let mut part = source.cast(&of).map_err(fail)?;
        part.rename(config.value.as_str().into());
        match &mut whole {
            Some(whole) => whole.append(&part).map(|_| ()).map_err(fail)?,
            None => whole = Some(part),
        }
    }
    let whole = whole.unwrap_or_else(|| Column::new_empty(config.value.as_str().into(), &of));
    // The values lie column by column; the rows of the result go row by row.
    let size = |number: usize| IdxSize::try_from(number).unwrap_or(IdxSize::MAX);
    let at = (0..height).flat_map(|row| (0..width).map(move |column| size(column * height + row)));
    let rows = (0..height).flat_map(|row| std::iter::repeat_n(size(row), width));
    let rows = IdxCa::from_vec("rows".into(), rows.collect());
    let values = whole
        .take(&IdxCa::from_vec("rows".into(), at.collect()))
        .map_err(fail)?;
    let labels: Vec<&str> = (0..height)
        .flat_map(|_| names.iter().map(String::as_str))
        .collect();
    let mut parts = Vec::new();
    for column in kept {
        parts.push(column.take(&rows).map_err(fail)?);
    }
    parts.push(Column::new(config.name.as_str().into(), labels));
    let full = config.drop_nulls.then(|| values.is_not_null());
    parts.push(values);
    let frame = DataFrame::new(height * width, parts).map_err(fail)?;
    match full {
        Some(full) => frame.filter(&full).map_err(fail),
        None => Ok(frame),
    }
}

/// The type that all columns have, or can be given.
fn common(table: &str, columns: &[&Column]) -> Result<DataType, TaskError> {
    let Some(first) = columns.first() else {
        return Ok(DataType::Null);
    };
    let Some(other) = columns
        .iter()
        .find(|column| column.dtype() != first.dtype())
    else {
        return Ok(first.dtype().clone());
    };
    if columns.iter().all(|column| column.dtype().is_integer()) {
        return Ok(DataType::Int64);
    }
    if columns
        .iter()
        .all(|column| column.dtype().is_primitive_numeric())
    {
        return Ok(DataType::Float64);
    }
    Err(TaskError::user(format!(
        "`{}` of `{table}` is {} and `{}` is {}: they cannot be one column",
        first.name(),
        type_name(first.dtype()),
        other.name(),
        type_name(other.dtype())
    ))
    .hint("cast them in a `transform: sql`, or name the `columns` that belong together"))
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, complaints, frame};
    use serde_json::{Value, json};

    use super::*;

    async fn unpivot(settings: Value) -> Result<DataFrame, TaskError> {
        let rows =
            df!["id" => ["x", "y"], "a" => [Some(1), None], "b" => [2.5, 3.5], "c" => ["p", "q"]];
        let project = TestProject::new();
        project
            .run_on::<Unpivot>(rows.unwrap(), settings)
            .await
            .map(|output| frame(&output))
    }

    #[tokio::test]
    async fn columns_become_rows() {
        let found = unpivot(json!({"index": "id", "columns": ["b", "a"]}))
            .await
            .unwrap();
        let expected = df![
            "id" => ["x", "x", "y", "y"],
            "name" => ["b", "a", "b", "a"],
            "value" => [Some(2.5), Some(1.0), Some(3.5), None],
        ]
        .unwrap();
        assert!(found.equals_missing(&expected), "{found:?}");
        let found =
            unpivot(json!({"index": ["id", "c"], "drop_nulls": true, "value": "v", "name": "n"}))
                .await
                .unwrap();
        assert_eq!(found.height(), 3);
        assert_eq!(found.get_column_names(), ["id", "c", "n", "v"]);
    }

    #[tokio::test]
    async fn misuse_is_explained() {
        let error = unpivot(json!({"index": "id"})).await.unwrap_err();
        assert_eq!(
            error.message,
            "`a` of `rows` is int32 and `b` is number: they cannot be one column"
        );
        let error = unpivot(json!({"index": "id", "columns": ["z"]}))
            .await
            .unwrap_err();
        assert_eq!(error.message, "`rows` has no column `z`");
        assert_eq!(
            complaints::<Unpivot>(json!({"index": "name", "columns": ["name"]})),
            [
                "columns: `name` is a column that stays",
                "name: there would be two columns `name`"
            ]
        );
    }
}
