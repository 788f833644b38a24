//! A wish taken: checked, accepted whole or refused whole, and answered the same when it is brought again.

use domain::JobId;
use store::{Idempotency, Store};

use crate::wish::{Prepared, Wish};
use crate::{House, IntakeError, Refusal};

/// What became of a wish.
#[derive(Clone)]
pub enum Received {
    /// It is a job now.
    Accepted(JobId, Box<Prepared>),
    /// It was brought before, under the same key.
    Replayed(JobId),
    /// Everything that it names is answered or on its way: nothing is left to do.
    Nothing(Box<Prepared>),
}

/// Takes a wish.
///
/// # Errors
/// A wish that can't be fulfilled, or a database that fails: nothing is stored.
pub async fn receive(store: &Store, house: &House, wish: &Wish) -> Result<Received, Refusal> {
    if let Some(job) = brought_before(store, wish).await? {
        return Ok(Received::Replayed(job));
    }
    let taken = take(store, house, wish).await;
    if matches!(taken, Ok(Received::Accepted(..))) {
        return taken;
    }
    // The same wish may have come twice at once: the other one then has the records, the tasks or the key.
    match brought_before(store, wish).await? {
        Some(job) => Ok(Received::Replayed(job)),
        None => taken,
    }
}

async fn take(store: &Store, house: &House, wish: &Wish) -> Result<Received, Refusal> {
    let prepared = weigh(store, house, wish).await?;
    if prepared.intake.estimate.requests == 0 {
        return Ok(Received::Nothing(Box::new(prepared)));
    }
    let accepted = prepared.intake.accept(store, &prepared.request).await.map_err(|error| match error {
        IntakeError::Store(error) if error.is_task_taken() => Refusal::Overtaken,
        other => other.into(),
    })?;
    Ok(Received::Accepted(accepted.job, Box::new(prepared)))
}

/// Reads and weighs a wish as [`receive`] does; stores nothing. What can't be used refuses the wish where the caller
/// has named it, or where nothing else is left; what we have looked for ourselves fails nobody else.
///
/// # Errors
/// As [`receive`].
pub async fn weigh(store: &Store, house: &House, wish: &Wish) -> Result<Prepared, Refusal> {
    let mut prepared = wish.prepare(store, house).await?;
    let is_whole = prepared.intake.invalid.is_empty();
    if is_whole || (!wish.work.is_named() && prepared.intake.has_usable()) {
        return Ok(prepared);
    }
    Err(Refusal::Invalid(std::mem::take(&mut prepared.intake.invalid)))
}

/// The job that a wish became when it was brought before under its key.
///
/// # Errors
/// A key that belongs to another wish, or a database that fails.
pub async fn brought_before(store: &Store, wish: &Wish) -> Result<Option<JobId>, Refusal> {
    let Some(Idempotency { key, hash }) = &wish.origin.idempotency else { return Ok(None) };
    match store.job_of_key(key).await? {
        Some((job, there)) if there == *hash => Ok(Some(job)),
        Some((job, _)) => Err(Refusal::KeyTaken { job }),
        None => Ok(None),
    }
}
