//! Fetches the pages of slices, several slices at once.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use pipectl_connections::{Answer, Call, HttpClient, Patience, Target};
use pipectl_engine::operator::{TaskContext, TaskError};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{
    keep::Fetched,
    pages::{Pagination, Position, Seen},
    slices::{Cut, Slice},
};
use crate::support::{
    api::{Method, at, with_caller},
    text::{count, list},
};

/// Answers larger than this are read away from the threads that wait.
const LARGE: usize = 256 * 1024;

/// What is asked for.
pub(super) struct Fetch<'a> {
    pub(super) context: &'a TaskContext,
    pub(super) client: HttpClient,
    pub(super) target: Target,
    pub(super) method: Method,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Map<String, Value>>,
    pub(super) records: Option<String>,
    pub(super) records_may_be_missing: bool,
    pub(super) pagination: Option<Pagination>,
    pub(super) slice: Option<Slice>,
    pub(super) parallel: usize,
    pub(super) patience: Patience,
}

/// A slice that is not at its end: its number, its bounds, and where it goes on.
pub(super) type Open = (u32, Option<Cut>, Position);

impl Fetch<'_> {
    /// Fetches what is left of all slices.
    pub(super) async fn all(
        &self,
        todo: Vec<Open>,
        pages: mpsc::Sender<Fetched>,
    ) -> Result<(), TaskError> {
        let slices = todo.into_iter().map(|open| self.slice(open, pages.clone()));
        let mut work = stream::iter(slices).buffer_unordered(self.parallel);
        while work.try_next().await?.is_some() {}
        Ok(())
    }

    async fn slice(
        &self,
        (number, cut, from): Open,
        pages: mpsc::Sender<Fetched>,
    ) -> Result<(), TaskError> {
        let result = self.pages_of(number, cut.as_ref(), from, pages).await;
        result.map_err(|mut error| {
            if let Some(cut) = &cut {
                error.message = format!("slice {}: {}", cut.start, error.message);
            }
            error
        })
    }

    async fn pages_of(
        &self,
        number: u32,
        cut: Option<&Cut>,
        from: Position,
        pages: mpsc::Sender<Fetched>,
    ) -> Result<(), TaskError> {
        let (mut position, mut seen) = (from, Seen::default());
        loop {
            let call = self.call(cut, &position);
            let answer = with_caller(self.context, async |caller| {
                self.client.send(&call, &self.patience, caller).await
            })
            .await?;
            let (records, body) = self.read(answer.success()?).await?;
            let found = records.len();
            let after = match (&self.pagination, &body) {
                (Some(pagination), Some((answer, body))) => {
                    pagination.after(&position, &mut seen, (answer, body, &self.client), found)?
                }
                _ => None,
            };
            let page = Fetched {
                slice: number,
                page: position.pages,
                records,
                after: after.clone(),
            };
            // Whoever keeps the pages says itself why it no longer does.
            if pages.send(page).await.is_err() {
                return Ok(());
            }
            if let Some(next) = after {
                position = next;
                continue;
            }
            if let Some(cut) = cut {
                let all = position.records + found as u64;
                self.context
                    .log
                    .info(format!("{}: {}", cut.start, count(all, "record")));
            }
            return Ok(());
        }
    }

    fn call(&self, cut: Option<&Cut>, position: &Position) -> Call {
        let mut target = self.target.clone();
        if let (Target::Path(path), Some(cut)) = (&mut target, cut) {
            *path = path
                .replace("{start}", &encoded(&cut.start))
                .replace("{end}", &encoded(&cut.end));
        }
        let mut call = self.method.call(target);
        // A question does no harm, however often it is asked.
        call.repeatable = true;
        call.query.clone_from(&self.query);
        call.headers.clone_from(&self.headers);
        let mut body = (self.method != Method::Get).then(|| self.body.clone().unwrap_or_default());
        if let (Some(slice), Some(cut)) = (&self.slice, cut) {
            let bounds = [(&slice.start, &cut.start), (&slice.end, &cut.end)];
            for (name, value) in bounds
                .into_iter()
                .filter_map(|(name, value)| Some((name.clone()?, value.clone())))
            {
                match &mut body {
                    Some(body) => drop(body.insert(name, value.into())),
                    None => call.query.push((name, value)),
                }
            }
        }
        if let Some(pagination) = &self.pagination {
            call = pagination.call(call, body.as_mut(), &position.next);
        }
        match body {
            Some(body) => call.json(&Value::Object(body)),
            None => call,
        }
    }

    /// The records of an answer, and what is left of it.
    async fn read(
        &self,
        answer: Answer,
    ) -> Result<(Vec<Value>, Option<(Answer, Value)>), TaskError> {
        if answer.status == 204 || (answer.body.is_empty() && answer.status == 205) {
            return Ok((Vec::new(), None));
        }
        let body = if answer.body.len() > LARGE {
            let answer = answer.clone();
            self.context.compute(move || answer.json()).await?
        } else {
            answer.json()?
        };
        let (records, body) = self.records(body, &answer)?;
        Ok((records, Some((answer, body))))
    }

    fn records(&self, mut body: Value, answer: &Answer) -> Result<(Vec<Value>, Value), TaskError> {
        let wrong = |what: String| TaskError::user(format!("`{}` answered {what}", answer.asked));
        let Some(path) = &self.records else {
            return match body {
                // The list itself says nothing about further pages.
                Value::Array(records) => Ok((records, Value::Null)),
                Value::Object(map) => {
                    let lists = map
                        .iter()
                        .filter(|(_, value)| value.is_array())
                        .map(|(name, _)| name.as_str());
                    let lists: Vec<&str> = lists.collect();
                    let hint = match lists.as_slice() {
                        [] => "say with `records` where the list is, as in `records: data.items`; `records: $` takes the map as one record".to_owned(),
                        _ => format!("say with `records` where the list is; there are lists in {}", list(lists)),
                    };
                    Err(wrong("with a map, not with a list of records".to_owned()).hint(hint))
                }
                other => Err(wrong(format!("with {other}, not with a list of records"))),
            };
        };
        let records = match at(&body, path) {
            Some(Value::Array(_)) => None,
            Some(Value::Null) => Some(Vec::new()),
            Some(Value::Object(map)) => Some(vec![Value::Object(map.clone())]),
            None if self.records_may_be_missing => Some(Vec::new()),
            None => {
                let names = body
                    .as_object()
                    .map(|map| list(map.keys().map(String::as_str)))
                    .unwrap_or_default();
                return Err(wrong(format!("without `{path}`, where its records were expected"))
                    .hint(format!("it has {names}; `records_may_be_missing: true` takes it for an answer without records")));
            }
            Some(_) => return Err(wrong(format!("with no list at `{path}`"))),
        };
        let records = records.unwrap_or_else(|| taken(&mut body, path));
        Ok((records, body))
    }
}

/// Takes the list at `path` out of an answer.
fn taken(body: &mut Value, path: &str) -> Vec<Value> {
    fn place<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
        if path == "$" {
            return Some(value);
        }
        if value.get(path).is_some() {
            return value.get_mut(path);
        }
        path.split('.').try_fold(value, |value, part| match value {
            Value::Object(map) => map.get_mut(part),
            Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
            _ => None,
        })
    }
    match place(body, path).map(Value::take) {
        Some(Value::Array(records)) => records,
        _ => Vec::new(),
    }
}

/// A moment as a part of a path.
fn encoded(text: &str) -> String {
    let mut path = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    path
}

/// A number below 16 as a hexadecimal digit.
fn digit(number: u8) -> char {
    char::from_digit(number.into(), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}
