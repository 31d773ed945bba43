//! The outbox in memory.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use super::{Content, MailEntry, MemoryStore};
use crate::{
    store::{
        MailState, NewMail, Outbox, PendingMail, StoreError, UNCONFIGURED_KEPT, UNCONFIGURED_PAUSE,
    },
    time::Timestamp,
};

#[async_trait]
impl Outbox for MemoryStore {
    async fn take_due(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<PendingMail>, StoreError> {
        let mut content = self.lock();
        for entry in content.mails.values_mut() {
            if entry.state == "unconfigured" && entry.mail.created + UNCONFIGURED_KEPT <= now {
                entry.state = "expired";
            }
        }
        let mut due: Vec<_> = content
            .mails
            .values_mut()
            .filter(|entry| matches!(entry.state, "pending" | "unconfigured") && entry.due <= now)
            .collect();
        due.sort_by_key(|entry| (entry.mail.created, entry.mail.id));
        due.truncate(limit as usize);
        let take = due.into_iter().map(|entry| {
            entry.due = now + lease;
            PendingMail {
                mail: entry.mail.clone(),
                attempts: entry.attempts,
            }
        });
        Ok(take.collect())
    }

    async fn post(&self, mail: &NewMail) -> Result<(), StoreError> {
        self.lock().post(mail);
        Ok(())
    }

    async fn settle(
        &self,
        mail: Uuid,
        state: &MailState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut content = self.lock();
        let entry = content
            .mails
            .get_mut(&mail)
            .ok_or_else(|| StoreError::NotFound(format!("mail {mail}")))?;
        if !matches!(entry.state, "pending" | "unconfigured") {
            return Ok(());
        }
        match state {
            MailState::Sent => entry.state = "sent",
            MailState::Dead { .. } => entry.state = "dead",
            MailState::Retry { at, .. } => (entry.state, entry.due) = ("pending", *at),
            MailState::Unconfigured => {
                (entry.state, entry.due) = ("unconfigured", now + UNCONFIGURED_PAUSE);
            }
        }
        if *state != MailState::Unconfigured {
            entry.attempts += 1;
        }
        Ok(())
    }

    async fn counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut counts = BTreeMap::new();
        for entry in self.lock().mails.values() {
            *counts.entry(entry.state.to_owned()).or_default() += 1;
        }
        Ok(counts)
    }
}

impl Content {
    pub(super) fn post(&mut self, mail: &NewMail) {
        self.mails.entry(mail.id).or_insert_with(|| MailEntry {
            mail: mail.clone(),
            state: "pending",
            attempts: 0,
            due: mail.created,
        });
    }
}
