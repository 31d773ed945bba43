//! Calls that got no answer: whose fault it is, and whether the server may have acted.

use std::error::Error;

use pipectl_engine::operator::TaskError;

use super::address::Refused;

/// A call without an answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Box<TaskError>,
    /// Whether the server surely has not heard of the call.
    pub(super) unheard: bool,
}

impl Failure {
    pub(super) fn new(error: TaskError, unheard: bool) -> Self {
        Self {
            error: Box::new(error),
            unheard,
        }
    }

    /// Nothing was sent, and another try gives the same.
    pub(super) fn user(error: TaskError) -> Self {
        Self::new(error, false)
    }

    /// What reqwest complains about while `asked` is under way. Its own text would hold the whole address.
    pub(super) fn of(asked: &str, error: reqwest::Error) -> Self {
        let error = error.without_url();
        if let Some(refused) = refused(&error) {
            return Self::refused(asked, refused);
        }
        if error.is_builder() {
            let message = format!("`{asked}` cannot be sent");
            return Self::user(TaskError::user(message).because(error));
        }
        let (unheard, what) = match (error.is_connect(), error.is_timeout()) {
            (true, true) => (true, "cannot be reached in time"),
            (true, false) => (true, "cannot be reached"),
            (false, true) => (false, "did not answer in time"),
            (false, false) => (false, "broke off"),
        };
        let message = format!("`{asked}` {what}");
        let error = match innermost(&error) {
            Some(cause) => TaskError::external(message).because(cause),
            None => TaskError::external(message),
        };
        Self::new(error, unheard)
    }

    /// An address that is not called.
    pub(super) fn refused(asked: &str, refused: &Refused) -> Self {
        let hint = if refused.chosen {
            "`allow_link_local: true` of the connection allows it"
        } else {
            "an answer has named it; name it in a connection of its own if that is right"
        };
        let error = TaskError::user(format!("`{asked}` is not sent")).because(refused.clone());
        Self::user(error.hint(hint))
    }
}

fn refused<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refused) = error.downcast_ref() {
            return Some(refused);
        }
        next = error.source();
    }
    None
}

/// What lies behind all wrappers: `connection refused`, an expired certificate.
fn innermost(error: &dyn Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause.to_string())
}
