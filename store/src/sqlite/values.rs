//! How SQLite takes values.

use std::{borrow::Cow, time::Duration};

use pipectl_engine::{store::StoreError, time::Timestamp};
use serde_json::Value;
use uuid::Uuid;

use crate::error::unreadable;

/// A time, as microseconds since 1970.
pub(super) fn moment(time: Timestamp) -> i64 {
    time.timestamp_micros()
}

/// A lease, as microseconds.
pub(super) fn lasting(lease: Duration) -> Result<i64, StoreError> {
    i64::try_from(lease.as_micros()).map_err(unreadable)
}

/// Several texts as one parameter, a JSON array.
pub(super) fn texts<'a>(texts: impl Iterator<Item = Cow<'a, str>>) -> String {
    texts.collect::<Value>().to_string()
}

/// Several identities as one parameter, a JSON array of hexadecimal numbers.
pub(super) fn ids(ids: impl Iterator<Item = Uuid>) -> String {
    ids.map(super::create::hex).collect::<Value>().to_string()
}
