//! What is said of a history that does not answer: once that it is away, and once that it is back.

use std::sync::{Mutex, PoisonError};

use pipectl_connections::located;
use pipectl_engine::{failure::full_message, project::Project, store::StoreError, time::Timestamp};

use crate::desk::Desk;

/// Whether the history is away.
#[derive(Debug)]
pub(crate) struct Away {
    /// Where it is, without a password.
    address: String,
    since: Mutex<Option<Timestamp>>,
}

/// Where a history is that is not in the state directory, without a password.
pub(crate) fn elsewhere(project: &Project) -> Option<String> {
    let address = project.store.as_ref()?;
    Some(located(address.expose()).unwrap_or_else(|| "PIPECTL_STORE".into()))
}

impl Away {
    pub(crate) fn new(project: &Project) -> Self {
        let own = || project.state_dir.join("history.db");
        Self {
            address: elsewhere(project).unwrap_or_else(|| own().display().to_string()),
            since: Mutex::default(),
        }
    }

    /// Notes that it is away; whether that is news.
    fn goes(&self, now: Timestamp) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let news = since.is_none();
        since.get_or_insert(now);
        news
    }

    /// Notes that it answers; since when it did not, if that is news.
    fn comes(&self) -> Option<Timestamp> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.take()
    }
}

impl Desk {
    /// Says that something did not work that will be tried again. Of all that does not work while the history is away only the
    /// first is told.
    pub(crate) fn say(&self, what: &str, error: &StoreError) {
        let is_away = matches!(error, StoreError::Unavailable { .. }) && !error.is_locked();
        let error = full_message(error);
        if !is_away {
            tracing::warn!(error, "{what}");
        } else if self.away.goes(self.now()) {
            let history = &self.away.address;
            tracing::warn!(
                history,
                error,
                "{what}: the history is away, and is tried until it is back"
            );
        } else {
            tracing::debug!(error, "{what}");
        }
    }

    /// Says that the history is back, if it was away.
    pub(crate) fn answered(&self) {
        if let Some(since) = self.away.comes() {
            let history = &self.away.address;
            let seconds = (self.now() - since).num_seconds();
            tracing::info!(history, seconds, "the history is back");
        }
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::secret::Secret;

    use super::*;

    #[test]
    fn it_is_news_once_and_names_no_password() {
        let project = Project {
            store: Some(Secret::new(
                "postgres://me:s3cret@db.example.com/p".to_owned(),
            )),
            ..Project::default()
        };
        let away = Away::new(&project);
        assert_eq!(away.address, "db.example.com/p");
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(away.comes(), None);
        assert!(away.goes(now));
        assert!(!away.goes(now + chrono::TimeDelta::seconds(5)));
        assert_eq!(away.comes(), Some(now));
        assert_eq!(away.comes(), None);
    }
}
