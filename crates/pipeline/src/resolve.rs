//! A person's decision about a batch that waits for one, committed like any other fact.

use crash::Step;
use domain::{BatchId, Fact, Resolution};

use crate::context::Context;
use crate::failure::Failure;
use crate::reconcile::stop_if_abandoned;
use crate::seen::conclude;
use crate::worker::chain;

/// Decides about a batch; false where its state doesn't wait for such a decision, or a newer upload than the one that
/// the person has looked at stands there.
///
/// # Errors
/// A database that fails.
pub async fn resolve(
    context: &Context,
    id: BatchId,
    resolution: Resolution,
    upload: u32,
) -> Result<bool, Failure> {
    let fact = Fact::Resolved { resolution, upload };
    let resolved = conclude(context, id, &fact, None, Step::Resolve).await?;
    if let Err(failure) = stop_if_abandoned(context, id).await {
        // It is given up all the same; the next audit sees what became of it.
        tracing::warn!(batch.id = %id, error = %chain(&failure), "the provider could not be asked to stop it");
    }
    Ok(resolved)
}
