//! Sends the mails that runs have written down, and writes down what has become of them.
//!
//! A mail is taken for a while, sent, settled. When the process dies between the server's answer and the settling, the
//! mail is sent again with the same Message-ID; otherwise it is sent once.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use chrono::DurationRound as _;
use lettre::AsyncTransport;
use pipectl_connections::{MailServer, mail_hint, mail_server};
use pipectl_engine::{
    failpoint,
    failure::full_message,
    id::RunId,
    project::Project,
    store::{MailState, PendingMail, Store, StoreError},
    time::{Clock, Timestamp},
};

use crate::{
    flood::Flood,
    mail::{digest, message},
};

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
    flood: Arc<Flood>,
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
            flood: Arc::default(),
        }
    }

    /// The same, who knows of what others have sent.
    pub(crate) fn after(self, flood: Arc<Flood>) -> Self {
        Self { flood, ..self }
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
        let mut round = Round::default();
        let done = self.round(&mut round, &mut tell).await;
        round.say();
        done.map(|()| round.delivery)
    }

    async fn round(
        &self,
        round: &mut Round,
        tell: &mut (impl FnMut(Option<RunId>, &MailState) + Send),
    ) -> Result<(), StoreError> {
        // Opened for the first mail: most of the time there is none.
        let mut server = None;
        loop {
            let due = self.store.take_due(self.clock.now(), LEASE, BATCH).await?;
            if due.is_empty() {
                return Ok(());
            }
            let taken = tokio::time::Instant::now();
            let (due, held) = self.flood.part(due, self.clock.now());
            self.hold(&held, round).await?;
            let mut groups = VecDeque::from(grouped(due));
            while let Some(group) = groups.pop_front() {
                // What is left is ours no longer before it could be sent: a later round takes it.
                if taken.elapsed() + ONE_MAIL > LEASE {
                    return Ok(());
                }
                let server = server.get_or_insert_with(|| self.server());
                let sent = self.send(server, &group).await;
                if matches!(sent, Sent::Never(_)) && group.len() > 1 {
                    // One that is refused takes no other with it.
                    groups.extend(group.into_iter().map(|mail| vec![mail]));
                    continue;
                }
                if matches!(sent, Sent::Done) {
                    failpoint::hit("mail_sent");
                    self.flood.sent(&group, self.clock.now());
                }
                for mail in &group {
                    let state = self.outcome(mail, &sent);
                    self.store
                        .settle(mail.mail.id, &state, self.clock.now())
                        .await?;
                    round.count(&state, sent.hint());
                    tell(mail.mail.run, &state);
                }
            }
        }
    }

    /// Has mails wait until others can go with them.
    async fn hold(&self, held: &[PendingMail], round: &mut Round) -> Result<(), StoreError> {
        let now = self.clock.now();
        let state = MailState::Retry {
            at: Flood::until(now),
            error: "held back: its pipeline has sent too many in ten minutes".to_owned(),
        };
        for mail in held {
            self.store.settle(mail.mail.id, &state, now).await?;
            round.held += 1;
        }
        Ok(())
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
        let (mailer, from) = match server {
            Server::None => return Sent::Unconfigured,
            Server::Broken(error) => return Sent::Later(error.clone(), None),
            Server::Ready(mailer, from) => (mailer, from),
        };
        let mails: Vec<_> = group.iter().map(|pending| &pending.mail).collect();
        let message = match mails.as_slice() {
            [mail] => message(mail, from),
            mails => digest(mails, from),
        };
        let message = match message {
            Ok(message) => message,
            Err(error) => return Sent::Never(full_message(&error)),
        };
        match tokio::time::timeout(ONE_MAIL, mailer.send(message)).await {
            Ok(Ok(_)) => Sent::Done,
            Err(_) => Sent::Later("the mail server does not answer".to_owned(), None),
            Ok(Err(error)) => {
                let text = full_message(&error);
                if refused_for_good(&error) {
                    Sent::Never(text)
                } else {
                    Sent::Later(text, mail_hint(&error))
                }
            }
        }
    }

    fn outcome(&self, pending: &PendingMail, sent: &Sent) -> MailState {
        match sent {
            Sent::Done => MailState::Sent,
            Sent::Unconfigured => MailState::Unconfigured,
            Sent::Later(error, _) => self.again(pending, error.clone()),
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
            at: next_try(self.clock.now(), tries),
            error,
        }
    }
}

