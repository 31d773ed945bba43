//! Hears when another process has changed something: one connection of its own that listens, from the first time that
//! somebody waits.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use pipectl_engine::failure::full_message;
use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::{
    sync::{Notify, futures::Notified},
    task::JoinSet,
};

/// What `pipectl.tell()` notifies.
const CHANNEL: &str = "pipectl";
/// How long to wait for a connection, and before the next try.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);
/// How often to look for a pooler: a busy one may have begun a session just now.
const LOOKS: u32 = 3;

/// The news, and the task that hears them. It ends when this is dropped.
#[derive(Debug, Default)]
pub(super) struct News {
    told: Arc<Notify>,
    listener: Mutex<JoinSet<()>>,
}

impl News {
    /// Waits for the next news that come after this call.
    pub(super) fn next(&self, pool: &PgPool) -> Notified<'_> {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener.is_empty() {
            let options = pool.connect_options();
            let own = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .acquire_timeout(PATIENCE)
                .connect_lazy_with((*options).clone());
            listener.spawn(hear(own, pool.clone(), Arc::clone(&self.told)));
        }
        self.told.notified()
    }
}

/// Listens for ever. What was said while nobody listened may have been missed: that too is news.
async fn hear(own: PgPool, others: PgPool, told: Arc<Notify>) {
    loop {
        match listen(&own, &others, &told).await {
            Ok(Unheard) => {
                tracing::info!(
                    "a pooler lends the history's sessions by the transaction: what others change is seen by looking"
                );
                return;
            }
            Err(broken) => tracing::debug!(
                error = full_message(&broken),
                "the connection that listens for changes is broken"
            ),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Nothing can be heard here.
struct Unheard;

/// Listens until the connection cannot be had again.
async fn listen(own: &PgPool, others: &PgPool, told: &Notify) -> Result<Unheard, sqlx::Error> {
    for _ in 0..LOOKS {
        if is_lent(own, others).await? {
            return Ok(Unheard);
        }
    }
    let mut listener = PgListener::connect_with(own).await?;
    listener.listen(CHANNEL).await?;
    loop {
        told.notify_waiters();
        if listener.try_recv().await?.is_none() {
            // The connection was lost and made anew: also a server that accepts and hangs up is not asked in a loop.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether a pooler lends its sessions to new connections: others would be told what one listens for, in the middle of
/// their work. Such a session began before the connection did, or serves two at once.
async fn is_lent(own: &PgPool, others: &PgPool) -> Result<bool, sqlx::Error> {
    const NOW: &str = "select clock_timestamp()";
    const BEGUN: &str =
        "select pid, backend_start < $1 from pg_stat_activity where pid = pg_backend_pid()";
    let before: DateTime<Utc> = sqlx::query_scalar(NOW).fetch_one(others).await?;
    let mut mine = PgConnection::connect_with(&own.connect_options()).await?;
    let (session, is_older): (i32, bool) = sqlx::query_as(BEGUN)
        .bind(before)
        .fetch_one(&mut mine)
        .await?;
    let theirs: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(others)
        .await?;
    mine.close().await?;
    Ok(is_older || session == theirs)
}
