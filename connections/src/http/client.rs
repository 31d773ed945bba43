//! The client of one API.

use std::{fmt, sync::Arc, time::Duration};

use pipectl_engine::{connection::Connection, operator::TaskError, project::Project};
use reqwest::{StatusCode, redirect};
use url::Url;

use super::{
    address::Reach,
    answer::{Answer, shown},
    call::{Call, Target},
    fetch::Into,
    patience::{Caller, Patience, Wish, pause, retry_after},
    settings::{Auth, Settings},
    token::Token,
    turns::{Queue, Turns},
};

/// How long a server may take to take a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The client of one API. Cloning it shares its connections, its limits and its token.
#[derive(Clone)]
pub struct HttpClient(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) client: reqwest::Client,
    pub(super) reach: Reach,
    pub(super) queue: Queue,
    pub(super) token: Token,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpClient")
            .field(&self.0.settings.name)
            .finish()
    }
}

impl HttpClient {
    /// A client of the API behind a connection. Nothing is sent yet.
    pub(crate) fn of(
        project: &Project,
        connection: &Connection,
        turns: Option<Turns>,
    ) -> Result<Self, TaskError> {
        Self::new(Settings::read(project, connection)?, turns)
    }

    /// A client of an API without a connection, named by its address.
    pub(crate) fn plain(address: &str) -> Result<Self, TaskError> {
        Self::new(Settings::plain(address)?, None)
    }

    fn new(settings: Settings, turns: Option<Turns>) -> Result<Self, TaskError> {
        let mut reach = Reach::new(settings.link_local);
        reach.choose(&settings.base);
        if let Auth::OAuth2(oauth2) = &settings.auth {
            reach.choose(&oauth2.token_url);
        }
        let failed = |error: reqwest::Error| {
            TaskError::user(format!("cannot open `{}`", settings.name)).because(error)
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("pipectl/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .no_proxy();
        if let Some(proxy) = &settings.proxy {
            reach.choose(proxy);
            builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(failed)?);
        }
        if let Some(pem) = &settings.authority {
            for certificate in reqwest::Certificate::from_pem_bundle(pem).map_err(failed)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder
            .dns_resolver(Arc::new(reach.clone()))
            .build()
            .map_err(failed)?;
        // Projects that share a history may call different APIs the same.
        let limit = format!(
            "{} {}",
            settings.name,
            settings.base.origin().ascii_serialization()
        );
        let queue = Queue::new(&limit, settings.limit, settings.concurrency, turns);
        Ok(Self(Arc::new(Inner {
            settings,
            client,
            reach,
            queue,
            token: Token::default(),
        })))
    }

    /// The API's address without credentials, for messages.
    pub fn shown(&self) -> String {
        shown(&self.0.settings.base)
    }

    /// The address of a call.
    ///
    /// # Errors
    /// When it is none.
    pub fn url(&self, call: &Call) -> Result<Url, TaskError> {
        let mut url = match &call.target {
            Target::Url(url) => url.clone(),
            Target::Path(path) => self.below(path)?,
        };
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        Ok(url)
    }

    fn below(&self, path: &str) -> Result<Url, TaskError> {
        let base = &self.0.settings.base;
        let wrong = || TaskError::user(format!("`{path}` is no path of {}", self.shown()));
        if path.is_empty() {
            return Ok(base.clone());
        }
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = base.clone();
        let whole = format!(
            "{}/{}",
            base.path().trim_end_matches('/'),
            path.trim_start_matches('/')
        );
        url.set_path(&whole);
        if let Some(query) = query {
            let before = base
                .query()
                .map_or_else(String::new, |before| format!("{before}&"));
            url.set_query(Some(&format!("{before}{query}")));
        }
        if url.origin() == base.origin() {
            Ok(url)
        } else {
            Err(wrong())
        }
    }

    /// An address that an answer has named. A link to the connection's own server by `http` is one behind a gateway that
    /// does not know of its `https`.
    ///
    /// # Errors
    /// When it is no address.
    pub fn named(&self, answer: &Answer, link: &str) -> Result<Url, TaskError> {
        let wrong = || {
            TaskError::user(format!(
                "`{}` names `{link}` as the next address, which is none",
                answer.asked
            ))
        };
        let mut url = answer.url.join(link).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong());
        }
        let base = &self.0.settings.base;
        if base.scheme() == "https"
            && url.scheme() == "http"
            && url.host() == base.host()
            && url.port().is_none()
        {
            url.set_scheme("https").map_err(|()| wrong())?;
        }
        Ok(self.without_secrets(url))
    }

