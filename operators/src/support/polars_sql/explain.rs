//! What is wrong with a query, with its place and what was probably meant.

use std::collections::BTreeSet;

use pipectl_engine::operator::TaskError;
use polars::prelude::{DataType, PolarsError};

use super::{
    functions::unknown,
    parse::{parse, place_of, tables},
};
use crate::support::{
    frame::{polars_error, root},
    text::{hint_for_name, list},
};

/// The tables that a query may read, with their columns.
pub(crate) type Columns = Vec<(String, polars::prelude::SchemaRef)>;

/// polars' complaint about a query, with the place and what was probably meant.
pub(super) fn explain(sql: &str, offset: u64, columns: &Columns, error: &PolarsError) -> TaskError {
    let text = root(error).to_string();
    let unknown_column = matches!(
        root(error),
        PolarsError::ColumnNotFound(_) | PolarsError::SchemaFieldNotFound(_)
    ) || text.contains("unable to find column")
        || text.contains("no column named");
    let Some(name) = unknown_column.then(|| quoted(&text)).flatten() else {
        return ungrouped(sql, offset, &text)
            .or_else(|| not_understood(sql, offset, &text))
            .or_else(|| text_for_a_number(sql, offset, columns, &text))
            .unwrap_or_else(|| of_types(polars_error("run the query", error), &text));
    };
    let known: Vec<_> = read_by(sql, columns).map(|(name, _)| name).collect();
    let grouped = sql.to_lowercase().contains("group by");
    let hint = if known.contains(&name) && grouped {
        GROUPED.to_owned()
    } else if known.contains(&name) {
        format!(
            "it is not there at this point of the query; the columns are {}",
            list(known)
        )
    } else {
        hint_for_name(name, "the columns are", known)
    };
    TaskError::user(format!(
        "{}there is no column `{name}`",
        at(sql, name, offset)
    ))
    .hint(hint)
}

/// A column that is selected although its groups have many values of it.
fn ungrouped(sql: &str, offset: u64, text: &str) -> Option<TaskError> {
    if !text.contains("should participate in the GROUP BY") {
        return None;
    }
    let name = quoted(text)?;
    let message = format!(
        "{}`{name}` has many values in a group, and none of them is chosen",
        at(sql, name, offset)
    );
    let hint = format!(
        "write it behind `group by` too, or take one of them, as in `max({name}) as {name}`"
    );
    Some(TaskError::user(message).hint(hint))
}

/// What to do when types do not fit, which polars says in many ways.
fn of_types(failure: TaskError, text: &str) -> TaskError {
    let words = ["type", "conversion", "cannot compare"];
    if failure.hint.is_some() || !words.iter().any(|word| text.contains(word)) {
        return failure;
    }
    let of_a_moment = |part: &[u8]| matches!(part, [day, b'T', hour, _, b':'] if day.is_ascii_digit() && hour.is_ascii_digit());
    if text.contains("to `date` failed") && text.as_bytes().windows(5).any(of_a_moment) {
        return failure.hint(
            "a moment such as `2026-03-19T00:00:00Z` is no date: `${{ interval.start | date('%F') }}` is the day of one",
        );
    }
    failure.hint(
        "`cast(v as double)` and its like make types equal; `pipectl runs preview` shows those of the inputs",
    )
}

/// What polars says when a text stands where a number is wanted, and how we say it.
const TYPES: [(&str, &str); 6] = [
    (
        "cannot compare string with numeric",
        "it compares text with a number",
    ),
    ("arithmetic on", "it calculates with text"),
    (
        "is_in",
        "it looks for numbers among texts, or for a text among numbers",
    ),
    ("round", "it rounds text"),
    (
        "operation not supported for dtype",
        "it takes text as a number",
    ),
    ("not supported for", "it takes text as a number"),
];

/// A column that is text, where the query takes it for a number: as a table comes in whose values have changed.
pub(super) fn text_for_a_number(
    sql: &str,
    offset: u64,
    columns: &Columns,
    text: &str,
) -> Option<TaskError> {
    let of_text = ["string", "String", "str"];
    let mut words = text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    // Some say what they are not for, others only what they are for.
    if !words.any(|word| of_text.contains(&word)) && !text.contains("numeric types") {
        return None;
    }
    let (polars, ours) = TYPES.iter().find(|(polars, _)| text.contains(polars))?;
    // `sum` and its like are named.
    let function = quoted(text).filter(|_| polars.contains("operation"));
    let what = function.map_or_else(
        || (*ours).to_owned(),
        |function| format!("there is no `{function}` of text"),
    );
    let mut texts: Vec<&str> = read_by(sql, columns)
        .filter(|(name, of)| **of == DataType::String && place_of(sql, name).is_some())
        .map(|(name, _)| name)
        .collect();
    texts.sort_unstable();
    texts.dedup();
    // What the function is called with is meant, where that is to be seen.
    let called = function.map(|function| arguments(sql, function));
    if let Some(called) = called.filter(|called| texts.iter().any(|name| called.contains(name))) {
        texts.retain(|name| called.contains(name));
    }
    let first = *texts.first()?;
    let place = match texts.as_slice() {
        [one] => at(sql, one, offset),
        _ => String::new(),
    };
    let are = if texts.len() == 1 { "is" } else { "are" };
    let hint = format!(
        "{} {are} text: where numbers are meant, say so at the extract, as in `types: {{{first}: number}}`, or write `try_cast({first} as double)`",
        list(texts)
    );
    Some(TaskError::user(format!("cannot run the query: {place}{what}")).hint(hint))
}

