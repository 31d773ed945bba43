//! One try: the request with its credentials, its turn, redirects, the answer to its last byte.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use pipectl_engine::operator::TaskError;
use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderValue},
};
use url::Url;

use super::{
    answer::{Answer, excerpt, shown},
    call::Call,
    client::HttpClient,
    failure::Failure,
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
        patience: &Patience,
    ) -> Result<(Answer, Option<String>), Failure> {
        let asked = format!("{} {}", call.method, shown(&url));
        let mut at = url;
        for _ in 0..=REDIRECTS {
            self.0
                .reach
                .check(&at)
                .map_err(|refused| Failure::refused(&asked, &refused))?;
            let (request, token) = self.request(call, &at, patience).await?;
            let place = self.0.queue.turn().await;
            let work = self.answer(request, &asked, patience, at.clone());
            let answer = tokio::time::timeout(patience.timeout, work)
                .await
                .unwrap_or_else(|_| {
                    let message = format!(
                        "`{asked}` did not answer within {} s",
                        patience.timeout.as_secs_f64()
                    );
                    let error = TaskError::external(message)
                        .hint("raise `answer_within`, or ask for less at once");
                    Err(Failure::new(error, false))
                })?;
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
        patience: &Patience,
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
        let mut request = self
            .0
            .client
            .request(call.method.clone(), at)
            .timeout(patience.timeout);
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
        patience: &Patience,
        url: Url,
    ) -> Result<Answer, Failure> {
        let response = request
            .send()
            .await
            .map_err(|error| Failure::of(asked, error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let large = || {
            let message = format!(
                "the answer to `{asked}` is larger than {} bytes",
                patience.max_bytes
            );
            Failure::user(
                TaskError::user(message).hint("ask for smaller pages, or raise `max_bytes`"),
            )
        };
        if response
            .content_length()
            .is_some_and(|length| length > patience.max_bytes)
        {
            return Err(large());
        }
        let mut body = BytesMut::new();
        let mut parts = response.bytes_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|error| Failure::of(asked, error))?;
            if body.len() as u64 + part.len() as u64 > patience.max_bytes {
                return Err(large());
            }
            body.extend_from_slice(&part);
        }
        let body: Bytes = body.freeze();
        Ok(Answer {
            status,
            excerpt: excerpt(&body, &self.0.settings.secrets),
            body,
            url,
            asked: asked.to_owned(),
            tries: 1,
            headers,
        })
    }
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
