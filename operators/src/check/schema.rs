//! `check: schema`: the columns that a table has to have, as a contract.

use indexmap::IndexMap;
use pipectl_engine::operator::{
    Complaints, Evidence, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
    ValueType,
};
use polars::prelude::*;
use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};

use super::{columns::is, expectations::Severity};
use crate::support::{
    frame::only_input,
    settings::{ColumnType, type_name},
    text::{count, did_you_mean, list},
};

/// `check: schema`.
pub(crate) struct Schema;

/// The contract. All differences are named at once.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The columns by name: a type, or `{type: integer, nullable: false}`. `integer` stands for whole numbers of any
    /// width, `number` for all numbers, `datetime` for moments without a time zone and `timestamp` for those with one.
    #[schemars(extend("minProperties" = 1))]
    columns: IndexMap<String, Contract>,
    /// Whether the columns have to come in this order.
    #[serde(default)]
    order: bool,
    /// Whether the table may have other columns too.
    #[serde(default)]
    extra: bool,
    /// What a difference does.
    #[serde(default)]
    severity: Severity,
}

/// What is promised of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Contract {
    of: Option<ColumnType>,
    nullable: bool,
    optional: bool,
}

/// The long form.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongContract {
    /// The type; any when it is left out.
    #[serde(rename = "type")]
    of: Option<ColumnType>,
    /// Whether values may be missing.
    #[serde(default = "yes")]
    nullable: bool,
    /// Whether the column may be missing as a whole.
    #[serde(default)]
    optional: bool,
}

fn yes() -> bool {
    true
}

impl<'de> Deserialize<'de> for Contract {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let long = if value.is_string() {
            serde_json::from_value(value).map(|of| LongContract {
                of: Some(of),
                nullable: true,
                optional: false,
            })
        } else {
            serde_json::from_value(value)
        };
        let long = long.map_err(D::Error::custom)?;
        Ok(Self {
            of: long.of,
            nullable: long.nullable,
            optional: long.optional,
        })
    }
}

impl JsonSchema for Contract {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Contract".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> schemars::Schema {
        let (short, long) = (
            generator.subschema_for::<ColumnType>(),
            generator.subschema_for::<LongContract>(),
        );
        json_schema!({"anyOf": [short, long]})
    }
}

/// How many differences a message names.
const NAMED: usize = 10;

