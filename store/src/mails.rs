//! What becomes of mails, the same on both databases.

use std::collections::BTreeMap;

use pipectl_engine::{
    store::{MailState, UNCONFIGURED_PAUSE},
    time::Timestamp,
};

use crate::batch::text;

/// The columns that say what has become of a mail: its state, when it is due again, what the server said, how many more
/// tries that was.
pub(crate) fn settlement(
    state: &MailState,
    now: Timestamp,
) -> (&'static str, Option<Timestamp>, Option<String>, i64) {
    match state {
        MailState::Sent => ("sent", None, None, 1),
        MailState::Retry { at, error } => ("pending", Some(*at), Some(text(error)), 1),
        MailState::Dead { error } => ("dead", None, Some(text(error)), 1),
        MailState::Unconfigured => ("unconfigured", Some(now + UNCONFIGURED_PAUSE), None, 0),
    }
}

/// How many mails there are in each state.
pub(crate) fn mail_counts(counts: Vec<(String, i64)>) -> BTreeMap<String, u64> {
    let counts = counts.into_iter();
    counts
        .map(|(state, count)| (state, count.unsigned_abs()))
        .collect()
}
