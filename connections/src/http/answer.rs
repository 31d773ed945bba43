//! What an API says.

use bytes::Bytes;
use pipectl_engine::operator::TaskError;
use reqwest::{StatusCode, header::HeaderMap};
use url::Url;

/// How much of an answer a message shows.
const SHOWN: usize = 300;

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
    /// Where it came from, after all redirects.
    pub url: Url,
    /// What was asked, for messages: `GET https://host/path`.
    pub asked: String,
    /// How often it was asked.
    pub tries: u32,
    pub(super) headers: HeaderMap,
    /// The beginning of the body without secrets.
    pub(super) excerpt: String,
}

impl Answer {
    /// A header, when it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All headers of one name that are text.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.headers.get_all(name).iter();
        all.filter_map(|value| value.to_str().ok())
    }

    /// Whether its status begins with a 2.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The status in words: `404 Not Found`.
    pub fn status_text(&self) -> String {
        match StatusCode::from_u16(self.status).map(|status| status.canonical_reason()) {
            Ok(Some(reason)) => format!("{} {reason}", self.status),
            _ => self.status.to_string(),
        }
    }

    /// The beginning of the body in one line, without secrets.
    pub fn excerpt(&self) -> &str {
        &self.excerpt
    }

    /// The answer, when it is a success.
    ///
    /// # Errors
    /// When it is none: ours when the call is wrong (4xx), the server's when it may go well later (408, 429, 5xx).
    pub fn success(self) -> Result<Self, TaskError> {
        if self.is_success() {
            return Ok(self);
        }
        let mut message = format!("`{}` answered {}", self.asked, self.status_text());
        if self.tries > 1 {
            message = format!("{message} to {} tries", self.tries);
        }
        if !self.excerpt.is_empty() {
            message = format!("{message}: {}", self.excerpt);
        }
        Err(match self.status {
            408 | 425 | 429 | 500..=599 => TaskError::external(message),
            401 | 403 => TaskError::user(message)
                .hint("check the credentials under `auth:` of the connection"),
            300..=399 => {
                let to = self
                    .header("location")
                    .and_then(|to| self.url.join(to).ok());
                let to = to.map_or_else(String::new, |to| format!(", as in `{}`", shown(&to)));
                TaskError::user(message).hint(format!("it has moved: call it where it is now{to}"))
            }
            404 => TaskError::user(message).hint("check the connection's address and the path"),
            _ => TaskError::user(message),
        })
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none, with what it is instead.
    pub fn json(&self) -> Result<serde_json::Value, TaskError> {
        let wrong = |what: &str| TaskError::user(format!("`{}` answered {what}", self.asked));
        let first = self.body.iter().find(|byte| !byte.is_ascii_whitespace());
        let kind = self.header("content-type").unwrap_or_default();
        match first {
            None => return Err(wrong("with nothing, where JSON was expected")),
            Some(b'<') => {
                let what = if kind.contains("xml") && !kind.contains("html") {
                    "XML"
                } else {
                    "HTML"
                };
                let message = format!("with {what}, where JSON was expected: {}", self.excerpt);
                return Err(wrong(&message).hint(
                    "a page for people is often that of a login or of a gateway: check path and credentials",
                ));
            }
            Some(_) => {}
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let text = error.to_string();
            if text.contains("recursion limit") {
                return wrong("with JSON that is nested deeper than 128 levels");
            }
            let (line, column) = (error.line(), error.column());
            let reason = text.split(" at line ").next().unwrap_or(&text).to_owned();
            wrong(&format!(
                "with what is no JSON at line {line}, column {column} ({reason}): {}",
                self.excerpt
            ))
        })
    }
}

/// An address for messages: without credentials and query.
pub(super) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// The beginning of a body in one line, without `secrets`.
pub(super) fn excerpt(body: &[u8], secrets: &[String]) -> String {
    let start = body.get(..body.len().min(SHOWN * 8)).unwrap_or_default();
    let mut text = String::from_utf8_lossy(start).into_owned();
    for secret in secrets {
        text = text.replace(secret.as_str(), "***");
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(SHOWN) {
        None => line,
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
    }
}
