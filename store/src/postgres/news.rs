//! Hears when another process has changed something: one connection of its own that listens, from the first time that
//! somebody waits.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{
    PgPool,
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
/// How often to look whether the session is lent to others: a busy pooler may give the same one again by chance.
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
                error = &broken as &dyn std::error::Error,
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
    let mut listener = PgListener::connect_with(own).await?;
    if is_lent(&mut listener, others).await? {
        return Ok(Unheard);
    }
    listener.listen(CHANNEL).await?;
    loop {
        told.notify_waiters();
        if listener.try_recv().await?.is_none() {
            // The connection was lost and made anew: also a server that accepts and hangs up is not asked in a loop.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether a pooler lends this connection's session to others between its transactions: they would be told what it
/// listens for, in the middle of their work.
async fn is_lent(listener: &mut PgListener, others: &PgPool) -> Result<bool, sqlx::Error> {
    const SESSION: &str = "select pg_backend_pid()";
    for _ in 0..LOOKS {
        let mine: i32 = sqlx::query_scalar(SESSION)
            .fetch_one(&mut *listener)
            .await?;
        let mut other = others.begin().await?;
        let theirs: i32 = sqlx::query_scalar(SESSION).fetch_one(&mut *other).await?;
        let later: i32 = sqlx::query_scalar(SESSION)
            .fetch_one(&mut *listener)
            .await?;
        other.rollback().await?;
        if theirs == mine || later != mine {
            return Ok(true);
        }
    }
    Ok(false)
}
