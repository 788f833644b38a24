//! A person's word on a job, committed like any other fact.
//!
//! It is written down and nothing more: whoever runs the stages carries it out.

use crash::Step;
use domain::{Discrepancy, JobFact, JobId, JobPolicy, decide_job};
use store::{Commit, Store, StoreError};

/// Why a word was not taken.
#[derive(Debug, thiserror::Error)]
pub enum WordError {
    /// The database failed, or there is no such job.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The job's own numbers contradict each other.
    #[error("job {job} can't be told: {source}")]
    Discrepancy {
        /// The job.
        job: JobId,
        /// What doesn't add up.
        source: Discrepancy,
    },
}

/// Asks for a job to be cancelled; false where it has ended or is being cancelled already. What the
/// provider has finished is kept and billed.
///
/// # Errors
/// A database that fails, or a job that isn't there.
pub async fn cancel_job(store: &Store, id: JobId) -> Result<bool, WordError> {
    tell_job(store, id, JobFact::CancelRequested, Step::Cancel).await
}

/// Commits what a person says about a job; false where it changes nothing. `by` names the write.
///
/// # Errors
/// A database that fails, or a job that isn't there.
pub async fn tell_job(store: &Store, id: JobId, fact: JobFact, by: Step) -> Result<bool, WordError> {
    loop {
        let row = store.job(id).await?;
        let decided = decide_job(&row.job, &fact, store.clock().now(), &JobPolicy::default());
        let Some(decision) = decided.map_err(|source| WordError::Discrepancy { job: id, source })? else {
            return Ok(false);
        };
        if store.commit_job(decision, None, by).await? == Commit::Done {
            return Ok(true);
        }
    }
}
