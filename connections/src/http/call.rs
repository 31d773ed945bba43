//! What is asked of an API.

use bytes::Bytes;
use url::Url;

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) method: reqwest::Method,
    /// Where to.
    pub target: Target,
    /// What is added to the address's query.
    pub query: Vec<(String, String)>,
    /// Headers besides the connection's.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Bytes>,
    /// Whether the server may get it twice without harm.
    pub repeatable: bool,
}

/// Where a call goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A path below the connection's address, perhaps with a query.
    Path(String),
    /// A whole address, which an answer has named. Away from the connection's own server it gets no credentials.
    Url(Url),
}

impl Call {
    /// A call that only reads.
    pub fn get(target: Target) -> Self {
        Self::new(reqwest::Method::GET, target)
    }

    /// A call that may change something each time that it is heard.
    pub fn post(target: Target) -> Self {
        Self::new(reqwest::Method::POST, target)
    }

    /// A call that puts something in a place.
    pub fn put(target: Target) -> Self {
        Self::new(reqwest::Method::PUT, target)
    }

    /// A call that changes something.
    pub fn patch(target: Target) -> Self {
        Self::new(reqwest::Method::PATCH, target)
    }

    /// A call that removes something.
    pub fn delete(target: Target) -> Self {
        Self::new(reqwest::Method::DELETE, target)
    }

    /// A call without a body. Those that only read or replace may be repeated (RFC 9110, 9.2.2).
    fn new(method: reqwest::Method, target: Target) -> Self {
        Self {
            repeatable: method.is_idempotent(),
            method,
            target,
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// The same call with JSON as its body.
    #[must_use]
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        let name = "content-type".to_owned();
        self.headers.push((name, "application/json".to_owned()));
        self.body = Some(body.to_string().into());
        self
    }
}
