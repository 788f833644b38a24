//! Tasks that ended badly, of one job or of all, to be taken up again by another job.

use domain::{ErrorClass, JobId, TaskId, Time};

use crate::dialect::Dialect;
use crate::sql::Sql;
use crate::{CHUNK, Store, StoreError};

/// Which tasks are taken up again.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetryFilter {
    /// Only those that ended for this reason.
    pub class: Option<ErrorClass>,
    /// Only those that had ended at this time.
    pub before: Option<Time>,
}

/// Which jobs, where it is those of all.
#[derive(Clone, Copy, Debug)]
pub struct RetryScope<'a> {
    /// Only of this provider.
    pub provider: &'a str,
    /// Only of this processor; empty: of all.
    pub processor: &'a str,
    /// Only with this model; empty: with any.
    pub model: &'a str,
}

/// Tasks that ended badly in jobs of one processor and model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryGroup {
    /// The processor.
    pub processor: String,
    /// The model asked for.
    pub model: String,
    /// How many.
    pub count: u64,
}

/// A task as it was, with the text that it was given then.
#[derive(Clone, Debug)]
pub struct KeptTask {
    /// Its id.
    pub id: TaskId,
    /// Its job.
    pub job: JobId,
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

/// Ended badly; a task of the backlog only while the platform still has it down as failed by that job.
fn badly(dialect: Dialect) -> String {
    format!(
        "t.status IN ('failed', 'expired', 'missing') AND ($1 = '' OR t.error_class = $1) AND t.updated_at <= $2 \
         AND (t.task_id IS NULL OR (b.status = 'failed' AND {} = {}))",
        dialect.id_text("b.batch_job_id"),
        dialect.id_text("t.batch_job_id"),
    )
}

/// Of all jobs: what no later job has taken up, whatever became of it there.
const ANYWHERE: &str = "j.provider = $3 AND ($4 = '' OR j.processor = $4) AND ($5 = '' OR j.model = $5) \
    AND NOT EXISTS (SELECT 1 FROM batch_job_tasks l WHERE l.processor = t.processor \
    AND l.record_key = t.record_key AND (l.created_at > t.created_at OR (l.created_at = t.created_at AND l.id > t.id)))";

impl Store {
    /// The tasks of a job that failed, expired or went missing, in order.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn retry_tasks(&self, job: JobId, filter: RetryFilter) -> Result<Vec<TaskId>, StoreError> {
        let text = format!(
            "SELECT t.id FROM batch_job_tasks t LEFT JOIN tasks b ON b.id = t.task_id \
             WHERE {} AND t.batch_job_id = $3 ORDER BY t.seq",
            badly(self.dialect)
        );
        let rows = self.badly("retry_tasks", text, filter).id(job.0).all(&self.connection).await?;
        rows.iter().map(|row| row.id("id").map(TaskId)).collect()
    }

    /// How many tasks of all jobs failed, expired or went missing, and were not taken up since.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn retry_groups(
        &self,
        scope: RetryScope<'_>,
        filter: RetryFilter,
    ) -> Result<Vec<RetryGroup>, StoreError> {
        let text = format!(
            "SELECT j.processor, j.model, count(*) AS n {} GROUP BY j.processor, j.model ORDER BY n DESC, j.processor, j.model",
            anywhere(self.dialect)
        );
        let rows = self.scoped("retry_groups", text, scope, filter).all(&self.connection).await?;
        rows.iter()
            .map(|row| {
                let (processor, model) = (row.text("processor")?, row.text("model")?);
                Ok(RetryGroup { processor, model, count: row.count("n")? })
            })
            .collect()
    }

    /// Those tasks with their jobs, the oldest first.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn retry_anywhere(
        &self,
        scope: RetryScope<'_>,
        filter: RetryFilter,
        limit: u64,
    ) -> Result<Vec<(TaskId, JobId)>, StoreError> {
        let text = format!(
            "SELECT t.id, t.batch_job_id {} ORDER BY t.created_at, t.batch_job_id, t.seq LIMIT $6",
            anywhere(self.dialect)
        );
        let rows =
            self.scoped("retry_anywhere", text, scope, filter).int(limit).all(&self.connection).await?;
        rows.iter().map(|row| Ok((TaskId(row.id("id")?), JobId(row.id("batch_job_id")?)))).collect()
    }

    fn badly(&self, what: &'static str, text: String, filter: RetryFilter) -> Sql {
        let before = filter.before.unwrap_or_else(|| self.clock.now());
        self.sql(what, text).text(filter.class.map_or("", ErrorClass::label)).time(before)
    }

    fn scoped(&self, what: &'static str, text: String, scope: RetryScope<'_>, filter: RetryFilter) -> Sql {
        self.badly(what, text, filter).text(scope.provider).text(scope.processor).text(scope.model)
    }

    /// Tasks by their ids, with their texts, in no order.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn kept_tasks(&self, ids: &[TaskId]) -> Result<Vec<KeptTask>, StoreError> {
        let mut tasks = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let text = "SELECT t.id, t.batch_job_id, t.custom_id, t.record_key, t.record_sha256, t.task_id, \
                b.payload FROM batch_job_tasks t JOIN record_bodies b ON b.sha256 = t.record_sha256 \
                WHERE t.id IN (";
            let sql = self.sql("kept_tasks", text).ids(chunk.iter().map(|id| id.0)).then(")");
            for row in sql.all(&self.connection).await? {
                tasks.push(KeptTask {
                    id: TaskId(row.id("id")?),
                    job: JobId(row.id("batch_job_id")?),
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

fn anywhere(dialect: Dialect) -> String {
    format!(
        "FROM batch_job_tasks t JOIN batch_jobs j ON j.id = t.batch_job_id LEFT JOIN tasks b ON b.id = t.task_id \
         WHERE {} AND {ANYWHERE}",
        badly(dialect)
    )
}
