//! `transform: sql`: one query over any number of datasets.

use std::sync::Arc;

use pipectl_engine::operator::{
    Complaints, Kind, Operator, Outcome, Output, Outputs, SqlText, Takes, TaskContext, TaskError,
};
use polars::error::PolarsError;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    frame::polars_error,
    polars_sql,
    spill::{Reading, are_large},
};

/// `transform: sql`.
pub(crate) struct Sql;

/// The query.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// One `select` over the datasets of `from:`, each under its name. An expression in it is a bound value.
    pub(crate) query: SqlText,
}

impl Operator for Sql {
    type Config = Config;
    const KIND: Kind = Kind::Transform;
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str = "Makes one table out of others by a query.";
    const TAKES: Takes = Takes::Many;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
    }

    fn check(config: &Config, found: &mut Complaints) {
        if let Err(flaw) = polars_sql::check_query(&config.query.sql, found.inputs()) {
            let complaint = found.error(&["query"], flaw.message);
            if let Some(hint) = flaw.hint {
                complaint.hint(hint);
            }
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let inner = context.clone();
        let table = context
            .compute(move || {
                let inputs = Arc::new(inner.inputs.clone());
                let mut tables = Vec::new();
                for (name, dataset) in inputs.iter() {
                    let plan = dataset
                        .lazy()
                        .map_err(|error| polars_error(&format!("read `{name}`"), &error))?;
                    tables.push((name.to_owned(), plan));
                }
                let columns = polars_sql::columns_of(&mut tables)?;
                let plan = polars_sql::plan(&config.query, tables)?;
                let kept = Arc::clone(&inputs);
                let explain = move |error: &PolarsError| {
                    let mut inputs = kept.iter();
                    inputs
                        .find_map(|(_, dataset)| dataset.explained(error))
                        .or_else(|| {
                            let better = polars_sql::explained(&config.query.sql, &columns, error)?;
                            Some(Box::new(better) as _)
                        })
                };
                let reading = Reading {
                    plan,
                    large: are_large(&inputs),
                    explain: Some(Arc::new(explain)),
                    kept: inputs,
                };
                reading.table(&inner, "run the query")
            })
            .await?;
        Ok(Outcome::Done(Output::table(table)))
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{
        connection::Connections,
        operator::testing::{TestProject, complaints, complaints_within, frame, run_in},
    };
    use polars::prelude::*;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_query_reads_several_tables() {
        let project = TestProject::new();
        let people = df!["id" => [1, 2, 3], "city" => ["Ulm", "Bonn", "Ulm"]].unwrap();
        let orders = df!["person" => [1, 1, 3], "total" => [5.0, 7.5, 1.0]].unwrap();
        let context = project.context_with([("people", people), ("orders", orders)]);
        let query = "select city, sum(total) as total from people join orders on id = person where total > $1 group by city";
        let output = run_in::<Sql>(&context, json!({"query": {"sql": query, "values": [2]}}))
            .await
            .unwrap();
        let expected = df!["city" => ["Ulm"], "total" => [12.5]].unwrap();
        assert!(frame(&output).equals(&expected), "{:?}", frame(&output));
    }

    #[tokio::test]
    async fn text_where_a_number_is_meant_is_named_when_the_query_runs() {
        let rows = df!["a" => ["1", "x"]].unwrap();
        let error = TestProject::new()
            .run_on::<Sql>(rows, json!({"query": "select * from rows where a >= 5"}))
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "cannot run the query: line 1, column 26 of the query: it compares text with a number"
        );
        assert!(error.hint.unwrap().contains("try_cast(a as double)"));
    }

    #[tokio::test]
    async fn a_moment_where_a_date_is_meant_is_named() {
        let rows = df!["day" => ["2026-03-19"]].unwrap();
        let project = TestProject::new();
        for (value, hinted) in [("2026-03-19T00:00:00Z", true), ("soon", false)] {
            let sql = "select * from rows where day = cast(cast($1 as date) as varchar)";
            let settings = json!({"query": {"sql": sql, "values": [value]}});
            let error = project.run_on::<Sql>(rows.clone(), settings).await;
            let hint = error.unwrap_err().hint.unwrap_or_default();
            let told = "`${{ interval.start | date('%F') }}` is the day of one";
            assert_eq!(hint.contains(told), hinted, "{hint}");
        }
    }

    #[tokio::test]
    async fn what_fails_in_a_row_is_the_querys_fault() {
        let project = TestProject::new();
        let rows = df!["a" => ["1", "x"]].unwrap();
        let error = project
            .run_on::<Sql>(
                rows,
                json!({"query": "select cast(a as int) as a from rows"}),
            )
            .await
            .unwrap_err();
        assert!(
            error.message.starts_with("cannot run the query: "),
            "{}",
            error.message
        );
        assert!(error.message.contains("\"x\""), "{}", error.message);
    }

    #[test]
    fn a_table_that_the_task_does_not_read_is_found_without_data() {
        let within = |query: &str| {
            let inputs = Some(vec!["orders".to_owned(), "people".to_owned()]);
            let found = Complaints::within(inputs, &Connections::default());
            complaints_within::<Sql>(json!({"query": query}), found)
        };
        assert_eq!(
            within("select *\nfrom ordres"),
            ["query: line 2, column 6 of the query: there is no table `ordres`"]
        );
        let known = "with old as (select * from orders) select o.* from old o join people p on o.a = p.a where p.a in (select a from orders)";
        assert_eq!(within(known), [""; 0]);
    }

    #[test]
    fn mistakes_are_found_without_data() {
        let found = complaints::<Sql>(json!({"query": "select * frm x"}));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("query: line 1, column 10 of the query: expected"),
            "{found:?}"
        );
        assert!(
            complaints::<Sql>(json!({"query": "select * from x where a = $1 limit $2"})).is_empty()
        );
    }
}
