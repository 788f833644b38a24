//! Results: each task of a job with its record and its answer, in order, a page at a time.

use domain::{ErrorClass, JobId, Money, TaskState, Time};

use crate::{Store, StoreError};

/// A task with its record and its answer.
#[derive(Clone, Debug)]
pub struct ResultRow {
    /// Its place in the job.
    pub seq: i64,
    /// Names its request line.
    pub custom_id: String,
    /// Its record.
    pub record_key: String,
    /// Its outcome.
    pub state: TaskState,
    /// Attempts made.
    pub attempts: u32,
    /// Why it didn't succeed.
    pub error_class: Option<ErrorClass>,
    /// The same in words.
    pub error_message: Option<String>,
    /// What the processor read from the answer, JSON.
    pub result: Option<String>,
    /// Tokens in and out.
    pub tokens: Option<(u64, u64)>,
    /// Paid.
    pub cost: Option<Money>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Where the record was read.
    pub path: Option<String>,
    /// Its organisation.
    pub org: Option<String>,
    /// Its repository.
    pub repo: Option<String>,
    /// Its number.
    pub number: Option<i64>,
    /// Its text, where it was asked for.
    pub payload: Option<String>,
}

impl Store {
    /// What the processor read from the answer to a task, JSON; none where it has no such answer.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn result_of(&self, job: JobId, custom_id: &str) -> Result<Option<String>, StoreError> {
        let text = "SELECT a.result FROM batch_job_tasks t JOIN answers a ON a.attempt_id = t.attempt_id \
            WHERE t.batch_job_id = $1 AND t.custom_id = $2";
        let row = self.sql("result_of", text).id(job.0).text(custom_id).one(&self.connection).await?;
        row.map_or(Ok(None), |row| row.get("result"))
    }

    /// Tasks of a job after `seq` with their answers, in order; of one state, or of all that ended.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn results(
        &self,
        job: JobId,
        state: Option<TaskState>,
        with_payload: bool,
        seq: i64,
        limit: u32,
    ) -> Result<Vec<ResultRow>, StoreError> {
        let payload = if with_payload { "b.payload" } else { "NULL" };
        let join = if with_payload { "LEFT JOIN record_bodies b ON b.sha256 = t.record_sha256" } else { "" };
        let text = format!(
            "SELECT t.seq, t.custom_id, t.record_key, t.status, t.attempts, t.error_class, t.error_message, \
                 w.result, a.input_tokens, a.output_tokens, a.cost, a.ended_at, r.path, r.org, r.repo, r.number, \
                 {payload} AS payload \
             FROM batch_job_tasks t \
             LEFT JOIN attempts a ON a.id = t.attempt_id \
             LEFT JOIN answers w ON w.attempt_id = t.attempt_id \
             LEFT JOIN records r ON r.key = t.record_key {join} \
             WHERE t.batch_job_id = $1 AND t.seq > $2 AND t.status NOT IN ('pending', 'submitted') \
                 AND ($3 = '' OR t.status = $3) ORDER BY t.seq LIMIT $4"
        );
        let sql =
            self.sql("results", text).id(job.0).int(seq).text(state.map_or("", TaskState::as_str)).int(limit);
        sql.all(&self.connection).await?.iter().map(read).collect()
    }
}

fn read(row: &crate::sql::Row) -> Result<ResultRow, StoreError> {
    let class: Option<String> = row.get("error_class")?;
    let input: Option<i64> = row.get("input_tokens")?;
    let output: Option<i64> = row.get("output_tokens")?;
    Ok(ResultRow {
        seq: row.int("seq")?,
        custom_id: row.text("custom_id")?,
        record_key: row.text("record_key")?,
        state: row.word("status", TaskState::parse)?,
        attempts: row.small("attempts")?,
        error_class: class.and_then(|class| class.parse().ok()),
        error_message: row.get("error_message")?,
        result: row.get("result")?,
        tokens: input.zip(output).map(|(input, output)| (input.unsigned_abs(), output.unsigned_abs())),
        cost: row.get::<Option<i64>>("cost")?.map(Money),
        ended_at: row.get("ended_at")?,
        path: row.get("path")?,
        org: row.get("org")?,
        repo: row.get("repo")?,
        number: row.get("number")?,
        payload: row.get("payload")?,
    })
}
