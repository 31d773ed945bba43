//! Sends the calls, several at once, and remembers what was answered, so that an attempt that is lost sends only the rest.

use futures::{StreamExt as _, stream};
use pipectl_connections::{Call, HttpClient, Patience, Target};
use pipectl_engine::{
    operator::{Outcome, TaskContext, TaskError},
    spec::{ExpressionError, RowTemplate},
};
use polars::prelude::{AnyValue, DataFrame};
use serde_json::{Map, Value, json};

use super::{
    Config,
    results::{Answered, Results},
};
use crate::support::{
    api::{Method, Statuses, at, headers, query, text_of, with_caller},
    frame::only_input,
};

/// What is sent.
struct Sender<'a> {
    context: &'a TaskContext,
    client: HttpClient,
    /// The path of the address, when it is not the connection's.
    target: Target,
    template: RowTemplate,
    method: Method,
    repeatable: bool,
    statuses: Statuses,
    values: Vec<(String, String)>,
    patience: Patience,
}

/// Sends a call, or one for each row.
pub(super) async fn all(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
    let rows = if context.inputs.is_empty() {
        None
    } else {
        Some(only_input(context).await?.1)
    };
    let (client, target) = config
        .place()
        .open(&context.project, &context.services)
        .await?;
    let template = json!({"path": config.path, "query": config.query, "headers": config.headers, "body": config.body});
    let sender = Sender {
        context,
        client,
        target,
        template: RowTemplate::of(&template).map_err(|error| unresolved(&error, None))?,
        method: config.method,
        repeatable: config.repeatable,
        statuses: config.status.clone(),
        values: config.values.clone().into_iter().collect(),
        patience: Patience {
            timeout: config.answer_within.0,
            retries: config.retries,
            longest_wait: config.longest_wait.0,
            max_bytes: config.max_bytes.0,
        },
    };
    match rows {
        None => sender.once().await,
        Some(rows) => sender.rows(&config, rows).await,
    }
}

impl Sender<'_> {
    async fn once(&self) -> Result<Outcome, TaskError> {
        let call = self.call(&Value::Null, 0, false)?;
        let answer = with_caller(self.context, async |caller| {
            self.client.send(&call, &self.patience, caller).await
        })
        .await?;
        if !self.statuses.have(answer.status) {
            let status = answer.status_text();
            let asked = answer.asked.clone();
            return Err(answer.success().err().unwrap_or_else(|| {
                TaskError::user(format!(
                    "`{asked}` answered {status}, which does not count as success"
                ))
            }));
        }
        let body = answer.json().ok();
        let answered = self.answered(0, answer.status, &answer.body, body.as_ref());
        let body = body
            .unwrap_or_else(|| Value::String(String::from_utf8_lossy(&answer.body).into_owned()));
        let mut results = Results::new(0);
        results.add(answered);
        let output = results.output(None, &[], 1)?;
        Ok(Outcome::Done(
            output.value("status", answer.status).value("body", body),
        ))
    }

    async fn rows(&self, config: &Config, rows: DataFrame) -> Result<Outcome, TaskError> {
        let kept = columns(&rows, config)?;
        let mut results = Results::load(self.context).await?;
        let todo: Vec<usize> = (0..rows.height())
            .filter(|row| !results.has(*row))
            .collect();
        if todo.len() < rows.height() {
            self.context.log.info(format!(
                "goes on with {} of {} rows",
                todo.len(),
                rows.height()
            ));
        }
        let calls = todo.into_iter().map(|row| self.row(&rows, row));
        let mut calls = stream::iter(calls).buffer_unordered(usize::from(config.parallel.max(1)));
        while let Some(first) = calls.next().await {
            results.add(first?);
            // What else has been answered meanwhile is remembered together with it.
            while let Some(Some(next)) = futures::FutureExt::now_or_never(calls.next()) {
                results.add(next?);
            }
            results.save(self.context).await?;
            self.context
                .progress
                .set(results.count(), Some(rows.height() as u64));
            if results.failed() > config.max_failures {
                return Err(results.failure(config.max_failures));
            }
        }
        Ok(Outcome::Done(results.output(
            Some(&rows),
            &kept,
            rows.height(),
        )?))
    }

    async fn row(&self, rows: &DataFrame, row: usize) -> Result<Answered, TaskError> {
        let item = item(rows, row)?;
        let call = self.call(&item, row, true)?;
        let answer = with_caller(self.context, async |caller| {
            self.client.send(&call, &self.patience, caller).await
        })
        .await;
        Ok(match answer {
            Ok(answer) if self.statuses.have(answer.status) => self.answered(
                row,
                answer.status,
                &answer.body,
                answer.json().ok().as_ref(),
            ),
            Ok(answer) => {
                let status = answer.status;
                let body = answer.body.clone();
                let error = answer.success().err().map_or_else(
                    || format!("{status} does not count as success"),
                    |error| error.full_message(),
                );
                Answered {
                    error: Some(error),
                    ..self.answered(row, status, &body, None)
                }
            }
            Err(error) => Answered {
                row,
                error: Some(error.full_message()),
                ..Answered::default()
            },
        })
    }

    fn answered(&self, row: usize, status: u16, body: &[u8], json: Option<&Value>) -> Answered {
        let value = |(name, place): &(String, String)| {
            let found = json.and_then(|json| at(json, place)).cloned();
            (name.clone(), found.unwrap_or_default())
        };
        Answered {
            row,
            status: Some(status),
            body: Some(String::from_utf8_lossy(body).into_owned()),
            error: None,
            values: self.values.iter().map(value).collect(),
        }
    }

    /// The call for a row.
    fn call(&self, item: &Value, row: usize, is_row: bool) -> Result<Call, TaskError> {
        let settings = self.template.resolve(item, row as u64);
        let settings = settings.map_err(|error| unresolved(&error, is_row.then_some(row)))?;
        let target = match &settings["path"] {
            Value::Null => self.target.clone(),
            _ if matches!(&self.target, Target::Path(path) if !path.is_empty())
                && settings["path"] == json!("") =>
            {
                self.target.clone()
            }
            path => Target::Path(text_of(path)),
        };
        let mut call = self.method.call(target);
        call.repeatable |= self.repeatable;
        let empty = Map::new();
        call.query = query(settings["query"].as_object().unwrap_or(&empty))?;
        let named = settings["headers"].as_object().unwrap_or(&empty);
        call.headers = headers(
            &named
                .iter()
                .map(|(name, value)| (name.clone(), text_of(value)))
                .collect(),
        );
        if !matches!(self.method, Method::Get)
            && !call
                .headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"))
        {
            let (run, key) = (&self.context.run, &self.context.task.key);
            call.headers.push((
                "idempotency-key".to_owned(),
                format!("{}-{key}-{}-{row}", run.id, run.redo),
            ));
        }
        let body = match &settings["body"] {
            Value::Null if is_row && !matches!(self.method, Method::Get | Method::Delete) => {
                Some(item)
            }
            Value::Null => None,
            body => Some(body),
        };
        Ok(match body {
            Some(body) => call.json(body),
            None => call,
        })
    }
}

