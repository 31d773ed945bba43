//! The registered models.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use crate::{
    failure::StoreError,
    id::{RunId, TaskKey},
    time::Timestamp,
};

/// A registered version of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelVersion {
    /// The registered name.
    pub name: String,
    /// The version, counted from 1.
    pub version: u32,
    /// The run that registered it; `None` when a person has imported it.
    pub run: Option<RunId>,
    /// The task.
    pub task: Option<String>,
    /// When it was registered.
    pub created: Timestamp,
    /// Its key in the artifact store.
    pub artifact: String,
    /// SHA-256 of the file.
    pub digest: String,
    /// The file's size.
    pub bytes: u64,
    /// Its measures.
    pub metrics: BTreeMap<String, f64>,
    /// Columns, classes, parameters, data fingerprint.
    pub card: Value,
    /// The aliases that point to it.
    pub aliases: Vec<String>,
}

/// A version that comes from a file instead of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedModel {
    /// The registered name.
    pub name: String,
    /// Its key in the artifact store.
    pub artifact: String,
    /// SHA-256 of the file.
    pub digest: String,
    /// The file's size.
    pub bytes: u64,
    /// Its measures.
    pub metrics: BTreeMap<String, f64>,
    /// Columns, classes, parameters, data fingerprint.
    pub card: Value,
    /// When it is registered.
    pub created: Timestamp,
}

/// That an alias was pointed somewhere, by a rule or by hand; or that a champion has stayed because a rule had no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasChange {
    /// The alias.
    pub alias: String,
    /// The version that it points to from then on; `None` when it was taken away.
    pub version: Option<u32>,
    /// Why.
    pub note: String,
    /// When.
    pub changed: Timestamp,
}

/// The registered models.
#[async_trait]
pub trait ModelRegistry: Send + Sync {
    /// The next version of `name` for this task of this run: the same one, however often it is asked, until the task is
    /// [reset](crate::store::Change::Reset). Nobody sees it before [`Change::Register`](crate::store::Change::Register).
    async fn reserve_version(
        &self,
        name: &str,
        run: RunId,
        key: &TaskKey,
    ) -> Result<u32, StoreError>;
    /// The names of all models.
    async fn models(&self) -> Result<Vec<String>, StoreError>;
    /// All versions of a model, the newest first.
    async fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, StoreError>;
    /// One version.
    async fn model(&self, name: &str, version: u32) -> Result<Option<ModelVersion>, StoreError>;
    /// The version that an alias points to.
    async fn aliased(&self, name: &str, alias: &str) -> Result<Option<ModelVersion>, StoreError>;
    /// Points an alias to a registered version, with a note that says why.
    async fn set_alias(
        &self,
        name: &str,
        alias: &str,
        version: u32,
        note: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Takes an alias away, with a note that says why; `false` when it pointed nowhere.
    async fn remove_alias(
        &self,
        name: &str,
        alias: &str,
        note: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// How a model's aliases were moved, the newest change first.
    async fn alias_changes(&self, name: &str, limit: u32) -> Result<Vec<AliasChange>, StoreError>;
    /// Registers a version that no run has made, and answers its number. A model's first version is its champion.
    async fn import_model(&self, model: &ImportedModel) -> Result<u32, StoreError>;
}
