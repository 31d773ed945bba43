//! From one page to the next.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use pipectl_connections::{Answer, Call, HttpClient, Target};
use pipectl_engine::operator::{Complaints, TaskError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::support::api::{at, text_of};

/// How the API hands out its records page by page.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pagination {
    /// How one comes to the next page.
    pub(super) by: By,
    /// The parameter that says which page: `page`, `offset` or `cursor` when it is left out, as `by` says.
    pub(super) parameter: Option<String>,
    /// How many records a page is to have; the API decides when it is left out.
    pub(super) size: Option<u32>,
    /// The parameter that says how many; `limit` when it is left out.
    pub(super) size_parameter: Option<String>,
    /// The number of the first page, for `by: page`; 1 when it is left out.
    pub(super) first: Option<u64>,
    /// Where the answer says the next cursor (`by: cursor`) or the next address (`by: next_url`), as in `meta.next`. There
    /// is no further page when nothing, null, false or an empty text stands there.
    pub(super) next: Option<String>,
    /// Where the answer says how many records there are in all. Without it `by: page` and `by: offset` end at the first
    /// page without records.
    pub(super) total: Option<String>,
    /// Where the answer says how many pages there are, for `by: page`.
    pub(super) total_pages: Option<String>,
    /// More pages in a row than these are taken for a mistake of the API.
    #[serde(default = "many")]
    pub(super) max_pages: u32,
}

/// How one comes to the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    /// Pages are numbered.
    Page,
    /// By the number of records that were read.
    Offset,
    /// By a mark that each answer gives for the next one.
    Cursor,
    /// By the `Link` header with `rel="next"` (RFC 8288).
    Link,
    /// By an address in the answer.
    NextUrl,
}

fn many() -> u32 {
    10_000
}

/// Where the next page is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Next {
    First,
    Number(u64),
    Cursor(String),
    Url(Url),
}

/// How far a slice is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// How many pages were read.
    pub(super) pages: u32,
    /// How many records were in them.
    pub(super) records: u64,
    pub(super) next: Next,
}

impl Position {
    pub(super) fn start() -> Self {
        Self {
            pages: 0,
            records: 0,
            next: Next::First,
        }
    }
}

/// What was seen while a slice is read, to notice when an API goes round in circles.
#[derive(Debug, Default)]
pub(super) struct Seen {
    places: HashSet<Next>,
    last: Option<u64>,
}

impl Pagination {
    pub(super) fn check(&self, found: &mut Complaints) {
        let mut wrong = |setting: &str, what: &str, hint: &str| {
            found.error(&["pagination", setting], what).hint(hint);
        };
        let reads_next = matches!(self.by, By::Cursor | By::NextUrl);
        if reads_next && self.next.is_none() {
            wrong(
                "by",
                "it is not said where the answer names the next page",
                "write `next:`, as in `next: meta.next`",
            );
        }
        if !reads_next && self.next.is_some() {
            wrong(
                "next",
                "only `by: cursor` and `by: next_url` read it",
                "leave it out",
            );
        }
        if matches!(self.by, By::Link | By::NextUrl) && self.parameter.is_some() {
            wrong(
                "parameter",
                "the whole address is in the answer",
                "leave it out",
            );
        }
        if self.by != By::Page && self.first.is_some() {
            wrong(
                "first",
                "only pages by number have a first number",
                "leave it out",
            );
        }
        if self.by != By::Page && self.total_pages.is_some() {
            wrong(
                "total_pages",
                "only pages by number are counted",
                "leave it out, or write `total:`",
            );
        }
        if self.max_pages == 0 || self.size == Some(0) {
            wrong(
                "max_pages",
                "nothing would be read",
                "write a number from 1 on",
            );
        }
    }

    fn parameter(&self) -> &str {
        let usual = match self.by {
            By::Offset => "offset",
            By::Cursor => "cursor",
            By::Page | By::Link | By::NextUrl => "page",
        };
        self.parameter.as_deref().unwrap_or(usual)
    }

