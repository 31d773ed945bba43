//! One try: the request with its credentials, its turn, redirects, the answer to its last byte.

use std::{
    io::{self, Write},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use pipectl_engine::operator::TaskError;
use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderValue},
};
use url::Url;

use super::{
    answer::{Answer, excerpt, shown},
    body::{ACCEPTED, Body, Unknown, is_too_large},
    call::Call,
    client::HttpClient,
    failure::Failure,
    fetch::{self, Into},
    patience::Patience,
    settings::Auth,
};

/// How many redirects are followed.
const REDIRECTS: u32 = 10;

impl HttpClient {
    /// One try. Answers with the token that was used, too.
    pub(super) async fn once(
        &self,
        call: &Call,
        url: Url,
        into: Into<'_>,
        patience: &Patience,
    ) -> Result<(Answer, Option<String>), Failure> {
        let asked = format!("{} {}", call.method, shown(&url));
        let mut at = url;
        for _ in 0..=REDIRECTS {
            self.0
                .reach
                .check(&at)
                .map_err(|refused| Failure::refused(&asked, &refused))?;
            let (request, token) = self.request(call, &at, into).await?;
            let place = self.0.queue.turn().await;
            let work = self.answer(request, &asked, into, patience, at.clone());
            let answer = match into {
                Into::Memory => within(patience.timeout, work).await.unwrap_or_else(|()| {
                    let message = format!(
                        "`{asked}` did not answer within {} s",
                        patience.timeout.as_secs_f64()
                    );
                    let error = TaskError::external(message)
                        .hint("raise `answer_within`, or ask for less at once");
                    Err(Failure::new(error, false))
                }),
                // A large file takes its time; each of its parts has to come soon.
                Into::File(_) => work.await,
            }?;
            drop(place);
            match redirected(call, &answer, &asked)? {
                Some(next) => at = next,
                None => return Ok((answer, token)),
            }
        }
        let message = format!("`{asked}` is redirected more than {REDIRECTS} times");
        Err(Failure::user(TaskError::user(message)))
    }

