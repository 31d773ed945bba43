//! Where models come from: whoever serves them says.

use async_trait::async_trait;
use bytes::Bytes;

/// What a reference stands for at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The model's name.
    pub name: String,
    /// Its version, when it has one.
    pub version: Option<u32>,
    /// SHA-256 of its file.
    pub digest: String,
}

/// Why there is no model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// There is none of this name.
    Unknown(String),
    /// Nobody can say at the moment.
    Unavailable(String),
}

/// Where models come from.
#[async_trait]
pub trait ModelSource: Send + Sync {
    /// Whether a reference names something registered: no file, which nobody may open from outside.
    fn is_registered(&self, reference: &str) -> bool;
    /// What a reference stands for now: `churn`, `churn@challenger`, `churn:7`.
    async fn find(&self, reference: &str) -> Result<Found, SourceError>;
    /// The file of a model that was found.
    async fn content(&self, reference: &str, found: &Found) -> Result<Bytes, SourceError>;
    /// The names of all models.
    async fn names(&self) -> Result<Vec<String>, SourceError>;
    /// Waits until another version may stand behind a name.
    async fn changed(&self);
}
