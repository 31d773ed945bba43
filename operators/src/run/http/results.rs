//! What was answered.

use std::collections::BTreeMap;

use pipectl_engine::{
    dataset::Dataset,
    operator::{Artifact, Evidence, Output, TaskContext, TaskError},
};
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    extract::http::table::{Records, UNKNOWN},
    support::{
        frame::polars_error,
        text::{count, shortened},
    },
};

/// The columns of every answer.
pub(super) const OWN: [&str; 3] = ["status", "body", "error"];

/// An answer, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) row: usize,
    pub(super) status: Option<u16>,
    pub(super) body: Option<String>,
    pub(super) error: Option<String>,
    pub(super) values: Map<String, Value>,
}

/// All answers so far.
#[derive(Debug)]
pub(super) struct Results {
    redo: u32,
    answers: BTreeMap<usize, Answered>,
    failed: u64,
    /// Answers that are not yet kept.
    fresh: Vec<Answered>,
    files: Vec<(String, u32)>,
}

/// What the checkpoint says.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    redo: u32,
    /// The prefixes of the attempts' files, and how many files each has.
    files: Vec<(String, u32)>,
}

fn key(prefix: &str, number: u32) -> String {
    format!("{prefix}/{number:06}.json")
}

impl Results {
    pub(super) fn new(redo: u32) -> Self {
        Self {
            redo,
            answers: BTreeMap::new(),
            failed: 0,
            fresh: Vec::new(),
            files: Vec::new(),
        }
    }