/// A column of text that is given to a function of numbers: polars computes nothing from it, and most often does not say so.
///
/// # Errors
/// Names the first one.
pub(super) fn check_numbers(
    calls: &[(String, String)],
    sql: &str,
    offset: u64,
    columns: &Columns,
) -> Result<(), TaskError> {
    let words: Vec<&str> = sql
        .split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    let selects = words
        .iter()
        .filter(|word| word.eq_ignore_ascii_case("select"));
    // What an inner query gives a name may be of another type.
    if selects.count() > 1 {
        return Ok(());
    }
    for (function, name) in calls {
        let is_made = words.windows(2).any(
            |pair| matches!(pair, [before, word] if before.eq_ignore_ascii_case("as") && word == name),
        );
        let mut of = read_by(sql, columns).filter(|(known, _)| known == name);
        let is_text = of.next().is_some_and(|(_, of)| *of == DataType::String)
            && of.all(|(_, of)| *of == DataType::String);
        if is_text && !is_made {
            let place = at(sql, name, offset);
            let message = format!("cannot run the query: {place}there is no `{function}` of text");
            let hint = format!(
                "`{name}` is text: where numbers are meant, say so at the extract, as in `types: {{{name}: number}}`, or write `try_cast({name} as double)`"
            );
            return Err(TaskError::user(message).hint(hint));
        }
    }
    Ok(())
}

/// The words between the parentheses of all calls of a function.
fn arguments<'a>(sql: &'a str, function: &str) -> Vec<&'a str> {
    // polars has names of its own for some.
    let names: &[&str] = if function == "mean" {
        &["avg"]
    } else {
        &[function]
    };
    let lower = sql.to_ascii_lowercase();
    let calls = names
        .iter()
        .flat_map(|name| lower.match_indices(name).map(|(at, name)| at + name.len()));
    let inside = calls.filter_map(|end| {
        let rest = sql.get(end..)?.trim_start().strip_prefix('(')?;
        rest.get(..rest.find(')')?)
    });
    inside
        .flat_map(|text| text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')))
        .filter(|word| !word.is_empty())
        .collect()
}

/// The columns of the tables that a query reads, with their types.
fn read_by<'a>(sql: &str, columns: &'a Columns) -> impl Iterator<Item = (&'a str, &'a DataType)> {
    let read = tables_of(sql);
    let columns = columns
        .iter()
        .filter(move |(table, _)| read.contains(table));
    columns.flat_map(|(_, schema)| schema.iter().map(|(name, of)| (name.as_str(), of)))
}

/// What polars does not know of SQL, in a line: its own text shows the parsed query as its program has it.
fn not_understood(sql: &str, offset: u64, text: &str) -> Option<TaskError> {
    if let Some(function) = text.strip_prefix("unsupported function '") {
        let function = function.trim_end_matches('\'');
        return Some(unknown(function, sql, offset).into());
    }
    let what = match text.split_once([':', '{', '(']) {
        Some((start, dump)) if dump.contains(['{', '[']) && dump.contains("span:") => start.trim(),
        _ => return None,
    };
    let known = [
        ("Tuple", "`(a, b)`"),
        ("Subquery", "a query in parentheses as a value"),
    ];
    let named = known.iter().find(|(word, _)| text.contains(word));
    let named = named.map_or_else(
        || format!("something (\"{what}\")"),
        |(_, named)| (*named).to_owned(),
    );
    let message = format!("the query has {named}, which is not understood here");
    Some(TaskError::user(message).hint(format!("a join says most such things; {LISTED}")))
}

/// What is there behind a `group by`.
pub(super) const GROUPED: &str = "behind a `group by` only its columns and what `select` names are there: name the aggregate with `as`, and \
                       order by that name";
/// Where it stands what is understood.
pub(super) const LISTED: &str = "`pipectl docs sql` lists what is understood";

fn tables_of(sql: &str) -> BTreeSet<String> {
    parse(sql)
        .map(|statement| tables(&statement))
        .unwrap_or_default()
}

/// The first word in quotes of any kind.
fn quoted(text: &str) -> Option<&str> {
    let start = text.find(['"', '\'', '`'])?;
    let quote = text.get(start..)?.chars().next()?;
    let rest = text.get(start + 1..)?;
    rest.get(..rest.find(quote)?)
        .filter(|name| !name.is_empty())
}

/// The place of a word, as the beginning of a message.
pub(super) fn at(sql: &str, word: &str, offset: u64) -> String {
    place_of(sql, word).map_or_else(String::new, |(line, column)| {
        let column = if line == 1 {
            column.saturating_sub(offset)
        } else {
            column
        };
        format!("line {line}, column {column} of the query: ")
    })
}
