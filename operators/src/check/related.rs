//! Rules that look at more than the table: at another dataset, or at earlier runs.

use std::collections::BTreeMap;

use pipectl_engine::operator::{PastOutcome, TaskError};
use pipectl_models::drift::{Choice, ColumnDrift, DriftSettings, drift};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    expectations::Severity,
    rules::{Broken, Table},
};
use crate::support::{
    drift::TestName,
    keys::{NONE, column, columns, keys},
    model::model_error,
    settings::Names,
    text::{count as counted, hint_for_name, list, thousands},
    values::missing,
};

/// Columns whose values have to be found in another dataset. A row that lacks one of them breaks nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForeignKey {
    /// The columns, one or several.
    pub(super) columns: Names,
    /// The dataset, by its name in `from:`.
    pub(super) to: String,
    /// What the columns are called there, when these are other names.
    #[serde(default)]
    pub(super) key: Names,
    /// What it does when it is broken.
    pub(super) severity: Option<Severity>,
}

impl ForeignKey {
    /// The rule's name.
    pub(super) fn name(&self) -> String {
        format!("{} in {}", self.columns.0.join(", "), self.to)
    }
}

/// Columns that have to be distributed as in a reference, by the tests of `report: drift`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Distribution {
    /// The dataset with the reference, by its name in `from:`.
    pub(super) reference: String,
    /// The columns.
    #[schemars(extend("minItems" = 1))]
    pub(super) columns: Vec<String>,
    /// Tests for single columns, instead of the one that fits their size and kind.
    #[serde(default)]
    pub(super) tests: BTreeMap<String, TestName>,
    /// From which score on a column breaks the rule: a distance from which, or a p-value below which. That of the test
    /// when it is left out: 0.1 for distances, 0.05 for p-values.
    pub(super) threshold: Option<f64>,
    /// What it does when it is broken.
    pub(super) severity: Option<Severity>,
}

/// How far the number of rows may be from what it was: from the median of the last successes of this task.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RowChange {
    /// At most this share fewer: 0.2 for a fifth.
    pub(super) less: Option<f64>,
    /// At most this share more: 1 for twice as many.
    pub(super) more: Option<f64>,
    /// How many successes are looked at; while there is none, the rule is kept.
    #[serde(default = "week")]
    #[schemars(range(min = 1, max = 1000))]
    pub(super) runs: u32,
}

fn week() -> u32 {
    7
}

/// The datasets beside the table, by name.
pub(super) type Others = [(String, DataFrame)];

/// The dataset called `name` among the others.
fn other<'a>(others: &'a Others, name: &str) -> Result<&'a DataFrame, TaskError> {
    let found = others.iter().find(|(other, _)| other == name);
    found.map(|(_, frame)| frame).ok_or_else(|| {
        let known = others.iter().map(|(name, _)| name.as_str());
        TaskError::user(format!(
            "there is no dataset `{name}` beside the one that is checked"
        ))
        .hint(format!(
            "name it in `from:` after the table that is checked; {}",
            hint_for_name(name, "the others are", known)
        ))
    })
}

