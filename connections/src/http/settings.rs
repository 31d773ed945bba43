//! What a connection says about an API.

use std::{collections::BTreeMap, time::Duration};

use pipectl_engine::{
    connection::Connection, operator::TaskError, project::Project, time::parse_duration,
};
use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

/// Settings that an API's connection may have beside its address; those with a dot at their end have names below them.
const KNOWN: [&str; 14] = [
    "headers.",
    "query.",
    "auth.header.",
    "auth.basic.username",
    "auth.basic.password",
    "auth.bearer",
    "auth.oauth2.",
    "rate_limit.requests",
    "rate_limit.per",
    "concurrency",
    "ca_file",
    "proxy",
    "allow_link_local",
    "url",
];

/// How a caller says who it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Auth {
    None,
    Header(HeaderName, HeaderValue),
    Basic(String, String),
    Bearer(String),
    OAuth2(OAuth2),
}

/// Client credentials (RFC 6749, 4.4).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct OAuth2 {
    pub(super) token_url: Url,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) scope: Option<String>,
    pub(super) audience: Option<String>,
}

/// An API as its connection describes it.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) base: Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) query: Vec<(String, String)>,
    pub(super) auth: Auth,
    pub(super) limit: Option<(u32, Duration)>,
    pub(super) concurrency: Option<usize>,
    pub(super) authority: Option<Vec<u8>>,
    pub(super) proxy: Option<Url>,
    pub(super) link_local: bool,
    /// What must not be shown.
    pub(super) secrets: Vec<String>,
}

impl Settings {
    /// An API without credentials that a pipeline names by its address.
    pub(super) fn plain(address: &str) -> Result<Self, TaskError> {
        let (base, auth) = base(address).ok_or_else(|| not_http("`url`"))?;
        let mut settings = Self::of(base.origin().ascii_serialization(), base);
        if let Auth::Basic(_, password) = &auth {
            settings.hide(vec![password.clone()]);
        }
        settings.auth = auth;
        Ok(settings)
    }

    fn of(name: String, base: Url) -> Self {
        Self {
            name,
            base,
            headers: Vec::new(),
            query: Vec::new(),
            auth: Auth::None,
            limit: None,
            concurrency: None,
            authority: None,
            proxy: None,
            link_local: false,
            secrets: Vec::new(),
        }
    }

    /// Reads a connection.
    pub(super) fn read(project: &Project, connection: &Connection) -> Result<Self, TaskError> {
        let (base, auth) = base(connection.url.expose())
            .ok_or_else(|| not_http(&format!("connection `{}`", connection.name)))?;
        let reader = Reader {
            name: &connection.name,
            given: &connection.settings,
        };
        reader.only_known()?;
        let mut settings = Self::of(connection.name.clone(), base);
        settings.headers = reader.headers("headers.")?;
        let query = reader.below("query.");
        settings.query = query
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        settings.auth = reader.auth(auth)?;
        settings.limit = reader.limit()?;
        settings.concurrency = reader
            .number("concurrency")?
            .map(|count: u32| count as usize);
        settings.link_local = reader
            .given("allow_link_local")
            .is_some_and(|text| text == "true");
        if let Some(file) = reader.given("ca_file") {
            let path = project.path(file);
            let pem = std::fs::read(&path);
            settings.authority = Some(pem.map_err(|error| {
                TaskError::user(format!("cannot read the certificate {}", path.display()))
                    .because(error)
            })?);
        }
        if let Some(proxy) = reader.given("proxy") {
            settings.proxy =
                Some(Url::parse(proxy).map_err(|_| reader.wrong("proxy", "is no address"))?);
        }
        settings.hide(connection.secrets());
        Ok(settings)
    }

    /// Remembers what must not be shown. What is very short stands in any text.
    fn hide(&mut self, secrets: Vec<String>) {
        let secrets = secrets.into_iter();
        self.secrets = secrets.filter(|secret| secret.len() >= 4).collect();
        self.secrets
            .sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }
}

/// The address without credentials, and those.
fn base(address: &str) -> Option<(Url, Auth)> {
    let mut url = Url::parse(address).ok()?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return None;
    }
    let decoded = |text: &str| {
        url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
            .next()
            .map_or_else(String::new, |(_, value)| value.into_owned())
    };
    let (user, password) = (
        decoded(url.username()),
        decoded(url.password().unwrap_or_default()),
    );
    if user.is_empty() && password.is_empty() {
        return Some((url, Auth::None));
    }
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some((url, Auth::Basic(user, password)))
}

fn not_http(what: &str) -> TaskError {
    TaskError::user(format!(
        "{what} is no API: its address does not begin with `http://` or `https://`"
    ))
    .hint("write `https://api.example.com/v2`")
}

struct Reader<'a> {
    name: &'a str,
    given: &'a BTreeMap<String, String>,
}

