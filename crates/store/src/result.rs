//! Results: each task of a job with its record and its answer, in order, a page at a time.
//!
//! A task of the backlog has no row in `records`: its issue stands in the payload that it had when its job
//! was accepted, which was checked to be an issue then.

use std::collections::HashSet;

use domain::{ErrorClass, JobId, Money, TaskState, Time};

use crate::dialect::Dialect;
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
    /// The backlog task that it came from, if it did.
    pub task_id: Option<String>,
    /// Where the record was read; a backlog task was read nowhere.
    pub path: Option<String>,
    /// The organisation of its issue.
    pub org: Option<String>,
    /// The repository.
    pub repo: Option<String>,
    /// The number.
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
        let issue = Issue::of(self.dialect);
        let text = format!(
            "SELECT t.seq, t.custom_id, t.record_key, t.status, t.attempts, t.error_class, t.error_message, \
                 t.task_id, w.result, a.input_tokens, a.output_tokens, a.cost, a.ended_at, r.path, \
                 coalesce(r.org, {org}) AS org, coalesce(r.repo, {repo}) AS repo, \
                 coalesce(r.number, CAST({number} AS BIGINT)) AS number, {payload} AS payload \
             FROM batch_job_tasks t \
             LEFT JOIN attempts a ON a.id = t.attempt_id \
             LEFT JOIN answers w ON w.attempt_id = t.attempt_id \
             LEFT JOIN records r ON r.key = t.record_key \
             LEFT JOIN record_bodies b ON b.sha256 = t.record_sha256 \
             WHERE t.batch_job_id = $1 AND t.seq > $2 AND t.status NOT IN ('pending', 'submitted') \
                 AND ($3 = '' OR t.status = $3) ORDER BY t.seq LIMIT $4",
            org = issue.org,
            repo = issue.repo,
            number = issue.number,
        );
        let sql =
            self.sql("results", text).id(job.0).int(seq).text(state.map_or("", TaskState::as_str)).int(limit);
        sql.all(&self.connection).await?.iter().map(read).collect()
    }

    /// Names of issues (`ORG_REPO_issue_N`) that several backlog tasks of a job are about, whatever became of
    /// them: a file named by the issue alone would be written twice.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn issues_of_several_tasks(&self, job: JobId) -> Result<HashSet<String>, StoreError> {
        let Issue { org, repo, number } = Issue::of(self.dialect);
        let text = format!(
            "SELECT name FROM ( \
                SELECT {org} || '_' || {repo} || '_issue_' || {number} AS name FROM batch_job_tasks t \
                JOIN record_bodies b ON b.sha256 = t.record_sha256 \
                WHERE t.batch_job_id = $1 AND t.task_id IS NOT NULL) AS named \
             GROUP BY name HAVING count(*) > 1"
        );
        let rows = self.sql("issues_of_several_tasks", text).id(job.0).all(&self.connection).await?;
        rows.iter().map(|row| row.text("name")).collect()
    }
}

/// Where a payload, `b.payload`, says which issue it is.
struct Issue {
    org: String,
    repo: String,
    number: String,
}

impl Issue {
    fn of(dialect: Dialect) -> Self {
        let field = |path: &[&str]| dialect.json_text("b.payload", path);
        Self { org: field(&["org"]), repo: field(&["repo"]), number: field(&["issue", "number"]) }
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
        task_id: row.get("task_id")?,
        path: row.get("path")?,
        org: row.get("org")?,
        repo: row.get("repo")?,
        number: row.get("number")?,
        payload: row.get("payload")?,
    })
}
