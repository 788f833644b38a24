//! Why a call failed, and what that says about whether it was carried out.

use std::fmt;
use std::time::Duration;

/// What a failure says about whether the call was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No connection: the provider never saw it.
    NotSent,
    /// The provider saw it and said no.
    Refused,
    /// It may be repeated, since repeating it does no harm.
    Retryable,
    /// It left, and nobody knows what became of it.
    Ambiguous,
    /// The provider answered, and this machine couldn't keep the answer: a full disk, say.
    Local,
}

/// A call that failed. Its text never holds a body or a key.
#[derive(Clone, Debug)]
pub struct CallError {
    pub(crate) operation: &'static str,
    pub(crate) address: String,
    pub(crate) class: Class,
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) message: String,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
}

/// Codes of an account without credit or at its spend limit. Waiting seconds doesn't help.
const QUOTA: [&str; 6] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
];

impl CallError {
    /// What it says about whether the call was carried out.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The HTTP status, if there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// What was said: the provider's words, or why none came.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The provider's error code.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The provider's id of the request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// How long the provider asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The key is refused.
    #[must_use]
    pub fn is_auth(&self) -> bool {
        matches!(self.status, Some(401 | 403))
    }

    /// The account has no credit, or is at a limit of spending.
    #[must_use]
    pub fn is_quota(&self) -> bool {
        let says = |word: &Option<String>| word.as_deref().is_some_and(|word| QUOTA.contains(&word));
        says(&self.code) || says(&self.kind)
    }

    /// The account asks too often, or for too much at once.
    #[must_use]
    pub fn is_too_often(&self) -> bool {
        self.status == Some(429) && !self.is_quota()
    }

    /// There is no such batch or file, in the provider's own word: a page of whoever stands in between says nothing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status == Some(404) && self.class == Class::Refused
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.operation, self.address)?;
        if let Some(status) = self.status {
            write!(f, ": HTTP {status}")?;
        }
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CallError {}