impl Table<'_> {
    pub(super) fn foreign_key(
        &self,
        rule: &ForeignKey,
        others: &Others,
        severity: Severity,
    ) -> Result<Option<Broken>, TaskError> {
        let target = other(others, &rule.to)?;
        let key = if rule.key.0.is_empty() {
            &rule.columns.0
        } else {
            &rule.key.0
        };
        let both = columns(self.name, self.frame, &rule.columns.0)
            .and_then(|own| Ok((own, columns(&rule.to, target, key)?)));
        let (own, theirs) = match both {
            Ok(both) => both,
            Err(error) => return Self::misfit(&rule.name(), error, severity).map(Some),
        };
        let found = keys(&theirs, &own, [target.height(), self.frame.height()]).map_err(|error| {
            TaskError::user(format!(
                "`{}` of `{}` cannot be looked up in `{}`: {}",
                rule.columns.0.join("`, `"),
                self.name,
                rule.to,
                error
                    .message
                    .replace("on the left", "there")
                    .replace("on the right", "here")
            ))
        });
        let found = match found {
            Ok(found) => found,
            Err(error) => return Self::misfit(&rule.name(), error, severity).map(Some),
        };
        let lacking: Vec<Vec<bool>> = own.iter().map(|column| missing(column)).collect();
        let rows = found.right.iter().zip(0..).filter(|(number, row)| {
            let complete = lacking.iter().all(|lacking| !lacking[*row as usize]);
            **number == NONE && complete
        });
        let what = format!(
            "{} that `{}` does not have",
            list(rule.columns.0.iter().map(String::as_str)),
            rule.to
        );
        Ok(self.of_rows(
            &rule.name(),
            &what,
            own.first().copied(),
            rows.map(|(_, row)| row).collect(),
            severity,
        ))
    }

    pub(super) fn distribution(
        &self,
        rule: &Distribution,
        others: &Others,
        severity: Severity,
    ) -> Result<Vec<Broken>, TaskError> {
        let reference = other(others, &rule.reference)?;
        let mut broken = Vec::new();
        let mut there = Vec::new();
        for name in &rule.columns {
            let both = column(self.name, self.frame, name)
                .and_then(|_| column(&rule.reference, reference, name));
            match both {
                Ok(_) => there.push(name.clone()),
                Err(error) => {
                    broken.push(Self::misfit(
                        &format!("{name} distribution"),
                        error,
                        severity,
                    )?);
                }
            }
        }
        if there.is_empty() {
            return Ok(broken);
        }
        let select = |name: &str, frame: &DataFrame| {
            let columns = columns(name, frame, &there)?;
            DataFrame::new(frame.height(), columns.into_iter().cloned().collect()).map_err(
                |error| TaskError::bug("columns of one table differ in length").because(error),
            )
        };
        let (then, now) = (
            select(&rule.reference, reference)?,
            select(self.name, self.frame)?,
        );
        let choice = |name: &String| Choice {
            test: rule.tests.get(name).map(|test| test.test()),
            threshold: rule.threshold,
        };
        let settings = DriftSettings {
            columns: there
                .iter()
                .map(|name| (name.clone(), choice(name)))
                .collect(),
            ..DriftSettings::default()
        };
        let report = drift(&then, &now, &settings).map_err(model_error)?;
        for column in report.all() {
            if let Some(message) = self.drifted(rule, column) {
                let name = format!("{} distribution", column.name);
                broken.push(Broken::of_table(&name, message, severity));
            }
        }
        Ok(broken)
    }

    /// What is wrong with a column's distribution, if anything is.
    fn drifted(&self, rule: &Distribution, column: &ColumnDrift) -> Option<String> {
        let (name, table) = (&column.name, self.name);
        if !column.drifted {
            return None;
        }
        let parts = column.test.zip(column.score).zip(column.threshold);
        let Some(((test, score), threshold)) = parts else {
            let why = column.note.as_deref().unwrap_or("it cannot be compared");
            return Some(format!(
                "`{name}` of `{table}` is not distributed as in `{}`: {why}",
                rule.reference
            ));
        };
        let relation = if test.is_p_value() {
            "at least"
        } else {
            "less than"
        };
        Some(format!(
            "`{name}` of `{table}` is not distributed as in `{}`: {} {score:.4}, {relation} {threshold} is allowed",
            rule.reference,
            test.title()
        ))
    }

    /// Whether the number of rows is near that of earlier runs.
    pub(super) fn row_change(
        &self,
        rule: RowChange,
        past: &[PastOutcome],
        severity: Severity,
    ) -> Option<Broken> {
        let usual = median(
            past.iter()
                .filter_map(|outcome| outcome.metrics.get("rows").copied()),
        )?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of rows is far below 2^53"
        )]
        let now = self.frame.height() as f64;
        let (least, most) = (
            rule.less.map(|less| usual * (1.0 - less)),
            rule.more.map(|more| usual * (1.0 + more)),
        );
        let few = least.is_some_and(|least| now < least);
        if !few && most.is_none_or(|most| now <= most) {
            return None;
        }
        let word = if few { "fewer" } else { "more" };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of rows"
        )]
        let usual = usual.round() as u64;
        let message = format!(
            "`{}` has {}, too many {word} than usual: {} is the median of the last {}",
            self.name,
            counted(self.frame.height() as u64, "row"),
            thousands(usual),
            counted(past.len() as u64, "run")
        );
        let message = message
            .replace("too many fewer", "far fewer")
            .replace("too many more", "far more");
        Some(Broken::of_table("rows change", message, severity))
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => values.get(middle).copied(),
        _ => Some(f64::midpoint(
            *values.get(middle - 1)?,
            *values.get(middle)?,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([3.0, 1.0, 9.0].into_iter()), Some(3.0));
        assert_eq!(median([4.0, 1.0, 9.0, 2.0].into_iter()), Some(3.0));
    }
}
