//! Group commit: whatever waits when the store is free is one transaction. There is no timer, so a lone write does not
//! wait, and under load the number of transactions falls by itself.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use indexmap::IndexMap;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};
use tokio_util::task::TaskTracker;

use super::{RunWrite, Store, StoreError, WriteOutcome};
use crate::{failure::full_message, id::RunId};

/// How long a store that cannot be reached is tried again, the time that it takes to say so included.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many times longer a run that somebody has locked is waited for: nobody else can take it meanwhile.
const LOCKED_PATIENCE: u32 = 10;
/// How often that is said.
const SAID: Duration = Duration::from_secs(20);
/// The pause before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How many changes make a transaction large enough.
const ENOUGH: usize = 50_000;

type Answer = Result<WriteOutcome, StoreError>;

struct Request {
    write: RunWrite,
    answer: oneshot::Sender<Answer>,
}

/// Writes changes of runs. Cloning it gives another handle to the same queue.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::UnboundedSender<Request>,
    tasks: TaskTracker,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

impl Writer {
    /// A writer to `store`. A store that cannot be reached is tried again for a minute.
    pub fn start(store: Arc<dyn Store>) -> Self {
        Self::with_patience(store, PATIENCE)
    }

    /// A writer that tries a store that cannot be reached again for as long as `patience`.
    pub fn with_patience(store: Arc<dyn Store>, patience: Duration) -> Self {
        let (queue, requests) = mpsc::unbounded_channel();
        let tasks = TaskTracker::new();
        // The handle is not kept: `close` waits for the tracker.
        drop(tasks.spawn(serve(store, requests, patience)));
        tasks.close();
        Self { queue, tasks }
    }

    /// Makes `write` durable. Cancelling the wait does not take the write back.
    ///
    /// # Errors
    /// When the store refuses it, or could not be reached for too long: then it is not known whether it is durable,
    /// and sending it again does no harm.
    pub async fn write(&self, write: RunWrite) -> Result<WriteOutcome, StoreError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || StoreError::Unavailable {
            message: "the writer has stopped".to_owned(),
            source: None,
        };
        self.queue
            .send(Request { write, answer })
            .map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Waits until everything is written; all other handles must be gone.
    pub async fn close(self) {
        let Self { queue, tasks } = self;
        drop(queue);
        tasks.wait().await;
    }
}

async fn serve(
    store: Arc<dyn Store>,
    requests: mpsc::UnboundedReceiver<Request>,
    patience: Duration,
) {
    let lanes = Lanes {
        store,
        patience,
        waiting: HashMap::new(),
        busy: JoinSet::new(),
    };
    lanes.serve(requests).await;
}

/// The writes of runs that somebody else has locked wait beside the others, each run's in their order.
struct Lanes {
    store: Arc<dyn Store>,
    patience: Duration,
    waiting: HashMap<RunId, Vec<Request>>,
    busy: JoinSet<RunId>,
}

impl Lanes {
    async fn serve(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        loop {
            tokio::select! {
                biased;
                Some(over) = self.busy.join_next() => {
                    if let Ok(run) = over {
                        self.go_on(run);
                    }
                }
                first = requests.recv() => match first {
                    Some(first) => self.take(first, &mut requests).await,
                    None => break,
                },
            }
        }
        while let Some(over) = self.busy.join_next().await {
            if let Ok(run) = over {
                self.go_on(run);
            }
        }
    }

    async fn take(&mut self, first: Request, requests: &mut mpsc::UnboundedReceiver<Request>) {
        let (mut changes, mut group) = (0, Vec::new());
        let mut next = Some(first);
        while let Some(request) = next {
            if let Some(waiting) = self.waiting.get_mut(&request.write.run) {
                waiting.push(request);
            } else {
                changes += request.write.changes.len();
                group.push(request);
            }
            next = requests.try_recv().ok().filter(|_| changes < ENOUGH);
        }
        if group.is_empty() {
            return;
        }
        let (writes, answers): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|request| (request.write, request.answer))
            .unzip();
        let results = commit(&*self.store, &writes, self.patience).await;
        for ((write, answer), result) in writes.into_iter().zip(answers).zip(results) {
            match result {
                Err(error) if error.is_locked() => self.wait(Request { write, answer }),
                // Somebody who no longer waits does not need the answer.
                result => drop(answer.send(result)),
            }
        }
    }

    /// The run of this write is locked: its writes wait for themselves.
    fn wait(&mut self, request: Request) {
        let run = request.write.run;
        let new = !self.waiting.contains_key(&run);
        self.waiting.entry(run).or_default().push(request);
        if new {
            tracing::warn!(%run, "somebody has locked the run in the history; its writes wait");
            self.go_on(run);
        }
    }

    /// Writes what waits for a run; when nothing does, it goes with the others again.
    fn go_on(&mut self, run: RunId) {
        let waiting = self.waiting.remove(&run).unwrap_or_default();
        if waiting.is_empty() {
            return;
        }
        self.waiting.insert(run, Vec::new());
        let (store, patience) = (Arc::clone(&self.store), self.patience);
        self.busy.spawn(async move {
            let (writes, answers): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .map(|request| (request.write, request.answer))
                .unzip();
            let end = Instant::now() + patience * LOCKED_PATIENCE;
            let results = loop {
                let results = commit(&*store, &writes, patience).await;
                let locked = |result: &Answer| matches!(result, Err(error) if error.is_locked());
                if !results.iter().any(locked) || Instant::now() >= end {
                    break results;
                }
                // The store itself has waited for the lock.
                tokio::time::sleep(FIRST_PAUSE).await;
            };
            for (answer, result) in answers.into_iter().zip(results) {
                drop(answer.send(result));
            }
            run
        });
    }
}

