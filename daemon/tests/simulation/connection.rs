//! A daemon's connection to the history: what passes through it may be late, fail before it takes effect, or take effect
//! and its answer be lost.

use std::{future::Future, sync::Arc, time::Duration};

use pipectl_engine::{
    id::RunId,
    store::{
        Claim, Claimed, MemoryStore, Redo, RunWrite, StoreError, WriteOutcome, testing::Hooks,
    },
};
use uuid::Uuid;

use crate::{chance::Chance, witness::Witness};

/// A daemon's connection to the history.
pub(crate) struct Connection {
    pub(crate) daemon: String,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) witness: Arc<Witness>,
    pub(crate) chance: Chance,
}

impl Hooks for Connection {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    /// Lets `call` through, or not, or not its answer.
    async fn through<T: Send>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let trouble = self.witness.trouble();
        if self.chance.one_in(trouble) {
            tokio::time::sleep(Duration::from_millis(self.chance.below(400))).await;
        }
        if self.chance.one_in(trouble) {
            return Err(StoreError::unavailable(
                "the connection was refused",
                "simulated",
            ));
        }
        let answer = call.await;
        if self.chance.one_in(trouble) {
            tokio::time::sleep(Duration::from_millis(self.chance.below(400))).await;
        }
        if self.chance.one_in(trouble) {
            return Err(StoreError::unavailable("the answer was lost", "simulated"));
        }
        answer
    }

    async fn claim(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        self.witness.claim(&self.store, run, owner, lease).await
    }

    async fn commit(&self, writes: &[RunWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
        let (witness, daemon) = (&self.witness, &self.daemon);
        witness.commit(daemon, &self.store, writes).await
    }

    async fn claim_queued(
        &self,
        daemon: &str,
        lease: Duration,
        backfill: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.witness
            .claim_queued(&self.store, daemon, lease, backfill, limit)
            .await
    }

    async fn claim_lost(
        &self,
        daemon: &str,
        lease: Duration,
        gone: &[String],
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.witness
            .claim_lost(&self.store, daemon, lease, gone, limit)
            .await
    }

    async fn requeue(
        &self,
        run: RunId,
        redo: Redo,
        backfill: Option<Uuid>,
    ) -> Result<bool, StoreError> {
        self.witness.requeue(&self.store, run, redo, backfill).await
    }
}
