//! What comes of broken rules: a failure or warnings, with the rows as evidence.

use std::collections::BTreeMap;

use pipectl_engine::operator::{Artifact, Evidence, Logger, Outcome, Output, TaskError};
use polars::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::{expectations::Severity, rules::Broken};
use crate::support::frame::polars_error;

/// How many rows are kept as evidence, of all rules together.
const KEPT: usize = 1_000;
/// How many broken rules a message names.
const NAMED: usize = 5;

/// The outcome of a check of `rules`, of which some are broken; `frame` holds the rows that broken rules name, `rows` is
/// how many were looked at.
///
/// # Errors
/// When one of them fails the task.
pub(super) fn outcome(
    name: &str,
    frame: &DataFrame,
    rows: usize,
    rules: &[(String, Severity)],
    broken: Vec<Broken>,
    log: &Logger,
) -> Result<Outcome, TaskError> {
    let metrics = metrics(rules.len(), rows, &broken);
    for rule in &broken {
        log.warn(format!("{}: {}", rule.rule, rule.message));
    }
    if broken.is_empty() {
        log.info(format!("`{name}` keeps all {} rules", rules.len()));
    }
    let mut artifacts: Vec<_> = failing_rows(frame, &broken)?.into_iter().collect();
    artifacts.push(results(name, rows, rules, &broken)?);
    let failed: Vec<_> = broken
        .iter()
        .filter(|rule| rule.severity == Severity::Fail)
        .collect();
    if let Some(first) = failed.first() {
        let mut messages: Vec<_> = failed
            .iter()
            .take(NAMED)
            .map(|rule| rule.message.clone())
            .collect();
        if failed.len() > NAMED {
            messages.push(format!("{} more rules are broken", failed.len() - NAMED));
        }
        let mut error =
            TaskError::user(messages.join("; ")).with_evidence(Evidence { artifacts, metrics });
        error.hint.clone_from(&first.hint);
        return Err(error);
    }
    let names: Vec<Value> = broken.iter().map(|rule| rule.rule.clone().into()).collect();
    let mut output = Output::default()
        .value("passed", broken.is_empty())
        .value("failed", names);
    output.warnings = broken.into_iter().map(|rule| rule.message).collect();
    output.metrics = metrics;
    output.artifacts = artifacts;
    Ok(Outcome::Done(output))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "measures are numbers of 64 bits, rows never are so many"
)]
fn metrics(rules: usize, rows: usize, broken: &[Broken]) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::from([
        ("rows".to_owned(), rows as f64),
        ("rules".to_owned(), rules as f64),
        ("failed_rules".to_owned(), broken.len() as f64),
    ]);
    for rule in broken {
        let rows = rule
            .found
            .as_ref()
            .map_or(rule.rows.len(), DataFrame::height);
        metrics.insert(format!("failing_rows.{}", rule.rule), rows as f64);
    }
    metrics
}

/// How each rule has come out.
#[derive(Serialize)]
struct Verdict<'a> {
    rule: &'a str,
    severity: Severity,
    /// Unknown of rules for a column that is not there.
    passed: Option<bool>,
    failing_rows: usize,
    message: Option<&'a str>,
}

/// How all rules have come out, as a JSON file.
fn results(
    name: &str,
    rows: usize,
    rules: &[(String, Severity)],
    broken: &[Broken],
) -> Result<Artifact, TaskError> {
    let failed = |rule: &'_ Broken| {
        rule.found
            .as_ref()
            .map_or(rule.rows.len(), DataFrame::height)
    };
    let lost = |rule: &str| {
        let unlisted = broken
            .iter()
            .filter(|broken| rules.iter().all(|(name, _)| *name != broken.rule));
        unlisted
            .into_iter()
            .any(|broken| rule.starts_with(&format!("{} ", broken.rule)))
    };
    let mut verdicts: Vec<Verdict<'_>> = Vec::new();
    for (rule, severity) in rules {
        let found = broken.iter().find(|broken| broken.rule == *rule);
        verdicts.push(Verdict {
            rule,
            severity: *severity,
            passed: if found.is_none() && lost(rule) {
                None
            } else {
                Some(found.is_none())
            },
            failing_rows: found.map_or(0, failed),
            message: found.map(|found| found.message.as_str()),
        });
    }
    let unlisted = broken
        .iter()
        .filter(|broken| rules.iter().all(|(name, _)| *name != broken.rule));
    verdicts.extend(unlisted.map(|broken| Verdict {
        rule: &broken.rule,
        severity: broken.severity,
        passed: Some(false),
        failing_rows: failed(broken),
        message: Some(&broken.message),
    }));
    let content = serde_json::json!({"dataset": name, "rows": rows, "rules": verdicts});
    let content = serde_json::to_vec_pretty(&content)
        .map_err(|error| TaskError::bug("the rules' verdicts cannot be written").because(error))?;
    Ok(Artifact {
        name: "expectations.json".to_owned(),
        media_type: "application/json".to_owned(),
        content: content.into(),
        path: None,
    })
}

/// The first rows that break rules, each with the rule and its number, as a CSV file.
fn failing_rows(frame: &DataFrame, broken: &[Broken]) -> Result<Option<Artifact>, TaskError> {
    let fail = |error: PolarsError| polars_error("keep the failing rows", &error);
    let mut parts: Vec<LazyFrame> = Vec::new();
    let mut left = KEPT;
    for rule in broken {
        let (rows, numbers) = if let Some(found) = &rule.found {
            (found.head(Some(left)), None)
        } else {
            let rows = IdxCa::from_vec(
                "rows".into(),
                rule.rows.iter().take(left).copied().collect(),
            );
            let numbers: Vec<_> = rule
                .rows
                .iter()
                .take(left)
                .map(|row| i64::from(*row) + 1)
                .collect();
            (frame.take(&rows).map_err(fail)?, Some(numbers))
        };
        if rows.height() == 0 {
            continue;
        }
        left -= rows.height();
        let count = rows.height();
        let numbers = numbers.map_or_else(
            || vec![None; count],
            |numbers| numbers.into_iter().map(Some).collect(),
        );
        let mut columns = vec![
            Column::new("rule".into(), vec![rule.rule.as_str(); count]),
            Column::new("row".into(), numbers),
        ];
        // Everything as text: rows of queries may have other types under the same names.
        for column in rows
            .columns()
            .iter()
            .filter(|column| !matches!(column.name().as_str(), "rule" | "row"))
        {
            columns.push(
                column
                    .cast(&DataType::String)
                    .unwrap_or_else(|_| shown(column)),
            );
        }
        parts.push(DataFrame::new(count, columns).map_err(fail)?.lazy());
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let mut whole = concat_lf_diagonal(parts, UnionArgs::default())
        .and_then(LazyFrame::collect)
        .map_err(fail)?;
    let mut content = Vec::new();
    CsvWriter::new(&mut content)
        .finish(&mut whole)
        .map_err(fail)?;
    Ok(Some(Artifact {
        name: "failing_rows.csv".to_owned(),
        media_type: "text/csv".to_owned(),
        content: content.into(),
        path: None,
    }))
}

/// A column of a type that polars does not turn into text.
fn shown(column: &Column) -> Column {
    let text: Vec<_> = (0..column.len())
        .map(|row| column.get(row).map(|value| value.to_string()).ok())
        .collect();
    Column::new(column.name().clone(), text)
}
