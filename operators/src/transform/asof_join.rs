//! `transform: asof_join`: adds to each row what was known of it at its time.

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, DurationText, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext,
        TaskError, ValueType,
    },
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::support::{
    asof::{Direction, Tables, join},
    frame::{collect, polars_error},
    instants::{Scale, instants, raw, scale, without},
    keys::{column, columns, keys},
    settings::Names,
    text::thousands,
};

/// `transform: asof_join`.
pub(crate) struct AsofJoin;

/// How rows are joined: `from: {left: trades, right: quotes}`. Each row of `left` stays, in its order, with the columns
/// of the one row of `right` that has the same keys and is nearest in time; they are null where there is none. Neither
/// table needs to be sorted. Missing keys and times match nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The column of dates, times or whole numbers in `left`.
    on: String,
    /// Its name in `right`, when that is another. Then `right`'s column is added too.
    right_on: Option<String>,
    /// The columns that must be equal, one or several; without them every row may be joined with every row.
    #[serde(default)]
    by: Names,
    /// Their names in `right`, when these are others.
    #[serde(default)]
    right_by: Names,
    /// Which row is taken.
    #[serde(default)]
    strategy: Strategy,
    /// How far away a row may be, included: `2s`, `7d`.
    tolerance: Option<DurationText>,
    /// The same where times are whole numbers.
    #[schemars(range(min = 0))]
    tolerance_steps: Option<i64>,
    /// A column of `right` that says when a row was made: of rows with the same time the last one made is taken. Without
    /// it, and among equal ones, the last in the table.
    created: Option<String>,
    /// The columns of `right` that are added; all but keys and time when it is left out.
    #[serde(default)]
    columns: Vec<String>,
    /// What is put behind the names of added columns that `left` has too.
    #[serde(default = "right")]
    suffix: String,
}

fn right() -> String {
    "_right".to_owned()
}

/// Which row is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Strategy {
    /// The last one that is not after the left row.
    #[default]
    Backward,
    /// The first one that is not before the left row.
    Forward,
    /// The one that is less far away; at the same distance the earlier one.
    Nearest,
}

impl Config {
    fn right_on(&self) -> &str {
        self.right_on.as_deref().unwrap_or(&self.on)
    }

    fn right_by(&self) -> &[String] {
        if self.right_by.0.is_empty() {
            &self.by.0
        } else {
            &self.right_by.0
        }
    }
}

impl Operator for AsofJoin {
    type Config = Config;
    const KIND: Kind = Kind::Transform;
    const NAME: &'static str = "asof_join";
    const SUMMARY: &'static str =
        "Adds to each row the row of another table that is nearest in time.";
    const TAKES: Takes = Takes::Named(&["left", "right"]);

    fn outputs(_: &Config) -> Outputs {
        Outputs::table().value(
            "matched",
            ValueType::Integer,
            "how many rows have found another",
        )
    }

