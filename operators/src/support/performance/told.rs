//! What is said about a report: messages, measures, JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use pipectl_engine::operator::{Artifact, TaskError};
use pipectl_models::performance::{Finding, Measure, PerformanceReport};

use crate::support::text::list;

/// What is wrong with a metric, if it is beyond its limit.
pub(crate) fn complaint(finding: &Finding, report: &PerformanceReport) -> Option<String> {
    let (value, limit) = (finding.value?, finding.limit?);
    if finding.worse != Some(true) {
        return None;
    }
    let period = report.judged.as_deref().unwrap_or_default();
    let relation = match Measure::parse(&finding.metric) {
        Some(measure) if measure.higher_is_better() => "at least",
        _ => "at most",
    };
    let before = match (finding.reference, &report.reference) {
        (Some(before), Some(reference)) => format!(", {before:.4} in {}", reference.name),
        _ => String::new(),
    };
    let name = &finding.metric;
    Some(format!(
        "`{name}` is {value:.4} in {period}{before}; {relation} {limit:.4} is allowed"
    ))
}

/// What to tell when outcomes and predictions do not find each other at all.
pub(crate) fn apart(report: &PerformanceReport) -> Option<String> {
    let count = |name: &str| report.counts.get(name).copied().unwrap_or(0);
    let both = count("predictions") > 0 && count("outcomes") > 0;
    (both && count("joined") == 0).then(|| {
        format!(
            "none of {} predictions has found its outcome: do the keys and times fit?",
            count("predictions")
        )
    })
}

/// The measures: the metrics of the judged period and of the reference, and what became of the rows.
#[expect(clippy::cast_precision_loss, reason = "a number of rows")]
pub(crate) fn metrics(report: &PerformanceReport) -> BTreeMap<String, f64> {
    let findings = report.findings.iter();
    let values = findings
        .clone()
        .filter_map(|one| Some((one.metric.clone(), one.value?)));
    let before =
        findings.filter_map(|one| Some((format!("reference.{}", one.metric), one.reference?)));
    let rows = report
        .judged()
        .map(|period| ("judged_rows".to_owned(), period.rows as f64));
    let joined = ["joined", "predictions_waiting_for_their_outcome"];
    let counts = joined.into_iter().filter_map(|name| {
        let name_of = if name == "joined" {
            "joined_rows"
        } else {
            "waiting_rows"
        };
        Some((name_of.to_owned(), *report.counts.get(name)? as f64))
    });
    values.chain(before).chain(rows).chain(counts).collect()
}

/// The names of the metrics that are beyond their limits.
pub(crate) fn worse(report: &PerformanceReport) -> Vec<&str> {
    let worse = report
        .findings
        .iter()
        .filter(|finding| finding.worse == Some(true));
    worse.map(|finding| finding.metric.as_str()).collect()
}

/// All complaints in one sentence.
pub(crate) fn complaints(report: &PerformanceReport) -> String {
    let each = report
        .findings
        .iter()
        .filter_map(|finding| complaint(finding, report));
    each.collect::<Vec<_>>().join("; ")
}

/// What was not judged, and why, for the log.
pub(crate) fn unjudged(report: &PerformanceReport) -> Option<String> {
    let silent = report
        .findings
        .iter()
        .filter(|finding| finding.worse.is_none());
    let silent: Vec<&Finding> = silent.collect();
    let first = silent.first()?;
    let names = list(silent.iter().map(|finding| finding.metric.as_str()));
    Some(format!(
        "not judged: {names}: {}",
        first.why.as_deref().unwrap_or("no value")
    ))
}

/// What was found as a JSON file.
///
/// # Errors
/// When it cannot be written as JSON, which would be a bug.
pub(crate) fn json(report: &PerformanceReport) -> Result<Artifact, TaskError> {
    let content = serde_json::to_vec(report).map_err(|error| {
        TaskError::bug("the performance report cannot be written").because(error)
    })?;
    Ok(Artifact {
        name: "performance.json".to_owned(),
        media_type: "application/json".to_owned(),
        content: Bytes::from(content),
        path: None,
    })
}
