//! Looks which rules a table breaks, and by which rows.

use pipectl_engine::{
    operator::{Fault, PastOutcome, SqlText, TaskError},
    time::{Timestamp, human_duration},
};
use polars::prelude::*;

use super::expectations::{Config, RowCount, Severity, SqlRule};
use crate::support::{
    frame::polars_error,
    keys, polars_sql,
    settings::type_name,
    text::{count as counted, shortened},
};

/// A rule that is broken.
#[derive(Debug)]
pub(super) struct Broken {
    /// Its name, as in `tenure between`.
    pub(super) rule: String,
    /// What is wrong, for people.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: Option<String>,
    /// What it does.
    pub(super) severity: Severity,
    /// The rows of the table that break it, counted from 0.
    pub(super) rows: Vec<IdxSize>,
    /// Rows that are not the table's own, but a query's.
    pub(super) found: Option<DataFrame>,
}

impl Broken {
    pub(super) fn of_table(rule: &str, message: String, severity: Severity) -> Self {
        Self {
            rule: rule.to_owned(),
            message,
            hint: None,
            severity,
            rows: Vec::new(),
            found: None,
        }
    }
}

/// What rules look at beside the table.
pub(super) struct Surroundings {
    /// The other datasets.
    pub(super) others: Vec<(String, DataFrame)>,
    /// The last successes of the task.
    pub(super) past: Vec<PastOutcome>,
    /// The present moment.
    pub(super) now: Timestamp,
}

/// The rules that `frame`, called `name`, breaks.
///
/// # Errors
/// When a rule does not fit the table at all.
pub(super) fn broken(
    config: &Config,
    name: &str,
    frame: &DataFrame,
    beside: &Surroundings,
) -> Result<Vec<Broken>, TaskError> {
    let or = |severity: Option<Severity>| severity.unwrap_or(config.severity);
    let mut found = Vec::new();
    let table = Table { name, frame };
    if let Some(rows) = config.rows {
        found.extend(table.rows(rows, or(rows.severity)));
        let change = rows.change;
        found.extend(
            change.and_then(|rule| table.row_change(rule, &beside.past, or(rows.severity))),
        );
    }
    for (column, rules) in &config.columns {
        table.column(column, rules, or(rules.severity), &mut found)?;
    }
    for rule in &config.unique {
        found.extend(table.unique(&rule.columns, or(rule.severity))?);
    }
    for rule in &config.foreign_keys {
        found.extend(table.foreign_key(rule, &beside.others, or(rule.severity))?);
    }
    for rule in &config.distribution {
        found.extend(table.distribution(rule, &beside.others, or(rule.severity))?);
    }
    if let Some(rule) = &config.freshness {
        let max_age = rule.max_age.0;
        found.extend(table.fresh(&rule.column, max_age, beside.now, or(rule.severity))?);
    }
    for rule in &config.sql {
        found.extend(table.sql(rule, &beside.others, or(rule.severity))?);
    }
    Ok(found)
}

/// The table that is looked at.
pub(super) struct Table<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its rows.
    pub(super) frame: &'a DataFrame,
}

