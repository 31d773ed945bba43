//! Notices early that a wait may be over. Polling stays the truth: a watcher only saves time.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::Wait;
use crate::project::Project;

/// Notices that something has changed where a wait looks.
#[async_trait]
pub trait Watcher: Send + Sync {
    /// Returns when something may have changed; never, when it cannot tell.
    async fn changed(&self, project: &Project, wait: &Wait);
}

/// The watcher that the binary puts among the [`Services`](crate::services::Services).
#[derive(Clone)]
pub struct WaitWatcher(Arc<dyn Watcher>);

impl WaitWatcher {
    /// A service of `watcher`.
    pub fn new(watcher: Arc<dyn Watcher>) -> Self {
        Self(watcher)
    }

    /// Returns when something may have changed where `wait` looks.
    pub async fn changed(&self, project: &Project, wait: &Wait) {
        self.0.changed(project, wait).await;
    }
}

impl fmt::Debug for WaitWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitWatcher")
    }
}
