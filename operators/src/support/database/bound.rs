//! Values for Postgres: as text in settings of the transaction, read where the placeholders were.
//!
//! `COPY` takes no parameters. A value goes to the server as the parameter of `set_config`, and `$1` in the statement
//! becomes `current_setting('pipectl.v1')::type` with the type that the server has found for its place. So a value never
//! stands in a statement, and one way serves reading and running.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use pipectl_engine::operator::{SqlText, TaskError};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Executor, PgConnection, Statement as _, TypeInfo,
    postgres::{PgStatement, PgTypeInfo, types::Oid},
};

/// A statement that the server has looked at.
pub(super) struct Prepared {
    /// What it gives.
    pub(super) statement: PgStatement,
    /// Its text, with the values' places filled.
    pub(super) sql: String,
    values: Vec<Option<String>>,
}

/// Has the server look at a statement.
///
/// # Errors
/// When it is wrong, or a value does not go with its place.
pub(super) async fn prepare(
    session: &mut PgConnection,
    query: &SqlText,
    fail: impl Fn(sqlx::Error) -> TaskError,
) -> Result<Prepared, TaskError> {
    // The statement is the author's; values never stand in it.
    let text = sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(query.sql.clone()));
    let statement = (&mut *session).prepare(text).await.map_err(&fail)?;
    let types = match statement.parameters() {
        Some(sqlx::Either::Left(types)) => types.to_vec(),
        _ => Vec::new(),
    };
    if types.len() > query.values.len() {
        return Err(unbound(query.values.len()));
    }
    if types.is_empty() {
        let sql = query.sql.clone();
        return Ok(Prepared {
            statement,
            sql,
            values: Vec::new(),
        });
    }
    let values = (1..)
        .zip(query.values.iter().zip(&types))
        .map(|(number, (value, of))| text_of(number, value, of))
        .collect::<Result<Vec<_>, _>>()?;
    let names = type_names(session, &types).await.map_err(fail)?;
    let sql = substituted(&query.sql, |number| {
        let place = number.checked_sub(1)?;
        let (value, name) = (values.get(place)?, names.get(place)?);
        Some(match value {
            Some(_) => format!("current_setting('pipectl.v{number}')::{name}"),
            None => format!("null::{name}"),
        })
    });
    Ok(Prepared {
        statement,
        sql,
        values,
    })
}

impl Prepared {
    /// Hands the values over; they are there until the transaction ends.
    pub(super) async fn bind(&self, transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
        for (number, value) in (1..).zip(&self.values) {
            let Some(value) = value else { continue };
            sqlx::query("select set_config($1, $2, true)")
                .bind(format!("pipectl.v{number}"))
                .bind(value)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(())
    }
}

/// A placeholder has no value.
pub(super) fn unbound(values: usize) -> TaskError {
    TaskError::user(format!(
        "the query has a placeholder `${}` without a value",
        values + 1
    ))
    .hint("write the value as `${{ … }}`")
}

/// The types as casts name them.
async fn type_names(
    session: &mut PgConnection,
    types: &[PgTypeInfo],
) -> Result<Vec<String>, sqlx::Error> {
    let numbers: Vec<_> = types.iter().filter_map(PgTypeInfo::oid).collect();
    sqlx::query_scalar(
        "select format_type(t.number, -1) from unnest($1::oid[]) with ordinality as t (number, place) order by t.place",
    )
    .bind::<Vec<Oid>>(numbers)
    .fetch_all(session)
    .await
}

fn text_of(number: usize, value: &Value, of: &PgTypeInfo) -> Result<Option<String>, TaskError> {
    if value.is_null() {
        return Ok(None);
    }
    let wrong = || {
        TaskError::user(format!(
            "value {number} of the query is {value}, where the database wants {}",
            of.name()
        ))
        .hint("cast the placeholder in the query, for example by `cast(${{ … }} as text)`")
    };
    as_text(value, of.name()).map(Some).ok_or_else(wrong)
}

/// A value as Postgres reads it; `None` when it cannot be one of the type.
fn as_text(value: &Value, of: &str) -> Option<String> {
    let integer = || value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let float = || value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let plain = || {
        value
            .as_str()
            .map_or_else(|| value.to_string(), ToOwned::to_owned)
    };
    if let Some(of) = of.strip_suffix("[]") {
        let items = value.as_array()?.iter().map(|item| element(item, of));
        let items = items.collect::<Option<Vec<_>>>()?;
        return Some(format!("{{{}}}", items.join(",")));
    }
    Some(match of {
        "BOOL" => value.as_bool()?.to_string(),
        "INT2" => i16::try_from(integer()?).ok()?.to_string(),
        "INT4" => i32::try_from(integer()?).ok()?.to_string(),
        "INT8" => integer()?.to_string(),
        "FLOAT4" | "FLOAT8" => float()?.to_string(),
        "NUMERIC" => decimal_text(value)?,
        "DATE" => {
            let day = value.as_str()?.get(..10)?.parse::<NaiveDate>().ok()?;
            day.to_string()
        }
        "TIMESTAMP" => moment(value.as_str()?)?.naive_utc().to_string(),
        "TIMESTAMPTZ" => moment(value.as_str()?)?.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        "UUID" => value
            .as_str()?
            .parse::<sqlx::types::Uuid>()
            .ok()?
            .to_string(),
        "JSON" | "JSONB" => value.to_string(),
        // The server knows best what its other types look like.
        _ if value.is_object() || value.is_array() => return None,
        _ => plain(),
    })
}

/// An element of an array: in quotes, whatever it contains.
fn element(item: &Value, of: &str) -> Option<String> {
    if item.is_null() {
        return Some("NULL".to_owned());
    }
    let text = as_text(item, of)?;
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("\"{text}\""))
}

