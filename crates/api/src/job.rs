//! A job as it is shown, to callers and on the command line alike.

use api_types::{BatchCounts, Estimate, Hold, Job, ProcessorName, Tasks, Usage};
use domain::{BatchTally, JobId, JobState, Money, ShownState, TaskTally, Time};
use store::{JobRow, Store, StoreError};

/// A job.
///
/// # Errors
/// A database that fails, or a job that isn't there.
pub async fn job(store: &Store, id: JobId) -> Result<Job, StoreError> {
    shown(store, store.job(id).await?).await
}

/// A job whose row is read already.
///
/// # Errors
/// A database that fails.
pub async fn shown(store: &Store, row: JobRow) -> Result<Job, StoreError> {
    let (tasks, batches) = (store.task_tally(row.job.id).await?, store.batch_tally(row.job.id).await?);
    Ok(view(row, &tasks, &batches))
}

fn view(row: JobRow, tasks: &TaskTally, batches: &BatchTally) -> Job {
    let known = row.known_cost();
    let shown = ShownState::of(row.job.state, batches);
    Job {
        job_id: row.job.id.to_string(),
        kind: row.job.kind.as_str().to_owned(),
        state: shown.as_str().to_owned(),
        outcome: row.job.state.outcome().map(|outcome| outcome.as_str().to_owned()),
        hold: hold(&row),
        hold_until: row.hold_until,
        planned_start: planned_start(&row),
        parent_job_id: row.parent.map(|parent| parent.to_string()),
        provider: row.provider,
        processor: ProcessorName { name: row.processor, version: row.processor_version },
        model: row.model,
        source: row.source,
        priority: row.priority,
        labels: row.labels,
        metadata: row.metadata,
        total: row.job.total,
        tasks: counted(tasks),
        batch_counts: BatchCounts {
            unsent: batches.unsent,
            open: batches.open,
            collecting: batches.collecting,
            parked: batches.parked,
            ended: batches.ended,
            answered: batches.answered,
        },
        batches: None,
        usage: Usage {
            input_tokens: row.tokens.input,
            cached_tokens: row.tokens.cached,
            output_tokens: row.tokens.output,
        },
        cost_usd: known.map(|(paid, _)| paid.dollars()),
        normal_cost_usd: known.map(|(_, normal)| normal.dollars()),
        saved_usd: known.map(|(paid, normal)| paid.saved_of(normal).dollars()),
        answers_of_unknown_cost: row.unpriced,
        estimate_usd: row.estimate_cost.map(Money::dollars),
        estimate: row.estimate_tokens.map(|(input, output)| Estimate {
            input_tokens: input,
            output_tokens_at_most: output,
            cost_usd_at_most: row.estimate_cost.map(Money::dollars),
            normal_cost_usd_at_most: row.estimate_normal_cost.map(Money::dollars),
        }),
        prices_of: row.prices_of,
        last_error: row.last_error,
        created_at: row.created_at,
        submitted_at: row.submitted_at,
        ended_at: row.ended_at,
    }
}

fn hold(row: &JobRow) -> Option<Hold> {
    match row.job.state {
        JobState::Held(reason) => Some(Hold { reason: reason.as_str().to_owned(), until: row.hold_until }),
        _ => None,
    }
}

fn planned_start(row: &JobRow) -> Option<Time> {
    match row.job.state {
        JobState::Held(_) => row.hold_until,
        JobState::Queued if row.submitted_at.is_none() => Some(row.created_at),
        _ => None,
    }
}

fn counted(tasks: &TaskTally) -> Tasks {
    Tasks {
        pending: tasks.pending,
        submitted: tasks.submitted,
        succeeded: tasks.succeeded,
        failed: tasks.failed,
        expired: tasks.expired,
        cancelled: tasks.cancelled,
        missing: tasks.missing,
    }
}
