//! `load: features`: keeps the newest values of a feature view in a table of a database.

mod incremental;

use pipectl_engine::{
    operator::{
        Complaints, ConnectionName, FeatureViewName, Kind, Operator, Outcome, Output, Outputs,
        ProbeContext, Takes, TaskContext, TaskError, ValueType,
    },
    project::feature::FeatureView,
    time::Timestamp,
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use self::incremental::Reached;
use crate::support::{
    asof::{Direction, Tables, join},
    database::{self, Given, Job, Mode, Once, TableName},
    features::{all_columns, rows, view},
    frame::{collect, polars_error},
    instants::{Scale, instants, raw, scale, without},
    keys::{column, columns, groups, keys},
    text::count,
    values::picked,
};

/// `load: features`.
pub(crate) struct Features;

/// Which view. Of each entity the newest row that is known at the end of the run's interval, or now, goes into the view's
/// `online:` table, which is made if it is missing. A row there is only replaced by one with a later event, or the same
/// event created later, so runs may be repeated and overtake each other. Rows and an entry in the table `pipectl_ledger`
/// beside it are one transaction.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The view, by name: the file `features/<name>.yaml`. Its rows come from its source, or from the dataset of `from:` if
    /// there is one: then only these, new ones for example.
    view: FeatureViewName,
    /// Reads of a view's table or query only what was created since this task's last success, by `created_time`. A row that
    /// is changed without a new one is not seen, nor is one that is committed late with an earlier one.
    #[serde(default)]
    incremental: bool,
    /// Reads all rows once more, as if no run had been before: when the online table was removed, for example.
    #[serde(default)]
    full: bool,
}

impl Operator for Features {
    type Config = Config;
    const KIND: Kind = Kind::Load;
    const NAME: &'static str = "features";
    const SUMMARY: &'static str =
        "Keeps the newest values of a feature view in a table, exactly once.";
    const TAKES: Takes = Takes::Optional;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value("table", ValueType::String, "the table")
            .value(
                "connection",
                ValueType::String,
                "the connection that the table is behind",
            )
            .value(
                "rows",
                ValueType::Integer,
                "how many entities were looked at",
            )
            .value("feature_views", ValueType::Any, "the view's version")
    }

    fn check(config: &Config, found: &mut Complaints) {
        if config.full && !config.incremental {
            found
                .error(
                    &["full"],
                    "`full` is about `incremental`, which is not asked for",
                )
                .hint("leave it out: all rows are read");
        }
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        let Ok(view) = FeatureView::load(&context.project, &config.view.0) else {
            // Complained about by `validate` where it stands.
            return Ok(());
        };
        let connection = ConnectionName(view.online.connection.clone());
        database::probe(&connection, context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let view = view(context, &config.view.0)?;
        let table = TableName::parse(&view.online.table).ok_or_else(|| {
            TaskError::user(format!("`{}` is no table's name", view.online.table))
        })?;
        let (frame, mut reached) = config.rows(context, &view).await?;
        let until = context
            .run
            .interval
            .map_or_else(|| context.clock.now(), |interval| interval.end);
        let (latest, inner) = (view.clone(), until);
        let (frame, reached) = context
            .compute(move || {
                if let Some(reached) = &mut reached {
                    reached.advance(&latest, &frame, inner)?;
                }
                Ok((newest(&latest, &frame, inner)?, reached))
            })
            .await?;
        let newer = std::iter::once(view.event_time.clone()).chain(view.created_time.clone());
        let job = Job {
            name: view.name.clone(),
            rows: Given::frame(frame),
            table,
            mode: Mode::Upsert,
            key: view.entity.clone(),
            interval: None,
            create: true,
            add_columns: true,
            newer: newer.collect(),
        };
        let checked = job.clone();
        context.compute(move || checked.check_rows()).await?;
        let connection = &view.online.connection;
        let rows = match Box::pin(database::load(context, connection, job)).await? {
            Once::Now(rows) | Once::Unkept(rows) => rows,
            Once::Before(rows) => {
                context
                    .log
                    .info("an earlier attempt has already written them: nothing to do");
                rows
            }
        };
        context.log.info(format!(
            "{} of `{}` as of {} are in `{}`",
            count(rows, "newest row"),
            view.name,
            until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            view.online.table
        ));
        let mut output = Output::default();
        if let Some(reached) = reached {
            output = output.remember(reached.state());
        }
        let output = output
            .value("table", view.online.table.as_str())
            .value("connection", connection.as_str())
            .value("rows", rows)
            .value("feature_views", json!({view.name.as_str(): view.version()}));
        Ok(Outcome::Done(output))
    }
}

