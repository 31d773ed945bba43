//! `check: expectations`: rules that a table has to keep.

use indexmap::IndexMap;
use pipectl_engine::operator::{
    Complaints, DurationText, Kind, MadeOf, Operator, Outcome, Outputs, SqlText, Takes,
    TaskContext, TaskError, ValueType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    impossible,
    listed::listed,
    related::{Distribution, ForeignKey, RowChange},
    rules::{self, Surroundings},
    unique::UniqueRule,
    verdict,
};
use crate::support::{frame::collect, polars_sql, settings::ColumnType};

/// `check: expectations`.
pub(crate) struct Expectations;

/// The rules for the first dataset of `from:`; others are there to be compared with. A broken rule fails the task, or
/// warns, as its `severity` says; the rows that broke it are kept in the artifact `failing_rows.csv`, and how each rule
/// came out in `expectations.json`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What a broken rule does that says nothing itself.
    #[serde(default)]
    pub(super) severity: Severity,
    /// Rules for columns, by the column's name.
    #[serde(default)]
    pub(super) columns: IndexMap<String, ColumnRules>,
    /// How many rows there have to be.
    #[serde(default)]
    pub(super) rows: Option<RowCount>,
    /// Groups of columns whose values together occur only once: `[[shop, number]]`, or
    /// `[{columns: [shop, number], severity: warn}]`.
    #[serde(default)]
    pub(super) unique: Vec<UniqueRule>,
    /// Columns whose values have to be found in another dataset of `from:`.
    #[serde(default)]
    pub(super) foreign_keys: Vec<ForeignKey>,
    /// Columns that have to be distributed as in a reference, another dataset of `from:`.
    #[serde(default)]
    pub(super) distribution: Vec<Distribution>,
    /// How old the newest row may be.
    #[serde(default)]
    pub(super) freshness: Option<Freshness>,
    /// Rules in SQL.
    #[serde(default)]
    pub(super) sql: Vec<SqlRule>,
}

/// What a broken rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// It fails the task.
    #[default]
    Fail,
    /// It warns: the alert goes out, the task succeeds.
    Warn,
}

/// Rules for one column. Missing values break only `not_null`, `null_share` and `type`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnRules {
    /// What a broken rule of this column does.
    pub(super) severity: Option<Severity>,
    /// The type.
    #[serde(rename = "type")]
    pub(super) of: Option<ColumnType>,
    /// Whether every row has a value.
    #[serde(default)]
    pub(super) not_null: bool,
    /// Which share of the rows may lack a value.
    pub(super) null_share: Option<NullShare>,
    /// Whether no value occurs twice.
    #[serde(default)]
    pub(super) unique: bool,
    /// The smallest and the greatest value, both allowed: numbers, or dates as text.
    pub(super) between: Option<[Value; 2]>,
    /// The smallest value.
    pub(super) min: Option<Value>,
    /// The greatest value.
    pub(super) max: Option<Value>,
    /// All values that may occur.
    #[serde(rename = "in")]
    pub(super) one_of: Option<Vec<Value>>,
    /// What is found somewhere in every text; `^` and `$` stand for its ends.
    pub(super) regex: Option<String>,
    /// How many characters every text has.
    pub(super) length: Option<Length>,
}

/// A share of rows.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NullShare {
    /// At most this much, from 0 to 1.
    pub(super) max: f64,
}

/// A number of characters.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Length {
    /// At least so many.
    pub(super) min: Option<u32>,
    /// At most so many.
    pub(super) max: Option<u32>,
}

/// A number of rows.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RowCount {
    /// At least so many.
    pub(super) min: Option<u64>,
    /// At most so many.
    pub(super) max: Option<u64>,
    /// At least and at most so many.
    pub(super) between: Option<[u64; 2]>,
    /// How far they may be from what they were in earlier runs: `{less: 0.2, more: 0.5}`.
    pub(super) change: Option<RowChange>,
    /// What it does when it is broken.
    pub(super) severity: Option<Severity>,
}

/// An age.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Freshness {
    /// The column of dates or times.
    pub(super) column: String,
    /// How long ago its greatest value may be.
    pub(super) max_age: DurationText,
    /// What it does when it is broken.
    pub(super) severity: Option<Severity>,
}

