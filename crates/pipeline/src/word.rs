//! A person's word on a job, committed like any other fact: cancel it, or let it start.

use domain::{HoldReason, JobFact, JobId, decide_job};
use store::Commit;

use crate::context::Context;
use crate::failure::Failure;

/// Asks for a job to be cancelled; false where it has ended or is being cancelled already. What the
/// provider has finished is kept and billed.
///
/// # Errors
/// A database that fails.
pub async fn cancel_job(context: &Context, id: JobId) -> Result<bool, Failure> {
    say(context, id, JobFact::CancelRequested, "cancel").await
}

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
        say(context, job, JobFact::SwitchedOn { until }, "release").await?;
    }
    Ok(())
}

async fn say(context: &Context, id: JobId, fact: JobFact, by: &'static str) -> Result<bool, Failure> {
    loop {
        let row = context.store.job(id).await?;
        let decided = decide_job(&row.job, &fact, context.clock().now(), &context.job_policy());
        let Some(decision) = decided.map_err(|error| Failure::Fault(error.to_string()))? else {
            return Ok(false);
        };
        if context.store.commit_job(decision, None, by).await? == Commit::Done {
            context.ring();
            return Ok(true);
        }
    }
}
