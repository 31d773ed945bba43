//! Opens object stores by their addresses, and says in our words why they refuse.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};
use pipectl_engine::{
    env::Env,
    operator::{Fault, TaskError},
};
use url::form_urlencoded;

/// How long a server may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one request may take; a download that takes longer goes on where it was.
const REQUEST: Duration = Duration::from_secs(60);
/// How often, and for how long in all, a request is tried again; the task has its own retries.
const RETRIES: usize = 2;
const RETRY_FOR: Duration = Duration::from_secs(15);

/// A place in an object store.
#[derive(Clone, Debug)]
pub struct ObjectPlace {
    /// The bucket.
    pub store: Arc<dyn ObjectStore>,
    /// What all keys begin with, without a slash at its ends; empty for the whole bucket.
    pub prefix: String,
    /// How to speak of it: `s3://bucket/prefix`.
    pub shown: String,
}

/// Whether an address is one of an object store.
pub fn is_object_store(address: &str) -> bool {
    scheme(address).is_some_and(|scheme| matches!(scheme, "s3" | "gs" | "az"))
}

fn scheme(address: &str) -> Option<&str> {
    address.split_once("://").map(|(scheme, _)| scheme)
}

/// Opens `s3://bucket/prefix?endpoint=…&region=…` with keys from `AWS_*`, `gs://bucket/prefix` with `GOOGLE_*`,
/// `az://container/prefix?account=…` with `AZURE_*`. Nothing is sent yet.
///
/// # Errors
/// When the address cannot be read, or there are no keys.
pub fn object_place(
    address: &str,
    ca_file: Option<&Path>,
    env: &Env,
) -> Result<ObjectPlace, TaskError> {
    let parts = Parts::read(address)?;
    let mut client = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST);
    if let Some(file) = ca_file {
        client = client.with_root_certificate(certificate(file)?);
    }
    let store: Arc<dyn ObjectStore> = match parts.scheme {
        "s3" => Arc::new(s3(&parts, client, env)?),
        "gs" => Arc::new(gcs(&parts, client, env)?),
        _ => Arc::new(azure(&parts, client, env)?),
    };
    Ok(ObjectPlace {
        store,
        shown: parts.shown(),
        prefix: parts.prefix,
    })
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 3.0,
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
    }
}

fn certificate(file: &Path) -> Result<Certificate, TaskError> {
    let fail = || TaskError::user(format!("cannot read the certificate {}", file.display()));
    let pem = std::fs::read(file).map_err(|error| fail().because(error))?;
    Certificate::from_pem(&pem).map_err(|error| fail().because(error))
}

/// An address in its parts.
struct Parts<'a> {
    scheme: &'a str,
    bucket: &'a str,
    prefix: String,
    settings: Vec<(String, String)>,
}

impl<'a> Parts<'a> {
    fn read(address: &'a str) -> Result<Self, TaskError> {
        let wrong = |why: &str| {
            TaskError::user(format!("the address of the bucket {why}")).hint(
                "write `s3://bucket/prefix?endpoint=https://host:port&region=name`; keys come from the environment",
            )
        };
        let (scheme, rest) = address
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "s3" | "gs" | "az"))
            .ok_or_else(|| wrong("does not begin with `s3://`, `gs://` or `az://`"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.contains('@') {
            return Err(wrong("holds a user or a key"));
        }
        if bucket.is_empty() {
            return Err(wrong("names no bucket"));
        }
        let known: &[&str] = match scheme {
            "s3" => &["endpoint", "region"],
            "gs" => &["endpoint"],
            _ => &["endpoint", "account"],
        };
        let mut settings = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            if !known.contains(&name.as_str()) {
                let known = known.join("` and `");
                return Err(wrong(&format!("has `{name}`; `{known}` are known")));
            }
            settings.push((name, value));
        }
        Ok(Self {
            scheme,
            bucket,
            prefix: prefix.trim_matches('/').to_owned(),
            settings,
        })
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn shown(&self) -> String {
        let (scheme, bucket) = (self.scheme, self.bucket);
        let place = match &*self.prefix {
            "" => format!("{scheme}://{bucket}"),
            prefix => format!("{scheme}://{bucket}/{prefix}"),
        };
        match self.get("endpoint") {
            Some(endpoint) => format!("{place} at {endpoint}"),
            None => place,
        }
    }

    fn refused(&self, error: &object_store::Error) -> TaskError {
        let mut wrong = object_error("open", &self.shown(), error);
        wrong.fault = Fault::User;
        wrong.retryable(false)
    }
}

