//! Why a stage couldn't do its work, and whether that is the entity's fault or the world's.

use std::time::Duration;

use store::StoreError;

/// Why a stage couldn't do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The provider couldn't be reached, or refused.
    #[error("{0}")]
    Provider(Box<openai::CallError>),
    /// A result file or an input file couldn't be read or written.
    #[error("{what}")]
    File {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Something contradicts itself, and trying again may or may not help.
    #[error("{0}")]
    Fault(String),
}

impl From<openai::CallError> for Failure {
    fn from(error: openai::CallError) -> Self {
        Self::Provider(Box::new(error))
    }
}

impl From<reception::IntakeError> for Failure {
    fn from(error: reception::IntakeError) -> Self {
        match error {
            reception::IntakeError::Store(error) => Self::Store(error),
            other => Self::Fault(other.to_string()),
        }
    }
}

impl From<reception::LineError> for Failure {
    fn from(error: reception::LineError) -> Self {
        Self::Fault(error.to_string())
    }
}

impl From<reception::WordError> for Failure {
    fn from(error: reception::WordError) -> Self {
        match error {
            reception::WordError::Store(error) => error.into(),
            reception::WordError::Discrepancy { .. } => Self::Fault(error.to_string()),
        }
    }
}

/// Whether a call failed for reasons that hold for every call of this kind.
pub(crate) fn is_outage(error: &openai::CallError) -> bool {
    error.is_auth() || error.is_quota() || error.class() != openai::Class::Refused
}

impl Failure {
    /// Whether the world outside is to blame: such failures use up nobody's patience.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            // A row that is missing or can't be read is no better a minute later.
            Self::Store(StoreError::Missing { .. } | StoreError::Row { .. }) | Self::Fault(_) => false,
            // A disk that is full is emptied by somebody.
            Self::Store(_) | Self::File { .. } => true,
            Self::Provider(error) => is_outage(error),
        }
    }

    /// How long the provider asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Self::Provider(error) = self { error.retry_after() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_parks_nothing_and_a_broken_row_does() {
        let disk = Failure::File { what: "can't write".to_owned(), source: std::io::Error::other("full") };
        assert!(disk.is_outage());
        let row = StoreError::Missing { table: "batch", id: String::new() };
        assert!(!Failure::Store(row).is_outage());
    }
}
