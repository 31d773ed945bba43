//! `transform: features`: adds to each row what feature views knew at its time.

use std::collections::HashMap;

use indexmap::IndexMap;
use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, FeatureViewName, Kind, MadeOf, Operator, Outcome, Output, Outputs, Takes,
        TaskContext, TaskError, ValueType,
    },
    project::feature::FeatureView,
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::{
    asof::{Direction, Tables, join},
    features::{all_columns, rows, state, view},
    frame::{only_input, polars_error},
    instants::{instants, raw, scale, without},
    keys::{column, columns, keys},
    text::{count, hint_for_name, thousands},
};

/// `transform: features`.
pub(crate) struct Features;

/// Which views are joined to the table, and by what. Each row stays, in its order, with the features that were known of
/// its entity at its time: those of the newest row whose event is not after it, within the view's `ttl`. A row that was
/// created later than that is never used, so that nothing is learned from what nobody could have known. Of rows with
/// the same event the one created last counts; a missing value in it is missing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The table's column of dates or times.
    time: String,
    /// The views, by name: the files `features/<name>.yaml`.
    #[schemars(extend("minItems" = 1))]
    views: Vec<FeatureViewName>,
    /// Of a view only these columns: `{customer_bills: [amount]}`; all when it is not named.
    #[serde(default)]
    columns: IndexMap<FeatureViewName, Vec<String>>,
    /// What a view's entity columns are called in the table, where they have other names: `{customer_id: customer}`.
    #[serde(default)]
    keys: IndexMap<String, String>,
    /// Whether features are called `<view>__<column>`.
    #[serde(default)]
    prefix: bool,
    /// Whether each view also adds `<view>__<event time>`, which says how old its values are.
    #[serde(default)]
    event_times: bool,
    /// Whether rows count before they were created, as Feast has it. It leaks what nobody could have known: only for
    /// comparisons.
    #[serde(default)]
    late_rows: bool,
}

impl Operator for Features {
    type Config = Config;
    const KIND: Kind = Kind::Transform;
    const NAME: &'static str = "features";
    const SUMMARY: &'static str = "Adds to each row what feature views knew at its time.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table().value(
            "feature_views",
            ValueType::Any,
            "the version of each view that was joined",
        )
    }

    fn check(config: &Config, found: &mut Complaints) {
        for (index, name) in config.views.iter().enumerate() {
            if config
                .views
                .get(..index)
                .is_some_and(|before| before.contains(name))
            {
                found.error(
                    &["views", &index.to_string()],
                    format!("`{}` is named twice", name.0),
                );
            }
        }
        for name in config
            .columns
            .keys()
            .filter(|name| !config.views.contains(name))
        {
            found
                .error(
                    &["columns", &name.0],
                    format!("`{}` is not among the views", name.0),
                )
                .hint("name it under `views`");
        }
    }

    async fn made_of(config: &Config, context: &TaskContext) -> MadeOf {
        let mut all = String::new();
        for wanted in &config.views {
            let state = async { Box::pin(state(context, &view(context, &wanted.0)?)).await };
            match state.await {
                Ok(Some(state)) => {
                    all.push_str(&state);
                    all.push('\n');
                }
                Ok(None) => {
                    return MadeOf::Unknown(format!(
                        "nobody knows whether the rows of the feature view `{}` are as they were",
                        wanted.0
                    ));
                }
                Err(error) => return MadeOf::Unknown(error.full_message()),
            }
        }
        MadeOf::Also(all)
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (name, mut frame) = only_input(context).await?;
        let mut output = Output::default();
        let mut versions = Map::new();
        for wanted in &config.views {
            let view = view(context, &wanted.0)?;
            let features = wanted_features(&config, &view)?;
            let table = rows(context, &view, all_columns(&view, &features), None).await?;
            versions.insert(view.name.clone(), view.version().into());
            let join = Join {
                config: config.clone(),
                name: name.clone(),
                view,
                features,
            };
            let entities = std::mem::take(&mut frame);
            let (joined, matched, view) = context
                .compute(move || {
                    let (joined, matched) = join.onto(entities, &table)?;
                    Ok((joined, matched, join.view.name))
                })
                .await?;
            frame = joined;
            output = told(context, output, &view, matched, frame.height());
        }
        output = output.value("feature_views", Value::Object(versions));
        Ok(Outcome::Done(
            output.dataset(Outputs::MAIN, Dataset::from_frame(frame)),
        ))
    }
}

