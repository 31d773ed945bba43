//! Reading only the rows of a view that are new since the last time.

use pipectl_engine::{
    operator::{TaskContext, TaskError},
    project::feature::{FeatureSource, FeatureView},
    time::Timestamp,
};
use polars::prelude::*;
use serde_json::{Value, json};

use super::moment;
use crate::support::{
    database::json_value,
    features::Since,
    frame::polars_error,
    instants::{instants, scale},
    keys::column,
};

/// Where the last run of a task has come to: rows created from this moment on have not all been seen.
#[derive(Debug)]
pub(super) struct Reached {
    version: String,
    created: String,
    after: Option<Value>,
}

impl Reached {
    /// What the task has kept; nothing counts that was kept for another version of the view.
    ///
    /// # Errors
    /// When the view's source cannot tell new rows from old ones.
    pub(super) async fn load(
        context: &TaskContext,
        view: &FeatureView,
        full: bool,
    ) -> Result<Self, TaskError> {
        let wrong = |what: &str, hint: &str| {
            let text = format!("feature view `{}` {what}", view.name);
            TaskError::user(text).hint(hint)
        };
        let created = view.created_time.clone().ok_or_else(|| {
            wrong(
                "has no `created_time`, by which new rows could be told from old ones",
                "name the column under `created_time` in the view, or leave `incremental` out",
            )
        })?;
        if matches!(view.source, FeatureSource::Files { .. }) {
            return Err(wrong(
                "comes from files, which are read as a whole",
                "leave `incremental` out, or load only what is new with `from:`",
            ));
        }
        let version = view.version();
        let kept = if full {
            None
        } else {
            context.state.load().await?
        };
        let kept = kept.filter(|state| state["view"] == version.as_str());
        let after = kept.map(|state| state["after"].clone());
        let after = after.filter(|after| !after.is_null());
        context.log.info(match &after {
            Some(after) => format!("rows whose `{created}` is not before {after}"),
            None => "all rows".to_owned(),
        });
        Ok(Self {
            version,
            created,
            after,
        })
    }

    /// The rows that are to be read.
    pub(super) fn since(&self) -> Option<Since> {
        let after = self.after.clone()?;
        Some(Since {
            column: self.created.clone(),
            after,
        })
    }

    /// Goes on to what is known now. A row that does not count yet at `until` is read again, and so are those that were
    /// created at the same moment as the last one: another of them may have been committed later.
    ///
    /// # Errors
    /// When the times cannot be compared.
    pub(super) fn advance(
        &mut self,
        view: &FeatureView,
        frame: &DataFrame,
        until: Timestamp,
    ) -> Result<(), TaskError> {
        let fail = |error: PolarsError| polars_error("find the rows that are new", &error);
        let created = column(&view.name, frame, &self.created)?;
        let event = column(&view.name, frame, &view.event_time)?;
        let scale = scale(&[(&view.name, event), (&view.name, created)])?;
        let until = moment(until, scale);
        let late = |column: &Column| Ok::<_, TaskError>(instants(column, scale)?.gt(until));
        let pending = late(created)? | late(event)?;
        let pending = created.filter(&pending).map_err(fail)?;
        let reached = if pending.len() > pending.null_count() {
            pending.min_reduce()
        } else {
            created.max_reduce()
        };
        let reached = json_value(reached.map_err(fail)?.value());
        if !reached.is_null() {
            self.after = Some(reached);
        }
        Ok(())
    }