/// A rule in SQL: a query for the rows that break it, or an expression that every row keeps.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlRule {
    /// The rule's name in messages.
    pub(super) name: String,
    /// Selects the rows that break the rule, from the dataset by its name.
    pub(super) query: Option<SqlText>,
    /// Is true in every row; unknown counts as kept.
    pub(super) expression: Option<SqlText>,
    /// What it does when it is broken.
    pub(super) severity: Option<Severity>,
}

impl Operator for Expectations {
    type Config = Config;
    const KIND: Kind = Kind::Check;
    const NAME: &'static str = "expectations";
    const SUMMARY: &'static str =
        "Says whether a table keeps its rules, and keeps the rows that break them.";
    const TAKES: Takes = Takes::Many;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value(
                "passed",
                ValueType::Boolean,
                "whether all rules are kept, those that only warn too",
            )
            .value(
                "failed",
                ValueType::Any,
                "the names of the rules that are broken",
            )
    }

    fn check(config: &Config, found: &mut Complaints) {
        for (name, column) in &config.columns {
            check_column(name, column, found);
        }
        for (index, rule) in config.sql.iter().enumerate() {
            check_sql(&index.to_string(), rule, found);
        }
        check_related(config, found);
        if listed(config).is_empty() {
            found
                .warning(&[], "there are no rules")
                .hint("write some under `columns`, `rows`, `unique`, `freshness` or `sql`");
        }
    }

    async fn made_of(config: &Config, _: &TaskContext) -> MadeOf {
        if config.rows.is_some_and(|rows| rows.change.is_some()) {
            return MadeOf::Unknown("what is expected depends on earlier runs".to_owned());
        }
        if config.freshness.is_some() {
            return MadeOf::Unknown("what is expected depends on the time".to_owned());
        }
        MadeOf::Inputs
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let mut tables = Vec::new();
        for (name, dataset) in context.inputs.iter() {
            tables.push((name.to_owned(), collect(context, name, dataset).await?));
        }
        let others = tables.split_off(1.min(tables.len()));
        let (name, frame) = tables
            .pop()
            .ok_or_else(|| TaskError::bug("there is nothing to check"))?;
        let change = config.rows.and_then(|rows| rows.change);
        let surroundings = Surroundings {
            others,
            past: match change {
                Some(change) => context.past.successes(change.runs).await?,
                None => Vec::new(),
            },
            now: context.clock.now(),
        };
        let log = context.log.clone();
        context
            .compute(move || {
                let broken = rules::broken(&config, &name, &frame, &surroundings)?;
                verdict::outcome(
                    &name,
                    &frame,
                    frame.height(),
                    &listed(&config),
                    broken,
                    &log,
                )
            })
            .await
    }
}

fn check_related(config: &Config, found: &mut Complaints) {
    if let Some(rows) = config.rows {
        impossible::check_rows(rows, found);
        let none = rows.min.is_none() && rows.max.is_none() && rows.between.is_none();
        match rows.change {
            None if none => {
                found
                    .error(&["rows"], "there is no bound")
                    .hint("write `min`, `max`, `between` or `change`");
            }
            Some(change) if change.less.is_none() && change.more.is_none() => {
                found
                    .error(&["rows", "change"], "there is no bound")
                    .hint("write `less: 0.2` for at most a fifth fewer, `more: 1` for at most twice as many");
            }
            _ => {}
        }
    }
    for (index, rule) in config.foreign_keys.iter().enumerate() {
        let (columns, key) = (rule.columns.0.len(), rule.key.0.len());
        if columns == 0 || (key > 0 && key != columns) {
            let message = format!("`columns` names {columns} columns and `key` {key}");
            found
                .error(&["foreign_keys", &index.to_string()], message)
                .hint("they are paired in their order");
        }
    }
    for (index, rule) in config.distribution.iter().enumerate() {
        for name in rule
            .tests
            .keys()
            .filter(|name| !rule.columns.contains(name))
        {
            found.error(
                &["distribution", &index.to_string(), "tests", name],
                format!("`{name}` is not among the columns"),
            );
        }
    }
}

