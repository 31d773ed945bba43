//! Stands between the connections and the history, sees what is accepted, and complains. Here the mistakes of a store are
//! planted too.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pipectl_engine::{
    alert::AlertKind,
    id::{RunId, TaskKey},
    state::{RunState, TaskState},
    store::{
        AttemptRecord, Change, Claim, Claimed, MemoryStore, Queue, Redo, RunFilter, RunKind,
        RunStore, RunWrite, StoreError, TaskChange, WriteOutcome,
    },
};
use uuid::Uuid;

/// The mistakes of a store that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A write with an old token is accepted.
    Fence,
    /// A run is given to two daemons.
    Claim,
    /// The mail that belongs to a change is not written.
    Mail,
}

/// What is known of the accepted writes.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// To whom each token was given.
    granted: HashMap<(RunId, u64), String>,
    newest: HashMap<RunId, u64>,
    /// A run's times through the queue again.
    generation: HashMap<RunId, u32>,
    /// The attempts whose success was accepted.
    successes: HashMap<(RunId, TaskKey, u32), BTreeSet<u32>>,
    /// The attempts that failed by themselves, as accepted.
    failures: HashMap<(RunId, TaskKey, u32), BTreeSet<u32>>,
    /// Accepted ends in failure of whole tasks, by token and attempt.
    pub(crate) failed: BTreeMap<(RunId, String, u32), BTreeSet<(u64, u32)>>,
    /// Accepted failure mails.
    pub(crate) mails: BTreeMap<(RunId, String), BTreeSet<Uuid>>,
    pub(crate) all_mails: BTreeSet<Uuid>,
    last_claims: Vec<Claimed>,
    pub(crate) commits: u64,
    pub(crate) complaints: BTreeSet<String>,
}

/// The witness.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    seen: Mutex<Seen>,
    /// One call in so many is in trouble; none when 0.
    trouble: AtomicU64,
    broken: Option<Broken>,
    /// Retry limits by pipeline and task.
    pub(crate) limits: HashMap<(String, String), u32>,
    /// How many runs of a pipeline may be under way.
    pub(crate) most: HashMap<String, u32>,
}

/// What a task says that fails by itself.
pub(crate) const FLAKY: &str = "as it was told to";

