//! What a feature view's online table knows of an entity.

use std::collections::BTreeMap;

use pipectl_engine::{
    id::{RunId, TaskKey},
    operator::{Inputs, Logger, Progress, RunInfo, SqlText, TaskContext, TaskError, TaskIdentity},
    project::feature::FeatureView,
    time::Timestamp,
};
use polars::prelude::*;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    isolated::ChildHouse,
    support::{
        database::{self, TableName, quoted, quoted_list},
        frame::polars_error,
        instants::{Scale, instants},
    },
};

/// A row of an online table.
#[derive(Clone, Debug, PartialEq)]
pub struct OnlineRow {
    /// The features, in the view's order.
    pub values: Vec<(String, Value)>,
    /// When they became true.
    pub event_time: Option<Timestamp>,
    /// Whether that is longer ago than the view counts on them.
    pub expired: bool,
}

/// What the online table of `view` knows of the entity with these values.
///
/// # Errors
/// When the table is not there, or cannot be read.
pub async fn online_features(
    house: ChildHouse,
    view: &FeatureView,
    entity: &BTreeMap<String, String>,
) -> Result<Option<OnlineRow>, TaskError> {
    let now = house.clock.now();
    let context = context(house, now);
    let table = TableName::parse(&view.online.table)
        .ok_or_else(|| TaskError::user(format!("`{}` is no table's name", view.online.table)))?;
    let columns = view
        .columns
        .iter()
        .chain([&view.event_time])
        .map(String::as_str);
    let conditions: Vec<String> = (1..)
        .zip(entity.keys())
        .map(|(number, name)| format!("cast({} as text) = ${number}", quoted(name)))
        .collect();
    let query = SqlText {
        sql: format!(
            "select {} from {} where {}",
            quoted_list(columns),
            table.quoted(),
            conditions.join(" and ")
        ),
        values: entity
            .values()
            .map(|value| Value::String(value.clone()))
            .collect(),
    };
    let found = database::first(&context, &view.online.connection, &query).await;
    let found = found.map_err(|error| {
        error.hint(format!(
            "a task `load: features` with `view: {}` makes and fills the table `{}`",
            view.name, view.online.table
        ))
    })?;
    if found.height() == 0 {
        return Ok(None);
    }
    let fail = |error: PolarsError| polars_error("read the online table", &error);
    let mut values = Vec::new();
    for name in &view.columns {
        let value = found
            .column(name)
            .and_then(|column| column.get(0))
            .map_err(fail)?;
        values.push((name.clone(), plain(&value)));
    }
    let event = found.column(&view.event_time).map_err(fail)?;
    let event_time = match event.dtype() {
        of if of.is_temporal() => instants(event, Scale::Microseconds)?.get(0),
        _ => None,
    };
    let event_time = event_time.and_then(Timestamp::from_timestamp_micros);
    let expired = view
        .ttl
        .zip(event_time)
        .is_some_and(|(ttl, event)| (now - event).to_std().is_ok_and(|age| age > ttl));
    Ok(Some(OnlineRow {
        values,
        event_time,
        expired,
    }))
}

/// What reading needs of an attempt, outside of any run.
pub(crate) fn context(house: ChildHouse, now: Timestamp) -> TaskContext {
    TaskContext {
        run: RunInfo {
            id: RunId::new(now),
            pipeline: "features".into(),
            version: "".into(),
            interval: None,
            zone: "UTC".parse().unwrap_or_default(),
            redo: 0,
        },
        task: TaskIdentity {
            key: TaskKey::task("get"),
            attempt: 1,
            fence: 0,
        },
        inputs: Inputs::default(),
        feature_views: BTreeMap::new(),
        item: None,
        woken: None,
        project: house.project,
        services: house.services,
        artifacts: house.artifacts,
        models: house.models,
        cancel: CancellationToken::new(),
        clock: house.clock,
        seed: 0,
        progress: Progress::none(),
        log: Logger::new(|_, _| ()),
        checkpoint: house.checkpoint,
        state: house.state,
        past: house.past,
        passes_on: false,
        slot: None,
    }
}

fn plain(value: &AnyValue<'_>) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(value) => json!(value),
        AnyValue::String(text) => json!(text),
        AnyValue::StringOwned(text) => json!(text.as_str()),
        AnyValue::Float32(_) | AnyValue::Float64(_) => json!(value.extract::<f64>()),
        other if other.is_primitive_numeric() => json!(other.extract::<i64>()),
        other => json!(other.to_string()),
    }
}