impl Config {
    /// The rows that are looked at; and for who reads only what is new, how far that was before.
    async fn rows(
        &self,
        context: &TaskContext,
        view: &FeatureView,
    ) -> Result<(DataFrame, Option<Reached>), TaskError> {
        let wanted = all_columns(view, &view.columns);
        if let Some((name, dataset)) = context.inputs.iter().next() {
            if self.incremental {
                return Err(TaskError::user(
                    "`incremental` is about the view's source, and the rows come from a task",
                )
                .hint("leave `incremental` or `from:` out"));
            }
            let frame = collect(context, name, dataset).await?;
            columns(name, &frame, &wanted)?;
            let frame = frame.select(&wanted);
            let fail = |error| polars_error(&format!("read `{name}`"), &error);
            return Ok((frame.map_err(fail)?, None));
        }
        let reached = if self.incremental {
            Some(Reached::load(context, view, self.full).await?)
        } else {
            None
        };
        let since = reached.as_ref().and_then(Reached::since);
        let frame = rows(context, view, wanted, since.as_ref()).await?;
        Ok((frame, reached))
    }
}

/// The newest row of each entity that is known at `until`; rows that lack a part of their entity belong to none.
fn newest(view: &FeatureView, frame: &DataFrame, until: Timestamp) -> Result<DataFrame, TaskError> {
    let name = view.name.as_str();
    let entity = columns(name, frame, &view.entity)?;
    let (numbers, count) = groups(name, frame, &view.entity)?;
    let mut firsts: Vec<Option<u32>> = vec![None; count];
    for (number, row) in numbers.iter().zip(0..) {
        if let Some(first) = firsts.get_mut(*number as usize) {
            first.get_or_insert(row);
        }
    }
    let distinct = entity
        .iter()
        .map(|column| picked(column, firsts.iter().copied()));
    let distinct = distinct.collect::<Result<Vec<_>, _>>()?;
    let mut keys = keys(
        &distinct.iter().collect::<Vec<_>>(),
        &entity,
        [count, frame.height()],
    )?;
    let event = column(name, frame, &view.event_time)?;
    let created = view
        .created_time
        .as_ref()
        .map(|created| column(name, frame, created))
        .transpose()?;
    let mut times = vec![(name, event)];
    times.extend(created.map(|created| (name, created)));
    let scale = scale(&times)?;
    let event = instants(event, scale)?;
    let created = created
        .map(|created| instants(created, scale))
        .transpose()?;
    without(&mut keys.right, &event);
    if let Some(created) = &created {
        without(&mut keys.right, created);
    }
    let tables = Tables {
        keys: &keys,
        left: &vec![moment(until, scale); count],
        right: raw(&event),
        created: created.as_ref().map(raw),
        only_known: true,
        tolerance: None,
    };
    let found: Vec<_> = join(&tables, Direction::Backward)
        .into_iter()
        .flatten()
        .collect();
    frame
        .take(&IdxCa::from_vec("rows".into(), found))
        .map_err(|error| polars_error("take the newest rows", &error))
}

