//! Rows of registered models as both databases give them, and the records that they become.

use pipectl_engine::{
    id::RunId,
    store::{AliasChange, ModelVersion, NO_RUN, StoreError},
};
use sqlx::FromRow;
use uuid::Uuid;

use crate::rows::{json, time, whole};

#[derive(FromRow)]
pub(crate) struct ModelRow {
    name: String,
    version: i64,
    run: Uuid,
    task: String,
    registered: i64,
    artifact: String,
    digest: String,
    bytes: i64,
    metrics: String,
    card: String,
    aliases: String,
}

/// That an alias was moved; version 0 is none: it was taken away.
#[derive(FromRow)]
pub(crate) struct AliasChangeRow {
    alias: String,
    version: i64,
    note: String,
    changed: i64,
}

impl TryFrom<ModelRow> for ModelVersion {
    type Error = StoreError;

    fn try_from(row: ModelRow) -> Result<Self, StoreError> {
        let run = RunId::from(row.run);
        Ok(Self {
            name: row.name,
            version: whole(row.version)?,
            run: (run != NO_RUN).then_some(run),
            task: (run != NO_RUN).then_some(row.task),
            created: time(row.registered)?,
            artifact: row.artifact,
            digest: row.digest,
            bytes: whole(row.bytes)?,
            metrics: json(&row.metrics)?,
            card: json(&row.card)?,
            aliases: json(&row.aliases)?,
        })
    }
}

impl TryFrom<AliasChangeRow> for AliasChange {
    type Error = StoreError;

    fn try_from(row: AliasChangeRow) -> Result<Self, StoreError> {
        let version: u32 = whole(row.version)?;
        Ok(Self {
            alias: row.alias,
            version: (version != 0).then_some(version),
            note: row.note,
            changed: time(row.changed)?,
        })
    }
}
