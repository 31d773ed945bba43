//! Attempts in processes of their own: what the runner asks for, and the binary provides.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;

use super::{DynOperator, Outcome, TaskContext, TaskError};

/// An attempt that is to run in a process of its own.
#[derive(Debug)]
pub struct IsolatedTask {
    /// The operator.
    pub operator: &'static dyn DynOperator,
    /// Its settings, resolved.
    pub settings: Value,
    /// How many bytes of memory the process may take, and all that it starts.
    pub memory: Option<u64>,
}

/// Runs attempts in processes of their own.
#[async_trait]
pub trait Isolate: Send + Sync {
    /// Runs one attempt to its end. When the attempt is cancelled, or this future is dropped, its process is stopped, and
    /// all that it has started.
    async fn run(&self, task: IsolatedTask, context: &TaskContext) -> Result<Outcome, TaskError>;
}

/// What the binary puts among the [`Services`](crate::services::Services) so that tasks can run in processes of their own.
#[derive(Clone)]
pub struct Isolator(Arc<dyn Isolate>);

impl Isolator {
    /// A service of `isolate`.
    pub fn new(isolate: Arc<dyn Isolate>) -> Self {
        Self(isolate)
    }

    /// Runs one attempt to its end.
    ///
    /// # Errors
    /// The attempt's own; and when its process cannot be started, passes its limit, is killed, or ends without an answer.
    pub async fn run(
        &self,
        task: IsolatedTask,
        context: &TaskContext,
    ) -> Result<Outcome, TaskError> {
        self.0.run(task, context).await
    }
}

impl fmt::Debug for Isolator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Isolator")
    }
}
