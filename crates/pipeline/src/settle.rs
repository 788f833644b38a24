//! Settle: counts a job's tasks and batches, and decides whether it has ended. It is also the watchdog.

use crash::Step;
use domain::{Claimed, Fact, JobFact, JobId, JobState, decide_job};
use store::Commit;
use telemetry::metrics::JOBS_FINISHED;

use crate::context::Context;
use crate::failure::Failure;
use crate::reconcile::stop_if_abandoned;
use crate::seen::conclude;
use crate::worker::Handled;

pub(crate) async fn handle(context: &Context, claimed: Claimed, id: JobId) -> Result<Handled, Failure> {
    let row = context.store.job(id).await?;
    match row.job.state {
        JobState::Active => watch_over(context, id).await?,
        JobState::Cancelling => cancel_rest(context, id).await?,
        JobState::Held(_) | JobState::Queued | JobState::Ended(_) => return Ok(Handled::Nothing),
    }
    // Batches first: one that is collected between the two counts leaves no task behind that no batch has.
    let batches = context.store.batch_tally(id).await?;
    let tasks = context.store.task_tally(id).await?;
    let now = context.clock().now();
    let decided =
        decide_job(&row.job, &JobFact::Counted { tasks, batches }, now, &context.job_policy().await?);
    let decision = match decided {
        Ok(Some(decision)) => decision,
        Ok(None) => return Ok(Handled::Nothing),
        Err(discrepancy) => {
            context.store.note_job(id, &discrepancy.to_string()).await?;
            return Err(Failure::Fault(format!("job {id} can't end: {discrepancy}")));
        }
    };
    let ended = decision.job.state.outcome();
    if context.store.commit_job(decision, Some(claimed), Step::Settle).await? == Commit::Overtaken {
        return Ok(Handled::Later(now));
    }
    if let Some(outcome) = ended {
        let (kind, word) = (row.job.kind.as_str(), outcome.as_str());
        metrics::counter!(JOBS_FINISHED, "kind" => kind, "outcome" => word).increment(1);
        tracing::info!(job.id = %id, outcome = outcome.as_str(), succeeded = tasks.succeeded, "job ended");
    }
    Ok(Handled::Answered)
}

/// Sees that every batch of the job waits for somebody.
async fn watch_over(context: &Context, id: JobId) -> Result<(), Failure> {
    let lost = context.store.place_lost_orders(id).await?;
    if lost > 0 {
        tracing::error!(job.id = %id, batches = lost, "batches waited for nobody; this is a bug");
        context.ring();
    }
    Ok(())
}

/// Calls off what a cancelled job still has.
async fn cancel_rest(context: &Context, id: JobId) -> Result<(), Failure> {
    for row in context.store.batches(id).await? {
        if !row.batch.cancel && !row.batch.state.is_end() {
            conclude(context, row.batch.id, &Fact::CancelRequested, None, Step::Cancel).await?;
            stop_if_abandoned(context, row.batch.id).await?;
        }
    }
    while context.store.cancel_unplanned(id).await? > 0 {}
    watch_over(context, id).await
}