impl Witness {
    pub(crate) fn new(broken: Option<Broken>) -> Self {
        Self {
            broken,
            ..Self::default()
        }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(crate) fn trouble(&self) -> u64 {
        self.trouble.load(Ordering::Relaxed)
    }

    pub(crate) fn set_trouble(&self, trouble: u64) {
        self.trouble.store(trouble, Ordering::Relaxed);
    }

    fn complain(&self, text: String) {
        self.seen().complaints.insert(text);
    }

    fn grant(&self, run: RunId, fence: u64, daemon: &str) {
        let mut seen = self.seen();
        let newest = seen.newest.entry(run).or_default();
        let old = std::mem::replace(newest, fence.max(*newest));
        if fence <= old {
            seen.complaints
                .insert(format!("run {run}: the token {fence} was given again"));
        }
        seen.granted.insert((run, fence), daemon.to_owned());
    }

    pub(crate) async fn claim(
        &self,
        store: &MemoryStore,
        run: RunId,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let claim = store.claim(run, owner, lease).await?;
        if let Some(claim) = claim {
            self.grant(run, claim.fence, owner);
        }
        Ok(claim)
    }

    pub(crate) async fn claim_queued(
        &self,
        store: &MemoryStore,
        daemon: &str,
        lease: Duration,
        backfill: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let mut claimed = store.claim_queued(daemon, lease, backfill, limit).await?;
        for claimed in &claimed {
            self.grant(claimed.run, claimed.claim.fence, daemon);
        }
        if self.broken == Some(Broken::Claim) {
            let last = std::mem::replace(&mut self.seen().last_claims, claimed.clone());
            claimed.extend(last);
        }
        Ok(claimed)
    }

    pub(crate) async fn claim_lost(
        &self,
        store: &MemoryStore,
        daemon: &str,
        lease: Duration,
        gone: &[String],
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let claimed = store.claim_lost(daemon, lease, gone, limit).await?;
        for claimed in &claimed {
            self.grant(claimed.run, claimed.claim.fence, daemon);
        }
        Ok(claimed)
    }

    pub(crate) async fn requeue(
        &self,
        store: &MemoryStore,
        run: RunId,
        redo: Redo,
        backfill: Option<Uuid>,
    ) -> Result<bool, StoreError> {
        let done = store.requeue(run, redo, backfill).await?;
        if done {
            *self.seen().generation.entry(run).or_default() += 1;
        }
        Ok(done)
    }

    pub(crate) async fn commit(
        &self,
        daemon: &str,
        store: &MemoryStore,
        writes: &[RunWrite],
    ) -> Result<Vec<WriteOutcome>, StoreError> {
        let mut writes = writes.to_vec();
        for write in &mut writes {
            match self.broken {
                Some(Broken::Fence) => {
                    let record = store.run(write.run).await?;
                    write.fence = record.map_or(write.fence, |record| record.fence);
                }
                Some(Broken::Mail) => {
                    write
                        .changes
                        .retain(|change| !matches!(change, Change::Mail(_)));
                }
                _ => {}
            }
        }
        let outcomes = store.commit(&writes).await?;
        for (write, outcome) in writes.iter().zip(&outcomes) {
            if *outcome == WriteOutcome::Done {
                self.accepted(daemon, store, write).await?;
            }
        }
        Ok(outcomes)
    }

    async fn accepted(
        &self,
        daemon: &str,
        store: &MemoryStore,
        write: &RunWrite,
    ) -> Result<(), StoreError> {
        let Some(record) = store.run(write.run).await? else {
            return Ok(());
        };
        let run = write.run;
        {
            let mut seen = self.seen();
            seen.commits += 1;
            if seen
                .newest
                .get(&run)
                .is_some_and(|newest| write.fence < *newest)
            {
                seen.complaints.insert(format!(
                    "run {run}: a write with the old token {} was accepted",
                    write.fence
                ));
            }
            if seen
                .granted
                .get(&(run, write.fence))
                .is_none_or(|owner| owner != daemon)
            {
                seen.complaints.insert(format!(
                    "run {run}: a write of {daemon} was accepted, which does not own the run"
                ));
            }
        }
        for change in &write.changes {
            self.change(&record.run.pipeline, record.redo, write, change);
        }
        let begins = write.changes.iter().any(
            |change| matches!(change, Change::Run(change) if change.state == RunState::Running),
        );
        if begins {
            self.count(store, &record.run.pipeline).await?;
        }
        Ok(())
    }

    /// No pipeline has more runs under way than it may have.
    async fn count(&self, store: &MemoryStore, pipeline: &str) -> Result<(), StoreError> {
        let filter = RunFilter {
            pipeline: Some(pipeline.to_owned()),
            state: Some(RunState::Running),
            limit: 1_000,
            ..RunFilter::default()
        };
        let running = store.runs(&filter).await?;
        let running: Vec<String> = running
            .iter()
            .filter(|record| record.run.kind != RunKind::Child)
            .map(|record| {
                let owner = record.owner.as_deref().unwrap_or("nobody");
                format!("{} of {owner}, {}", record.run.id, record.run.kind.name())
            })
            .collect();
        if let Some(most) = self.most.get(pipeline)
            && running.len() > *most as usize
        {
            self.complain(format!(
                "{} runs of `{pipeline}` were under way, {most} may be: {}",
                running.len(),
                running.join("; ")
            ));
        }
        Ok(())
    }

    fn change(&self, pipeline: &str, redo: u32, write: &RunWrite, change: &Change) {
        let mut seen = self.seen();
        let run = write.run;
        match change {
            Change::Task(task) => {
                let tries = self.tries(pipeline, &task.task);
                seen.task((run, redo, write.fence), task, tries);
            }
            Change::Attempt(attempt) if attempt.state == TaskState::Failed => {
                let tries = self.tries(pipeline, &attempt.key.task);
                seen.failed_attempt(run, attempt, tries);
            }
            Change::Mail(mail) => {
                seen.all_mails.insert(mail.id);
                let task = mail.content["task"].as_str();
                if let Some(task) = task.filter(|_| mail.kind == AlertKind::Failure) {
                    let mails = seen.mails.entry((run, task.to_owned())).or_default();
                    mails.insert(mail.id);
                }
            }
            _ => {}
        }
    }

    /// How often a task may be tried in all.
    fn tries(&self, pipeline: &str, task: &str) -> usize {
        let limit = self.limits.get(&(pipeline.to_owned(), task.to_owned()));
        limit.copied().unwrap_or_default() as usize + 1
    }
}

impl Seen {
    fn generation(&self, run: RunId) -> u32 {
        self.generation.get(&run).copied().unwrap_or_default()
    }

    /// A task's row was accepted, from a run of this redo and token.
    fn task(&mut self, (run, redo, fence): (RunId, u32, u64), task: &TaskChange, tries: usize) {
        let generation = self.generation(run);
        let key = TaskKey {
            task: task.task.clone(),
            element: task.element,
        };
        match task.state {
            TaskState::Success if task.attempt > 0 => {
                let attempts = self.successes.entry((run, key.clone(), redo)).or_default();
                attempts.insert(task.attempt);
                if attempts.len() > 1 {
                    self.complaints.insert(format!(
                        "run {run}: `{key}` was accepted as a success of the attempts {attempts:?}"
                    ));
                }
            }
            TaskState::Failed => {
                if task.element.is_none() {
                    let failed = (run, key.task.clone(), generation);
                    let ends = self.failed.entry(failed).or_default();
                    ends.insert((fence, task.attempt));
                }
                let message = task.error.as_ref().map_or("", |error| &error.message);
                let failures = self.failures.get(&(run, key.clone(), generation));
                // When the same write is sent again, its failure is counted already.
                let before = failures.map_or(0, |failures| {
                    failures
                        .iter()
                        .filter(|attempt| **attempt != task.attempt)
                        .count()
                });
                if message.contains(FLAKY) && before + 1 != tries {
                    self.complaints.insert(format!(
                        "run {run}: `{key}` was given up after {} tries of {tries}",
                        before + 1
                    ));
                }
            }
            _ => {}
        }
    }

    fn failed_attempt(&mut self, run: RunId, attempt: &AttemptRecord, tries: usize) {
        let message = attempt.error.as_ref().map_or("", |error| &error.message);
        if !message.contains(FLAKY) {
            return;
        }
        let key = (run, attempt.key.clone(), self.generation(run));
        let failures = self.failures.entry(key).or_default();
        failures.insert(attempt.number);
        if failures.len() > tries {
            self.complaints.insert(format!(
                "run {run}: `{}` was tried {} times, {tries} are allowed",
                attempt.key,
                failures.len()
            ));
        }
    }
}