fn moment(at: Timestamp, scale: Scale) -> i64 {
    match scale {
        Scale::Numbers => i64::MAX,
        Scale::Microseconds => at.timestamp_micros(),
        Scale::Nanoseconds => at.timestamp_nanos_opt().unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{
        id::RunId,
        operator::testing::{TestProject, frame, run_in},
    };
    use pipectl_test_support::TestPostgres;
    use serde_json::Value;

    use super::*;
    use crate::extract;

    const VIEW: &str = "name: bills\nentity: customer\nevent_time: at\ncreated_time: known\ncolumns: [amount]\n\
                        source: {path: bills.csv}\n";

    pub(super) fn projects() -> [TestProject; 2] {
        let with = |url: &str| {
            let project = TestProject::new()
                .with_connection("warehouse", url)
                .with_service(std::sync::Arc::new(
                    pipectl_connections::Connector::default(),
                ));
            project.write("features/bills.yaml", VIEW);
            project
        };
        [
            with("sqlite:warehouse.db"),
            with(&TestPostgres::shared().database()),
        ]
    }

    /// Rows of one day: customer, event's hour, hour of creation, amount.
    fn bills(project: &TestProject, rows: &[(&str, u32, u32, i64)]) {
        let line = |(customer, at, known, amount): &(&str, u32, u32, i64)| {
            format!("{customer},2026-03-01T{at:02}:00:00Z,2026-03-01T{known:02}:00:00Z,{amount}")
        };
        let lines: Vec<String> = rows.iter().map(line).collect();
        let text = format!("customer,at,known,amount\n{}\n", lines.join("\n"));
        project.write("bills.csv", text);
    }

    async fn load(project: &TestProject, run: RunId) -> Output {
        let mut context = project.context();
        context.run.id = run;
        Box::pin(run_in::<Features>(&context, json!({"view": "bills"})))
            .await
            .unwrap()
    }

    pub(super) async fn online(project: &TestProject) -> Vec<(String, i64)> {
        let query = json!({"connection": "warehouse", "query": "select customer, amount from features_bills order by customer"});
        let output = Box::pin(run_in::<extract::sql::Sql>(&project.context(), query))
            .await
            .unwrap();
        let found = frame(&output);
        let amounts = found.column("amount").unwrap().i64().unwrap().clone();
        let customers = found.column("customer").unwrap().str().unwrap().clone();
        customers
            .iter()
            .zip(amounts.iter())
            .map(|(name, amount)| (name.unwrap().to_owned(), amount.unwrap()))
            .collect()
    }

    pub(super) fn expected(rows: &[(&str, i64)]) -> Vec<(String, i64)> {
        rows.iter()
            .map(|(name, amount)| ((*name).to_owned(), *amount))
            .collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_newer_values_replace_what_is_there() {
        for project in projects() {
            let [first, second] = [1, 2].map(|second| {
                RunId::new(Timestamp::default() + chrono::TimeDelta::seconds(second))
            });
            // The clock stands at 12:00: what happens or is known later does not count yet.
            bills(
                &project,
                &[
                    ("a", 8, 8, 1),
                    ("a", 9, 9, 2),
                    ("a", 9, 13, 3),
                    ("a", 13, 13, 4),
                    ("b", 7, 7, 5),
                    ("", 8, 8, 6),
                ],
            );
            let output = load(&project, first).await;
            assert_eq!(
                (&output.values["rows"], &output.values["table"]),
                (&json!(2), &json!("features_bills"))
            );
            assert_eq!(online(&project).await, expected(&[("a", 2), ("b", 5)]));
            // An older file that is loaded afterwards changes nothing; a later correction of the same event does.
            bills(&project, &[("a", 8, 8, 7), ("b", 7, 10, 8), ("c", 1, 1, 9)]);
            load(&project, second).await;
            assert_eq!(
                online(&project).await,
                expected(&[("a", 2), ("b", 8), ("c", 9)])
            );
            // The same run again writes nothing.
            bills(&project, &[("a", 11, 11, 100)]);
            load(&project, second).await;
            assert_eq!(
                online(&project).await,
                expected(&[("a", 2), ("b", 8), ("c", 9)])
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_may_come_from_a_task() {
        for project in projects() {
            bills(&project, &[("a", 8, 8, 1)]);
            let csv = json!({"path": "bills.csv"});
            let rows = frame(
                &Box::pin(project.run::<extract::csv::Csv>(csv))
                    .await
                    .unwrap(),
            );
            let lacking = rows.drop("known").unwrap();
            for (rows, message) in [
                (rows, None),
                (lacking, Some("`fresh` has no column `known`")),
            ] {
                let context = project.context_with([("fresh", rows)]);
                let result = Box::pin(run_in::<Features>(&context, json!({"view": "bills"}))).await;
                let message_of = result.err().map(|error| error.message);
                assert_eq!(message_of.as_deref(), message);
            }
            let answer: Value = json!(online(&project).await);
            assert_eq!(answer, json!([["a", 1]]));
        }
    }
}