    /// What the task keeps for its next run.
    pub(super) fn state(&self) -> Value {
        json!({"view": self.version, "after": self.after})
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{
        Fault, Output, State,
        testing::{TestProject, complaints, run_in},
    };
    use serde_json::{Value, json};

    use super::super::{
        Features,
        tests::{expected, online, projects},
        *,
    };
    use crate::load;

    const VIEW: &str = "name: bills\nentity: customer\nevent_time: at\ncreated_time: known\ncolumns: [amount]\n\
                        source: {connection: warehouse, table: all_bills}\n";

    /// Adds rows of one day: customer, event's hour, hour of creation, amount.
    async fn add(project: &TestProject, seconds: i64, rows: &[(&str, i64, i64, i64)]) {
        let at = |hour: i64| 1_772_323_200_000_000 + hour * 3_600_000_000;
        let moments = |of: fn(&(&str, i64, i64, i64)) -> i64, name: &str| {
            let all: Vec<_> = rows.iter().map(|row| at(of(row))).collect();
            let zone = Some(TimeZone::UTC);
            let series = Series::new(name.into(), all);
            let of = DataType::Datetime(TimeUnit::Microseconds, zone);
            Column::from(series.cast(&of).unwrap())
        };
        let customers: Vec<_> = rows.iter().map(|row| row.0).collect();
        let amounts: Vec<_> = rows.iter().map(|row| row.3).collect();
        let columns = vec![
            Column::new("customer".into(), customers),
            moments(|row| row.1, "at"),
            moments(|row| row.2, "known"),
            Column::new("amount".into(), amounts),
        ];
        let frame = DataFrame::new(rows.len(), columns).unwrap();
        let mut context = project.context_with([("rows", frame)]);
        context.run.id = run(1_000 + seconds);
        let with = json!({"connection": "warehouse", "table": "all_bills", "create": true});
        Box::pin(run_in::<load::sql::Sql>(&context, with))
            .await
            .unwrap();
    }

    fn run(seconds: i64) -> pipectl_engine::id::RunId {
        pipectl_engine::id::RunId::new(Timestamp::default() + chrono::TimeDelta::seconds(seconds))
    }

    async fn materialize(
        project: &TestProject,
        seconds: i64,
        with: Value,
        state: &mut Option<Value>,
    ) -> Result<Output, TaskError> {
        let mut context = project.context();
        context.run.id = run(seconds);
        if let Some(state) = state.take() {
            context.state = State::of(state);
        }
        let output = Box::pin(run_in::<Features>(&context, with)).await?;
        *state = output.state.clone();
        Ok(output)
    }

    /// How many rows the last run has read of the source.
    fn read(project: &TestProject) -> String {
        let log = project.log();
        let line = log
            .iter()
            .rev()
            .find(|line| line.contains(" from `warehouse`"));
        line.unwrap().split(" from ").next().unwrap().to_owned()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_new_rows_are_read() {
        let incremental = json!({"view": "bills", "incremental": true});
        for project in projects() {
            project.write("features/bills.yaml", VIEW);
            let mut state = None;
            add(
                &project,
                1,
                &[("a", 1, 1, 1), ("a", 2, 2, 2), ("b", 3, 9, 3)],
            )
            .await;
            materialize(&project, 1, incremental.clone(), &mut state)
                .await
                .unwrap();
            assert!(read(&project).ends_with("3 rows"), "{}", read(&project));
            assert_eq!(online(&project).await, expected(&[("a", 2), ("b", 3)]));
            // A late row of an earlier event is new too; one of the afternoon does not count yet.
            let more = [("c", 1, 10, 4), ("a", 13, 11, 5), ("b", 4, 11, 6)];
            add(&project, 2, &more).await;
            materialize(&project, 2, incremental.clone(), &mut state)
                .await
                .unwrap();
            // With the one that was the last before.
            assert!(read(&project).ends_with("4 rows"), "{}", read(&project));
            let now = expected(&[("a", 2), ("b", 6), ("c", 4)]);
            assert_eq!(online(&project).await, now);
            let mut later = project.context();
            later.run.id = run(3);
            later.run.interval = Some(pipectl_engine::operator::Interval {
                start: Timestamp::default(),
                end: Timestamp::default() + chrono::TimeDelta::seconds(1_772_323_200 + 14 * 3_600),
            });
            later.state = State::of(state.take().unwrap());
            Box::pin(run_in::<Features>(&later, incremental.clone()))
                .await
                .unwrap();
            assert!(read(&project).ends_with("2 rows"), "{}", read(&project));
            let now = expected(&[("a", 5), ("b", 6), ("c", 4)]);
            assert_eq!(online(&project).await, now);
            let full = json!({"view": "bills", "incremental": true, "full": true});
            materialize(&project, 4, full, &mut state).await.unwrap();
            assert!(read(&project).ends_with("6 rows"), "{}", read(&project));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn where_nothing_tells_new_rows_that_is_said() {
        let [project, _] = projects();
        let incremental = json!({"view": "bills", "incremental": true});
        let error = materialize(&project, 1, incremental.clone(), &mut None).await;
        let error = error.unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (
                Fault::User,
                "feature view `bills` comes from files, which are read as a whole"
            )
        );
        let mut given = project.context_with([("fresh", DataFrame::empty())]);
        given.run.id = run(3);
        let error = Box::pin(run_in::<Features>(&given, incremental.clone())).await;
        assert_eq!(
            error.unwrap_err().message,
            "`incremental` is about the view's source, and the rows come from a task"
        );
        project.write(
            "features/bills.yaml",
            VIEW.replace("created_time: known\n", ""),
        );
        let error = materialize(&project, 2, incremental, &mut None).await;
        assert_eq!(
            error.unwrap_err().message,
            "feature view `bills` has no `created_time`, by which new rows could be told from old ones"
        );
        assert_eq!(
            complaints::<Features>(json!({"view": "bills", "full": true})),
            ["full: `full` is about `incremental`, which is not asked for"]
        );
    }
}
