//! The batches of a job as they are shown: where each stands, and for one that is in doubt or parked what was tried,
//! what happens next and when, and the command that decides.

use api_types::{Batch, Decide, Job, LineCounts, Next, Parked};
use domain::{BatchState, JobId, Time};
use store::{BatchRow, Store, StoreError};

use crate::job;

/// A job with its batches.
///
/// # Errors
/// A database that fails, or a job that isn't there.
pub async fn job_with_batches(store: &Store, id: JobId) -> Result<Job, StoreError> {
    let (job, rows, dues) = (job(store, id).await?, store.batches(id).await?, store.batch_dues(id).await?);
    let batches = rows.into_iter().map(|row| {
        let due = dues.get(&row.batch.id).copied();
        batch(row, due)
    });
    Ok(Job { batches: Some(batches.collect()), ..job })
}

fn batch(row: BatchRow, due: Option<Time>) -> Batch {
    let batch = row.batch;
    // A batch that is open is looked at again and again: an answer that told when would never be the same twice.
    let at = due.filter(|_| !matches!(batch.state, BatchState::Open { .. }));
    let parked = batch.state.parked();
    let resolutions: Vec<String> =
        batch.state.resolutions().iter().map(|word| word.as_str().to_owned()).collect();
    Batch {
        id: batch.id.to_string(),
        number: row.number,
        state: batch.state.as_str().to_owned(),
        provider_batch_id: batch.state.provider_id().map(str::to_owned),
        tried: batch.tried(),
        next: batch.state.next().map(|what| Next { what: what.to_owned(), at }),
        parked: parked
            .map(|parked| Parked { reason: parked.as_str().to_owned(), hint: parked.hint().to_owned() }),
        decide: (!resolutions.is_empty())
            .then(|| Decide { command: batch.resolve_command(row.number), resolutions }),
        status: batch.remote.status,
        requests: row.requests,
        bytes: row.bytes,
        counts: LineCounts {
            total: batch.remote.total,
            completed: batch.remote.completed,
            failed: batch.remote.failed,
        },
        output_file_id: batch.remote.output_file_id,
        error_file_id: batch.remote.error_file_id,
        created_at: row.created_at,
        expires_at: batch.remote.expires_at,
        ended_at: batch.remote.ended_at,
        last_error: row.last_error,
    }
}