    fn check(config: &Config, found: &mut Complaints) {
        if !config.right_by.0.is_empty() && config.right_by.0.len() != config.by.0.len() {
            found
                .error(
                    &["right_by"],
                    format!(
                        "`by` names {} columns and `right_by` {}",
                        config.by.0.len(),
                        config.right_by.0.len()
                    ),
                )
                .hint("they are paired in their order");
        }
        if config.tolerance.is_some() && config.tolerance_steps.is_some() {
            found
                .error(
                    &["tolerance_steps"],
                    "both `tolerance` and `tolerance_steps` are given",
                )
                .hint("`tolerance` is for dates and times, `tolerance_steps` for whole numbers");
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (left, right) = (
            input(context, "left").await?,
            input(context, "right").await?,
        );
        let log = context.log.clone();
        let (frame, matched) = context
            .compute(move || joined(&config, &left, &right))
            .await?;
        log.info(format!(
            "{} of {} rows have found another",
            thousands(matched as u64),
            thousands(frame.height() as u64)
        ));
        Ok(Outcome::Done(
            Output::table(Dataset::from_frame(frame)).value("matched", matched),
        ))
    }
}

async fn input(context: &TaskContext, name: &str) -> Result<DataFrame, TaskError> {
    let dataset = context.inputs.get(name);
    let dataset = dataset.ok_or_else(|| TaskError::bug(format!("there is no input `{name}`")))?;
    collect(context, name, dataset).await
}

fn joined(
    config: &Config,
    left: &DataFrame,
    right: &DataFrame,
) -> Result<(DataFrame, usize), TaskError> {
    let rows = matches(config, left, right)?;
    let matched = rows.iter().flatten().count();
    let indices = IdxCa::from_iter_options("rows".into(), rows.into_iter());
    let fail = |error: PolarsError| polars_error("join the tables", &error);
    let mut frame = left.clone();
    for name in added(config, right)? {
        let mut column = column("right", right, &name)?
            .take(&indices)
            .map_err(fail)?;
        if left.column(&name).is_ok() {
            let renamed = format!("{name}{}", config.suffix);
            if left.column(&renamed).is_ok() {
                return Err(
                    TaskError::user(format!("`left` has both `{name}` and `{renamed}`")).hint(
                        "choose another `suffix`, or name the `columns` that are to be added",
                    ),
                );
            }
            column.rename(renamed.into());
        }
        frame.with_column(column).map_err(fail)?;
    }
    Ok((frame, matched))
}

/// The names of the columns that are added.
fn added(config: &Config, right: &DataFrame) -> Result<Vec<String>, TaskError> {
    if !config.columns.is_empty() {
        columns("right", right, &config.columns)?;
        return Ok(config.columns.clone());
    }
    let same_time = config.right_on() == config.on;
    let names = right
        .get_column_names()
        .into_iter()
        .map(ToString::to_string);
    Ok(names
        .filter(|name| !config.right_by().contains(name))
        .filter(|name| !(same_time && *name == config.on))
        .collect())
}

/// The right row of each left row.
fn matches(
    config: &Config,
    left: &DataFrame,
    right: &DataFrame,
) -> Result<Vec<Option<u32>>, TaskError> {
    let times = [
        column("left", left, &config.on)?,
        column("right", right, config.right_on())?,
    ];
    let scale = scale(&[("left", times[0]), ("right", times[1])])?;
    let mut keys = keys(
        &columns("left", left, &config.by.0)?,
        &columns("right", right, config.right_by())?,
        [left.height(), right.height()],
    )?;
    let left_times = instants(times[0], scale)?;
    let right_times = instants(times[1], scale)?;
    without(&mut keys.left, &left_times);
    without(&mut keys.right, &right_times);
    let created = config
        .created
        .as_deref()
        .map(|name| made("right", right, name));
    let created = created.transpose()?;
    let tables = Tables {
        keys: &keys,
        left: raw(&left_times),
        right: raw(&right_times),
        created: created.as_deref(),
        only_known: false,
        tolerance: tolerance(config, scale)?,
    };
    let direction = match config.strategy {
        Strategy::Backward => Direction::Backward,
        Strategy::Forward => Direction::Forward,
        Strategy::Nearest => Direction::Nearest,
    };
    Ok(join(&tables, direction))
}

/// When rows were made; those of which it is not known count as made first.
fn made(table: &str, frame: &DataFrame, name: &str) -> Result<Vec<i64>, TaskError> {
    let column = column(table, frame, name)?;
    let times = instants(column, scale(&[(table, column)])?)?;
    Ok(times.iter().map(|time| time.unwrap_or(i64::MIN)).collect())
}

fn tolerance(config: &Config, scale: Scale) -> Result<Option<i64>, TaskError> {
    match (config.tolerance, config.tolerance_steps, scale) {
        (None, None, _) => Ok(None),
        (_, Some(steps), Scale::Numbers) => Ok(Some(steps)),
        (Some(_), _, Scale::Numbers) => Err(TaskError::user(format!(
            "`{}` has whole numbers, and `tolerance` is a duration",
            config.on
        ))
        .hint("write `tolerance_steps: 10`")),
        (Some(tolerance), _, scale) => Ok(Some(scale.stretch(tolerance.0))),
        (None, Some(_), _) => Err(TaskError::user(format!(
            "`{}` has dates or times, and `tolerance_steps` is for whole numbers",
            config.on
        ))
        .hint("write `tolerance: 2h`")),
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, complaints, frame, run_in};
    use serde_json::{Value, json};

    use super::*;

    fn moments(name: &str, seconds: &[Option<i64>]) -> Column {
        let micros: Vec<_> = seconds
            .iter()
            .map(|at| at.map(|at| at * 1_000_000))
            .collect();
        let of = DataType::Datetime(TimeUnit::Microseconds, None);
        Column::new(name.into(), micros).cast(&of).unwrap()
    }

    fn trades() -> DataFrame {
        let mut frame = df![
            "symbol" => [Some("b"), Some("a"), None, Some("a"), Some("c"), Some("a")],
            "price" => [1, 2, 3, 4, 5, 6],
        ]
        .unwrap();
        let at = [Some(10), Some(7), Some(10), Some(3), Some(10), None];
        frame.with_column(moments("at", &at)).unwrap();
        frame
    }

    fn quotes() -> DataFrame {
        let mut frame = df![
            "symbol" => [Some("a"), Some("b"), Some("a"), Some("b"), Some("a"), None],
            "price" => [Some(70), Some(90), Some(50), None, Some(71), Some(1)],
            "made" => [2, 1, 1, 1, 1, 1],
        ]
        .unwrap();
        let at = [Some(7), Some(9), Some(5), Some(10), Some(7), Some(10)];
        frame.with_column(moments("at", &at)).unwrap();
        frame
    }

    async fn run(settings: Value) -> Result<DataFrame, TaskError> {
        let project = TestProject::new();
        let context = project.context_with([("left", trades()), ("right", quotes())]);
        run_in::<AsofJoin>(&context, settings)
            .await
            .map(|output| frame(&output))
    }

    fn prices(frame: &DataFrame) -> Vec<Option<i32>> {
        frame
            .column("price_right")
            .unwrap()
            .i32()
            .unwrap()
            .iter()
            .collect()
    }

    #[tokio::test]
    async fn each_strategy_takes_its_row() {
        let with = |more: &[(&str, Value)]| {
            let mut settings = json!({"on": "at", "by": "symbol"});
            for (key, value) in more {
                settings[*key] = value.clone();
            }
            settings
        };
        // The newest row of `b` has no price, and that is what is known.
        for (settings, expected) in [
            (with(&[]), [None, Some(71), None, None, None, None]),
            (
                with(&[("created", json!("made"))]),
                [None, Some(70), None, None, None, None],
            ),
            (
                with(&[("strategy", json!("forward"))]),
                [None, Some(71), None, Some(50), None, None],
            ),
            (
                with(&[("strategy", json!("nearest"))]),
                [None, Some(71), None, Some(50), None, None],
            ),
            (
                with(&[("strategy", json!("forward")), ("tolerance", json!("1s"))]),
                [None, Some(71), None, None, None, None],
            ),
        ] {
            let found = run(settings.clone()).await.unwrap();
            assert_eq!(prices(&found), expected, "{settings}");
            assert_eq!(
                found.get_column_names(),
                ["symbol", "price", "at", "price_right", "made"]
            );
            assert_eq!(
                found.column("price").unwrap(),
                trades().column("price").unwrap()
            );
        }
    }

    #[tokio::test]
    async fn without_keys_only_time_counts() {
        let found =
            run(json!({"on": "at", "columns": ["price"], "suffix": "_quote", "tolerance": "2s"}))
                .await
                .unwrap();
        let prices: Vec<_> = found
            .column("price_quote")
            .unwrap()
            .i32()
            .unwrap()
            .iter()
            .collect();
        assert_eq!(prices, [Some(1), Some(71), Some(1), None, Some(1), None]);
    }

    #[tokio::test]
    async fn whole_numbers_are_times_too() {
        let project = TestProject::new();
        let left = df!["step" => [5, 9]].unwrap();
        let right = df!["number" => [1, 6], "v" => ["x", "y"]].unwrap();
        let context = project.context_with([("left", left), ("right", right)]);
        let settings = json!({"on": "step", "right_on": "number", "tolerance_steps": 3});
        let found = frame(&run_in::<AsofJoin>(&context, settings).await.unwrap());
        let expected =
            df!["step" => [5, 9], "number" => [None, Some(6)], "v" => [None, Some("y")]].unwrap();
        assert!(found.equals_missing(&expected), "{found:?}");
    }

    #[tokio::test]
    async fn misuse_is_explained() {
        for (settings, message) in [
            (json!({"on": "att"}), "`left` has no column `att`"),
            (
                json!({"on": "at", "right_on": "x"}),
                "`right` has no column `x`",
            ),
            (
                json!({"on": "at", "by": "price", "right_by": "symbol"}),
                "the key `price` is int32 on the left and string on the right",
            ),
            (
                json!({"on": "symbol"}),
                "`symbol` of `left` is string, not a date or a time",
            ),
            (
                json!({"on": "at", "tolerance_steps": 3}),
                "`at` has dates or times, and `tolerance_steps` is for whole numbers",
            ),
            (
                json!({"on": "price", "tolerance": "3s"}),
                "`price` has whole numbers, and `tolerance` is a duration",
            ),
            (
                json!({"on": "at", "columns": ["y"]}),
                "`right` has no column `y`",
            ),
        ] {
            assert_eq!(run(settings).await.unwrap_err().message, message);
        }
    }

    #[test]
    fn settings_are_checked() {
        assert_eq!(
            complaints::<AsofJoin>(
                json!({"on": "a", "by": ["x", "y"], "right_by": "x", "tolerance": "1s", "tolerance_steps": 3})
            ),
            [
                "right_by: `by` names 2 columns and `right_by` 1",
                "tolerance_steps: both `tolerance` and `tolerance_steps` are given",
            ]
        );
        assert!(complaints::<AsofJoin>(json!({"on": "a"})).is_empty());
    }
}