fn unresolved(error: &ExpressionError, row: Option<usize>) -> TaskError {
    let row = row.map_or_else(String::new, |row| format!("row {}: ", row + 1));
    TaskError::user(format!(
        "{row}`${{{{ {} }}}}`: {}",
        error.source_text, error.message
    ))
}

/// The columns that stand in the dataset.
fn columns(rows: &DataFrame, config: &Config) -> Result<Vec<String>, TaskError> {
    let known: Vec<String> = rows
        .get_column_names()
        .iter()
        .map(ToString::to_string)
        .collect();
    let kept = config.keep.clone().unwrap_or_else(|| known.clone());
    if let Some(missing) = kept.iter().find(|name| !known.contains(name)) {
        return Err(TaskError::user(format!(
            "the rows have no column `{missing}`, which `keep` names"
        )));
    }
    let own = super::results::OWN
        .iter()
        .map(|name| (*name).to_owned())
        .chain(config.values.keys().cloned());
    let own: Vec<String> = own.collect();
    if let Some(both) = kept.iter().find(|name| own.contains(name)) {
        return Err(TaskError::user(format!(
            "the rows have a column `{both}`, and so have the answers"
        ))
        .hint("name the columns that are to stay as `keep: [id]`"));
    }
    Ok(kept)
}

/// A row as JSON.
fn item(rows: &DataFrame, row: usize) -> Result<Value, TaskError> {
    let mut item = Map::new();
    for column in rows.columns() {
        let value = column
            .get(row)
            .map_err(|error| TaskError::bug("a row is missing").because(error))?;
        item.insert(column.name().to_string(), cell(&value));
    }
    Ok(Value::Object(item))
}

fn cell(value: &AnyValue<'_>) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(flag) => (*flag).into(),
        AnyValue::String(text) => (*text).into(),
        AnyValue::StringOwned(text) => text.as_str().into(),
        AnyValue::Float32(number) => f64::from(*number).into(),
        AnyValue::Float64(number) => (*number).into(),
        AnyValue::UInt64(number) => (*number).into(),
        AnyValue::List(items) => Value::Array(items.iter().map(|item| cell(&item)).collect()),
        AnyValue::Datetime(..) | AnyValue::DatetimeOwned(..) => moment(value),
        number if number.is_integer() => {
            number.try_extract::<i64>().map_or(Value::Null, Value::from)
        }
        other => other.to_string().trim_matches('"').into(),
    }
}

/// A moment in ISO 8601's form, with `Z` where it has a zone.
fn moment(value: &AnyValue<'_>) -> Value {
    use polars::prelude::TimeUnit;
    let (number, unit, zoned) = match value {
        AnyValue::Datetime(number, unit, zone) => (*number, *unit, zone.is_some()),
        AnyValue::DatetimeOwned(number, unit, zone) => (*number, *unit, zone.is_some()),
        _ => return Value::Null,
    };
    let utc = match unit {
        TimeUnit::Nanoseconds => Some(chrono::DateTime::from_timestamp_nanos(number)),
        TimeUnit::Microseconds => chrono::DateTime::from_timestamp_micros(number),
        TimeUnit::Milliseconds => chrono::DateTime::from_timestamp_millis(number),
    };
    let pattern = if zoned { "%FT%T%.fZ" } else { "%FT%T%.f" };
    utc.map_or(Value::Null, |utc| utc.format(pattern).to_string().into())
}
