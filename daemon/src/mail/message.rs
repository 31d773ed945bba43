//! The message that goes over the wire.

use std::time::SystemTime;

use lettre::{
    Message,
    address::AddressError,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use pipectl_engine::{artifact::sha256, store::NewMail};

use super::{RenderError, Rendered, render, render_digest};

/// Why a mail could not become a message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// An address is none.
    #[error("`{text}` is not a mail address")]
    Address {
        /// What was written.
        text: String,
        /// The cause.
        #[source]
        source: AddressError,
    },
    /// There is nothing to be told.
    #[error("there is no mail to be put together")]
    Empty,
    /// A template failed.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The parts do not fit together.
    #[error("cannot put the message together")]
    Build(#[from] lettre::error::Error),
}

/// The message of `mail`, sent by `from`. Its Message-ID is made of the mail's id, so that a repeated mail is seen as one.
///
/// # Errors
/// When an address is none or a template fails.
pub fn message(mail: &NewMail, from: &str) -> Result<Message, MessageError> {
    compose(render(mail)?, mail, from, &mail.id.to_string())
}

/// One message for many mails to the same people. Its Message-ID is made of all of theirs: repeated it is seen as one, and with
/// others in it, it is another.
///
/// # Errors
/// When there is no mail, an address is none or a template fails.
pub fn digest(mails: &[&NewMail], from: &str) -> Result<Message, MessageError> {
    let first = mails.first().ok_or(MessageError::Empty)?;
    let ids: Vec<String> = mails.iter().map(|mail| mail.id.to_string()).collect();
    let id = format!("digest-{}", sha256(ids.join(" ").as_bytes()));
    compose(render_digest(mails)?, first, from, &id)
}

fn compose(
    rendered: Rendered,
    mail: &NewMail,
    from: &str,
    id: &str,
) -> Result<Message, MessageError> {
    let mut builder = Message::builder()
        .from(mailbox(from)?)
        .subject(rendered.subject)
        .date(SystemTime::from(mail.created))
        .message_id(Some(format!("<{id}@pipectl>")))
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    Ok(builder.multipart(MultiPart::alternative_plain_html(
        rendered.text,
        rendered.html,
    ))?)
}

fn mailbox(text: &str) -> Result<Mailbox, MessageError> {
    text.parse().map_err(|source| MessageError::Address {
        text: text.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{plan::AlertKind, time::Timestamp};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn mail(to: &[&str]) -> NewMail {
        NewMail {
            id: Uuid::from_u128(7),
            run: None,
            kind: AlertKind::Failure,
            to: to.iter().map(ToString::to_string).collect(),
            content: json!({"pipeline": "churn", "message": "grün"}),
            created: Timestamp::default(),
        }
    }

    #[test]
    fn equal_mails_have_equal_ids_and_dates() {
        let message = message(
            &mail(&["a@example.com", "B <b@example.com>"]),
            "pipectl <p@example.com>",
        )
        .unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        for part in [
            "Message-ID: <00000000-0000-0000-0000-000000000007@pipectl>",
            "Date: Thu, 01 Jan 1970 00:00:00 +0000",
            "Auto-Submitted: auto-generated",
            "multipart/alternative",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(message.envelope().to().len(), 2);
    }

    #[test]
    fn a_wrong_address_is_named() {
        for (to, from, wrong) in [("nobody", "p@example.com", "nobody"), ("a@b.c", "me", "me")] {
            let error = message(&mail(&[to]), from).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{wrong}` is not a mail address")
            );
        }
    }
}