fn s3(parts: &Parts<'_>, client: ClientOptions, env: &Env) -> Result<impl ObjectStore, TaskError> {
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client)
        .with_virtual_hosted_style_request(false);
    let mut endpoint = parts.get("endpoint").map(ToOwned::to_owned);
    for (name, value) in env.with_prefix("AWS_") {
        let name = format!("aws_{}", name.to_ascii_lowercase());
        if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
            if endpoint.is_none() && name.starts_with("aws_endpoint") {
                endpoint = Some(value.to_owned());
            }
            builder = builder.with_config(key, value);
        }
    }
    let sources = [
        "ACCESS_KEY_ID",
        "WEB_IDENTITY_TOKEN_FILE",
        "CONTAINER_CREDENTIALS_RELATIVE_URI",
        "CONTAINER_CREDENTIALS_FULL_URI",
        "SKIP_SIGNATURE",
    ];
    let has = |name: &str| env.get(&format!("AWS_{name}")).is_some();
    // A server of one's own has no machine that gives keys away.
    if endpoint.is_some() && !sources.into_iter().any(has) {
        return Err(
            TaskError::user(format!("there are no keys for {}", parts.shown()))
                .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        );
    }
    if let Some(endpoint) = &endpoint {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http:"));
    }
    if let Some(region) = parts.get("region") {
        builder = builder.with_region(region);
    }
    builder
        .with_bucket_name(parts.bucket)
        .with_retry(retry())
        .build()
        .map_err(|error| parts.refused(&error))
}

fn gcs(parts: &Parts<'_>, client: ClientOptions, env: &Env) -> Result<impl ObjectStore, TaskError> {
    let mut builder = GoogleCloudStorageBuilder::new().with_client_options(client);
    for (name, value) in env.with_prefix("GOOGLE_") {
        let name = format!("google_{}", name.to_ascii_lowercase());
        if let Ok(key) = name.parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = parts.get("endpoint") {
        builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint);
    }
    builder
        .with_bucket_name(parts.bucket)
        .with_retry(retry())
        .build()
        .map_err(|error| parts.refused(&error))
}