impl Table<'_> {
    fn rows(&self, rule: RowCount, severity: Severity) -> Option<Broken> {
        let rows = self.frame.height() as u64;
        let [low, high] = rule
            .between
            .map_or([None, None], |[low, high]| [Some(low), Some(high)]);
        let too_few = [rule.min, low]
            .into_iter()
            .flatten()
            .find(|least| rows < *least);
        let too_many = [rule.max, high]
            .into_iter()
            .flatten()
            .find(|most| rows > *most);
        let what = match (too_few, too_many) {
            (Some(least), _) => format!("fewer than {least}"),
            (None, Some(most)) => format!("more than {most}"),
            (None, None) => return None,
        };
        let message = format!("`{}` has {}, {what}", self.name, counted(rows, "row"));
        Some(Broken::of_table("rows", message, severity))
    }

    /// A rule that cannot be looked at, because the table is another than it was made for, is broken.
    pub(super) fn misfit(
        rule: &str,
        error: TaskError,
        severity: Severity,
    ) -> Result<Broken, TaskError> {
        if error.fault != Fault::User {
            return Err(error);
        }
        Ok(Broken {
            hint: error.hint.clone(),
            ..Broken::of_table(rule, error.full_message(), severity)
        })
    }

    fn unique(&self, columns: &[String], severity: Severity) -> Result<Option<Broken>, TaskError> {
        let rule = format!("unique {}", columns.join(", "));
        if let Err(error) = keys::columns(self.name, self.frame, columns) {
            return Self::misfit(&rule, error, severity).map(Some);
        }
        let rows = self.duplicated(columns)?;
        let list: Vec<_> = columns.iter().map(|column| format!("`{column}`")).collect();
        let what = format!("the same {} as another row", list.join(" and "));
        let shown = columns
            .first()
            .and_then(|column| self.frame.column(column).ok());
        Ok(self.of_rows(&rule, &what, shown, rows, severity))
    }

    /// The rows whose values in `columns` occur more than once; rows that lack one of them are left out.
    pub(super) fn duplicated(&self, columns: &[String]) -> Result<Vec<IdxSize>, TaskError> {
        let fail = |error: PolarsError| polars_error("look for duplicates", &error);
        let part = self.frame.select(columns).map_err(fail)?;
        let mut mask = part.is_duplicated().map_err(fail)?;
        for column in part.columns() {
            mask = &mask & &column.is_not_null();
        }
        Ok(indices(&mask))
    }

    fn fresh(
        &self,
        name: &str,
        max_age: std::time::Duration,
        now: Timestamp,
        severity: Severity,
    ) -> Result<Option<Broken>, TaskError> {
        let fail = |error: PolarsError| {
            polars_error(&format!("look how fresh `{}` is", self.name), &error)
        };
        let found = keys::column(self.name, self.frame, name).and_then(|column| {
            if matches!(column.dtype(), DataType::Date | DataType::Datetime(_, _)) {
                return Ok(column);
            }
            let of = type_name(column.dtype());
            Err(
                TaskError::user(format!("`{name}` is {of}; freshness needs dates or times"))
                    .hint(format!("declare it where it is read, as in `types: {{{name}: date}}`; or cast it in a `transform: sql`")),
            )
        });
        let column = match found {
            Ok(column) => column,
            Err(error) => return Self::misfit("freshness", error, severity).map(Some),
        };
        let newest = column
            .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
            .map_err(fail)?;
        let newest = newest
            .datetime()
            .map_err(fail)?
            .phys
            .max()
            .and_then(Timestamp::from_timestamp_micros);
        let message = match newest {
            None => format!("no row of `{}` has a `{name}`", self.name),
            Some(newest) => {
                let age = (now - newest).to_std().unwrap_or_default();
                if age <= max_age {
                    return Ok(None);
                }
                format!(
                    "the newest `{name}` of `{}` is {newest}, {} ago; at most {} is allowed",
                    self.name,
                    human_duration(age),
                    human_duration(max_age)
                )
            }
        };
        Ok(Some(Broken::of_table("freshness", message, severity)))
    }

    fn sql(
        &self,
        rule: &SqlRule,
        others: &[(String, DataFrame)],
        severity: Severity,
    ) -> Result<Option<Broken>, TaskError> {
        let named = |mut error: TaskError| {
            error.message = format!("rule `{}`: {}", rule.name, error.message);
            error
        };
        if let Some(expression) = &rule.expression {
            let rows = match self.breaking(expression).map_err(named) {
                Ok(rows) => rows,
                Err(error) => return lacking(&rule.name, error, severity).map(Some),
            };
            let first = rows.first().map_or(0, |row| row + 1);
            let verb = if rows.len() == 1 { "breaks" } else { "break" };
            let counted = counted(rows.len() as u64, "row");
            let message = format!(
                "{counted} of `{}` {verb} `{}` (row {first})",
                self.name, rule.name
            );
            return Ok((!rows.is_empty()).then(|| Broken {
                rows,
                ..Broken::of_table(&rule.name, message, severity)
            }));
        }
        let Some(query) = &rule.query else {
            return Ok(None);
        };
        let own = [(self.name, self.frame)].into_iter();
        let all = own.chain(others.iter().map(|(name, frame)| (name.as_str(), frame)));
        let tables = all.map(|(name, frame)| (name.to_owned(), frame.clone().lazy()));
        let found = match polars_sql::plan(query, tables.collect()).map_err(named) {
            Ok(found) => found,
            Err(error) => return lacking(&rule.name, error, severity).map(Some),
        };
        let found = found
            .collect()
            .map_err(|error| named(polars_error("run the query", &error)))?;
        if found.height() == 0 {
            return Ok(None);
        }
        let verb = if found.height() == 1 {
            "breaks"
        } else {
            "break"
        };
        let message = format!(
            "{} {verb} `{}`",
            counted(found.height() as u64, "row"),
            rule.name
        );
        Ok(Some(Broken {
            found: Some(found),
            ..Broken::of_table(&rule.name, message, severity)
        }))
    }

    /// The rows in which an expression is false.
    fn breaking(&self, expression: &SqlText) -> Result<Vec<IdxSize>, TaskError> {
        polars_sql::parse_expression(&expression.sql)?;
        // The expression comes first, so that places in messages are those of the expression.
        let start = "select ";
        let query = SqlText {
            sql: format!("{start}{}\nas kept from \"{}\"", expression.sql, self.name),
            values: expression.values.clone(),
        };
        let tables = vec![(self.name.to_owned(), self.frame.clone().lazy())];
        let kept = polars_sql::plan_at(&query, tables, start.len() as u64)?;
        let kept = kept
            .collect()
            .map_err(|error| polars_error("evaluate the expression", &error))?;
        let kept = kept
            .column("kept")
            .and_then(|kept| kept.cast(&DataType::Boolean));
        let kept = kept.map_err(|error| polars_error("evaluate the expression", &error))?;
        let kept = kept
            .bool()
            .map_err(|error| polars_error("evaluate the expression", &error))?
            .clone();
        Ok(indices(&!&kept))
    }

    /// The rows in which an expression is true.
    pub(super) fn failing(&self, expression: Expr) -> Result<Vec<IdxSize>, TaskError> {
        let fail = |error: PolarsError| polars_error(&format!("check `{}`", self.name), &error);
        let mask = self
            .frame
            .clone()
            .lazy()
            .select([expression.alias("failing")])
            .collect()
            .map_err(fail)?;
        let mask = mask
            .column("failing")
            .and_then(|mask| mask.bool().cloned())
            .map_err(fail)?;
        Ok(indices(&mask))
    }

    pub(super) fn of_rows(
        &self,
        rule: &str,
        what: &str,
        shown: Option<&Column>,
        rows: Vec<IdxSize>,
        severity: Severity,
    ) -> Option<Broken> {
        let first = *rows.first()?;
        let value = shown.map_or_else(String::new, |column| format!(": {}", cell(column, first)));
        let (verb, counted) = (
            if rows.len() == 1 { "has" } else { "have" },
            counted(rows.len() as u64, "row"),
        );
        let message = format!(
            "{counted} of `{}` {verb} {what} (row {}{value})",
            self.name,
            first + 1
        );
        Some(Broken {
            rows,
            ..Broken::of_table(rule, message, severity)
        })
    }
}

/// A rule whose query speaks of a column that the table lacks is broken; any other mistake in it is an error.
fn lacking(rule: &str, error: TaskError, severity: Severity) -> Result<Broken, TaskError> {
    if error.message.contains("there is no column `") {
        Table::misfit(rule, error, severity)
    } else {
        Err(error)
    }
}

fn cell(column: &Column, row: IdxSize) -> String {
    let text = column.get(row as usize).map(|value| match value {
        AnyValue::String(text) => text.to_owned(),
        other => other.to_string(),
    });
    shortened(&text.unwrap_or_default(), 60)
}

/// The rows in which a mask is true.
pub(super) fn indices(mask: &BooleanChunked) -> Vec<IdxSize> {
    let rows = mask.iter().zip(0..);
    rows.filter(|(failing, _)| *failing == Some(true))
        .map(|(_, row)| row)
        .collect()
}