    /// What earlier attempts of this run were answered with success; what has failed is sent again.
    pub(super) async fn load(context: &TaskContext) -> Result<Self, TaskError> {
        let mut results = Self::new(context.run.redo);
        let kept = context.checkpoint.load().await?;
        let kept = kept.and_then(|kept| serde_json::from_value::<Kept>(kept).ok());
        let Some(kept) = kept.filter(|kept| kept.redo == results.redo) else {
            return Ok(results);
        };
        let files = kept.files.iter();
        for key in
            files.flat_map(|(prefix, count)| (0..*count).map(move |number| key(prefix, number)))
        {
            let bytes = context.artifacts.get(&key).await;
            let bytes = bytes.map_err(|error| {
                TaskError::external("cannot read the answers that were kept").because(error)
            })?;
            let lines = bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty());
            for line in lines {
                let answer: Answered = serde_json::from_slice(line).map_err(|error| {
                    TaskError::bug("the answers that were kept cannot be read").because(error)
                })?;
                if answer.error.is_none() {
                    results.answers.insert(answer.row, answer);
                }
            }
        }
        results.files = kept.files;
        Ok(results)
    }

    pub(super) fn has(&self, row: usize) -> bool {
        self.answers.contains_key(&row)
    }

    pub(super) fn count(&self) -> u64 {
        self.answers.len() as u64
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    pub(super) fn add(&mut self, answer: Answered) {
        self.failed += u64::from(answer.error.is_some());
        self.fresh.push(answer.clone());
        self.answers.insert(answer.row, answer);
    }

    /// Makes the new answers durable.
    pub(super) async fn save(&mut self, context: &TaskContext) -> Result<(), TaskError> {
        let mut lines = Vec::new();
        for answer in self.fresh.drain(..) {
            let line = serde_json::to_vec(&answer)
                .map_err(|error| TaskError::bug("an answer cannot be kept").because(error))?;
            lines.extend(line);
            lines.push(b'\n');
        }
        let prefix = format!("{}/answers", context.prefix());
        if self.files.last().is_none_or(|(last, _)| *last != prefix) {
            self.files.push((prefix.clone(), 0));
        }
        let number = self.files.last().map_or(0, |(_, count)| *count);
        let kept = context
            .artifacts
            .put(&key(&prefix, number), lines.into())
            .await;
        kept.map_err(|error| {
            TaskError::external("cannot keep the answers in the artifact store").because(error)
        })?;
        if let Some((_, count)) = self.files.last_mut() {
            *count += 1;
        }
        context
            .checkpoint
            .save(&json!({"redo": self.redo, "files": self.files}))
            .await
    }

    /// Too many rows have failed.
    pub(super) fn failure(&self, allowed: u64) -> TaskError {
        let failed = || {
            self.answers
                .values()
                .filter(|answer| answer.error.is_some())
        };
        let first = failed().next();
        let (row, error) = first.map_or((0, ""), |first| {
            (first.row + 1, first.error.as_deref().unwrap_or_default())
        });
        let mut message = format!("{} failed", count(self.failed, "row"));
        if allowed > 0 {
            message = format!("{message}, more than {allowed}");
        }
        let lines: Vec<String> = failed()
            .map(|answer| json!(answer).to_string() + "\n")
            .collect();
        let artifact = Artifact {
            name: "failed_rows.json".to_owned(),
            media_type: "application/x-ndjson".to_owned(),
            content: lines.concat().into(),
            path: None,
        };
        TaskError::external(format!("{message}; row {row}: {}", shortened(error, 400)))
            .hint("`max_failures` says how many may; rows that were answered are not sent again by `retry`")
            .with_evidence(Evidence {
                artifacts: vec![artifact],
                ..Evidence::default()
            })
    }

    /// What is to be said of rows that have failed although as many may.
    fn warning(&self) -> Option<String> {
        let failed = self
            .answers
            .values()
            .filter(|answer| answer.error.is_some());
        let (failed, all) = (failed.count(), self.answers.len());
        let have = if failed == 1 { "has" } else { "have" };
        (failed > 0)
            .then(|| format!("{failed} of {all} calls {have} failed: see the column `error`"))
    }

    /// The dataset: the kept columns of the rows, then the answers.
    pub(super) fn output(
        self,
        rows: Option<&DataFrame>,
        kept: &[String],
        height: usize,
    ) -> Result<Output, TaskError> {
        let failed = |error: PolarsError| polars_error("put the answers together", &error);
        let mut columns: Vec<Column> = Vec::new();
        if let Some(rows) = rows {
            columns.extend(rows.select(kept).map_err(failed)?.columns().iter().cloned());
        }
        let answers: Vec<&Answered> = self.answers.values().collect();
        columns.push(Column::new(
            "status".into(),
            answers
                .iter()
                .map(|answer| answer.status.map(i64::from))
                .collect::<Vec<_>>(),
        ));
        columns.push(Column::new(
            "body".into(),
            answers
                .iter()
                .map(|answer| answer.body.as_deref())
                .collect::<Vec<_>>(),
        ));
        columns.push(Column::new(
            "error".into(),
            answers
                .iter()
                .map(|answer| answer.error.as_deref())
                .collect::<Vec<_>>(),
        ));
        // Maps within a value become text here: a value is one column.
        let flat = |value: &Value| {
            if value.is_object() {
                Value::String(value.to_string())
            } else {
                value.clone()
            }
        };
        let names: Vec<String> = answers
            .iter()
            .find(|answer| !answer.values.is_empty())
            .map(|answer| answer.values.keys().cloned().collect())
            .unwrap_or_default();
        if !names.is_empty() {
            let mut records = Records::default();
            let row = |answer: &&Answered| {
                Value::Object(
                    names
                        .iter()
                        .map(|name| {
                            (
                                name.clone(),
                                answer.values.get(name).map(flat).unwrap_or_default(),
                            )
                        })
                        .collect(),
                )
            };
            records.add((0, 0), answers.iter().map(row).collect(), &[])?;
            for column in records.table()?.columns() {
                let unknown = *column.dtype() == UNKNOWN;
                columns.push(if unknown {
                    column.cast(&DataType::String).map_err(failed)?
                } else {
                    column.clone()
                });
            }
        }
        let (all, lost) = (self.count(), self.failed);
        let frame = DataFrame::new(height, columns).map_err(failed)?;
        let mut output = Output::table(Dataset::from_frame(frame))
            .value("succeeded", all - lost)
            .value("failed", lost);
        output.warnings.extend(self.warning());
        Ok(output)
    }
}