    /// An address of the connection's own server without the parameters that every call gets.
    fn without_secrets(&self, mut url: Url) -> Url {
        let own = &self.0.settings.query;
        if own.is_empty() || url.origin() != self.0.settings.base.origin() {
            return url;
        }
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let kept: Vec<_> = pairs.iter().filter(|pair| !own.contains(pair)).collect();
        if kept.len() < pairs.len() {
            url.query_pairs_mut().clear().extend_pairs(kept);
        }
        url
    }

    /// Sends a call and waits for its whole answer, whatever its status; asks again when that may help.
    ///
    /// # Errors
    /// When there is no answer: the server cannot be reached, breaks off, takes or says too much, or wants to be left
    /// alone for too long; and when the address is not to be called.
    pub async fn send(
        &self,
        call: &Call,
        patience: &Patience,
        caller: &Caller<'_>,
    ) -> Result<Answer, TaskError> {
        self.send_into(call, Into::Memory, patience, caller).await
    }

    /// The same, for an answer whose body goes to `into` when it is a success.
    pub(super) async fn send_into(
        &self,
        call: &Call,
        into: Into<'_>,
        patience: &Patience,
        caller: &Caller<'_>,
    ) -> Result<Answer, TaskError> {
        let url = self.url(call)?;
        let asked = format!("{} {}", call.method, shown(&url));
        let mut renewed = false;
        let mut tries = 0;
        loop {
            tries += 1;
            let outcome = self.once(call, url.clone(), into, patience).await;
            let last = tries > patience.retries;
            let (what, wish) = match outcome {
                Ok((mut answer, token)) => {
                    answer.tries = tries;
                    if let (401, Some(token), false) = (answer.status, token, renewed) {
                        self.0.token.forget(&token).await;
                        renewed = true;
                        continue;
                    }
                    let wish = retry_after(answer.header("retry-after"), caller.clock.now());
                    self.heed(&answer, &asked, &wish, patience).await?;
                    if last || !may_repeat(answer.status, call.repeatable) {
                        return Ok(answer);
                    }
                    (format!("answered {}", answer.status_text()), wish)
                }
                Err(failure) => {
                    if last || !failure.error.retryable || !(failure.unheard || call.repeatable) {
                        return Err(*failure.error);
                    }
                    (failure.error.full_message(), Wish::None)
                }
            };
            let wait = match &wish {
                Wish::Wait(time) => (*time).max(Duration::from_millis(1)),
                Wish::None | Wish::Unreadable(_) => pause(tries, url.as_str()),
            };
            let heard = match wish {
                Wish::Unreadable(text) => {
                    format!(" (its `Retry-After: {text}` is neither seconds nor a date)")
                }
                _ => String::new(),
            };
            (caller.tell)(format!(
                "`{asked}` {}{heard}; again in {:.1} s",
                what.trim_start_matches(&format!("`{asked}` ")),
                wait.as_secs_f64()
            ));
            tokio::time::sleep(wait).await;
        }
    }

    /// A server that wants to be left alone is left alone by everybody.
    async fn heed(
        &self,
        answer: &Answer,
        asked: &str,
        wish: &Wish,
        patience: &Patience,
    ) -> Result<(), TaskError> {
        let Wish::Wait(time) = wish else {
            return Ok(());
        };
        if !matches!(answer.status, 429 | 503) {
            return Ok(());
        }
        if *time > patience.longest_wait {
            let message = format!(
                "`{asked}` answered {} and wants to be left alone for {} s, longer than the {} s that are waited",
                answer.status_text(),
                time.as_secs(),
                patience.longest_wait.as_secs()
            );
            return Err(TaskError::external(message)
                .hint("raise `longest_wait`, or have the task tried again later with `retry:`"));
        }
        self.0.queue.pause(*time).await;
        Ok(())
    }
}

/// Whether another try may help and does no harm: `429` says that the call was not served.
fn may_repeat(status: u16, repeatable: bool) -> bool {
    match StatusCode::from_u16(status) {
        Ok(StatusCode::TOO_MANY_REQUESTS) => true,
        Ok(
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT,
        ) => repeatable,
        _ => false,
    }
}