fn check_column(name: &str, rules: &ColumnRules, found: &mut Complaints) {
    let path = |rule: &'static str| ["columns", name, rule];
    if let Some(Err(error)) = rules.regex.as_deref().map(regex::Regex::new) {
        let text = error.to_string();
        let last = text
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        found.error(
            &path("regex"),
            format!("it is no regular expression: {last}"),
        );
    }
    if let Some(share) = rules.null_share
        && !(0.0..=1.0).contains(&share.max)
    {
        found
            .error(
                &["columns", name, "null_share", "max"],
                "a share lies between 0 and 1",
            )
            .hint("write 0.05 for 5 %");
    }
    impossible::check_column(name, rules, found);
    for (rule, bound) in [("min", &rules.min), ("max", &rules.max)] {
        if bound
            .as_ref()
            .is_some_and(|bound| !bound.is_number() && !bound.is_string())
        {
            found.error(&path(rule), "a bound is a number, or a date as text");
        }
    }
    if rules.one_of.as_ref().is_some_and(Vec::is_empty) {
        found.error(&path("in"), "the list is empty");
    }
}

fn check_sql(index: &str, rule: &SqlRule, found: &mut Complaints) {
    let (field, flaw) = match (&rule.query, &rule.expression) {
        (Some(query), None) => (
            "query",
            polars_sql::check_query(&query.sql, found.inputs()).err(),
        ),
        (None, Some(expression)) => (
            "expression",
            polars_sql::parse_expression(&expression.sql).err(),
        ),
        _ => {
            found
                .error(&["sql", index], format!("rule `{}` needs either a `query` or an `expression`", rule.name))
                .hint("`query` selects the rows that break the rule, `expression` is true in the rows that keep it");
            return;
        }
    };
    if let Some(flaw) = flaw {
        let complaint = found.error(&["sql", index, field], flaw.message);
        if let Some(hint) = flaw.hint {
            complaint.hint(hint);
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    clippy::too_many_lines,
    reason = "the measures are counts; a table of cases is long"
)]
mod tests {
    use pipectl_engine::operator::{
        Fault, Past, PastOutcome, PastStore,
        testing::{TestProject, complaints, run_in},
    };
    use pipectl_engine::{store::StoreError, time::Timestamp};
    use polars::prelude::*;
    use serde_json::json;

    use super::*;

    fn customers() -> DataFrame {
        let mut frame = df![
            "id" => ["a", "b", "b", "d"],
            "tenure" => [Some(1i64), Some(480), None, Some(-3)],
            "charges" => [10.5, 20.0, f64::NAN, 1e9],
            "city" => [Some("Ulm"), Some("Bonn"), Some(""), None],
            "day" => ["2026-02-27", "2026-02-28", "2026-02-26", "2026-02-01"],
        ]
        .unwrap();
        let day = frame.column("day").unwrap().cast(&DataType::Date).unwrap();
        frame.with_column(day).unwrap();
        frame
    }

    async fn check(settings: Value) -> Result<pipectl_engine::operator::Output, TaskError> {
        let project = TestProject::new();
        run_in::<Expectations>(
            &project.context_with([("customers", customers())]),
            settings,
        )
        .await
    }

    #[tokio::test]
    async fn every_rule_says_what_breaks_it() {
        let of = |name: &str, rules: Value| json!({"columns": {name: rules}});
        let cases = [
            (
                of("tenure", json!({"between": [0, 120]})),
                "2 rows of `customers` have `tenure` outside 0–120 (row 2: 480)",
            ),
            (
                of("tenure", json!({"min": 0})),
                "1 row of `customers` has `tenure` below 0 (row 4: -3)",
            ),
            (
                of("tenure", json!({"max": 100})),
                "1 row of `customers` has `tenure` above 100 (row 2: 480)",
            ),
            (
                of("charges", json!({"max": 1e6})),
                "2 rows of `customers` have `charges` above 1000000.0 (row 3: NaN)",
            ),
            (
                of("tenure", json!({"not_null": true})),
                "1 row of `customers` has no `tenure` (row 3)",
            ),
            (
                of("tenure", json!({"null_share": {"max": 0.1}})),
                "25.0 % of `customers` have no `tenure`, 10.0 % may (row 3)",
            ),
            (
                of("id", json!({"unique": true})),
                "2 rows of `customers` have a value of `id` that occurs more than once (row 2: b)",
            ),
            (
                of("city", json!({"in": ["Ulm", "Bonn"]})),
                "1 row of `customers` has `city` not among `Ulm`, `Bonn` (row 3: )",
            ),
            (
                of("tenure", json!({"in": [1, 480]})),
                "1 row of `customers` has `tenure` not among `1`, `480` (row 4: -3)",
            ),
            (
                of("city", json!({"regex": "^[A-Z]"})),
                "1 row of `customers` has `city` not matching `^[A-Z]` (row 3: )",
            ),
            (
                of("city", json!({"length": {"min": 1, "max": 3}})),
                "2 rows of `customers` have `city` of the wrong length (row 2: Bonn)",
            ),
            (
                of("city", json!({"type": "integer"})),
                "`city` of `customers` is string, not integer",
            ),
            (
                of("day", json!({"min": "2026-02-10"})),
                "1 row of `customers` has `day` below 2026-02-10 (row 4: 2026-02-01)",
            ),
            (
                of("nme", json!({"not_null": true})),
                "`customers` has no column `nme`",
            ),
            (
                json!({"rows": {"min": 10}}),
                "`customers` has 4 rows, fewer than 10",
            ),
            (
                json!({"rows": {"max": 3}}),
                "`customers` has 4 rows, more than 3",
            ),
            (
                json!({"rows": {"between": [5, 9]}}),
                "`customers` has 4 rows, fewer than 5",
            ),
            (
                json!({"unique": [["id", "city"], ["id"]]}),
                "2 rows of `customers` have the same `id` as another row (row 2: b)",
            ),
            (
                json!({"freshness": {"column": "day", "max_age": "1d"}}),
                "the newest `day` of `customers` is 2026-02-28 00:00:00 UTC, 1 d 12 h ago; at most 1 d 0 h is allowed",
            ),
            (
                json!({"sql": [{"name": "positive", "expression": "tenure >= 0"}]}),
                "1 row of `customers` breaks `positive` (row 4)",
            ),
            (
                json!({"sql": [{"name": "few", "query": "select * from customers where charges > 15"}]}),
                "3 rows break `few`",
            ),
        ];
        for (settings, message) in cases {
            let error = check(settings.clone())
                .await
                .expect_err(&settings.to_string());
            assert_eq!(
                (error.fault, error.full_message().as_str()),
                (Fault::User, message)
            );
        }
    }

    #[tokio::test]
    async fn kept_rules_pass() {
        let output = check(json!({
            "columns": {
                "tenure": {"type": "integer", "between": [-3, 480], "null_share": {"max": 0.25}},
                "city": {"type": "string", "length": {"max": 4}},
                "charges": {"type": "number", "min": 10},
            },
            "rows": {"between": [4, 4]},
            "unique": [["id", "city"]],
            "freshness": {"column": "day", "max_age": "2d"},
            "sql": [{"name": "true", "expression": "length(id) = 1"}],
        }));
        let output = output.await.unwrap();
        assert_eq!(
            (&output.values["passed"], &output.values["failed"]),
            (&json!(true), &json!([]))
        );
        assert_eq!(
            (output.metrics["rules"], output.metrics["failed_rules"]),
            (11.0, 0.0)
        );
        assert!(output.warnings.is_empty());
        let names: Vec<_> = output
            .artifacts
            .iter()
            .map(|file| file.name.as_str())
            .collect();
        assert_eq!(names, ["expectations.json"]);
    }

    #[tokio::test]
    async fn the_rows_that_break_a_rule_are_kept() {
        let settings =
            json!({"columns": {"tenure": {"between": [0, 120]}, "id": {"unique": true}}});
        let error = check(settings).await.unwrap_err();
        assert!(error.message.contains("; 2 rows"), "{}", error.message);
        let artifact = &error.evidence.artifacts[0];
        assert_eq!(
            (artifact.name.as_str(), artifact.media_type.as_str()),
            ("failing_rows.csv", "text/csv")
        );
        let text = String::from_utf8(artifact.content.to_vec()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "rule,row,id,tenure,charges,city,day");
        assert_eq!(lines[1], "tenure between,2,b,480,20.0,Bonn,2026-02-28");
        assert_eq!(lines.len(), 5);
        assert_eq!(error.evidence.metrics["failing_rows.tenure between"], 2.0);
        assert_eq!(error.evidence.metrics["failed_rules"], 2.0);
    }

    #[tokio::test]
    async fn how_each_rule_came_out_is_kept() {
        let settings = json!({
            "columns": {"tenure": {"min": 0, "severity": "warn"}, "nme": {"not_null": true}, "id": {"regex": "."}},
            "rows": {"min": 1},
        });
        let error = check(settings).await.unwrap_err();
        let file = error
            .evidence
            .artifacts
            .iter()
            .find(|file| file.name == "expectations.json");
        let kept: Value = serde_json::from_slice(&file.unwrap().content).unwrap();
        assert_eq!(
            (&kept["dataset"], &kept["rows"]),
            (&json!("customers"), &json!(4))
        );
        let short = |rule: &Value| {
            json!([
                rule["rule"],
                rule["severity"],
                rule["passed"],
                rule["failing_rows"]
            ])
        };
        let rules: Vec<_> = kept["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(short)
            .collect();
        assert_eq!(
            Value::from(rules),
            json!([
                ["rows", "fail", true, 0],
                ["tenure min", "warn", false, 1],
                ["nme not_null", "fail", null, 0],
                ["id regex", "fail", true, 0],
                ["nme", "fail", false, 0],
            ])
        );
    }

    async fn with_others(settings: Value) -> Result<pipectl_engine::operator::Output, TaskError> {
        let project = TestProject::new();
        let ids: Vec<i64> = (0..2_000).collect();
        let orders = df![
            "customer" => [Some("a"), Some("x"), None, Some("b"), Some("y")],
            "shop" => [1, 1, 2, 2, 2],
        ];
        let customers = df!["id" => ["a", "b", "c"], "shop" => [1_i64, 1, 2]];
        let usual =
            df!["shop" => ids.iter().map(|id| i32::try_from(id % 9).unwrap()).collect::<Vec<_>>()];
        let tables = [
            ("orders", orders.unwrap()),
            ("customers", customers.unwrap()),
            ("usual", usual.unwrap()),
        ];
        run_in::<Expectations>(&project.context_with(tables), settings).await
    }

    #[tokio::test]
    async fn other_datasets_can_be_asked() {
        for (settings, message) in [
            (
                json!({"foreign_keys": [{"columns": "customer", "to": "customers", "key": "id"}]}),
                "2 rows of `orders` have `customer` that `customers` does not have (row 2: x)",
            ),
            (
                json!({"foreign_keys": [{"columns": ["customer", "shop"], "to": "customers", "key": ["id", "shop"]}]}),
                "3 rows of `orders` have `customer`, `shop` that `customers` does not have (row 2: x)",
            ),
            (
                json!({"distribution": [{"columns": ["shop"], "reference": "usual", "tests": {"shop": "wasserstein"}}]}),
                "`shop` of `orders` is not distributed as in `usual`: ",
            ),
            (
                json!({"sql": [{"name": "known", "query": "select * from orders where customer not in (select id from customers)"}]}),
                "2 rows break `known`",
            ),
            (
                json!({"foreign_keys": [{"columns": "shop", "to": "customers", "key": "id"}]}),
                "`shop` of `orders` cannot be looked up in `customers`: the key `id` is string there and int32 here",
            ),
            (
                json!({"foreign_keys": [{"columns": "shop", "to": "shops"}]}),
                "there is no dataset `shops` beside the one that is checked",
            ),
        ] {
            let error = with_others(settings).await.unwrap_err();
            assert!(error.message.starts_with(message), "{}", error.message);
        }
        let kept = json!({"foreign_keys": [{"columns": "shop", "to": "usual"}]});
        assert!(with_others(kept).await.is_ok());
    }

    #[tokio::test]
    async fn the_number_of_rows_is_compared_with_earlier_runs() {
        struct Earlier(Vec<f64>);
        #[async_trait::async_trait]
        impl PastStore for Earlier {
            async fn successes(&self, limit: u32) -> Result<Vec<PastOutcome>, StoreError> {
                let one = |rows: &f64| PastOutcome {
                    run: pipectl_engine::id::RunId::new(Timestamp::default()),
                    ended: Timestamp::default(),
                    metrics: [("rows".to_owned(), *rows)].into(),
                    rows: None,
                };
                Ok(self.0.iter().take(limit as usize).map(one).collect())
            }
        }
        let project = TestProject::new();
        for (earlier, change, message) in [
            (vec![], json!({"less": 0.1, "more": 0.1}), None),
            (vec![4.0, 5.0, 4.0], json!({"less": 0.1, "more": 0.1}), None),
            (vec![9.0, 8.0, 7.0], json!({"less": 0.5}), None),
            (
                vec![9.0, 8.0, 7.0, 1.0],
                json!({"less": 0.4, "runs": 3}),
                Some(
                    "`customers` has 4 rows, far fewer than usual: 8 is the median of the last 3 runs",
                ),
            ),
            (
                vec![2.0],
                json!({"more": 0.5}),
                Some(
                    "`customers` has 4 rows, far more than usual: 2 is the median of the last 1 run",
                ),
            ),
        ] {
            let mut context = project.context_with([("customers", customers())]);
            context.past = Past::new(std::sync::Arc::new(Earlier(earlier)));
            let result =
                run_in::<Expectations>(&context, json!({"rows": {"change": change}})).await;
            assert_eq!(result.err().map(|error| error.message).as_deref(), message);
        }
    }

    #[tokio::test]
    async fn a_warning_does_not_fail() {
        for settings in [
            json!({"severity": "warn", "rows": {"min": 10}}),
            json!({"rows": {"min": 10, "severity": "warn"}}),
            json!({"unique": [{"columns": ["id"], "severity": "warn"}]}),
            json!({"columns": {"tenure": {"min": 0, "severity": "warn"}}}),
        ] {
            let output = check(settings).await.unwrap();
            assert_eq!(output.warnings.len(), 1);
            assert_eq!(output.values["passed"], json!(false));
        }
        let both =
            json!({"columns": {"tenure": {"min": 0, "severity": "warn"}}, "rows": {"min": 10}});
        let error = check(both).await.unwrap_err();
        assert_eq!(error.message, "`customers` has 4 rows, fewer than 10");
        assert_eq!(error.evidence.metrics["failed_rules"], 2.0);
    }

    #[tokio::test]
    async fn a_rule_that_does_not_fit_its_column_is_explained() {
        for (settings, message) in [
            (
                json!({"columns": {"city": {"min": 3}}}),
                "`city` is string and cannot be compared with 3",
            ),
            (
                json!({"columns": {"tenure": {"regex": "x"}}}),
                "`tenure` is integer; `regex` is for strings",
            ),
            (
                json!({"columns": {"day": {"min": "soon"}}}),
                "`day` is date and cannot be compared with soon",
            ),
            (
                json!({"sql": [{"name": "x", "expression": "tenur > 0"}]}),
                "rule `x`: line 1, column 1 of the query: there is no column `tenur`",
            ),
        ] {
            let error = check(settings).await.unwrap_err();
            assert_eq!(error.full_message(), message);
        }
    }

    #[test]
    fn rules_are_checked_without_data() {
        let found = complaints::<Expectations>(json!({
            "columns": {"a": {"regex": "(", "null_share": {"max": 5}, "between": [9, 1], "in": []}},
            "rows": {},
            "sql": [{"name": "x"}, {"name": "y", "expression": "a >"}, {"name": "z", "query": "selec"}],
        }));
        let starts = [
            "columns.a.regex: it is no regular expression: unclosed group",
            "columns.a.null_share.max: a share lies between 0 and 1",
            "columns.a.between: 9 is greater than 1",
            "columns.a.in: the list is empty",
            "sql.0: rule `x` needs either a `query` or an `expression`",
            "sql.1.expression: ",
            "sql.2.query: ",
            "rows: there is no bound",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (complaint, start) in found.iter().zip(starts) {
            assert!(complaint.starts_with(start), "{complaint}");
        }
        assert_eq!(
            complaints::<Expectations>(json!({})),
            [": there are no rules"]
        );
    }
}
