//! Tasks of a job that ended badly, to be taken up again by another job.

use domain::{ErrorClass, JobId, Time};
use sea_orm::Value;

use crate::{CHUNK, Store, StoreError};

/// Which tasks are taken up again.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetryFilter {
    /// Only those that ended for this reason.
    pub class: Option<ErrorClass>,
    /// Only those that had ended at this time.
    pub before: Option<Time>,
}

/// A task as it was, with the text that it was given then.
#[derive(Clone, Debug)]
pub struct KeptTask {
    /// Its place in its job.
    pub seq: i64,
    /// Names its request line.
    pub custom_id: String,
    /// Its record.
    pub record_key: String,
    /// Hash of the record's text.
    pub record_sha256: String,
    /// The record's text, JSON.
    pub payload: String,
    /// The backlog task that it works on.
    pub task_id: Option<String>,
}

impl Store {
    /// Places of the tasks of a job that failed, expired or went missing, in order. A task of the backlog
    /// is among them only while the platform still has it down as failed by this job.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn retry_seqs(&self, job: JobId, filter: RetryFilter) -> Result<Vec<i64>, StoreError> {
        let text = "SELECT t.seq FROM batch_job_tasks t LEFT JOIN tasks b ON b.id = t.task_id \
            WHERE t.batch_job_id = $1 AND t.status IN ('failed', 'expired', 'missing') \
            AND ($2 = '' OR t.error_class = $2) AND t.updated_at <= $3 \
            AND (t.task_id IS NULL OR (b.status = 'failed' AND b.batch_job_id = $1)) ORDER BY t.seq";
        let rows = self
            .sql("retry_seqs", text)
            .id(job.0)
            .text(filter.class.map_or("", ErrorClass::label))
            .time(filter.before.unwrap_or_else(|| self.clock.now()))
            .all(&self.connection)
            .await?;
        rows.iter().map(|row| row.int("seq")).collect()
    }

    /// Tasks of a job by their places, in order, with their texts.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn kept_tasks(&self, job: JobId, seqs: &[i64]) -> Result<Vec<KeptTask>, StoreError> {
        let mut tasks = Vec::with_capacity(seqs.len());
        for chunk in seqs.chunks(CHUNK) {
            let text = "SELECT t.seq, t.custom_id, t.record_key, t.record_sha256, t.task_id, b.payload \
                FROM batch_job_tasks t JOIN record_bodies b ON b.sha256 = t.record_sha256 \
                WHERE t.batch_job_id = $1 AND t.seq IN (";
            let sql = self.sql("kept_tasks", text).id(job.0).list(chunk.iter().map(|seq| Value::from(*seq)));
            for row in sql.then(") ORDER BY t.seq").all(&self.connection).await? {
                tasks.push(KeptTask {
                    seq: row.int("seq")?,
                    custom_id: row.text("custom_id")?,
                    record_key: row.text("record_key")?,
                    record_sha256: row.text("record_sha256")?,
                    payload: row.text("payload")?,
                    task_id: row.get("task_id")?,
                });
            }
        }
        Ok(tasks)
    }
}