impl Operator for Schema {
    type Config = Config;
    const KIND: Kind = Kind::Check;
    const NAME: &'static str = "schema";
    const SUMMARY: &'static str =
        "Holds a table to a contract: its columns, types, order, missing values.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value(
                "passed",
                ValueType::Boolean,
                "whether the table keeps the contract",
            )
            .value("differences", ValueType::Any, "what is different")
    }

    fn check(config: &Config, found: &mut Complaints) {
        if config.order && config.columns.values().any(|column| column.optional) && config.extra {
            found.warning(
                &["order"],
                "with `extra` and optional columns only the order of those that are there counts",
            );
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (name, frame) = only_input(context).await?;
        let severity = config.severity;
        let found = context
            .compute(move || Ok((differences(&config, &frame), name)))
            .await?;
        let (differences, name) = found;
        for difference in &differences {
            context.log.warn(difference);
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let count_of = differences.len() as f64;
        if differences.is_empty() {
            context.log.info(format!("`{name}` keeps its contract"));
        } else if severity == Severity::Fail {
            let evidence = Evidence {
                metrics: [("differences".to_owned(), count_of)].into(),
                ..Evidence::default()
            };
            return Err(TaskError::user(told(&name, &differences))
                .hint(
                    "change the table where it comes from, or the contract with those who read it",
                )
                .with_evidence(evidence));
        }
        let mut output = Output::default()
            .value("passed", differences.is_empty())
            .value("differences", differences.clone())
            .metric("differences", count_of);
        if !differences.is_empty() {
            output = output.warning(told(&name, &differences));
        }
        Ok(Outcome::Done(output))
    }
}

fn told(name: &str, differences: &[String]) -> String {
    let mut shown: Vec<String> = differences.iter().take(NAMED).cloned().collect();
    if let Some(more) = differences
        .len()
        .checked_sub(NAMED)
        .filter(|more| *more > 0)
    {
        shown.push(format!("{more} more"));
    }
    format!(
        "`{name}` breaks its contract in {}: {}",
        count(differences.len() as u64, "place"),
        shown.join("; ")
    )
}

/// All differences between the contract and the table, in the contract's order.
fn differences(config: &Config, frame: &DataFrame) -> Vec<String> {
    let have: Vec<&str> = frame
        .get_column_names()
        .into_iter()
        .map(PlSmallStr::as_str)
        .collect();
    let unknown: Vec<&str> = have
        .iter()
        .copied()
        .filter(|name| !config.columns.contains_key(*name))
        .collect();
    let mut found = Vec::new();
    let mut renamed = Vec::new();
    for (name, contract) in &config.columns {
        match frame.column(name) {
            Ok(column) => found.extend(of_column(column, *contract)),
            Err(_) if contract.optional => {}
            Err(_) => {
                let meant = did_you_mean(name, unknown.iter().copied());
                renamed.extend(meant);
                found.push(meant.map_or_else(
                    || format!("`{name}` is missing"),
                    |meant| format!("`{name}` is missing, and `{meant}` is there"),
                ));
            }
        }
    }
    if !config.extra {
        let extra = unknown.iter().filter(|name| !renamed.contains(name));
        found.extend(extra.map(|name| format!("`{name}` is not in the contract")));
    }
    if config.order {
        let wanted: Vec<&str> = config
            .columns
            .keys()
            .map(String::as_str)
            .filter(|name| have.contains(name))
            .collect();
        let there: Vec<&str> = have
            .iter()
            .copied()
            .filter(|name| config.columns.contains_key(*name))
            .collect();
        if let Some((want, is)) = wanted.iter().zip(&there).find(|(want, is)| want != is) {
            found.push(format!(
                "the order is {}, and `{want}` should stand where `{is}` is",
                list(there.iter().copied())
            ));
        }
    }
    found
}

fn of_column(column: &Column, contract: Contract) -> Vec<String> {
    let name = column.name();
    let mut found = Vec::new();
    if let Some(of) = contract.of
        && !is(column.dtype(), of)
    {
        let (have, want) = (type_name(column.dtype()), type_name(&of.polars()));
        found.push(format!("`{name}` is {have}, not {want}"));
    }
    let nulls = column.null_count();
    if !contract.nullable && nulls > 0 {
        let first = column
            .is_null()
            .iter()
            .position(|null| null == Some(true))
            .unwrap_or(0);
        let (rows, verb) = (
            count(nulls as u64, "row"),
            if nulls == 1 { "has" } else { "have" },
        );
        found.push(format!("{rows} {verb} no `{name}` (row {})", first + 1));
    }
    found
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{Fault, testing::TestProject};
    use serde_json::{Value, json};

    use super::*;

    fn orders() -> DataFrame {
        df!["id" => [1_i64, 2, 3], "amont" => [1.5, 2.5, 3.5], "city" => [Some("Ulm"), None, None], "note" => ["a", "b", "c"]].unwrap()
    }

    async fn check(settings: Value) -> Result<Output, TaskError> {
        let project = TestProject::new();
        project.run_on::<Schema>(orders(), settings).await
    }

    #[tokio::test]
    async fn every_difference_is_named() {
        for (settings, message) in [
            (
                json!({"columns": {"id": "string"}, "extra": true}),
                "`rows` breaks its contract in 1 place: `id` is integer, not string",
            ),
            (
                json!({"columns": {"id": "int32", "amount": "number", "city": {"nullable": false}, "note": {}, "day": "date"}}),
                "`rows` breaks its contract in 4 places: `id` is integer, not int32; `amount` is missing, and `amont` is there; \
                 2 rows have no `city` (row 2); `day` is missing",
            ),
            (
                json!({"columns": {"id": {}}}),
                "`rows` breaks its contract in 3 places: `amont` is not in the contract; `city` is not in the contract; `note` is not in the contract",
            ),
            (
                json!({"columns": {"id": {}, "city": {}, "amont": {}}, "order": true, "extra": true}),
                "`rows` breaks its contract in 1 place: the order is `id`, `amont`, `city`, and `city` should stand where `amont` is",
            ),
        ] {
            let error = check(settings).await.unwrap_err();
            assert_eq!(
                (error.fault, error.message.as_str()),
                (Fault::User, message)
            );
        }
    }

    #[tokio::test]
    async fn a_contract_that_is_kept_passes() {
        let kept = json!({
            "columns": {"id": {"type": "integer", "nullable": false}, "amont": "number", "city": "string", "note": "string", "day": {"type": "date", "optional": true}},
            "order": true,
        });
        let output = check(kept).await.unwrap();
        assert_eq!(output.values["passed"], json!(true));
        let output = check(json!({"columns": {"id": "string"}, "extra": true, "severity": "warn"}))
            .await
            .unwrap();
        assert_eq!(
            (&output.values["passed"], output.warnings.len()),
            (&json!(false), 1)
        );
    }

    #[test]
    fn types_are_known_ones() {
        for wrong in [
            json!({"columns": {"a": "strng"}}),
            json!({"columns": {"a": {"typ": "string"}}}),
            json!({"columns": {"a": 3}}),
        ] {
            assert!(serde_json::from_value::<Config>(wrong).is_err());
        }
    }
}
