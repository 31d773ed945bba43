//! `transform: sample`: takes some of a table's rows at random, the same ones in every run.

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
    settings::Names,
    text::thousands,
};

/// `transform: sample`.
pub(crate) struct Sample;

/// How many rows are taken, without replacement; they stay in the table's order. Equal input gives the same rows in
/// every run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// So many rows; all when the table has no more.
    rows: Option<u64>,
    /// This share of the rows, from 0 to 1, rounded to whole rows.
    fraction: Option<f64>,
    /// The columns whose values have the same shares in the sample as in the table, as far as whole rows allow.
    #[serde(default)]
    stratify: Names,
    /// Another draw than the task's own.
    seed: Option<u64>,
}

impl Operator for Sample {
    type Config = Config;
    const KIND: Kind = Kind::Transform;
    const NAME: &'static str = "sample";
    const SUMMARY: &'static str = "Takes some rows at random, the same ones in every run.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
    }

    fn check(config: &Config, found: &mut Complaints) {
        match (config.rows, config.fraction) {
            (None, None) => {
                found
                    .error(&[], "neither `rows` nor `fraction` is given")
                    .hint("write `rows: 1000`, or `fraction: 0.1` for a tenth");
            }
            (Some(_), Some(_)) => {
                found
                    .error(&["fraction"], "both `rows` and `fraction` are given")
                    .hint("leave one of them out");
            }
            (None, Some(fraction)) if !(0.0..=1.0).contains(&fraction) => {
                found
                    .error(&["fraction"], "a fraction lies between 0 and 1")
                    .hint("write 0.1 for a tenth");
            }
            _ => {}
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (name, frame) = only_input(context).await?;
        let seed = config.seed.unwrap_or(context.seed);
        let log = context.log.clone();
        let frame = context
            .compute(move || {
                let strata = strata(&name, &frame, &config.stratify.0)?;
                let rows = chosen(&strata, wanted(&config, frame.height()), seed);
                log.info(format!(
                    "{} of {} rows",
                    thousands(rows.len() as u64),
                    thousands(frame.height() as u64)
                ));
                frame
                    .take(&IdxCa::from_vec("rows".into(), rows))
                    .map_err(|error| polars_error("take the rows", &error))
            })
            .await?;
        Ok(Outcome::Done(Output::table(Dataset::from_frame(frame))))
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of rows is far below 2^53 and a share of it lies between 0 and the count"
)]
fn wanted(config: &Config, rows: usize) -> usize {
    match (config.rows, config.fraction) {
        (Some(wanted), _) => usize::try_from(wanted).unwrap_or(rows).min(rows),
        (None, fraction) => (rows as f64 * fraction.unwrap_or(1.0)).round() as usize,
    }
}

/// `wanted` rows, of each stratum its share: after each of them as many are taken as belong to all so far.
fn chosen(strata: &[u32], wanted: usize, seed: u64) -> Vec<IdxSize> {
    let all = strata.len().max(1) as u128;
    let (mut before, mut taken) = (0, 0);
    let mut rows = Vec::with_capacity(wanted);
    for stratum in drawn(strata, seed) {
        before += stratum.len();
        let due = (2 * before as u128 * wanted as u128 + all) / (2 * all);
        let due = usize::try_from(due).unwrap_or(wanted);
        rows.extend(stratum.into_iter().take(due - taken));
        taken = due;
    }
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, complaints, frame};
    use serde_json::{Value, json};

    use super::*;

    async fn sample(settings: Value) -> DataFrame {
        let ids: Vec<i64> = (0..1_000).collect();
        let rare: Vec<&str> = ids
            .iter()
            .map(|id| if id % 50 == 0 { "yes" } else { "no" })
            .collect();
        let project = TestProject::new();
        let rows = df!["id" => ids, "rare" => rare].unwrap();
        frame(&project.run_on::<Sample>(rows, settings).await.unwrap())
    }

    #[tokio::test]
    async fn as_many_rows_come_as_are_wanted_in_order_and_once() {
        for (settings, rows) in [
            (json!({"rows": 10}), 10),
            (json!({"rows": 5_000}), 1_000),
            (json!({"fraction": 0.25}), 250),
            (json!({"fraction": 0.0}), 0),
            (json!({"fraction": 0.1, "stratify": "rare"}), 100),
            (json!({"rows": 7, "stratify": "rare"}), 7),
        ] {
            let found = sample(settings.clone()).await;
            assert_eq!(found.height(), rows, "{settings}");
            let ids: Vec<_> = found
                .column("id")
                .unwrap()
                .i64()
                .unwrap()
                .iter()
                .flatten()
                .collect();
            assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{settings}");
            assert!(found.equals(&sample(settings).await));
        }
        let other = sample(json!({"rows": 10, "seed": 3})).await;
        assert!(!other.equals(&sample(json!({"rows": 10})).await));
    }

    #[tokio::test]
    async fn strata_keep_their_shares() {
        let found = sample(json!({"fraction": 0.3, "stratify": ["rare"]})).await;
        let rare = found
            .column("rare")
            .unwrap()
            .str()
            .unwrap()
            .iter()
            .filter(|rare| *rare == Some("yes"));
        assert_eq!(rare.count(), 6);
    }

    #[test]
    fn settings_are_checked() {
        for (settings, complaint) in [
            (json!({}), ": neither `rows` nor `fraction` is given"),
            (
                json!({"rows": 1, "fraction": 0.1}),
                "fraction: both `rows` and `fraction` are given",
            ),
            (
                json!({"fraction": 10}),
                "fraction: a fraction lies between 0 and 1",
            ),
        ] {
            assert_eq!(complaints::<Sample>(settings), [complaint]);
        }
    }
}