async fn commit(store: &dyn Store, writes: &[RunWrite], patience: Duration) -> Vec<Answer> {
    match persist(store, writes, patience).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        // One write that the store refuses, or that has to wait, must not take those of other runs with it.
        Err(error) if alone(&error) && several(writes) => {
            let mut runs: IndexMap<RunId, Vec<usize>> = IndexMap::new();
            for (index, write) in writes.iter().enumerate() {
                runs.entry(write.run).or_default().push(index);
            }
            let mut answers: Vec<Option<Answer>> = writes.iter().map(|_| None).collect();
            for indices in runs.into_values() {
                let own: Vec<RunWrite> =
                    indices.iter().map(|index| writes[*index].clone()).collect();
                let results = one_run(store, &own, patience).await;
                for (index, result) in indices.into_iter().zip(results) {
                    answers[index] = Some(result);
                }
            }
            answers.into_iter().flatten().collect()
        }
        Err(error) => refuse(store, writes, patience, error).await,
    }
}

/// Whether the error may be that of one write alone.
fn alone(error: &StoreError) -> bool {
    matches!(error, StoreError::Invalid { .. }) || error.is_locked()
}

fn several(writes: &[RunWrite]) -> bool {
    writes.iter().any(|write| write.run != writes[0].run)
}

async fn one_run(store: &dyn Store, writes: &[RunWrite], patience: Duration) -> Vec<Answer> {
    match persist(store, writes, patience).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) => refuse(store, writes, patience, error).await,
    }
}

/// The answers to writes of one run, or of a store that takes none.
async fn refuse(
    store: &dyn Store,
    writes: &[RunWrite],
    patience: Duration,
    error: StoreError,
) -> Vec<Answer> {
    if matches!(error, StoreError::Invalid { .. }) && writes.len() > 1 {
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            let outcomes = persist(store, std::slice::from_ref(write), patience).await;
            answers.push(outcomes.map(|outcomes| outcomes[0]));
        }
        return answers;
    }
    let error = Arc::new(error);
    writes.iter().map(|_| Err(shared(&error))).collect()
}

