//! Tasks of a job: pages for people, errors by class, and what is known of a record already.

use domain::{ErrorClass, JobId, TaskId, TaskState};
use sea_orm::Value;

use crate::{CHUNK, Store, StoreError};

/// A task as people are shown it.
#[derive(Clone, Debug)]
pub struct TaskRow {
    /// Its id.
    pub id: TaskId,
    /// Its place in the job, from 1.
    pub seq: i64,
    /// Names its request line.
    pub custom_id: String,
    /// Its record.
    pub record_key: String,
    /// Where it stands.
    pub state: TaskState,
    /// Attempts made.
    pub attempts: u32,
    /// Why it didn't succeed.
    pub error_class: Option<ErrorClass>,
    /// The same in words.
    pub error_message: Option<String>,
}

/// Tasks that didn't succeed for the same reason.
#[derive(Clone, Debug)]
pub struct ErrorGroup {
    /// The reason.
    pub class: ErrorClass,
    /// How many.
    pub count: u64,
    /// One of them.
    pub custom_id: String,
    /// Its message.
    pub message: Option<String>,
}

/// What is known of a record: it is on its way, or it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The record.
    pub record_key: String,
    /// Hash of the text that the task had.
    pub record_sha256: String,
    /// The job that has or had it.
    pub job: JobId,
    /// Whether the answer is there.
    pub answered: bool,
    /// Version of the processor.
    pub processor_version: u32,
    /// The model.
    pub model: String,
}

impl Store {
    /// Tasks of a job after `seq`, in order; of one state, or of all.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn tasks(
        &self,
        job: JobId,
        state: Option<TaskState>,
        seq: i64,
        limit: u32,
    ) -> Result<Vec<TaskRow>, StoreError> {
        let text = "SELECT * FROM batch_job_tasks WHERE batch_job_id = $1 AND seq > $2 \
            AND ($3 = '' OR status = $3) ORDER BY seq LIMIT $4";
        let sql =
            self.sql("tasks", text).id(job.0).int(seq).text(state.map_or("", TaskState::as_str)).int(limit);
        sql.all(&self.connection).await?.iter().map(read).collect()
    }

    /// Why tasks of a job didn't succeed, most frequent first.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn error_groups(&self, job: JobId) -> Result<Vec<ErrorGroup>, StoreError> {
        let text = "SELECT g.error_class, g.n, t.custom_id, t.error_message FROM ( \
                SELECT error_class, count(*) AS n, min(seq) AS seq FROM batch_job_tasks \
                WHERE batch_job_id = $1 AND error_class IS NOT NULL AND status NOT IN ('pending', 'submitted', 'succeeded') \
                GROUP BY error_class) g \
            JOIN batch_job_tasks t ON t.batch_job_id = $1 AND t.seq = g.seq ORDER BY g.n DESC, g.error_class";
        let rows = self.sql("error_groups", text).id(job.0).all(&self.connection).await?;
        rows.iter()
            .map(|row| {
                Ok(ErrorGroup {
                    class: row.word("error_class", |word| word.parse().ok())?,
                    count: row.count("n")?,
                    custom_id: row.text("custom_id")?,
                    message: row.get("error_message")?,
                })
            })
            .collect()
    }

    /// What is known of records for a processor: the answers that are there and the tasks on their way.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn known(&self, processor: &str, record_keys: &[String]) -> Result<Vec<Known>, StoreError> {
        let mut known = Vec::new();
        for chunk in record_keys.chunks(CHUNK) {
            let text = "SELECT t.record_key, t.record_sha256, t.status, j.id, j.processor_version, j.model \
                FROM batch_job_tasks t JOIN batch_jobs j ON j.id = t.batch_job_id \
                WHERE t.processor = $1 AND t.status IN ('pending', 'submitted', 'succeeded') AND t.record_key IN (";
            let keys = chunk.iter().map(|key| Value::from(key.clone()));
            for row in
                self.sql("known", text).text(processor).list(keys).then(")").all(&self.connection).await?
            {
                known.push(Known {
                    record_key: row.text("record_key")?,
                    record_sha256: row.text("record_sha256")?,
                    job: JobId(row.id("id")?),
                    answered: row.text("status")? == TaskState::Succeeded.as_str(),
                    processor_version: row.small("processor_version")?,
                    model: row.text("model")?,
                });
            }
        }
        Ok(known)
    }
}

fn read(row: &crate::sql::Row) -> Result<TaskRow, StoreError> {
    let class: Option<String> = row.get("error_class")?;
    let error_class =
        class.map(|class| class.parse().map_err(|_| row.unreadable("error_class", &class))).transpose()?;
    Ok(TaskRow {
        id: TaskId(row.id("id")?),
        seq: row.int("seq")?,
        custom_id: row.text("custom_id")?,
        record_key: row.text("record_key")?,
        state: row.word("status", TaskState::parse)?,
        attempts: row.small("attempts")?,
        error_class,
        error_message: row.get("error_message")?,
    })
}
