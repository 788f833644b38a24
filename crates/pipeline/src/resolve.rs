//! A person's decision about a batch that waits for one, committed like any other fact.

use domain::{BatchId, Fact, Resolution};

use crate::context::Context;
use crate::failure::Failure;
use crate::seen::conclude;

/// Decides about a batch; false where its state doesn't wait for such a decision.
///
/// # Errors
/// A database that fails.
pub async fn resolve(context: &Context, id: BatchId, resolution: Resolution) -> Result<bool, Failure> {
    conclude(context, id, &Fact::Resolved(resolution), None, "resolve").await
}
