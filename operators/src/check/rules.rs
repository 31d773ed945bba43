//! Looks which rules a table breaks, and by which rows.

use pipectl_engine::{
    operator::{SqlText, TaskError},
    time::{Timestamp, human_duration},
};
use polars::prelude::*;
use serde_json::Value;

use super::expectations::{ColumnRules, Config, RowCount, Severity, SqlRule};
use crate::support::{
    frame::polars_error,
    polars_sql,
    settings::{ColumnType, type_name},
    text::{count as counted, hint_for_name, shortened},
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
    fn of_table(rule: &str, message: String, severity: Severity) -> Self {
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

/// How many rules there are.
pub(super) fn count(config: &Config) -> usize {
    let of_column = |rules: &ColumnRules| {
        let rules = [
            rules.of.is_some(),
            rules.not_null,
            rules.null_share.is_some(),
            rules.unique,
            rules.between.is_some(),
            rules.min.is_some(),
            rules.max.is_some(),
            rules.one_of.is_some(),
            rules.regex.is_some(),
            rules.length.is_some(),
        ];
        rules
            .into_iter()
            .filter(|is_there| *is_there)
            .count()
            .max(1)
    };
    config.columns.values().map(of_column).sum::<usize>()
        + config.unique.len()
        + config.sql.len()
        + usize::from(config.rows.is_some())
        + usize::from(config.freshness.is_some())
}

/// The rules that `frame`, called `name`, breaks.
///
/// # Errors
/// When a rule does not fit the table at all.
pub(super) fn broken(
    config: &Config,
    name: &str,
    frame: &DataFrame,
    now: Timestamp,
) -> Result<Vec<Broken>, TaskError> {
    let mut found = Vec::new();
    let table = Table { name, frame };
    found.extend(
        config
            .rows
            .and_then(|rows| table.rows(rows, rows.severity.unwrap_or(config.severity))),
    );
    for (column, rules) in &config.columns {
        table.column(
            column,
            rules,
            rules.severity.unwrap_or(config.severity),
            &mut found,
        )?;
    }
    for columns in &config.unique {
        found.extend(table.unique(columns, config.severity)?);
    }
    if let Some(rule) = &config.freshness {
        let severity = rule.severity.unwrap_or(config.severity);
        found.extend(table.fresh(&rule.column, rule.max_age.0, now, severity)?);
    }
    for rule in &config.sql {
        found.extend(table.sql(rule, rule.severity.unwrap_or(config.severity))?);
    }
    Ok(found)
}

struct Table<'a> {
    name: &'a str,
    frame: &'a DataFrame,
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

    fn column(
        &self,
        name: &str,
        rules: &ColumnRules,
        severity: Severity,
        found: &mut Vec<Broken>,
    ) -> Result<(), TaskError> {
        let Ok(column) = self.frame.column(name) else {
            let known = self
                .frame
                .get_column_names()
                .into_iter()
                .map(|name| name.as_str());
            let mut broken = Broken::of_table(
                name,
                format!("`{}` has no column `{name}`", self.name),
                severity,
            );
            broken.hint = Some(hint_for_name(name, "its columns are", known));
            found.push(broken);
            return Ok(());
        };
        if let Some(of) = rules.of
            && !is(column.dtype(), of)
        {
            let message = format!(
                "`{name}` of `{}` is {}, not {}",
                self.name,
                type_name(column.dtype()),
                type_name(&of.polars())
            );
            found.push(Broken::of_table(&format!("{name} type"), message, severity));
        }
        for (rule, what, failing) in self.tests(column, rules)? {
            let rows = self.failing(failing)?;
            found.extend(self.of_rows(
                &format!("{name} {rule}"),
                &what,
                Some(column),
                rows,
                severity,
            ));
        }
        if rules.unique {
            let duplicated = self.duplicated(&[name.to_owned()])?;
            let what = format!("an `{name}` that occurs more than once");
            found.extend(self.of_rows(
                &format!("{name} unique"),
                &what,
                Some(column),
                duplicated,
                severity,
            ));
        }
        found.extend(self.nulls(column, rules, severity));
        Ok(())
    }

    /// The rules that one expression decides: name, what broken rows have, and the expression that is true in them.
    fn tests(
        &self,
        column: &Column,
        rules: &ColumnRules,
    ) -> Result<Vec<(&'static str, String, Expr)>, TaskError> {
        let name = column.name().as_str();
        let value = || col(PlSmallStr::from_str(name));
        let mut tests = Vec::new();
        if let Some([low, high]) = &rules.between {
            let failing = value()
                .lt(bound(column, low)?)
                .or(value().gt(bound(column, high)?));
            tests.push((
                "between",
                format!("`{name}` outside {}–{}", plain(low), plain(high)),
                failing,
            ));
        }
        if let Some(low) = &rules.min {
            tests.push((
                "min",
                format!("`{name}` below {}", plain(low)),
                value().lt(bound(column, low)?),
            ));
        }
        if let Some(high) = &rules.max {
            tests.push((
                "max",
                format!("`{name}` above {}", plain(high)),
                value().gt(bound(column, high)?),
            ));
        }
        if let Some(allowed) = &rules.one_of {
            let list: Vec<_> = allowed
                .iter()
                .map(|value| format!("`{}`", plain(value)))
                .collect();
            let kept = allowed
                .iter()
                .map(|allowed| Ok(value().eq(bound(column, allowed)?)))
                .reduce(|left: Result<Expr, TaskError>, right| Ok(left?.or(right?)))
                .unwrap_or_else(|| Ok(lit(false)))?;
            tests.push((
                "in",
                format!("`{name}` not among {}", shortened(&list.join(", "), 80)),
                kept.not(),
            ));
        }
        if (rules.regex.is_some() || rules.length.is_some()) && *column.dtype() != DataType::String
        {
            let of = type_name(column.dtype());
            return Err(TaskError::user(format!(
                "`{name}` is {of}; `regex` and `length` are for strings"
            )));
        }
        if let Some(pattern) = &rules.regex {
            let kept = value().str().contains(lit(pattern.as_str()), true);
            tests.push((
                "regex",
                format!("`{name}` not matching `{pattern}`"),
                kept.not(),
            ));
        }
        if let Some(length) = rules.length {
            let characters = || value().str().len_chars();
            let short = length
                .min
                .map_or(lit(false), |least| characters().lt(lit(least)));
            let long = length
                .max
                .map_or(lit(false), |most| characters().gt(lit(most)));
            tests.push((
                "length",
                format!("`{name}` of the wrong length"),
                short.or(long),
            ));
        }
        Ok(tests)
    }

    fn nulls(&self, column: &Column, rules: &ColumnRules, severity: Severity) -> Option<Broken> {
        let name = column.name();
        let nulls = column.null_count();
        if nulls == 0 {
            return None;
        }
        let rows = indices(&column.is_null());
        let first = rows.first().map_or(0, |row| row + 1);
        if rules.not_null {
            let (verb, counted) = (
                if nulls == 1 { "has" } else { "have" },
                counted(nulls as u64, "row"),
            );
            let message = format!(
                "{counted} of `{}` {verb} no `{name}` (row {first})",
                self.name
            );
            return Some(Broken {
                rows,
                ..Broken::of_table(&format!("{name} not_null"), message, severity)
            });
        }
        let most = rules.null_share?.max;
        let share = share(nulls, self.frame.height());
        (share > most).then(|| {
            let message = format!(
                "{:.1} % of `{}` have no `{name}`, {:.1} % may (row {first})",
                share * 100.0,
                self.name,
                most * 100.0
            );
            Broken {
                rows,
                ..Broken::of_table(&format!("{name} null_share"), message, severity)
            }
        })
    }

    fn unique(&self, columns: &[String], severity: Severity) -> Result<Option<Broken>, TaskError> {
        let rows = self.duplicated(columns)?;
        let list: Vec<_> = columns.iter().map(|column| format!("`{column}`")).collect();
        let (rule, what) = (
            format!("unique {}", columns.join(", ")),
            format!("the same {} as another row", list.join(" and ")),
        );
        let shown = columns
            .first()
            .and_then(|column| self.frame.column(column).ok());
        Ok(self.of_rows(&rule, &what, shown, rows, severity))
    }

    /// The rows whose values in `columns` occur more than once; rows that lack one of them are left out.
    fn duplicated(&self, columns: &[String]) -> Result<Vec<IdxSize>, TaskError> {
        if let Some(unknown) = columns
            .iter()
            .find(|column| self.frame.column(column).is_err())
        {
            let known = self
                .frame
                .get_column_names()
                .into_iter()
                .map(|name| name.as_str());
            return Err(
                TaskError::user(format!("`{}` has no column `{unknown}`", self.name))
                    .hint(hint_for_name(unknown, "its columns are", known)),
            );
        }
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
        let column = self.frame.column(name).map_err(fail)?;
        if !matches!(column.dtype(), DataType::Date | DataType::Datetime(_, _)) {
            let of = type_name(column.dtype());
            return Err(TaskError::user(format!(
                "`{name}` is {of}; freshness needs dates or times"
            )));
        }
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

    fn sql(&self, rule: &SqlRule, severity: Severity) -> Result<Option<Broken>, TaskError> {
        let named = |mut error: TaskError| {
            error.message = format!("rule `{}`: {}", rule.name, error.message);
            error
        };
        if let Some(expression) = &rule.expression {
            let rows = self.breaking(expression).map_err(named)?;
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
        let tables = vec![(self.name.to_owned(), self.frame.clone().lazy())];
        let found = polars_sql::plan(query, tables).map_err(named)?;
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
    fn failing(&self, expression: Expr) -> Result<Vec<IdxSize>, TaskError> {
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

    fn of_rows(
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

#[expect(
    clippy::cast_precision_loss,
    reason = "a share of rows is only shown and compared"
)]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn cell(column: &Column, row: IdxSize) -> String {
    let text = column.get(row as usize).map(|value| match value {
        AnyValue::String(text) => text.to_owned(),
        other => other.to_string(),
    });
    shortened(&text.unwrap_or_default(), 60)
}

fn indices(mask: &BooleanChunked) -> Vec<IdxSize> {
    let rows = mask.iter().zip(0..);
    rows.filter(|(failing, _)| *failing == Some(true))
        .map(|(_, row)| row)
        .collect()
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// A bound as an expression of the column's type.
fn bound(column: &Column, value: &Value) -> Result<Expr, TaskError> {
    let of = column.dtype();
    let fits = match value {
        Value::Number(number) if of.is_numeric() => {
            return Ok(number
                .as_i64()
                .map_or_else(|| lit(number.as_f64().unwrap_or(f64::NAN)), lit));
        }
        Value::Bool(value) if of.is_bool() => return Ok(lit(*value)),
        Value::String(text) if *of == DataType::String => return Ok(lit(text.as_str())),
        Value::String(text) if of.is_temporal() => {
            let text = Column::new("bound".into(), [text.as_str()]);
            text.cast(of).ok().filter(|bound| bound.null_count() == 0)
        }
        _ => None,
    };
    let scalar =
        fits.and_then(|bound| Some(Scalar::new(of.clone(), bound.get(0).ok()?.into_static())));
    scalar.map(lit).ok_or_else(|| {
        TaskError::user(format!("`{}` is {} and cannot be compared with {}", column.name(), type_name(of), plain(value)))
            .hint("write a number for numbers, a text such as `2026-03-01` for dates; or change the column's type before")
    })
}

/// Whether a column's type is what a rule calls it.
fn is(have: &DataType, want: ColumnType) -> bool {
    match want {
        ColumnType::Integer => have.is_integer(),
        ColumnType::Number => have.is_numeric(),
        ColumnType::String => matches!(have, DataType::String | DataType::Categorical(_, _)),
        ColumnType::Datetime => matches!(have, DataType::Datetime(_, None)),
        ColumnType::Timestamp => matches!(have, DataType::Datetime(_, Some(_))),
        other => *have == other.polars(),
    }
}
