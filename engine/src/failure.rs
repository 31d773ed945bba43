//! Why a store, of runs, models or files, could not do what it was asked, and how errors are told.

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or cannot be written: another try may help.
    #[error("{message}")]
    Unavailable {
        /// What failed.
        message: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// It is not as this program needs it: another try gives the same.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// What was asked for is not there.
    #[error("{0} is not there")]
    NotFound(String),
    /// The run has a newer owner.
    #[error("the run has a newer owner")]
    Stale,
}

impl StoreError {
    /// It cannot be reached or written.
    pub fn unavailable(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable {
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// Somebody else has locked what is to be written.
    pub fn locked(message: impl Into<String>) -> Self {
        Self::unavailable(message, Locked)
    }

    /// Whether somebody else has locked what is to be written: other writes may be possible.
    pub fn is_locked(&self) -> bool {
        match self {
            Self::Unavailable {
                source: Some(source),
                ..
            } => source.is::<Locked>(),
            _ => false,
        }
    }

    /// It is not as it should be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            source: None,
        }
    }
}

/// An error with its causes in one line.
pub fn full_message(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        // Some libraries print their cause within their own message.
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

/// Why a write has to wait although the store can be reached.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("another transaction has locked it")]
struct Locked;
