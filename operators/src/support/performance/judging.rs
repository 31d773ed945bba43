//! Joining and measuring, and which settings contradict each other.

use std::{collections::BTreeMap, time::Duration};

use pipectl_engine::operator::{Complaints, ModelRef, TaskContext, TaskError};
use pipectl_models::performance::{
    Kind, Limit, Measure, PerformanceReport, PerformanceSettings, performance,
};
use polars::prelude::DataFrame;

use super::settings::MetricLimit;
use crate::support::{
    frame::collect,
    model::{load, model_error},
    outcomes::Matching,
    periods::PeriodLength,
    text::hint_for_name,
};

/// What is measured, and what comes of it.
#[derive(Clone, Debug)]
pub(crate) struct Judging {
    pub(crate) key: Vec<String>,
    pub(crate) time: String,
    pub(crate) actual: String,
    pub(crate) actual_time: Option<String>,
    pub(crate) within: Option<Duration>,
    pub(crate) prediction: String,
    pub(crate) probability: Option<String>,
    pub(crate) positive: Option<String>,
    pub(crate) period: PeriodLength,
    pub(crate) metrics: Vec<Measure>,
    pub(crate) model: Option<ModelRef>,
    pub(crate) worse_by: Option<f64>,
    pub(crate) limits: BTreeMap<String, MetricLimit>,
    pub(crate) min_rows: usize,
}

impl Judging {
    /// Looks for settings that contradict each other.
    pub(crate) fn check(&self, found: &mut Complaints) {
        if self.key.is_empty() {
            found.error(
                &["key"],
                "there is no column by which outcomes find their predictions",
            );
        }
        if self.within.is_some() && self.actual_time.is_none() {
            found
                .error(&["within"], "it is not known when an outcome came")
                .hint("name the column of `actuals` that says so: `actual_time`");
        }
        if self.model.is_some() && self.positive.is_some() {
            found.error(
                &["positive"],
                "the model says which class is the positive one",
            );
        }
        if self
            .worse_by
            .is_some_and(|share| !(share >= 0.0 && share.is_finite()))
        {
            found
                .error(&["worse_by"], "a share is 0 or more")
                .hint("write 0.2 for a fifth");
        }
        self.check_metrics(found);
        for (name, limit) in &self.limits {
            self.check_limit(name, *limit, found);
        }
    }

    fn check_metrics(&self, found: &mut Complaints) {
        let first = self.metrics.first().map(|measure| measure.kind());
        for (index, measure) in self.metrics.iter().enumerate() {
            if Some(measure.kind()) != first {
                let message = format!(
                    "`{}` is a metric of {}, the one before of {}",
                    measure.name(),
                    things(measure.kind()),
                    first.map_or("", things)
                );
                found.error(&["metrics", &index.to_string()], message);
            }
        }
    }

    fn check_limit(&self, name: &str, limit: MetricLimit, found: &mut Complaints) {
        let place = ["limits", name];
        let Some(measure) = Measure::parse(name) else {
            let all = [Kind::Classifier, Kind::Regressor]
                .into_iter()
                .flat_map(Measure::all);
            let known: Vec<&str> = all.map(Measure::name).collect();
            found
                .error(&place, format!("there is no metric `{name}`"))
                .hint(hint_for_name(name, "metrics are", known));
            return;
        };
        if !self.metrics.is_empty() && !self.metrics.contains(&measure) {
            found.error(&place, format!("`{name}` is not among the `metrics`"));
        }
        if limit.worse_by.is_none() && limit.min.is_none() && limit.max.is_none() {
            found
                .error(&place, "there is no limit")
                .hint("write `worse_by`, `min` or `max`");
        }
        let (odd, other, word) = if measure.higher_is_better() {
            (limit.max.is_some(), "min", "more")
        } else {
            (limit.min.is_some(), "max", "less")
        };
        if odd {
            found.error(
                &place,
                format!("of `{name}` {word} is better: its limit is `{other}`"),
            );
        }
        if limit
            .worse_by
            .is_some_and(|share| !(share >= 0.0 && share.is_finite()))
        {
            found.error(&["limits", name, "worse_by"], "a share is 0 or more");
        }
    }

    fn settings(&self) -> PerformanceSettings {
        let limit = |limit: &MetricLimit| Limit {
            worse_by: limit.worse_by,
            min: limit.min,
            max: limit.max,
        };
        let limited = self.limits.keys().find_map(|name| Measure::parse(name));
        PerformanceSettings {
            kind: limited.map(Measure::kind),
            positive: self.positive.clone(),
            probability: self
                .probability
                .clone()
                .unwrap_or_else(|| "probability".to_owned()),
            probability_wanted: self.probability.is_some()
                || self
                    .metrics
                    .iter()
                    .any(|measure| measure.needs_probability()),
            measures: self.metrics.clone(),
            worse_by: self.worse_by,
            limits: self
                .limits
                .iter()
                .map(|(name, own)| (name.clone(), limit(own)))
                .collect(),
            least: self.min_rows,
        }
    }

    fn matching(&self, context: &TaskContext) -> Matching {
        Matching {
            key: self.key.clone(),
            time: self.time.clone(),
            prediction: self.prediction.clone(),
            probability: self
                .probability
                .clone()
                .unwrap_or_else(|| "probability".to_owned()),
            actual: self.actual.clone(),
            actual_time: self.actual_time.clone(),
            within: self.within,
            period: self.period,
            zone: context.run.zone,
        }
    }

    /// Joins the inputs and measures.
    ///
    /// # Errors
    /// When they cannot be read, joined or measured.
    pub(crate) async fn judge(
        &self,
        context: &TaskContext,
    ) -> Result<PerformanceReport, TaskError> {
        let predictions = input(context, "predictions").await?;
        let actuals = input(context, "actuals").await?;
        let reference = match context.inputs.get("reference") {
            Some(dataset) => Some(collect(context, "reference", dataset).await?),
            None => None,
        };
        let model = match &self.model {
            Some(_) if reference.is_some() => {
                return Err(TaskError::user(
                    "there are two references: the dataset `reference` and the `model`",
                )
                .hint("take one of them away"));
            }
            Some(model) => Some((model.0.clone(), load(context, &model.0).await?)),
            None => None,
        };
        let (matching, settings) = (self.matching(context), self.settings());
        context
            .compute(move || {
                let joined = matching.join(&predictions, &actuals)?;
                let reference = match &reference {
                    Some(frame) => Some(matching.side_by_side("reference", frame)?),
                    None => None,
                };
                let model = model
                    .as_ref()
                    .map(|(name, model)| (name.as_str(), model.metadata()));
                let report = performance(
                    &joined.source,
                    &joined.periods,
                    reference.as_ref(),
                    model,
                    &settings,
                );
                let mut report = report.map_err(model_error)?;
                report.counts = joined.counts;
                Ok(report)
            })
            .await
    }
}

fn things(kind: Kind) -> &'static str {
    match kind {
        Kind::Classifier => "classes",
        Kind::Regressor => "numbers",
    }
}

async fn input(context: &TaskContext, name: &str) -> Result<DataFrame, TaskError> {
    let dataset = context
        .inputs
        .get(name)
        .ok_or_else(|| TaskError::bug(format!("there is no input `{name}`")))?;
    collect(context, name, dataset).await
}
