//! How Postgres takes values.

use std::{borrow::Cow, time::Duration};

use pipectl_engine::{store::StoreError, time::Timestamp};
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use crate::error::unreadable;

/// A time.
pub(super) fn moment(time: Timestamp) -> Timestamp {
    time
}

/// A lease, to be added to a time.
pub(super) fn lasting(lease: Duration) -> Result<PgInterval, StoreError> {
    let micros = i64::try_from(lease.as_micros()).map_err(unreadable)?;
    Ok(PgInterval {
        months: 0,
        days: 0,
        microseconds: micros,
    })
}

/// Several texts as one parameter.
pub(super) fn texts<'a>(texts: impl Iterator<Item = Cow<'a, str>>) -> Vec<Cow<'a, str>> {
    texts.collect()
}

/// Several identities as one parameter.
pub(super) fn ids(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    ids.collect()
}