/// What has become of a message.
enum Sent {
    Done,
    Unconfigured,
    /// Why not now, and what a person can do.
    Later(String, Option<&'static str>),
    Never(String),
}

impl Sent {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Later(_, hint) => *hint,
            _ => None,
        }
    }
}

/// Mails to the same people together, when there are many of them or they are about one run; else each alone. It does not
/// matter which of them were tried before: after an outage nobody reads a flood either.
fn grouped(due: Vec<PendingMail>) -> Vec<Vec<PendingMail>> {
    let mut groups: Vec<Vec<PendingMail>> = Vec::new();
    for mail in due {
        let fits =
            |group: &&mut Vec<PendingMail>| group.iter().all(|other| other.mail.to == mail.mail.to);
        match groups.iter_mut().find(fits) {
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

/// What a round does, and why not all of it went well: told once, however many mails it is about.
#[derive(Default)]
struct Round {
    delivery: Delivery,
    /// The first error of what is tried again, and what to do about it.
    delayed: Option<(String, Option<&'static str>)>,
    dead: Option<String>,
    /// Mails that wait for others to go with them.
    held: u32,
}

impl Round {
    fn count(&mut self, state: &MailState, hint: Option<&'static str>) {
        let delivery = &mut self.delivery;
        let counter = match state {
            MailState::Sent => &mut delivery.sent,
            MailState::Retry { error, .. } => {
                self.delayed.get_or_insert_with(|| (error.clone(), hint));
                &mut delivery.delayed
            }
            MailState::Dead { error } => {
                self.dead.get_or_insert_with(|| error.clone());
                &mut delivery.dead
            }
            MailState::Unconfigured => &mut delivery.unconfigured,
        };
        *counter += 1;
    }

    fn say(&self) {
        let Delivery {
            delayed,
            dead,
            unconfigured,
            ..
        } = self.delivery;
        if let Some((error, hint)) = &self.delayed {
            tracing::warn!(
                mails = delayed,
                error,
                hint,
                "cannot send mail; it is tried again"
            );
        }
        if let Some(error) = &self.dead {
            tracing::warn!(mails = dead, error, "mail is given up");
        }
        if self.held > 0 {
            let mails = self.held;
            tracing::info!(
                mails,
                "held back: their pipelines have sent too many in ten minutes"
            );
        }
        if unconfigured > 0 {
            tracing::info!(
                mails = unconfigured,
                "no mail server is configured: mail stays in the outbox"
            );
        }
    }
}

/// When a mail that was tried so often is tried again: at whole multiples of [`FIRST`], so that those that had the same trouble
/// come together again.
fn next_try(now: Timestamp, tries: u32) -> Timestamp {
    let step = chrono::TimeDelta::from_std(FIRST).unwrap_or_default();
    let then = now + pause(tries);
    then.duration_trunc(step).map_or(then, |whole| whole + step)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_an_hour() {
        let seconds = [1, 2, 3, 7, 8, 9, 40].map(|tries| pause(tries).as_secs());
        assert_eq!(seconds, [30, 60, 120, 1920, 3600, 3600, 3600]);
    }

    #[test]
    fn mails_with_the_same_trouble_come_together_again() {
        let at = |millis: i64| Timestamp::UNIX_EPOCH + chrono::TimeDelta::milliseconds(millis);
        for (now, tries, next) in [(0, 1, 60), (29_999, 1, 60), (30_001, 1, 90), (7_500, 2, 90)] {
            assert_eq!(next_try(at(now), tries), at(next * 1_000), "{now} {tries}");
        }
    }
}
