//! The rules for one column.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;
use serde_json::Value;

use super::{
    expectations::{ColumnRules, Severity},
    rules::{Broken, Table, indices},
};
use crate::support::{
    iso::converted,
    settings::{ColumnType, type_name},
    text::{count as counted, hint_for_name, shortened},
};

/// A rule that one expression decides: its name, what broken rows have and the expression that is true in them, or why it
/// cannot be looked at.
type Test = (&'static str, Result<(String, Expr), TaskError>);

impl Table<'_> {
    pub(super) fn column(
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
                .map(PlSmallStr::as_str);
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
        for (rule, test) in Self::tests(column, rules) {
            let rule = format!("{name} {rule}");
            match test {
                Ok((what, failing)) => {
                    let rows = self.failing(failing)?;
                    found.extend(self.of_rows(&rule, &what, Some(column), rows, severity));
                }
                Err(error) => found.push(Self::misfit(&rule, error, severity)?),
            }
        }
        if rules.unique {
            let duplicated = self.duplicated(&[name.to_owned()])?;
            let what = format!("a value of `{name}` that occurs more than once");
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

    /// The rules that one expression decides.
    fn tests(column: &Column, rules: &ColumnRules) -> Vec<Test> {
        let name = column.name().as_str();
        let value = || col(PlSmallStr::from_str(name));
        let mut tests = Vec::new();
        if let Some([low, high]) = &rules.between {
            let what = format!("`{name}` outside {}–{}", plain(low), plain(high));
            let bounds = bound(column, low).and_then(|low| Ok((low, bound(column, high)?)));
            let test = bounds.map(|(low, high)| (what, value().lt(low).or(value().gt(high))));
            tests.push(("between", test));
        }
        if let Some(low) = &rules.min {
            let what = format!("`{name}` below {}", plain(low));
            let test = bound(column, low).map(|low| (what, value().lt(low)));
            tests.push(("min", test));
        }
        if let Some(high) = &rules.max {
            let what = format!("`{name}` above {}", plain(high));
            let test = bound(column, high).map(|high| (what, value().gt(high)));
            tests.push(("max", test));
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
                .unwrap_or_else(|| Ok(lit(false)));
            let what = format!("`{name}` not among {}", shortened(&list.join(", "), 80));
            tests.push(("in", kept.map(|kept| (what, kept.not()))));
        }
        tests.extend(text_tests(column, rules));
        tests
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
}

/// The rules for texts.
fn text_tests(column: &Column, rules: &ColumnRules) -> Vec<Test> {
    let name = column.name().as_str();
    let value = || col(PlSmallStr::from_str(name));
    let of_texts = |rule: &str, what: String, failing: Expr| {
        if *column.dtype() == DataType::String {
            return Ok((what, failing));
        }
        let of = type_name(column.dtype());
        Err(TaskError::user(format!(
            "`{name}` is {of}; `{rule}` is for strings"
        )))
    };
    let mut tests: Vec<Test> = Vec::new();
    if let Some(pattern) = &rules.regex {
        let kept = value().str().contains(lit(pattern.as_str()), true);
        let what = format!("`{name}` not matching `{pattern}`");
        tests.push(("regex", of_texts("regex", what, kept.not())));
    }
    if let Some(length) = rules.length {
        let characters = || value().str().len_chars();
        let short = length
            .min
            .map_or(lit(false), |least| characters().lt(lit(least)));
        let long = length
            .max
            .map_or(lit(false), |most| characters().gt(lit(most)));
        let what = format!("`{name}` of the wrong length");
        tests.push(("length", of_texts("length", what, short.or(long))));
    }
    tests
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share of rows is only shown and compared"
)]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
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
            let text = StringChunked::from_slice("bound".into(), &[text.as_str()]);
            converted(&text, of).ok()
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
pub(super) fn is(have: &DataType, want: ColumnType) -> bool {
    match want {
        ColumnType::Integer => have.is_integer(),
        ColumnType::Number => have.is_numeric(),
        ColumnType::String => matches!(have, DataType::String | DataType::Categorical(_, _)),
        ColumnType::Datetime => matches!(have, DataType::Datetime(_, None)),
        ColumnType::Timestamp => matches!(have, DataType::Datetime(_, Some(_))),
        other => *have == other.polars(),
    }
}
