//! Sends the mails that runs have written down, and writes down what has become of them.
//!
//! A mail is taken for a while, sent, settled. When the process dies between the server's answer and the settling, the
//! mail is sent again with the same Message-ID; otherwise it is sent once.

use std::{sync::Arc, time::Duration};

use lettre::AsyncTransport;
use pipectl_connections::{MailServer, mail_server};
use pipectl_engine::{
    id::RunId,
    project::Project,
    store::{MailState, PendingMail, Store, StoreError},
    time::Clock,
};

use crate::mail::{digest, message};

/// How long a taken mail is ours.
const LEASE: Duration = Duration::from_secs(120);
/// How many mails are taken at once.
const BATCH: u32 = 1_000;
/// From so many mails to the same people on they become one: nobody reads a flood.
const DIGEST: usize = 6;
/// How long a mail may take: the connection waits for answers without end.
const ONE_MAIL: Duration = Duration::from_secs(30);
/// The pause before the second try; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(30);
/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(3600);
/// After so many tries, most of a day, a mail is given up.
const TRIES: u32 = 24;

/// What a round has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Taken by the server.
    pub sent: u32,
    /// To be tried again later.
    pub delayed: u32,
    /// Given up.
    pub dead: u32,
    /// There is no server to send to.
    pub unconfigured: u32,
}

/// Sends what is in the outbox.
pub struct Postman {
    store: Arc<dyn Store>,
    project: Arc<Project>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Postman {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postman")
            .field("smtp", &self.project.smtp)
            .finish_non_exhaustive()
    }
}

impl Postman {
    /// A postman who sends the mails of `store` by the project's mail server.
    pub fn new(store: Arc<dyn Store>, project: Arc<Project>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            project,
            clock,
        }
    }

    /// Sends all mails that are due now, each tried once.
    ///
    /// # Errors
    /// When the outbox cannot be read or written.
    pub async fn deliver(&self) -> Result<Delivery, StoreError> {
        self.deliver_telling(|_, _| ()).await
    }

    /// The same, and tells of each mail which run it is about and what has become of it.
    ///
    /// # Errors
    /// When the outbox cannot be read or written.
    pub async fn deliver_telling(
        &self,
        mut tell: impl FnMut(Option<RunId>, &MailState) + Send,
    ) -> Result<Delivery, StoreError> {
        let mut delivery = Delivery::default();
        // Opened for the first mail: most of the time there is none.
        let mut server = None;
        loop {
            let due = self.store.take_due(self.clock.now(), LEASE, BATCH).await?;
            if due.is_empty() {
                return Ok(delivery);
            }
            let taken = tokio::time::Instant::now();
            for group in grouped(due) {
                // What is left is ours no longer before it could be sent: a later round takes it.
                if taken.elapsed() + ONE_MAIL > LEASE {
                    return Ok(delivery);
                }
                let server = server.get_or_insert_with(|| self.server());
                let sent = self.send(server, &group).await;
                for mail in &group {
                    let state = self.outcome(mail, &sent);
                    self.store
                        .settle(mail.mail.id, &state, self.clock.now())
                        .await?;
                    delivery.count(&state);
                    tell(mail.mail.run, &state);
                }
            }
        }
    }

    fn server(&self) -> Server {
        match &self.project.smtp {
            None => Server::None,
            Some(smtp) => match mail_server(&self.project, smtp) {
                Ok(server) => Server::Ready(Box::new(server), smtp.from.clone()),
                Err(error) => Server::Broken(error.full_message()),
            },
        }
    }

    /// Sends mails to the same people as one message.
    async fn send(&self, server: &Server, group: &[PendingMail]) -> Sent {
        let Some(first) = group.first() else {
            return Sent::Done;
        };
        let (mailer, from) = match server {
            Server::None => {
                tracing::info!(mail = %first.mail.id, "no mail server is configured: a mail stays in the outbox");
                return Sent::Unconfigured;
            }
            Server::Broken(error) => return Sent::Later(error.clone()),
            Server::Ready(mailer, from) => (mailer, from),
        };
        let mails: Vec<_> = group.iter().map(|pending| &pending.mail).collect();
        let message = match mails.as_slice() {
            [mail] => message(mail, from),
            mails => digest(mails, &first.mail, from),
        };
        let message = match message {
            Ok(message) => message,
            Err(error) => return Sent::Never(full_message(&error)),
        };
        match tokio::time::timeout(ONE_MAIL, mailer.send(message)).await {
            Ok(Ok(_)) => Sent::Done,
            Err(_) => Sent::Later("the mail server does not answer".to_owned()),
            Ok(Err(error)) => {
                let text = full_message(&error);
                tracing::warn!(mail = %first.mail.id, error = text, "cannot send a mail");
                if refused_for_good(&error) {
                    Sent::Never(text)
                } else {
                    Sent::Later(text)
                }
            }
        }
    }

    fn outcome(&self, pending: &PendingMail, sent: &Sent) -> MailState {
        match sent {
            Sent::Done => MailState::Sent,
            Sent::Unconfigured => MailState::Unconfigured,
            Sent::Later(error) => self.again(pending, error.clone()),
            Sent::Never(error) => MailState::Dead {
                error: error.clone(),
            },
        }
    }

    fn again(&self, pending: &PendingMail, error: String) -> MailState {
        let tries = pending.attempts.saturating_add(1);
        if tries >= TRIES {
            return MailState::Dead { error };
        }
        MailState::Retry {
            at: self.clock.now() + pause(tries),
            error,
        }
    }
}

