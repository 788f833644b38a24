//! `--idempotency-key`: a wish that is said again under its key is the job that it became, and no other one.

use api_types::CreateJob;
use domain::JobId;
use sha2::{Digest as _, Sha256};
use store::{Idempotency, Store};

use crate::exit::Trouble;

/// The key of a wish on this machine, with a hash of what was asked for, and of which files.
pub(crate) fn idempotency(
    key: Option<&String>,
    asked: &CreateJob,
    files: &[String],
) -> Result<Option<Idempotency>, Trouble> {
    let Some(key) = key else { return Ok(None) };
    let wish = serde_json::to_vec(&(asked, files)).map_err(Trouble::other)?;
    let hash = Sha256::digest(&wish).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Idempotency { key: key.clone(), hash }))
}

/// The job that the wish became, where it was brought before.
pub(crate) async fn brought_before(
    store: &Store,
    idempotency: Option<&Idempotency>,
) -> Result<Option<JobId>, Trouble> {
    let Some(Idempotency { key, hash }) = idempotency else { return Ok(None) };
    match store.job_of_key(key).await? {
        Some((job, there)) if there == *hash => Ok(Some(job)),
        Some((job, _)) => {
            Err(Trouble::usage(format!("the key {key} belongs to another wish, which became job {job}"))
                .fix("take a key of its own for each wish"))
        }
        None => Ok(None),
    }
}
