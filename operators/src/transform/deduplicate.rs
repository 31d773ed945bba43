//! `transform: deduplicate`: keeps one row of those that share a key.

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError, ValueType,
    },
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::support::{
    frame::{only_input, polars_error},
    keys::groups,
    settings::Names,
    sorting::{OrderBy, positions},
    text::count,
};

/// `transform: deduplicate`.
pub(crate) struct Deduplicate;

/// Which rows are the same, and which of them stays. Rows stay in the table's order.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The columns that tell rows apart; all when it is left out. A missing value is a value like others.
    #[serde(default)]
    key: Names,
    /// The columns that say which row comes first; the table's order when it is left out, and among equal ones. `-day`
    /// stands for the other direction. Missing values count as the least.
    #[serde(default)]
    order_by: OrderBy,
    /// Which row stays: the newest one is `order_by: updated_at` with `keep: last`.
    #[serde(default)]
    keep: Keep,
}

/// Which row stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Keep {
    /// The first one.
    #[default]
    First,
    /// The last one.
    Last,
}

impl Operator for Deduplicate {
    type Config = Config;
    const KIND: Kind = Kind::Transform;
    const NAME: &'static str = "deduplicate";
    const SUMMARY: &'static str = "Keeps one row of those that share a key.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table().value("removed", ValueType::Integer, "how many rows were left out")
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (name, frame) = only_input(context).await?;
        let rows = frame.height();
        let frame = context
            .compute(move || distinct(&config, &name, &frame))
            .await?;
        let removed = rows - frame.height();
        context
            .log
            .info(format!("{} left out", count(removed as u64, "row")));
        Ok(Outcome::Done(
            Output::table(Dataset::from_frame(frame)).value("removed", removed),
        ))
    }
}

fn distinct(config: &Config, name: &str, frame: &DataFrame) -> Result<DataFrame, TaskError> {
    let all: Vec<String>;
    let key = if config.key.0.is_empty() {
        all = frame
            .get_column_names()
            .into_iter()
            .map(ToString::to_string)
            .collect();
        &all
    } else {
        &config.key.0
    };
    let (groups, count) = groups(name, frame, key)?;
    let order = positions(name, frame, &[], &config.order_by)?;
    let mut kept: Vec<Option<IdxSize>> = vec![None; count];
    for row in order {
        if let Some(place) = groups
            .get(row as usize)
            .and_then(|group| kept.get_mut(*group as usize))
            && (place.is_none() || config.keep == Keep::Last)
        {
            *place = Some(row);
        }
    }
    let mut rows: Vec<IdxSize> = kept.into_iter().flatten().collect();
    rows.sort_unstable();
    frame
        .take(&IdxCa::from_vec("rows".into(), rows))
        .map_err(|error| polars_error("keep the rows", &error))
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, frame};
    use serde_json::{Value, json};

    use super::*;

    async fn kept(settings: Value) -> Result<Vec<i32>, TaskError> {
        let rows = df![
            "id" => [Some("a"), Some("b"), Some("a"), None, Some("b"), None, Some("a")],
            "day" => [Some(3), Some(1), Some(5), Some(1), None, Some(2), Some(5)],
            "row" => [0, 1, 2, 3, 4, 5, 6],
        ];
        let project = TestProject::new();
        let output = project
            .run_on::<Deduplicate>(rows.unwrap(), settings)
            .await?;
        let found = frame(&output);
        assert_eq!(output.values["removed"], json!(7 - found.height()));
        Ok(found
            .column("row")
            .unwrap()
            .i32()
            .unwrap()
            .iter()
            .flatten()
            .collect())
    }

    #[tokio::test]
    async fn one_row_of_each_key_stays() {
        for (settings, rows) in [
            (json!({"key": "id"}), vec![0, 1, 3]),
            (json!({"key": "id", "keep": "last"}), vec![4, 5, 6]),
            (
                json!({"key": "id", "order_by": "day", "keep": "last"}),
                vec![1, 5, 6],
            ),
            (json!({"key": "id", "order_by": "day"}), vec![0, 3, 4]),
            (
                json!({"key": "id", "order_by": ["-day", "row"]}),
                vec![1, 2, 5],
            ),
            (json!({"key": ["id", "day"]}), vec![0, 1, 2, 3, 4, 5]),
            (json!({}), vec![0, 1, 2, 3, 4, 5, 6]),
        ] {
            assert_eq!(kept(settings.clone()).await.unwrap(), rows, "{settings}");
        }
    }

    #[tokio::test]
    async fn an_unknown_column_is_named() {
        for (settings, message) in [
            (json!({"key": "idd"}), "`rows` has no column `idd`"),
            (
                json!({"key": "id", "order_by": "-dy"}),
                "`rows` has no column `dy`",
            ),
        ] {
            assert_eq!(kept(settings).await.unwrap_err().message, message);
        }
    }
}