impl<'a> Reader<'a> {
    fn given(&self, key: &str) -> Option<&'a str> {
        self.given.get(key).map(String::as_str)
    }

    fn below(&self, prefix: &'static str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let all = self.given.iter();
        all.filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
    }

    fn wrong(&self, key: &str, what: &str) -> TaskError {
        TaskError::user(format!("`{key}` of connection `{}` {what}", self.name))
    }

    fn only_known(&self) -> Result<(), TaskError> {
        let known = |key: &str| {
            KNOWN.iter().any(|known| match known.strip_suffix('.') {
                Some(_) => key.starts_with(known),
                None => key == *known,
            })
        };
        match self.given.keys().find(|key| !known(key)) {
            None => Ok(()),
            Some(key) => Err(self.wrong(key, "is not known to an API").hint(
                "there are `headers`, `query`, `auth`, `rate_limit`, `concurrency`, `ca_file`, `proxy` and `allow_link_local`",
            )),
        }
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, TaskError> {
        let read = |text: &str| {
            text.parse()
                .map_err(|_| self.wrong(key, "is no whole number"))
        };
        self.given(key).map(read).transpose()
    }

    fn header(
        &self,
        key: &str,
        name: &str,
        value: &str,
    ) -> Result<(HeaderName, HeaderValue), TaskError> {
        let name = HeaderName::try_from(name)
            .map_err(|_| self.wrong(key, &format!("names the header `{name}`, which cannot be")))?;
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| self.wrong(key, &format!("gives `{name}` a value that cannot be sent")))?;
        value.set_sensitive(true);
        Ok((name, value))
    }

    fn headers(&self, prefix: &'static str) -> Result<Vec<(HeaderName, HeaderValue)>, TaskError> {
        let read = |(name, value)| self.header(prefix.trim_end_matches('.'), name, value);
        self.below(prefix).map(read).collect()
    }

    fn auth(&self, from_address: Auth) -> Result<Auth, TaskError> {
        let mut ways = Vec::new();
        if from_address != Auth::None {
            ways.push(from_address);
        }
        for (name, value) in self.below("auth.header.") {
            let (name, value) = self.header("auth.header", name, value)?;
            ways.push(Auth::Header(name, value));
        }
        if let Some(user) = self.given("auth.basic.username") {
            let password = self.given("auth.basic.password").unwrap_or_default();
            ways.push(Auth::Basic(user.to_owned(), password.to_owned()));
        }
        if let Some(token) = self.given("auth.bearer") {
            HeaderValue::try_from(token)
                .map_err(|_| self.wrong("auth.bearer", "cannot be sent"))?;
            ways.push(Auth::Bearer(token.to_owned()));
        }
        if self.below("auth.oauth2.").next().is_some() {
            ways.push(Auth::OAuth2(self.oauth2()?));
        }
        if ways.len() > 1 {
            return Err(self
                .wrong("auth", "says in several ways who calls")
                .hint("keep one of `header`, `basic`, `bearer`, `oauth2`"));
        }
        Ok(ways.pop().unwrap_or(Auth::None))
    }

    fn oauth2(&self) -> Result<OAuth2, TaskError> {
        let need = |name: &str| {
            let key = format!("auth.oauth2.{name}");
            let value = self.given(&key).map(ToOwned::to_owned);
            value.ok_or_else(|| self.wrong("auth.oauth2", &format!("has no `{name}`")))
        };
        let unknown = self.below("auth.oauth2.").find(|(name, _)| {
            ![
                "token_url",
                "client_id",
                "client_secret",
                "scope",
                "audience",
            ]
            .contains(name)
        });
        if let Some((name, _)) = unknown {
            return Err(self.wrong(&format!("auth.oauth2.{name}"), "is not known"));
        }
        let url = Url::parse(&need("token_url")?).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        Ok(OAuth2 {
            token_url: url.ok_or_else(|| self.wrong("auth.oauth2.token_url", "is no address"))?,
            client_id: need("client_id")?,
            client_secret: need("client_secret")?,
            scope: self.given("auth.oauth2.scope").map(ToOwned::to_owned),
            audience: self.given("auth.oauth2.audience").map(ToOwned::to_owned),
        })
    }

    fn limit(&self) -> Result<Option<(u32, Duration)>, TaskError> {
        let requests: Option<u32> = self.number("rate_limit.requests")?;
        let per = self.given("rate_limit.per");
        let Some(requests) = requests else {
            return match per {
                None => Ok(None),
                Some(_) => Err(self.wrong("rate_limit", "does not say how many `requests`")),
            };
        };
        let per = match per {
            None => Duration::from_secs(1),
            Some(text) => parse_duration(text).map_err(|error| {
                self.wrong("rate_limit.per", "cannot be read")
                    .because(error)
            })?,
        };
        if requests == 0 || per.is_zero() {
            return Err(self.wrong("rate_limit", "allows nothing"));
        }
        Ok(Some((requests, per)))
    }
}
