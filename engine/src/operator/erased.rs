//! The erased twin of [`Operator`], by a blanket implementation.

use std::{any::Any, fmt, future::Future, pin::Pin};

use schemars::Schema;
use serde_json::Value;

use super::{
    Complaints, Kind, MadeOf, Operator, Outcome, Outputs, ProbeContext, Senses, Takes, TaskContext,
    TaskError,
};

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A parsed configuration whose type only its operator knows.
pub type ErasedConfig = Box<dyn Any + Send + Sync>;

/// An operator as the engine sees it.
pub trait DynOperator: Send + Sync {
    /// The kind of work.
    fn kind(&self) -> Kind;
    /// The name after the kind.
    fn name(&self) -> &'static str;
    /// One sentence for the list of operators.
    fn summary(&self) -> &'static str;
    /// What may stand in `from:`.
    fn takes(&self) -> Takes;
    /// The settings that see the row of `from:` as `item`.
    fn row_settings(&self) -> &'static [&'static str] {
        &[]
    }
    /// The JSON Schema of `with:`.
    fn schema(&self) -> Schema;
    /// Reads settings whose expressions are resolved.
    ///
    /// # Errors
    /// serde's first complaint, when the settings do not fit the schema.
    fn parse(&self, settings: &Value) -> Result<ErasedConfig, serde_json::Error>;
    /// What a task with these settings will put out.
    fn outputs(&self, config: &ErasedConfig) -> Outputs;
    /// Looks for mistakes that the schema cannot express.
    fn check(&self, config: &ErasedConfig, found: &mut Complaints);
    /// What a daemon watches for, when the task can start runs of its pipeline.
    fn senses(&self, config: &ErasedConfig) -> Option<Senses>;
    /// Looks whether what the task needs is reachable.
    fn probe<'a>(
        &self,
        config: &'a ErasedConfig,
        context: &'a ProbeContext,
    ) -> BoxFuture<'a, Result<(), TaskError>>;
    /// What the output depends on that is neither a setting nor an input.
    fn made_of<'a>(
        &self,
        _config: &'a ErasedConfig,
        _context: &'a TaskContext,
    ) -> BoxFuture<'a, MadeOf> {
        Box::pin(std::future::ready(MadeOf::Inputs))
    }
    /// Does the work: one attempt.
    fn run<'a>(
        &self,
        config: ErasedConfig,
        context: &'a TaskContext,
    ) -> BoxFuture<'a, Result<Outcome, TaskError>>;
}

impl fmt::Debug for dyn DynOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind(), self.name())
    }
}

fn foreign() -> TaskError {
    TaskError::bug("an operator was given the settings of another one")
}

impl<O: Operator> DynOperator for O {
    fn kind(&self) -> Kind {
        O::KIND
    }

    fn name(&self) -> &'static str {
        O::NAME
    }

    fn summary(&self) -> &'static str {
        O::SUMMARY
    }

    fn takes(&self) -> Takes {
        O::TAKES
    }

    fn row_settings(&self) -> &'static [&'static str] {
        O::ROW_SETTINGS
    }

    fn schema(&self) -> Schema {
        schemars::schema_for!(O::Config)
    }

    fn parse(&self, settings: &Value) -> Result<ErasedConfig, serde_json::Error> {
        let config: O::Config = serde::Deserialize::deserialize(settings)?;
        Ok(Box::new(config))
    }

    fn outputs(&self, config: &ErasedConfig) -> Outputs {
        config
            .downcast_ref::<O::Config>()
            .map(O::outputs)
            .unwrap_or_default()
    }

    fn check(&self, config: &ErasedConfig, found: &mut Complaints) {
        if let Some(config) = config.downcast_ref::<O::Config>() {
            O::check(config, found);
        }
    }

    fn senses(&self, config: &ErasedConfig) -> Option<Senses> {
        config.downcast_ref::<O::Config>().and_then(O::senses)
    }

    fn probe<'a>(
        &self,
        config: &'a ErasedConfig,
        context: &'a ProbeContext,
    ) -> BoxFuture<'a, Result<(), TaskError>> {
        Box::pin(async move {
            let config = config.downcast_ref::<O::Config>().ok_or_else(foreign)?;
            O::probe(config, context).await
        })
    }

    fn made_of<'a>(
        &self,
        config: &'a ErasedConfig,
        context: &'a TaskContext,
    ) -> BoxFuture<'a, MadeOf> {
        Box::pin(async move {
            match config.downcast_ref::<O::Config>() {
                Some(config) => O::made_of(config, context).await,
                None => MadeOf::Unknown(foreign().message),
            }
        })
    }

    fn run<'a>(
        &self,
        config: ErasedConfig,
        context: &'a TaskContext,
    ) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        Box::pin(async move {
            let config = config.downcast::<O::Config>().map_err(|_| foreign())?;
            O::run(*config, context).await
        })
    }
}
