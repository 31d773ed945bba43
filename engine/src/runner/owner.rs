//! Who works on a run: a process with a lock file that is free again as soon as the process is gone.

use std::{
    convert::Infallible,
    fs::{File, TryLockError},
    future::Future,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{LEASE, Parts, RunnerError};
use crate::{
    failure::full_message,
    id::RunId,
    store::{Claim, Turn},
};

/// How often the owner of a run in the foreground looks whether it is to stop.
const HEARING: Duration = Duration::from_millis(700);

/// What kind of process an owner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A command in the foreground: its runs are nobody else's, and end with it.
    Foreground,
    /// A daemon: others adopt its runs when it is gone.
    Daemon,
}

/// A process that works on runs. The lock file is removed when it is dropped.
#[derive(Debug)]
pub struct Owner {
    role: Role,
    name: String,
    /// How the names begin of those whose lock files are in the same directory: with the host, and an id of the directory.
    /// Others of this host may have another one.
    neighbours: String,
    directory: PathBuf,
    _lock: File,
}

impl Owner {
    /// Makes this process an owner whose lock file is in the state directory.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn new(state_dir: &Path, host: &str, role: Role) -> io::Result<Self> {
        let directory = state_dir.join("locks");
        std::fs::create_dir_all(&directory)?;
        let neighbours = format!("{host}-{}-", id(&directory)?);
        let name = format!("{neighbours}{}-{}", std::process::id(), random());
        let lock = File::create(lock_path(&directory, &name))?;
        lock.lock()?;
        Ok(Self {
            role,
            name,
            neighbours,
            directory,
            _lock: lock,
        })
    }

    /// What kind of process it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The owner's name: host, process, and a random part.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether another owner of this host and state directory is known to be gone: its lock file is free or no longer there.
    pub fn is_gone(&self, other: &str) -> bool {
        if other == self.name || !other.starts_with(&self.neighbours) {
            return false;
        }
        match File::open(lock_path(&self.directory, other)) {
            Ok(file) => !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // A lock file that stays behind is free and harms nobody.
        let _removed = std::fs::remove_file(lock_path(&self.directory, &self.name));
    }
}

/// The id of a directory of lock files, which whoever comes first gives it.
fn id(directory: &Path) -> io::Result<String> {
    let path = directory.join("id");
    if !path.exists() {
        let own = directory.join(format!("id.{}", Uuid::new_v4().simple()));
        std::fs::write(&own, random())?;
        let linked = std::fs::hard_link(&own, &path);
        std::fs::remove_file(&own)?;
        match linked {
            // A file system without second names.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => first(&path)?,
            _ => {}
        }
    }
    let id = std::fs::read_to_string(&path)?;
    Ok(id.trim().to_owned())
}

/// Makes the file, unless somebody else has just done so.
fn first(path: &Path) -> io::Result<()> {
    match File::create_new(path) {
        Ok(mut file) => file.write_all(random().as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn random() -> String {
    let mut random = crate::random::uuid().simple().to_string();
    random.truncate(8);
    random
}

fn lock_path(directory: &Path, owner: &str) -> PathBuf {
    directory.join(format!("{owner}.lock"))
}

/// Makes the process the run's owner; takes over from an owner that is known to be gone.
pub(super) async fn claim(parts: &Arc<Parts>, run: RunId) -> Result<Claim, RunnerError> {
    let owner = &parts.owner;
    if let Some(claim) = parts.store.claim(run, owner.name(), LEASE).await? {
        return Ok(claim);
    }
    let record = parts
        .store
        .run(run)
        .await?
        .ok_or(RunnerError::Unknown(run))?;
    let holder = record.owner.unwrap_or_default();
    if owner.is_gone(&holder) {
        parts.store.release(run, record.fence).await?;
        if let Some(claim) = parts.store.claim(run, owner.name(), LEASE).await? {
            return Ok(claim);
        }
    }
    Err(RunnerError::Busy { run, owner: holder })
}

/// Makes the process the run's owner as [`claim`] does, if it is the run's turn: fewer than `most` other runs of its pipeline
/// are under way. Those of owners who are `gone` do not count.
pub(super) async fn claim_in_turn(
    parts: &Arc<Parts>,
    run: RunId,
    most: u32,
    gone: &[String],
) -> Result<Option<Claim>, RunnerError> {
    let owner = parts.owner.name();
    let turn = parts.store.claim_in_turn(run, owner, LEASE, most, gone);
    match turn.await? {
        Turn::Given(claim) => Ok(Some(claim)),
        Turn::Full => Ok(None),
        Turn::Held => claim(parts, run).await.map(Some),
    }
}

/// Renews the owner's leases while `work` goes on, and tells `cancel` when somebody wants the run to be stopped. A daemon
/// does that itself, once for all of its runs.
pub(super) async fn while_leased<T>(
    parts: &Arc<Parts>,
    run: RunId,
    cancel: CancellationToken,
    work: impl Future<Output = T>,
) -> T {
    if parts.owner.role() == Role::Daemon {
        return work.await;
    }
    // Beside the work: a history that takes its time to answer does not hold it up.
    tokio::select! {
        biased;
        end = work => end,
        never = renew(parts) => match never {},
        never = hear(parts, run, &cancel) => match never {},
    }
}

/// Renews the owner's leases for ever.
async fn renew(parts: &Parts) -> Infallible {
    let mut beat = tokio::time::interval(LEASE / 3);
    beat.tick().await;
    let mut failing = false;
    loop {
        beat.tick().await;
        match parts.store.renew(parts.owner.name(), LEASE).await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                let error = full_message(&error);
                tracing::warn!(error, "cannot renew the leases; trying again");
            }
            Err(_) => {}
        }
    }
}

/// Tells `cancel` when somebody has asked for it.
async fn hear(parts: &Parts, run: RunId, cancel: &CancellationToken) -> Infallible {
    let mut hear = tokio::time::interval(HEARING);
    hear.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !cancel.is_cancelled() {
        hear.tick().await;
        // A history that is away is complained about by whoever writes it.
        if let Ok(Some(record)) = parts.store.run(run).await
            && record.cancelling
        {
            tracing::warn!(%run, "stopping: somebody has asked for it");
            cancel.cancel();
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_shares_the_directory_is_known_to_be_gone() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let owner =
            |directory: &Path, host: &str| Owner::new(directory, host, Role::Daemon).unwrap();
        let me = owner(one.path(), "worker");
        let neighbour = owner(one.path(), "worker");
        let name = neighbour.name().to_owned();
        assert!(!me.is_gone(&name) && !me.is_gone(me.name()));
        drop(neighbour);
        assert!(me.is_gone(&name));
        for elsewhere in [owner(other.path(), "worker"), owner(one.path(), "worker-2")] {
            let name = elsewhere.name().to_owned();
            drop(elsewhere);
            assert!(!me.is_gone(&name), "{name}");
        }
    }
}
