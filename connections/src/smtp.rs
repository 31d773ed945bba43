//! The way mail leaves.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, Tokio1Executor,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use pipectl_engine::{
    operator::TaskError,
    project::{Project, Smtp},
};
use url::Url;

/// A mail server that was not yet spoken to; it implements [`lettre::AsyncTransport`].
pub type MailServer = AsyncSmtpTransport<Tokio1Executor>;

/// How long the server may take for each answer.
const ANSWER: Duration = Duration::from_secs(20);

/// The mail server that the project names: `smtp://user:password@host:587` (STARTTLS is required),
/// `smtps://…` (TLS from the start, port 465), `smtp+plain://…` (never encrypted, for a relay on the same machine).
///
/// # Errors
/// When the address is none of a mail server, or the file with the authority's certificate cannot be read.
pub fn mail_server(project: &Project, smtp: &Smtp) -> Result<MailServer, TaskError> {
    let wrong = |what: &str| {
        TaskError::user(format!("the mail server's address {what}"))
            .hint("write `smtp://user:password@host:587` (STARTTLS), `smtps://user:password@host` (TLS), or `smtp+plain://host:25` for a relay nearby")
    };
    let url = Url::parse(smtp.url.expose()).map_err(|_| wrong("cannot be read"))?;
    let host = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or_else(|| wrong("names no host"))?;
    let (default_port, tls) = match url.scheme() {
        "smtp" => (587, Some(false)),
        "smtps" => (465, Some(true)),
        "smtp+plain" => (25, None),
        _ => return Err(wrong("does not begin with `smtp:` or `smtps:`")),
    };
    if url.query().is_some() {
        return Err(wrong("has parameters, of which there are none"));
    }
    let tls = match tls {
        None => Tls::None,
        Some(from_the_start) => {
            let parameters = parameters(project, smtp, host)?;
            if from_the_start {
                Tls::Wrapper(parameters)
            } else {
                Tls::Required(parameters)
            }
        }
    };
    let mut builder = MailServer::builder_dangerous(host)
        .port(url.port().unwrap_or(default_port))
        .timeout(Some(ANSWER))
        .tls(tls);
    if !url.username().is_empty() {
        let password = decoded(url.password().unwrap_or_default());
        builder = builder.credentials(Credentials::new(decoded(url.username()), password));
    }
    Ok(builder.build())
}

/// What a person can do about it when the server did not take a mail.
pub fn mail_hint(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let refused = causes
        .map(ToString::to_string)
        .any(|text| text.contains("STARTTLS"));
    refused.then_some(
        "the server offers no STARTTLS, which `smtp://` requires: write `smtps://…` for TLS from the start, or `smtp+plain://…` for a relay on this machine or network that mail may reach unencrypted",
    )
}

fn parameters(project: &Project, smtp: &Smtp, host: &str) -> Result<TlsParameters, TaskError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(file) = &smtp.ca_file {
        let read = || format!("cannot read the certificate {}", file.display());
        let pem = std::fs::read(project.path(file))
            .map_err(|error| TaskError::user(read()).because(error))?;
        let certificate =
            Certificate::from_pem(&pem).map_err(|error| TaskError::user(read()).because(error))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder
        .build_rustls()
        .map_err(|error| TaskError::external("cannot set up TLS for mail").because(error))
}

/// The text behind `%40` and its like.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use pipectl_engine::secret::Secret;

    use super::*;

    fn server(url: &str, ca_file: Option<&str>) -> Result<MailServer, TaskError> {
        let smtp = Smtp {
            url: Secret::new(url.to_owned()),
            from: "a@b".to_owned(),
            ca_file: ca_file.map(PathBuf::from),
        };
        mail_server(&Project::default(), &smtp)
    }

    #[tokio::test]
    async fn addresses_of_mail_servers() {
        for url in [
            "smtp://me:p%40ss@localhost:2525",
            "smtps://mail.example.com",
            "smtp+plain://localhost",
        ] {
            assert!(server(url, None).is_ok(), "{url}");
        }
        for (url, message) in [
            (
                "mail.example.com",
                "the mail server's address cannot be read",
            ),
            (
                "http://mail.example.com",
                "the mail server's address does not begin with `smtp:` or `smtps:`",
            ),
        ] {
            assert_eq!(server(url, None).unwrap_err().message, message);
        }
        let error = server("smtp://me:s3cret@localhost", Some("/nowhere/ca.pem")).unwrap_err();
        assert_eq!(error.message, "cannot read the certificate /nowhere/ca.pem");
    }

    #[test]
    fn escapes_in_credentials_are_read() {
        for (text, plain) in [
            ("p%40ss", "p@ss"),
            ("100%", "100%"),
            ("%C3%BC", "ü"),
            ("a%zz", "a%zz"),
        ] {
            assert_eq!(decoded(text), plain);
        }
    }
}
