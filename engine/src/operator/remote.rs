//! Models that are registered elsewhere: the engine pins them, somebody else knows how to ask.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::TaskError;
use crate::{model::MlflowReference, project::Project, time::Clock};

/// Asks the server where a model is registered.
#[async_trait]
pub trait RemoteModels: Send + Sync {
    /// The number of the version that is named.
    ///
    /// # Errors
    /// When there is none, or the server cannot be asked.
    async fn version(
        &self,
        project: &Project,
        clock: &dyn Clock,
        reference: MlflowReference<'_>,
    ) -> Result<u32, TaskError>;
}

/// Whoever asks, put by the binary among the [`Services`](crate::services::Services).
#[derive(Clone)]
pub struct ModelPinner(Arc<dyn RemoteModels>);

impl ModelPinner {
    /// A service of `models`.
    pub fn new(models: Arc<dyn RemoteModels>) -> Self {
        Self(models)
    }

    /// The number of the version that is named.
    ///
    /// # Errors
    /// As [`RemoteModels::version`].
    pub async fn version(
        &self,
        project: &Project,
        clock: &dyn Clock,
        reference: MlflowReference<'_>,
    ) -> Result<u32, TaskError> {
        self.0.version(project, clock, reference).await
    }
}

impl fmt::Debug for ModelPinner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelPinner")
    }
}
