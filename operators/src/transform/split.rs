//! `transform: split`: divides a table's rows at random, the same way in every run.

use indexmap::IndexMap;
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
    draws::{drawn, strata},
    frame::{only_input, polars_error},
    text::thousands,
};

/// `transform: split`.
pub(crate) struct Split;

/// The parts, each a dataset of its own: `from: parts.test` reads the one called `test` of the task `parts`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"parts": {"train": 0.8, "test": 0.2}}]))]
pub(crate) struct Config {
    /// The share of each part; together they are 1. The first part is the main dataset.
    parts: IndexMap<String, f64>,
    /// A column whose values every part has in equal shares.
    stratify: Option<String>,
    /// Another division than the task's own.
    seed: Option<u64>,
}

impl Operator for Split {
    type Config = Config;
    const KIND: Kind = Kind::Transform;
    const NAME: &'static str = "split";
    const SUMMARY: &'static str = "Divides a table's rows at random, the same way in every run.";
    const TAKES: Takes = Takes::One;

    fn outputs(config: &Config) -> Outputs {
        Outputs::tables(config.parts.keys())
    }

    fn check(config: &Config, found: &mut Complaints) {
        if config.parts.len() < 2 {
            found
                .error(&["parts"], "a split has two parts or more")
                .hint("write `parts: {train: 0.8, test: 0.2}`");
        }
        for (name, share) in &config.parts {
            if !(*share > 0.0 && *share < 1.0) {
                found.error(&["parts", name], "a share lies between 0 and 1");
            }
        }
        let sum: f64 = config.parts.values().sum();
        if (sum - 1.0).abs() > 1e-6 {
            found.error(&["parts"], format!("the shares are {sum} together, not 1"));
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (name, frame) = only_input(context).await?;
        let seed = config.seed.unwrap_or(context.seed);
        let log = context.log.clone();
        let output = context
            .compute(move || {
                let strata = strata(&name, &frame, config.stratify.as_slice())?;
                let shares: Vec<f64> = config.parts.values().copied().collect();
                let members = divide(&strata, &shares, seed);
                let mut output = Output::default();
                for (part, rows) in config.parts.keys().zip(members) {
                    let rows = IdxCa::from_vec("rows".into(), rows);
                    let frame = frame
                        .take(&rows)
                        .map_err(|error| polars_error("divide the rows", &error))?;
                    log.info(format!("{part}: {} rows", thousands(frame.height() as u64)));
                    output = output.dataset(part, Dataset::from_frame(frame));
                }
                Ok(output)
            })
            .await?;
        Ok(Outcome::Done(output))
    }
}

/// The rows of each part, in the table's order.
///
/// Every row draws a number from its position; within each stratum the rows are dealt out in the order of their draws.
fn divide(strata: &[u32], shares: &[f64], seed: u64) -> Vec<Vec<IdxSize>> {
    let mut parts = vec![Vec::new(); shares.len()];
    for stratum in drawn(strata, seed) {
        let bounds = bounds(stratum.len(), shares);
        for (index, row) in stratum.iter().enumerate() {
            let part = bounds
                .iter()
                .position(|end| index < *end)
                .unwrap_or(shares.len() - 1);
            if let Some(part) = parts.get_mut(part) {
                part.push(*row);
            }
        }
    }
    for part in &mut parts {
        part.sort_unstable();
    }
    parts
}

/// Where each part of `count` rows ends.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of rows is far below 2^53 and a share of it lies between 0 and the count"
)]
fn bounds(count: usize, shares: &[f64]) -> Vec<usize> {
    let mut sum = 0.0;
    shares
        .iter()
        .map(|share| {
            sum += share;
            (count as f64 * sum).round() as usize
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, complaints};
    use serde_json::{Value, json};

    use super::*;

    fn rows() -> DataFrame {
        let ids: Vec<i64> = (0..1_000).collect();
        let rare: Vec<&str> = ids
            .iter()
            .map(|id| if id % 50 == 0 { "yes" } else { "no" })
            .collect();
        df!["id" => ids, "rare" => rare].unwrap()
    }

    async fn split(settings: Value) -> Vec<(String, DataFrame)> {
        let project = TestProject::new();
        let output = project.run_on::<Split>(rows(), settings).await.unwrap();
        output
            .datasets
            .into_iter()
            .map(|(name, dataset)| (name, dataset.collect().unwrap()))
            .collect()
    }

    fn ids(frame: &DataFrame) -> Vec<i64> {
        frame
            .column("id")
            .unwrap()
            .i64()
            .unwrap()
            .iter()
            .flatten()
            .collect()
    }

    #[tokio::test]
    async fn every_row_is_in_one_part() {
        let parts = split(json!({"parts": {"train": 0.7, "valid": 0.2, "test": 0.1}})).await;
        let names: Vec<_> = parts
            .iter()
            .map(|(name, part)| (name.as_str(), part.height()))
            .collect();
        assert_eq!(names, [("train", 700), ("valid", 200), ("test", 100)]);
        let mut all: Vec<_> = parts.iter().flat_map(|(_, part)| ids(part)).collect();
        assert!(ids(&parts[0].1).is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..1_000).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn it_is_the_same_in_every_run_and_another_with_a_seed() {
        let settings = json!({"parts": {"train": 0.8, "test": 0.2}});
        assert_eq!(
            ids(&split(settings.clone()).await[1].1),
            ids(&split(settings.clone()).await[1].1)
        );
        let seeded = json!({"parts": {"train": 0.8, "test": 0.2}, "seed": 7});
        assert_ne!(
            ids(&split(settings).await[1].1),
            ids(&split(seeded).await[1].1)
        );
    }

    #[tokio::test]
    async fn strata_have_equal_shares() {
        let parts = split(json!({"parts": {"train": 0.8, "test": 0.2}, "stratify": "rare"})).await;
        let rare: Vec<_> = parts
            .iter()
            .map(|(_, part)| {
                part.column("rare")
                    .unwrap()
                    .str()
                    .unwrap()
                    .iter()
                    .filter(|value| *value == Some("yes"))
                    .count()
            })
            .collect();
        assert_eq!(rare, [16, 4]);
        let project = TestProject::new();
        let settings = json!({"parts": {"a": 0.5, "b": 0.5}, "stratify": "rar"});
        let error = project.run_on::<Split>(rows(), settings).await.unwrap_err();
        assert_eq!(error.message, "`rows` has no column `rar`");
    }

    #[test]
    fn shares_are_checked() {
        assert_eq!(
            complaints::<Split>(json!({"parts": {"a": 0.5, "b": 0.6}})),
            ["parts: the shares are 1.1 together, not 1"]
        );
        assert_eq!(complaints::<Split>(json!({"parts": {"a": 1.0}})).len(), 2);
        assert!(complaints::<Split>(json!({"parts": {"a": 0.1, "b": 0.2, "c": 0.7}})).is_empty());
    }
}
