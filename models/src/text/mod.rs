//! Text classification: a tokenizer and a sequence classifier, as Hugging Face's tools export them.
//!
//! [`TextFiles`] are what an export directory holds: `model.onnx`, `tokenizer.json` and `config.json`. A [`TextModel`]
//! turns texts into tokens, puts texts of about one length into a batch, so that little of it is padding, and runs the
//! network in the room that suits it ([`crate::rooms`]).

mod batches;
mod config;
mod files;
mod model;
mod questions;
mod tokens;

pub use batches::Limits;
pub use config::Answers;
pub use files::TextFiles;
pub use model::{Classification, TextHooks, TextModel, TextSettings};
pub use tokens::Truncate;