fn decimal_text(value: &Value) -> Option<String> {
    match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => Some(whole.to_string()),
        (None, Some(float)) => Some(float.to_string()),
        (None, None) => {
            let text = value.as_str()?;
            let digits = text.strip_prefix('-').unwrap_or(text);
            let good = digits
                .chars()
                .all(|character| character.is_ascii_digit() || character == '.');
            (good && digits.matches('.').count() <= 1 && !digits.is_empty())
                .then(|| text.to_owned())
        }
    }
}

/// A moment in any of the forms that expressions give: RFC 3339, without a zone (UTC), or a day.
pub(super) fn moment(text: &str) -> Option<DateTime<Utc>> {
    let with_zone = DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|moment| moment.to_utc());
    let without = || {
        let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
        forms
            .into_iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
    };
    let day = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    with_zone.or_else(|| without().or_else(day).map(|moment| moment.and_utc()))
}

/// The statement with something else for each `$n`, where that is a placeholder and no text, name or comment.
pub(super) fn substituted(sql: &str, of: impl Fn(usize) -> Option<String>) -> String {
    let mut out = String::with_capacity(sql.len() + 64);
    let mut rest = sql;
    let mut word = false;
    while let Some(letter) = rest.chars().next() {
        let length = if let Some(length) = opaque(rest, word) {
            length
        } else if letter == '$' && !word {
            let behind = rest.get(1..).unwrap_or_default();
            let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
            let number = behind.get(..digits).and_then(|digits| digits.parse().ok());
            if let Some(text) = number.and_then(&of) {
                out.push_str(&text);
                rest = rest.get(1 + digits..).unwrap_or_default();
                continue;
            }
            1
        } else {
            letter.len_utf8()
        };
        let (taken, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        out.push_str(taken);
        word = length == letter.len_utf8()
            && (letter.is_alphanumeric() || letter == '_' || (letter == '$' && word));
        rest = behind;
    }
    out
}

/// The length of the text, name or comment that begins here, if one does.
fn opaque(rest: &str, word: bool) -> Option<usize> {
    let end = |length: Option<usize>| Some(length.unwrap_or(rest.len()));
    let first = rest.chars().next()?;
    match first {
        // `E'…'` knows escapes; the letter is a word of its own.
        'e' | 'E' if !word && rest.get(1..2) == Some("'") => {
            end(quoted(rest.get(2..)?, '\'', true).map(|length| length + 2))
        }
        '\'' | '"' => end(quoted(rest.get(1..)?, first, false).map(|length| length + 1)),
        '-' if rest.starts_with("--") => end(rest.find('\n')),
        '/' if rest.starts_with("/*") => end(comment(rest)),
        '$' if !word => {
            let tag = rest.get(1..)?.find('$').map(|length| length + 2)?;
            let (mark, body) = rest.split_at_checked(tag)?;
            let name = mark.trim_matches('$');
            let is_tag = !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_alphanumeric() || c == '_');
            is_tag.then_some(())?;
            end(body.find(mark).map(|length| length + 2 * tag))
        }
        _ => None,
    }
}

