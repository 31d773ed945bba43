//! Access tokens of OAuth 2.0 by client credentials: fetched when one is needed, shared, renewed before they end.

use std::time::Duration;

use pipectl_engine::operator::TaskError;
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

use super::{
    answer::{excerpt, shown},
    failure::Failure,
    settings::OAuth2,
};

/// How long a token is taken to last when the server does not say.
const USUAL: u64 = 300;
/// How long before its end a token is no longer used.
const MARGIN: Duration = Duration::from_secs(20);
/// How long the server may take.
const ANSWER: Duration = Duration::from_secs(30);

/// The token of one connection.
#[derive(Debug, Default)]
pub(super) struct Token(Mutex<Option<Held>>);

#[derive(Clone)]
struct Held {
    token: String,
    until: Instant,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[derive(Deserialize)]
struct Given {
    access_token: String,
    expires_in: Option<f64>,
}

impl Token {
    /// A token that lasts.
    pub(super) async fn get(
        &self,
        client: &reqwest::Client,
        oauth2: &OAuth2,
    ) -> Result<String, Failure> {
        let mut held = self.0.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.until > Instant::now()) {
            return Ok(held.token.clone());
        }
        let given = fetch(client, oauth2).await?;
        let seconds = given
            .expires_in
            .filter(|seconds| seconds.is_finite() && *seconds > 0.0);
        let lasts = seconds.map_or(Duration::from_secs(USUAL), |seconds| {
            Duration::from_secs_f64(seconds.min(31_536_000.0))
        });
        // One that lasts very short is used for half of its time.
        let until = Instant::now() + lasts.saturating_sub(MARGIN).max(lasts / 2);
        *held = Some(Held {
            token: given.access_token.clone(),
            until,
        });
        Ok(given.access_token)
    }

    /// The server no longer takes `token`.
    pub(super) async fn forget(&self, token: &str) {
        let mut held = self.0.lock().await;
        if held.as_ref().is_some_and(|held| held.token == token) {
            *held = None;
        }
    }
}

fn form(oauth2: &OAuth2) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = &oauth2.scope {
        form.append_pair("scope", scope);
    }
    if let Some(audience) = &oauth2.audience {
        form.append_pair("audience", audience);
    }
    form.finish()
}

async fn fetch(client: &reqwest::Client, oauth2: &OAuth2) -> Result<Given, Failure> {
    let asked = format!("POST {}", shown(&oauth2.token_url));
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let answer = client
        .post(oauth2.token_url.clone())
        .basic_auth(
            encoded(&oauth2.client_id),
            Some(encoded(&oauth2.client_secret)),
        )
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json")
        .body(form(oauth2))
        .timeout(ANSWER)
        .send()
        .await
        .map_err(|error| Failure::of(&asked, error))?;
    let status = answer.status();
    let body = answer
        .bytes()
        .await
        .map_err(|error| Failure::of(&asked, error))?;
    if !status.is_success() {
        let said = excerpt(&body, std::slice::from_ref(&oauth2.client_secret));
        let message = format!("`{asked}` gave no token: {status}: {said}");
        let again = status.is_server_error() || status.as_u16() == 429;
        let error = if again {
            TaskError::external(message)
        } else {
            TaskError::user(message).hint("check `auth.oauth2` of the connection")
        };
        return Err(Failure::new(error, again));
    }
    serde_json::from_slice(&body).map_err(|_| {
        Failure::user(TaskError::user(format!(
            "`{asked}` gave no token: its answer has no `access_token`"
        )))
    })
}