/// What is said of a view that was joined.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share of rows is only shown and compared"
)]
fn told(context: &TaskContext, output: Output, view: &str, matched: usize, rows: usize) -> Output {
    context.log.info(format!(
        "{view}: known of {} of {} rows",
        thousands(matched as u64),
        thousands(rows as u64)
    ));
    let share = if rows == 0 {
        1.0
    } else {
        matched as f64 / rows as f64
    };
    let output = output.metric(format!("known.{view}"), share);
    if matched == 0 && rows > 0 {
        let rows = count(rows as u64, "row");
        return output.warning(format!(
            "the feature view `{view}` knows nothing of any of {rows}"
        ));
    }
    output
}

/// The features that are wanted of a view.
fn wanted_features(config: &Config, view: &FeatureView) -> Result<Vec<String>, TaskError> {
    let Some(wanted) = config.columns.get(&FeatureViewName(view.name.clone())) else {
        return Ok(view.columns.clone());
    };
    if let Some(unknown) = wanted.iter().find(|name| !view.columns.contains(name)) {
        let known = view.columns.iter().map(String::as_str);
        let message = format!("the feature view `{}` has no column `{unknown}`", view.name);
        return Err(TaskError::user(message).hint(hint_for_name(
            unknown,
            "its columns are",
            known,
        )));
    }
    Ok(wanted.clone())
}

/// One view that is joined to a table.
struct Join {
    config: Config,
    name: String,
    view: FeatureView,
    features: Vec<String>,
}

impl Join {
    /// The table with the view's features, and how many rows have found some.
    fn onto(
        &self,
        entities: DataFrame,
        table: &DataFrame,
    ) -> Result<(DataFrame, usize), TaskError> {
        let rows = self.matches(&entities, table)?;
        let known = rows.iter().flatten().count();
        let indices = IdxCa::from_slice_options("rows".into(), &rows);
        let fail = |error: PolarsError| {
            polars_error(
                &format!("join the feature view `{}`", self.view.name),
                &error,
            )
        };
        let mut wide = entities;
        for (source, title) in self.titles() {
            if wide.column(&title).is_ok() {
                let message = format!(
                    "`{}` already has a column `{title}`, which the feature view `{}` adds",
                    self.name, self.view.name
                );
                return Err(TaskError::user(message).hint(
                    "write `prefix: true`, or name the `columns` that are wanted of the view",
                ));
            }
            let mut column = column(&self.view.name, table, source)?
                .take(&indices)
                .map_err(fail)?;
            column.rename(title.into());
            wide.with_column(column).map_err(fail)?;
        }
        Ok((wide, known))
    }

    /// The view's columns that are added, and what they are called.
    fn titles(&self) -> Vec<(&str, String)> {
        let long = |name: &str| format!("{}__{name}", self.view.name);
        let mut titles: Vec<(&str, String)> = Vec::new();
        for name in &self.features {
            titles.push((
                name,
                if self.config.prefix {
                    long(name)
                } else {
                    name.clone()
                },
            ));
        }
        if self.config.event_times {
            titles.push((&self.view.event_time, long(&self.view.event_time)));
        }
        titles
    }

    /// The view's row for each of the table's.
    fn matches(
        &self,
        entities: &DataFrame,
        table: &DataFrame,
    ) -> Result<Vec<Option<u32>>, TaskError> {
        let (name, view) = (self.name.as_str(), &self.view);
        let renamed: HashMap<&String, &String> = self.config.keys.iter().collect();
        let entity: Vec<String> = view
            .entity
            .iter()
            .map(|name| {
                renamed
                    .get(name)
                    .map_or_else(|| name.clone(), |name| (*name).clone())
            })
            .collect();
        let mut keys = keys(
            &columns(name, entities, &entity)?,
            &columns(&view.name, table, &view.entity)?,
            [entities.height(), table.height()],
        )?;
        let time = column(name, entities, &self.config.time)?;
        let event = column(&view.name, table, &view.event_time)?;
        let created = view
            .created_time
            .as_ref()
            .map(|name| column(&view.name, table, name));
        let created = created.transpose()?;
        let mut times = vec![(name, time), (view.name.as_str(), event)];
        times.extend(created.map(|created| (view.name.as_str(), created)));
        let scale = scale(&times)?;
        let (time, event) = (instants(time, scale)?, instants(event, scale)?);
        let created = created
            .map(|created| instants(created, scale))
            .transpose()?;
        without(&mut keys.left, &time);
        without(&mut keys.right, &event);
        if let Some(created) = &created {
            without(&mut keys.right, created);
        }
        let tables = Tables {
            keys: &keys,
            left: raw(&time),
            right: raw(&event),
            created: created.as_ref().map(raw),
            only_known: !self.config.late_rows,
            tolerance: view.ttl.map(|ttl| scale.stretch(ttl)),
        };
        Ok(join(&tables, Direction::Backward))
    }
}

#[cfg(test)]
mod tests;
