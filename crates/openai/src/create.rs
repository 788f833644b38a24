//! Creating a batch: sent once at most, with an outcome of a closed list.

use reqwest::Method;
use wire::{Batch, CreateBatch};

use crate::error::{CallError, Class};
use crate::transport::{Call, Client};

/// What became of a create.
#[derive(Debug)]
pub enum Create {
    /// The provider has made it.
    Created(Box<Batch>),
    /// The request never left.
    NotSent(CallError),
    /// The provider said no, in its own words.
    Refused(CallError),
    /// The request left, and nobody knows what became of it. Never repeat it; look in the list.
    Ambiguous(CallError),
    /// The deadline was behind us before it was sent: nothing was.
    TooLate,
}

impl Client {
    /// Creates a batch. Nothing here or below ever sends it again. Whether it is too late is asked last of all,
    /// so that a process which slept between the caller's permission and now sends nothing.
    pub async fn create_batch(
        &self,
        request: &CreateBatch,
        is_too_late: impl FnOnce() -> bool + Send,
    ) -> Create {
        let call = Call::new("create batch", Method::POST, "batches").paying();
        let built = call.request(&self.once, &self.config).json(request);
        if is_too_late() {
            return Create::TooLate;
        }
        let response = match self.send_ok(&call, built).await {
            Ok(response) => response,
            Err(error) => return failed(error),
        };
        match self.read(&call, response).await {
            Ok(batch) => Create::Created(Box::new(batch)),
            Err(error) => Create::Ambiguous(CallError { class: Class::Ambiguous, ..error }),
        }
    }
}

/// Only a connection that never was, or the provider's own refusal, says that nothing was made.
fn failed(error: CallError) -> Create {
    match (error.class, error.status) {
        (Class::NotSent, _) => Create::NotSent(error),
        (Class::Refused, Some(status)) if status != 409 => Create::Refused(error),
        (Class::Retryable, Some(429)) if error.code.is_some() || error.kind.is_some() => {
            Create::Refused(error)
        }
        _ => Create::Ambiguous(CallError { class: Class::Ambiguous, ..error }),
    }
}