    /// The request, with credentials only where they belong.
    async fn request(
        &self,
        call: &Call,
        at: &Url,
        into: Into<'_>,
    ) -> Result<(reqwest::RequestBuilder, Option<String>), Failure> {
        let settings = &self.0.settings;
        let own = at.origin() == settings.base.origin();
        let mut at = at.clone();
        if own {
            // A link that an answer names may carry them already.
            let missing = settings
                .query
                .iter()
                .filter(|(name, _)| !at.query_pairs().any(|(key, _)| key == *name));
            let missing: Vec<(String, String)> = missing.cloned().collect();
            if !missing.is_empty() {
                at.query_pairs_mut().extend_pairs(missing);
            }
        }
        let mut request = self.0.client.request(call.method.clone(), at);
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, */*;q=0.5"),
        );
        if own {
            headers.extend(settings.headers.iter().cloned());
        }
        let mut token = None;
        match &settings.auth {
            Auth::Header(name, value) if own => {
                headers.insert(name, value.clone());
            }
            Auth::Basic(user, password) if own => {
                request = request.basic_auth(user, Some(password));
            }
            Auth::Bearer(bearer) if own => request = request.bearer_auth(bearer),
            Auth::OAuth2(oauth2) if own => {
                let got = self.0.token.get(&self.0.client, oauth2).await?;
                request = request.bearer_auth(&got);
                token = Some(got);
            }
            _ => {}
        }
        for (name, value) in &call.headers {
            let wrong = || {
                Failure::user(TaskError::user(format!(
                    "the header `{name}` cannot be sent"
                )))
            };
            let name = header::HeaderName::try_from(name.as_str()).map_err(|_| wrong())?;
            headers.insert(
                name,
                HeaderValue::try_from(value.as_str()).map_err(|_| wrong())?,
            );
        }
        if !headers.contains_key(header::ACCEPT_ENCODING) {
            let packing = match into {
                Into::Memory => ACCEPTED,
                // Files are packed on their own account.
                Into::File(_) => "identity",
            };
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(packing));
        }
        request = request.headers(headers);
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        Ok((request, token))
    }

    async fn answer(
        &self,
        request: reqwest::RequestBuilder,
        asked: &str,
        into: Into<'_>,
        patience: &Patience,
        url: Url,
    ) -> Result<Answer, Failure> {
        let time = match into {
            // All of it is timed.
            Into::Memory => Duration::MAX,
            Into::File(_) => patience.timeout,
        };
        let response = within(time, request.send())
            .await
            .map_err(|()| late(asked, time))?
            .map_err(|error| Failure::of(asked, error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut answer = Answer {
            status,
            excerpt: String::new(),
            body: Bytes::new(),
            url,
            asked: asked.to_owned(),
            tries: 1,
            headers,
        };
        let parts = response.bytes_stream();
        match into {
            Into::File(file) if answer.is_success() => {
                fetch::into_file(&answer, parts, file, patience).await?;
            }
            _ => {
                let limit = match into {
                    Into::Memory => patience.max_bytes,
                    Into::File(_) => patience.max_bytes.min(fetch::LARGEST_COMPLAINT),
                };
                answer.body = into_memory(&answer, parts, limit).await?;
            }
        }
        answer.excerpt = excerpt(&answer.body, &self.0.settings.secrets);
        Ok(answer)
    }
}

/// What comes of `work` in time.
pub(super) async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Result<T, ()> {
    tokio::time::timeout(time, work).await.map_err(drop)
}

/// That nothing comes for so long.
pub(super) fn late(asked: &str, time: Duration) -> Failure {
    let message = format!("`{asked}` sent nothing for {} s", time.as_secs_f64());
    Failure::new(TaskError::external(message), false)
}

/// A body, unpacked.
async fn into_memory(
    answer: &Answer,
    mut parts: impl Stream<Item = reqwest::Result<Bytes>> + Unpin,
    limit: u64,
) -> Result<Bytes, Failure> {
    let announced = answer.header("content-length");
    if announced.is_some_and(|length| length.parse().is_ok_and(|length: u64| length > limit)) {
        return Err(too_large(&answer.asked, limit));
    }
    let mut body: Option<Body<Vec<u8>>> = None;
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| Failure::of(&answer.asked, error))?;
        let body = match &mut body {
            Some(body) => body,
            // What has no body may be packed anyhow.
            None => body.insert(opened(answer, Vec::new(), limit)?),
        };
        body.take(&part)
            .map_err(|error| unread(&answer.asked, limit, &error))?;
    }
    let body = body.map_or(Ok(Vec::new()), Body::finish);
    let body = body.map_err(|error| unread(&answer.asked, limit, &error))?;
    Ok(body.into())
}

/// What takes the body of an answer.
pub(super) fn opened<W: Write>(answer: &Answer, target: W, limit: u64) -> Result<Body<W>, Failure> {
    Body::new(answer.header("content-encoding"), target, limit).map_err(|Unknown(packing)| {
        let message = format!(
            "the answer to `{}` is packed by `{packing}`, which nobody has asked for",
            answer.asked
        );
        Failure::user(TaskError::user(message).hint("only gzip is unpacked"))
    })
}

/// What is wrong with a body.
pub(super) fn unread(asked: &str, limit: u64, error: &io::Error) -> Failure {
    if is_too_large(error) {
        return too_large(asked, limit);
    }
    let message = format!("the gzip data of the answer to `{asked}` is damaged or cut off");
    Failure::new(
        TaskError::external(message).because(error.to_string()),
        false,
    )
}

fn too_large(asked: &str, limit: u64) -> Failure {
    let message = format!("the answer to `{asked}` is larger than {limit} bytes");
    Failure::user(TaskError::user(message).hint("ask for smaller pages, or raise `max_bytes`"))
}

/// Where an answer sends a call that only reads; others are not sent anywhere else.
fn redirected(call: &Call, answer: &Answer, asked: &str) -> Result<Option<Url>, Failure> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308)
        || !matches!(call.method, Method::GET | Method::HEAD)
    {
        return Ok(None);
    }
    let Some(next) = answer
        .header("location")
        .and_then(|to| answer.url.join(to).ok())
    else {
        return Ok(None);
    };
    if answer.url.scheme() == "https" && next.scheme() != "https"
        || !matches!(next.scheme(), "http" | "https")
    {
        let message = format!(
            "`{asked}` is redirected to `{}`, which is not encrypted",
            shown(&next)
        );
        return Err(Failure::user(TaskError::user(message)));
    }
    Ok(Some(next))
}
