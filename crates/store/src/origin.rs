//! What is kept of how a job was asked for: its parent, the key that makes a wish safe to repeat, and what
//! the caller wrote on it for itself.

use domain::{JobId, Trace};
use sea_orm::DatabaseTransaction;
use serde_json::Value;

use crate::dialect::Dialect;
use crate::sql::Sql;
use crate::{LeftOut, Store, StoreError};

/// How a job was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The job whose tasks it takes up again.
    pub parent: Option<JobId>,
    /// What makes it safe to ask twice.
    pub idempotency: Option<Idempotency>,
    /// The command from outside that asked for it; told when the job is accepted.
    pub command: Option<CommandRef>,
    /// What was looked for and is not taken; told when the job is accepted. None: each task was named.
    pub left_out: Option<LeftOut>,
    /// Words that the caller finds it by, a JSON object.
    pub labels: Option<Value>,
    /// Whatever else the caller keeps with it, a JSON object.
    pub metadata: Option<Value>,
    /// The place in a trace that it was asked for from; none: a trace begins with it.
    pub trace: Option<Trace>,
}

/// A command from outside, as its sender calls it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CommandRef {
    /// Who sent it.
    pub source: String,
    /// Its id, unique within the source.
    pub id: String,
}

/// A caller's key for one wish, and the hash of the wish: the same key with another wish is a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's word, unique in the database.
    pub key: String,
    /// SHA-256 of the wish, lower-case hexadecimal.
    pub hash: String,
}

impl Store {
    /// The job that was accepted under a key, and the hash of the wish that it answered.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn job_of_key(&self, key: &str) -> Result<Option<(JobId, String)>, StoreError> {
        let text = "SELECT id, idempotency_hash FROM batch_jobs WHERE idempotency_key = $1";
        let row = self.sql("job_of_key", text).text(key).one(&self.connection).await?;
        row.map(|row| Ok((JobId(row.id("id")?), row.text("idempotency_hash")?))).transpose()
    }
}

/// Writes it to a job that is being accepted; a key that another job has fails the transaction.
pub(crate) async fn write(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: JobId,
    origin: &Origin,
) -> Result<(), StoreError> {
    if *origin == Origin::default() {
        return Ok(());
    }
    let text = "UPDATE batch_jobs SET parent_job_id = $2, idempotency_key = $3, idempotency_hash = $4, \
        labels = $5, metadata = $6 WHERE id = $1";
    let idempotency = origin.idempotency.as_ref();
    Sql::new(dialect, "accept", text)
        .id(job.0)
        .id_or_null(origin.parent.map(|parent| parent.0))
        .text_or_null(idempotency.map(|idempotency| idempotency.key.as_str()))
        .text_or_null(idempotency.map(|idempotency| idempotency.hash.as_str()))
        .bind(origin.labels.clone())
        .bind(origin.metadata.clone())
        .run(on)
        .await?;
    Ok(())
}