fn azure(
    parts: &Parts<'_>,
    client: ClientOptions,
    env: &Env,
) -> Result<impl ObjectStore, TaskError> {
    let mut builder = MicrosoftAzureBuilder::new().with_client_options(client);
    for (name, value) in env.with_prefix("AZURE_") {
        let name = format!("azure_{}", name.to_ascii_lowercase());
        if let Ok(key) = name.parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(account) = parts.get("account") {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = parts.get("endpoint") {
        builder = builder
            .with_endpoint(endpoint.to_owned())
            .with_allow_http(endpoint.starts_with("http:"));
    }
    builder
        .with_container_name(parts.bucket)
        .with_retry(retry())
        .build()
        .map_err(|error| parts.refused(&error))
}

/// A failure of an object store: whose fault it is, and what to do. `doing` is as in `list`, `place` as in
/// `` `lake` (s3://bucket at http://localhost:9000) ``.
pub fn object_error(doing: &str, place: &str, error: &object_store::Error) -> TaskError {
    let text = full(error);
    let code = between(&text, "<Code>", "</Code>");
    let verdict = code
        .and_then(by_code)
        .unwrap_or_else(|| by_kind(error, &text));
    let mut wrong = TaskError::external(format!("cannot {doing} {place}"))
        .retryable(verdict.retryable)
        .because(reason(error, code, &text));
    wrong.fault = verdict.fault;
    wrong.hint = verdict.hint.map(ToOwned::to_owned);
    wrong
}

struct Verdict {
    fault: Fault,
    retryable: bool,
    hint: Option<&'static str>,
}

const KEYS: &str =
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for Google GOOGLE_*, for Azure AZURE_*)";
const RIGHTS: &str = "the keys are known, but lack the right to do this";
const REGION: &str = "check `region` in the connection's address";

/// By the codes of <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
fn by_code(code: &str) -> Option<Verdict> {
    let user = |hint| Verdict {
        fault: Fault::User,
        retryable: false,
        hint: Some(hint),
    };
    Some(match code {
        "NoSuchBucket" | "ContainerNotFound" => {
            user("create the bucket, or name another one in the connection's address")
        }
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "AuthenticationFailed"
        | "NotSignedUp" => user(KEYS),
        "AccessDenied" => user(RIGHTS),
        "RequestTimeTooSkewed" => user("this machine's clock is wrong"),
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => user(REGION),
        _ => return None,
    })
}

fn by_kind(error: &object_store::Error, text: &str) -> Verdict {
    use object_store::Error as E;
    let (fault, retryable, hint) = match error {
        // An answer without a body says no more than 401 or 403.
        E::Unauthenticated { .. } | E::PermissionDenied { .. } => (Fault::User, false, Some(KEYS)),
        E::InvalidPath { .. } => (
            Fault::User,
            false,
            Some(
                "keys with an empty, `.` or `..` part cannot be told apart; give the object another key",
            ),
        ),
        E::NotFound { .. } | E::AlreadyExists { .. } | E::Precondition { .. } => {
            (Fault::User, false, None)
        }
        E::NotSupported { .. } | E::NotImplemented { .. } | E::UnknownConfigurationKey { .. } => {
            (Fault::External, false, None)
        }
        _ if text.contains("169.254.169.254") => (Fault::User, false, Some(KEYS)),
        _ if text.contains("without LOCATION") => (Fault::User, false, Some(REGION)),
        _ => (
            Fault::External,
            true,
            Some("is the server running, and does a firewall let us through?"),
        ),
    };
    Verdict {
        fault,
        retryable,
        hint,
    }
}

/// What the server says, or the innermost cause: libraries tell the story around it at length.
fn reason(error: &object_store::Error, code: Option<&str>, text: &str) -> String {
    let said = between(text, "<Message>", "</Message>").filter(|said| !said.is_empty());
    if let Some(code) = code.filter(|code| !matches!(*code, "NoSuchKey" | "BlobNotFound")) {
        return said.map_or_else(|| code.to_owned(), |said| format!("{said} ({code})"));
    }
    if matches!(error, object_store::Error::NotFound { .. }) {
        return "it is not there".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn full(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push('\n');
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Env {
        Env::from([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")])
    }

    #[test]
    fn an_address_names_a_place() {
        for (address, prefix, shown) in [
            ("s3://bucket?region=x", "", "s3://bucket"),
            (
                "s3://bucket/team/x/?endpoint=http://localhost:9000&region=eu-central-1",
                "team/x",
                "s3://bucket/team/x at http://localhost:9000",
            ),
            (
                "s3://bucket/mit ümlaut+",
                "mit ümlaut+",
                "s3://bucket/mit ümlaut+",
            ),
            ("az://box/a?account=me", "a", "az://box/a"),
        ] {
            let place = object_place(address, None, &keys()).unwrap();
            assert_eq!(
                (&*place.prefix, &*place.shown),
                (prefix, shown),
                "{address}"
            );
        }
    }

    #[test]
    fn a_wrong_address_is_told_without_its_secrets() {
        for (address, message) in [
            ("s3://", "the address of the bucket names no bucket"),
            (
                "s3://bucket?colour=red",
                "the address of the bucket has `colour`; `endpoint` and `region` are known",
            ),
            (
                "s3://key:hunter2@bucket",
                "the address of the bucket holds a user or a key",
            ),
            (
                "ftp://bucket",
                "the address of the bucket does not begin with `s3://`, `gs://` or `az://`",
            ),
        ] {
            let error = object_place(address, None, &keys()).unwrap_err();
            assert_eq!(error.message, message, "{address}");
        }
        let address = "s3://bucket?endpoint=http://localhost:9000";
        let error = object_place(address, None, &Env::default()).unwrap_err();
        assert_eq!(
            error.message,
            "there are no keys for s3://bucket at http://localhost:9000"
        );
    }

    #[test]
    fn a_bucket_without_the_right_is_the_users_fault() {
        let answer = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        let error = object_store::Error::Generic {
            store: "S3",
            source: answer.into(),
        };
        let error = object_error("list", "`lake` (s3://bucket)", &error);
        assert_eq!((error.fault, error.retryable), (Fault::User, false));
        assert_eq!(
            error.full_message(),
            "cannot list `lake` (s3://bucket): Access Denied (AccessDenied)"
        );
        assert_eq!(error.hint.as_deref(), Some(RIGHTS));
    }
}
