//! `cache:`: a task takes what an earlier run of it has put out, when that was made of the same.

use std::sync::Arc;

use chrono::DateTime;
use serde_json::{Value, json};

use super::{
    Parts,
    persist::{self, Persisted, blocking},
};
use crate::{
    artifact::sha256,
    dataset::StoredDataset,
    operator::{DynOperator, ErasedConfig, MadeOf, TaskContext, TaskError},
    plan::Cache,
    store::CachedOutput,
    time::Timestamp,
};

/// What a task's output is made of, and how old one may be that is taken.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    key: String,
    since: Timestamp,
}

impl Wanted {
    /// Nothing when an input has no fingerprint: then nobody can say whether it is the same.
    pub(super) fn new(
        cache: Cache,
        operator: &dyn DynOperator,
        settings: &Value,
        context: &TaskContext,
    ) -> Option<Self> {
        let mut inputs = Vec::new();
        for (name, dataset) in context.inputs.iter() {
            inputs.push((name, &dataset.stored()?.fingerprint));
        }
        // The seed stands for pipeline, task and element.
        let made_of = json!([
            env!("CARGO_PKG_VERSION"),
            operator.kind(),
            operator.name(),
            settings,
            inputs,
            context.item,
            context.seed,
        ]);
        let keep = cache
            .keep
            .and_then(|keep| chrono::TimeDelta::from_std(keep).ok());
        Some(Self {
            key: sha256(made_of.to_string().as_bytes()),
            since: keep.map_or(DateTime::UNIX_EPOCH, |keep| context.clock.now() - keep),
        })
    }

    /// With what the output is made of beside settings and inputs; nothing when nobody can say what that is.
    pub(super) async fn made_of(
        mut self,
        operator: &dyn DynOperator,
        config: &ErasedConfig,
        context: &TaskContext,
    ) -> Option<Self> {
        match operator.made_of(config, context).await {
            MadeOf::Inputs => {}
            MadeOf::Also(more) => {
                self.key = sha256(json!([self.key, more]).to_string().as_bytes());
            }
            MadeOf::Unknown(why) => {
                context.log.info(format!(
                    "nothing is taken from an earlier run, in spite of `cache`: {why}"
                ));
                return None;
            }
        }
        Some(self)
    }

    /// What the output is to be found by.
    pub(super) fn into_key(self) -> String {
        self.key
    }
}

/// What an earlier run has put out, now this attempt's own. What cannot be had is made anew: no reason to fail.
pub(super) async fn find(
    parts: &Arc<Parts>,
    context: &TaskContext,
    wanted: &Wanted,
) -> Option<Persisted> {
    let found = match parts.store.cached(&wanted.key).await {
        Ok(found) => found.filter(|found| found.written >= wanted.since)?,
        Err(error) => {
            context.log.warn(format!(
                "cannot look for what an earlier run has put out: {error}"
            ));
            return None;
        }
    };
    let run = found.run;
    match take(parts, context, found).await {
        Ok(persisted) => {
            context.log.info(format!(
                "taken from run {run}: operator, settings and inputs are the same"
            ));
            Some(persisted)
        }
        Err(error) => {
            let error = error.full_message();
            context.log.warn(format!(
                "cannot take what run {run} has put out, it is made anew: {error}"
            ));
            None
        }
    }
}

/// Copies the files: the earlier run may be let go of at any time.
async fn take(
    parts: &Arc<Parts>,
    context: &TaskContext,
    found: CachedOutput,
) -> Result<Persisted, TaskError> {
    let CachedOutput {
        run, mut output, ..
    } = found;
    let prefix = context.prefix();
    let mut datasets = Vec::new();
    for stored in &mut output.datasets {
        let key = format!("{prefix}/{}.parquet", stored.name);
        copy(parts, &stored.key, &key).await?;
        *stored = StoredDataset {
            key,
            ..stored.clone()
        };
        let dataset = persist::open(parts, stored.clone()).await?;
        datasets.push((stored.name.clone(), dataset));
    }
    for artifact in &mut output.artifacts {
        let key = format!("{prefix}/{}", artifact.name);
        copy(parts, &artifact.key, &key).await?;
        artifact.key = key;
    }
    Ok(Persisted {
        record: output,
        datasets,
        taken_from: Some(run),
        ..Persisted::default()
    })
}

async fn copy(parts: &Arc<Parts>, from: &str, to: &str) -> Result<(), TaskError> {
    let failed = |error| TaskError::external(format!("cannot copy `{from}`")).because(error);
    let file = parts.artifacts.local(from).await.map_err(failed)?;
    let temporary = parts.artifacts.temporary();
    let target = temporary.clone();
    blocking(move || {
        let copied = std::fs::copy(&file, &target);
        copied.map_err(|error| TaskError::external("cannot copy a file").because(error))
    })
    .await?;
    parts
        .artifacts
        .put_file(to, temporary)
        .await
        .map_err(failed)
}