async fn persist(
    store: &dyn Store,
    writes: &[RunWrite],
    patience: Duration,
) -> Result<Vec<WriteOutcome>, StoreError> {
    let (mut pause, end) = (FIRST_PAUSE, Instant::now() + patience);
    let mut said: Option<Instant> = None;
    loop {
        match store.commit(writes).await {
            Err(error @ StoreError::Unavailable { .. })
                if Instant::now() < end && !error.is_locked() =>
            {
                if said.is_none_or(|said| said.elapsed() >= SAID) {
                    said = Some(Instant::now());
                    let error = full_message(&error);
                    tracing::warn!(error, "the history cannot be written; trying again");
                }
            }
            answer => {
                if said.is_some() && answer.is_ok() {
                    tracing::info!("the history can be written again");
                }
                return answer;
            }
        }
        tokio::time::sleep_until(end.min(Instant::now() + pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One error for several writes, with its causes.
fn shared(error: &Arc<StoreError>) -> StoreError {
    let (message, source) = (
        error.to_string(),
        Some(Box::new(Shared(Arc::clone(error))).into()),
    );
    if error.is_locked() {
        return StoreError::locked(message);
    }
    match **error {
        StoreError::Invalid { .. } => StoreError::Invalid { message, source },
        StoreError::NotFound(ref what) => StoreError::NotFound(what.clone()),
        StoreError::Stale => StoreError::Stale,
        StoreError::Unavailable { .. } => StoreError::Unavailable { message, source },
    }
}

/// The cause of a shared error.
#[derive(Debug)]
struct Shared(Arc<StoreError>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::error::Error::source(&*self.0) {
            Some(source) => fmt::Display::fmt(source, f),
            None => fmt::Display::fmt(&*self.0, f),
        }
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0).and_then(std::error::Error::source)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{
        id::RunId,
        store::{
            MemoryStore, RunStore as _,
            testing::{Hooks, Wrapped},
        },
        time::{Clock, SystemClock},
    };

    /// A store whose commits fail when `fault` says so.
    fn failing(
        fault: impl Fn(&[RunWrite]) -> Option<StoreError> + Send + Sync + 'static,
    ) -> Wrapped<Failing> {
        Wrapped(Failing {
            inner: MemoryStore::default(),
            fault: Box::new(fault),
        })
    }

    struct Failing {
        inner: MemoryStore,
        fault: Box<Fault>,
    }

    type Fault = dyn Fn(&[RunWrite]) -> Option<StoreError> + Send + Sync;

    impl Hooks for Failing {
        type Inner = MemoryStore;

        fn inner(&self) -> &MemoryStore {
            &self.inner
        }

        async fn commit(&self, writes: &[RunWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
            match (self.fault)(writes) {
                Some(error) => Err(error),
                None => self.inner.commit(writes).await,
            }
        }
    }

    fn write(run: RunId) -> RunWrite {
        RunWrite {
            run,
            fence: 1,
            changes: Vec::new(),
        }
    }

    fn unavailable() -> StoreError {
        StoreError::unavailable("the database is away", "connection refused")
    }

    #[tokio::test]
    async fn what_waits_is_one_transaction() {
        let commits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&commits);
        let store = failing(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            None
        });
        let writer = Writer::start(Arc::new(store));
        let run = RunId::new(SystemClock.now());
        let answers = futures::future::join_all((0..100).map(|_| writer.write(write(run)))).await;
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Ok(WriteOutcome::Stale)))
        );
        assert!(commits.load(Ordering::SeqCst) <= 2, "{commits:?}");
        writer.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_is_tried_again() {
        let left = AtomicUsize::new(3);
        let store = failing(move |_| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
            .then(unavailable)
        });
        let writer = Writer::start(Arc::new(store));
        assert!(
            writer
                .write(write(RunId::new(SystemClock.now())))
                .await
                .is_ok()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_and_every_writer_hears_the_cause() {
        let store = failing(|_| Some(unavailable()));
        let writer = Writer::start(Arc::new(store));
        let run = RunId::new(SystemClock.now());
        let started = tokio::time::Instant::now();
        let answers = futures::future::join_all((0..2).map(|_| writer.write(write(run)))).await;
        assert!(started.elapsed() >= PATIENCE);
        for answer in answers {
            let error = answer.unwrap_err();
            assert_eq!(error.to_string(), "the database is away");
            assert_eq!(
                std::error::Error::source(&error).unwrap().to_string(),
                "connection refused"
            );
        }
    }

    #[tokio::test]
    async fn a_refused_write_does_not_take_others_with_it() {
        let now = SystemClock.now();
        let (good, bad) = (RunId::new(now), RunId::new(now));
        let store = failing(move |writes| {
            writes
                .iter()
                .any(|write| write.run == bad)
                .then(|| StoreError::invalid("not storable"))
        });
        let writer = Writer::start(Arc::new(store));
        let (first, second) = tokio::join!(writer.write(write(bad)), writer.write(write(good)));
        assert!(matches!(first, Err(StoreError::Invalid { .. })));
        assert!(second.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_locked_run_holds_up_no_other() {
        let now = SystemClock.now();
        let (free, locked) = (RunId::new(now), RunId::new(now));
        let until = Instant::now() + Duration::from_secs(90);
        let store = failing(move |writes| {
            let stuck = Instant::now() < until && writes.iter().any(|write| write.run == locked);
            stuck.then(|| StoreError::locked("cannot write the history"))
        });
        let writer = Writer::start(Arc::new(store));
        let started = Instant::now();
        let (first, second, ()) = tokio::join!(
            writer.write(write(locked)),
            writer.write(write(locked)),
            async {
                for _ in 0..10 {
                    assert!(writer.write(write(free)).await.is_ok());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                assert!(started.elapsed() < Duration::from_secs(12));
            }
        );
        assert!(first.is_ok() && second.is_ok());
        assert!(started.elapsed() >= Duration::from_secs(90));
        writer.close().await;
    }
}
