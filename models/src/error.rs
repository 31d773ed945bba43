//! What can go wrong with a model, and whose fault it is.

use polars::prelude::PolarsError;

/// A failure of training, reading or applying a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The data cannot be learned from or scored; the text names the column and says what to do.
    #[error("{0}")]
    Data(String),
    /// A setting is wrong.
    #[error("{0}")]
    Settings(String),
    /// The bytes are not a model that can be used.
    #[error("not a usable model: {0}")]
    Format(String),
    /// Only ONNX Runtime could run it, and its library is not there.
    #[error(
        "not a usable model: neither the built-in scorer nor rten can run it ({0}), and ONNX Runtime, which may, is not installed"
    )]
    MissingRuntime(String),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A frame could not be read.
    #[error("cannot read the frame")]
    Frame(#[from] PolarsError),
    /// Something that must hold does not: a defect of this program.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, ModelError>;

impl ModelError {
    pub(crate) fn data(message: impl Into<String>) -> Self {
        Self::Data(message.into())
    }

    pub(crate) fn settings(message: impl Into<String>) -> Self {
        Self::Settings(message.into())
    }

    pub(crate) fn format(message: impl Into<String>) -> Self {
        Self::Format(message.into())
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into())
    }
}