/// Where a quoted text ends, behind its closing quote; a doubled quote is part of it.
fn quoted(text: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if escapes && letter == '\\' {
            letters.next();
        } else if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + 1);
        }
    }
    None
}

/// Where a comment ends; comments lie in one another.
fn comment(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        match (letter, next) {
            ('/', Some('*')) => depth += 1,
            ('*', Some('/')) if depth <= 1 => return Some(at + 2),
            ('*', Some('/')) => depth -= 1,
            _ => continue,
        }
        letters.next();
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_are_filled_and_nothing_else() {
        for (sql, expected) in [
            ("select $1, $2", "select <1>, <2>"),
            ("select $1::text", "select <1>::text"),
            ("select $12", "select $12"),
            ("select a$1", "select a$1"),
            ("select '$1', \"$1\"", "select '$1', \"$1\""),
            ("select 'it''s $1', $1", "select 'it''s $1', <1>"),
            ("select e'\\'$1', $1", "select e'\\'$1', <1>"),
            ("select like'\\', $1", "select like'\\', <1>"),
            ("select 1 -- $1\n, $1", "select 1 -- $1\n, <1>"),
            (
                "select /* /* $1 */ $1 */ $1",
                "select /* /* $1 */ $1 */ <1>",
            ),
            ("select $$a $1$$, $1", "select $$a $1$$, <1>"),
            ("select $t$a $1 $$ $t$, $2", "select $t$a $1 $$ $t$, <2>"),
            ("select 'ä' || $1 || 'ö'", "select 'ä' || <1> || 'ö'"),
            ("where a>$1and b=$2", "where a><1>and b=<2>"),
            ("select '$1", "select '$1"),
        ] {
            let filled = substituted(sql, |number| (number < 3).then(|| format!("<{number}>")));
            assert_eq!(filled, expected);
        }
    }

    #[test]
    fn moments_are_read_in_every_form() {
        for text in [
            "2026-03-01T12:00:00+01:00",
            "2026-03-01T11:00:00",
            "2026-03-01 11:00:00.000",
        ] {
            assert_eq!(
                moment(text).unwrap().to_rfc3339(),
                "2026-03-01T11:00:00+00:00",
                "{text}"
            );
        }
        assert_eq!(
            moment("2026-03-01").unwrap().to_rfc3339(),
            "2026-03-01T00:00:00+00:00"
        );
        assert!(moment("soon").is_none());
    }

    #[test]
    fn values_are_text_that_postgres_reads() {
        for (value, of, text) in [
            (json!("7"), "INT4", Some("7")),
            (json!("x"), "INT4", None),
            (json!(100_000), "INT2", None),
            (
                json!(1e300),
                "FLOAT8",
                Some(&*format!("1{}", "0".repeat(300))),
            ),
            (json!("1.50"), "NUMERIC", Some("1.50")),
            (json!("1; drop"), "NUMERIC", None),
            (
                json!("2026-03-01T00:00:00+01:00"),
                "DATE",
                Some("2026-03-01"),
            ),
            (json!("soon"), "DATE", None),
            (
                json!("2026-03-01T00:00:00+01:00"),
                "TIMESTAMP",
                Some("2026-02-28 23:00:00"),
            ),
            (
                json!("2026-03-01T00:00:00+01:00"),
                "TIMESTAMPTZ",
                Some("2026-02-28T23:00:00Z"),
            ),
            (json!({"a": 1}), "JSONB", Some("{\"a\":1}")),
            (json!({"a": 1}), "POINT", None),
            (json!("(1,2)"), "POINT", Some("(1,2)")),
            (json!([1, null]), "INT4[]", Some("{\"1\",NULL}")),
            (
                json!(["a\"b", "c\\"]),
                "TEXT[]",
                Some("{\"a\\\"b\",\"c\\\\\"}"),
            ),
            (json!(["x"]), "INT4[]", None),
            (json!("x"), "TEXT[]", None),
        ] {
            assert_eq!(as_text(&value, of).as_deref(), text, "{value} {of}");
        }
    }
}
