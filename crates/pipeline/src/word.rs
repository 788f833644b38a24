//! What the configuration says about jobs that wait for it.

use crash::Step;
use domain::{HoldReason, JobFact};

use crate::context::Context;
use crate::failure::Failure;

/// Starts the jobs that were held because `ENABLE_BATCH_API` was off, now that it is on. Those that were meant
/// for the night wait for it.
///
/// # Errors
/// A database that fails.
pub async fn release_disabled(context: &Context) -> Result<(), Failure> {
    if !context.config.enabled {
        return Ok(());
    }
    for (job, until) in context.store.held(HoldReason::BatchApiDisabled).await? {
        reception::tell_job(&context.store, job, JobFact::SwitchedOn { until }, Step::SwitchOn).await?;
    }
    context.ring();
    Ok(())
}
