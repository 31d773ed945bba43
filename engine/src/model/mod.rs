//! Registered models, as operators and the runner see them, and how a model is named.

mod best;
mod question;
mod reference;
mod registry;

pub use best::{best_version, less_is_better};
pub use question::another_question;
pub use reference::{
    CHAMPION, MlflowReference, MlflowVersion, Reference, ReferenceError, is_model_name,
};
pub use registry::{AliasChange, ImportedModel, ModelRegistry, ModelVersion};