    /// The call of the page at `next`. Parameters go into the body, where there is one.
    pub(super) fn call(
        &self,
        mut call: Call,
        body: Option<&mut serde_json::Map<String, Value>>,
        next: &Next,
    ) -> Call {
        if let Next::Url(url) = next {
            call.target = Target::Url(url.clone());
            call.query.clear();
            return call;
        }
        let mut parameters: Vec<(&str, Value)> = Vec::new();
        if let Some(size) = self.size {
            let name = self.size_parameter.as_deref().unwrap_or("limit");
            parameters.push((name, size.into()));
        }
        match (next, self.by) {
            (Next::First, By::Page) => {
                parameters.push((self.parameter(), self.first.unwrap_or(1).into()));
            }
            (Next::First, By::Offset) => parameters.push((self.parameter(), 0.into())),
            (Next::Number(number), _) => parameters.push((self.parameter(), (*number).into())),
            (Next::Cursor(cursor), _) => {
                parameters.push((self.parameter(), cursor.as_str().into()));
            }
            _ => {}
        }
        if let Some(body) = body {
            body.extend(
                parameters
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value)),
            );
        } else {
            let parameters = parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), text_of(value)));
            call.query.extend(parameters);
        }
        call
    }

    /// Where the page after this one is, which has `count` records; nothing when it is the last.
    pub(super) fn after(
        &self,
        position: &Position,
        seen: &mut Seen,
        (answer, body, client): (&Answer, &Value, &HttpClient),
        count: usize,
    ) -> Result<Option<Position>, TaskError> {
        let read = position.records + count as u64;
        let next = match self.by {
            By::Page | By::Offset => self.number(position, seen, body, answer, count)?,
            By::Cursor => self.mark(body).map(Next::Cursor),
            By::NextUrl => self
                .mark(body)
                .map(|link| client.named(answer, &link).map(Next::Url))
                .transpose()?,
            By::Link => next_link(answer)
                .map(|link| client.named(answer, link).map(Next::Url))
                .transpose()?,
        };
        let Some(next) = next else {
            return Ok(None);
        };
        let pages = position.pages + 1;
        if matches!(next, Next::Cursor(_) | Next::Url(_)) && !seen.places.insert(next.clone()) {
            let what = match &next {
                Next::Cursor(cursor) => {
                    format!("cursor `{}`", cursor.chars().take(60).collect::<String>())
                }
                _ => "address of the next page".to_owned(),
            };
            return Err(TaskError::user(format!(
                "`{}` goes round in circles: after page {pages} it names the same {what} again",
                answer.asked
            ))
            .hint("check `parameter` and `next` of `pagination`: an API that does not know the parameter gives its first page again and again"));
        }
        if pages >= self.max_pages {
            return Err(TaskError::user(format!(
                "`{}` does not end: there is more after {pages} pages",
                answer.asked
            ))
            .hint("raise `max_pages` of `pagination`, or cut the interval with `slice`"));
        }
        Ok(Some(Position {
            pages,
            records: read,
            next,
        }))
    }

    fn number(
        &self,
        position: &Position,
        seen: &mut Seen,
        body: &Value,
        answer: &Answer,
        count: usize,
    ) -> Result<Option<Next>, TaskError> {
        let read = position.records + count as u64;
        let said = |path: &Option<String>| at(body, path.as_deref()?).and_then(Value::as_u64);
        if count == 0 || said(&self.total).is_some_and(|total| read >= total) {
            return Ok(None);
        }
        let mut hasher = DefaultHasher::new();
        answer.body.hash(&mut hasher);
        if seen.last.replace(hasher.finish()) == Some(hasher.finish()) {
            return Err(TaskError::user(format!(
                "`{}` gives the same page again and again",
                answer.asked
            ))
            .hint(format!(
                "check `pagination`: does the API know the parameter `{}`?",
                self.parameter()
            )));
        }
        if self.by == By::Offset {
            return Ok(Some(Next::Number(read)));
        }
        let first = self.first.unwrap_or(1);
        let number = match position.next {
            Next::Number(number) => number,
            _ => first,
        };
        let pages = said(&self.total_pages);
        Ok(pages
            .is_none_or(|pages| number + 1 < first + pages)
            .then_some(Next::Number(number + 1)))
    }

    /// The cursor or address that an answer gives for the next page.
    fn mark(&self, body: &Value) -> Option<String> {
        match at(body, self.next.as_deref()?)? {
            Value::Null | Value::Bool(_) => None,
            Value::String(text) if text.is_empty() => None,
            mark => Some(text_of(mark)),
        }
    }
}

/// The address of `rel="next"` in the `Link` headers.
fn next_link(answer: &Answer) -> Option<&str> {
    answer.headers("link").find_map(|header| {
        let mut rest = header;
        while let Some((_, from)) = rest.split_once('<') {
            let (link, after) = from.split_once('>')?;
            let (parameters, more) = after
                .split_once('<')
                .map_or((after, None), |(own, _)| (own, Some(())));
            let is_next = parameters.split([';', ',']).any(|parameter| {
                let (name, value) = parameter.split_once('=').unwrap_or_default();
                let value = value.trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("rel")
                    && value
                        .split_ascii_whitespace()
                        .any(|rel| rel.eq_ignore_ascii_case("next"))
            });
            if is_next {
                return Some(link);
            }
            more?;
            rest = after;
        }
        None
    })
}
