//! What was tried, as a table.

use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, Series};

use crate::error::Result;
use crate::metrics::Metric;
use crate::onnx::Metadata;

impl Metadata {
    /// A row for every trial: `trial` (counted from 1), `estimator`, `parameters` (JSON), `chosen`, `rows` that it learned
    /// from where halving left it behind, `mean` and `deviation` of the metric that trials are compared by, and the mean
    /// of every metric.
    pub fn trials_frame(&self) -> Result<DataFrame> {
        let trials = &self.trials;
        let text = |name: &str, of: &dyn Fn(usize) -> String| -> Column {
            let values: Vec<String> = (0..trials.len()).map(of).collect();
            Series::new(name.into(), values).into_column()
        };
        let numbers = |name: &str, of: &dyn Fn(usize) -> Option<f64>| -> Column {
            let values: Vec<Option<f64>> = (0..trials.len()).map(of).collect();
            Series::new(name.into(), values).into_column()
        };
        let places: Vec<i64> = (1..).take(trials.len()).collect();
        let chosen: Vec<bool> = trials.iter().map(|trial| trial.chosen).collect();
        let rows: Vec<Option<i64>> = trials
            .iter()
            .map(|trial| trial.rows.and_then(|rows| i64::try_from(rows).ok()))
            .collect();
        let mut columns = vec![
            Series::new("trial".into(), places).into_column(),
            text("estimator", &|index| trials[index].estimator.clone()),
            text("parameters", &|index| {
                serde_json::to_string(&trials[index].parameters).unwrap_or_default()
            }),
            Series::new("chosen".into(), chosen).into_column(),
            Series::new("rows".into(), rows).into_column(),
            numbers("mean", &|index| finite(trials[index].mean)),
            numbers("deviation", &|index| finite(trials[index].deviation)),
        ];
        for (place, metric) in Metric::of_goal(self.goal).iter().enumerate() {
            columns.push(numbers(metric.name(), &|index| {
                trials[index].metrics.get(place)?.value
            }));
        }
        Ok(DataFrame::new(trials.len(), columns)?)
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
