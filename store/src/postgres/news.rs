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
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .acquire_timeout(PATIENCE)
                .connect_lazy_with((*options).clone());
            listener.spawn(hear(pool, Arc::clone(&self.told)));
        }
        self.told.notified()
    }
}

/// Listens for ever. What was said while nobody listened may have been missed: that too is news.
async fn hear(pool: PgPool, told: Arc<Notify>) {
    loop {
        let broken = listen(&pool, &told).await;
        tracing::debug!(
            error = &broken as &dyn std::error::Error,
            "the connection that listens for changes is broken"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Listens until the connection cannot be had again.
async fn listen(pool: &PgPool, told: &Notify) -> sqlx::Error {
    let mut listener = match PgListener::connect_with(pool).await {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    if let Err(error) = listener.listen(CHANNEL).await {
        return error;
    }
    loop {
        told.notify_waiters();
        match listener.try_recv().await {
            Ok(Some(_)) => {}
            // The connection was lost and made anew: also a server that accepts and hangs up is not asked in a loop.
            Ok(None) => tokio::time::sleep(PAUSE).await,
            Err(error) => return error,
        }
    }
}