/// What has become of a message.
enum Sent {
    Done,
    Unconfigured,
    Later(String),
    Never(String),
}

/// Mails to the same people together, when there are many of them or they are about one run; else each alone. Those that
/// were tried before stay alone, so that one that is refused takes no other with it.
fn grouped(due: Vec<PendingMail>) -> Vec<Vec<PendingMail>> {
    let mut groups: Vec<Vec<PendingMail>> = Vec::new();
    for mail in due {
        let fits = |group: &&mut Vec<PendingMail>| {
            group
                .iter()
                .all(|other| other.mail.to == mail.mail.to && other.attempts == 0)
        };
        match groups.iter_mut().find(fits).filter(|_| mail.attempts == 0) {
            Some(group) => group.push(mail),
            None => groups.push(vec![mail]),
        }
    }
    let (many, few): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.len() >= DIGEST);
    many.into_iter()
        .chain(few.into_iter().flat_map(by_run))
        .collect()
}

/// Mails of one run together; others each alone.
fn by_run(group: Vec<PendingMail>) -> Vec<Vec<PendingMail>> {
    let mut runs: Vec<Vec<PendingMail>> = Vec::new();
    for mail in group {
        let of_run = |one: &&mut Vec<PendingMail>| {
            mail.mail.run.is_some() && one.iter().all(|other| other.mail.run == mail.mail.run)
        };
        match runs.iter_mut().find(of_run) {
            Some(run) => run.push(mail),
            None => runs.push(vec![mail]),
        }
    }
    runs
}

enum Server {
    None,
    Broken(String),
    Ready(Box<MailServer>, String),
}

impl Delivery {
    fn count(&mut self, state: &MailState) {
        let counter = match state {
            MailState::Sent => &mut self.sent,
            MailState::Retry { .. } => &mut self.delayed,
            MailState::Dead { .. } => &mut self.dead,
            MailState::Unconfigured => &mut self.unconfigured,
        };
        *counter += 1;
    }
}

/// The pause after so many tries.
fn pause(tries: u32) -> Duration {
    let doubled = 1_u32
        .checked_shl(tries.saturating_sub(1))
        .unwrap_or(u32::MAX);
    FIRST.saturating_mul(doubled).min(LONGEST)
}

/// Whether the server will never take this mail. A refused login is not the mail's fault: somebody can mend the
/// password, and the mail still goes out.
fn refused_for_good(error: &lettre::transport::smtp::Error) -> bool {
    let login = ["530", "534", "535", "538"];
    error.is_permanent()
        && error
            .status()
            .is_some_and(|code| !login.contains(&code.to_string().as_str()))
}

/// An error with its causes in one line.
pub(crate) fn full_message(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_an_hour() {
        let seconds = [1, 2, 3, 7, 8, 9, 40].map(|tries| pause(tries).as_secs());
        assert_eq!(seconds, [30, 60, 120, 1920, 3600, 3600, 3600]);
    }
}
