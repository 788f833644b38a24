//! Planning in parts: what is left to plan, and one part's lines, batches and orders written as one.

use crash::Step;
use domain::{
    AttemptId, AttemptState, BatchId, Claimed, JobDecision, JobId, Lane, NextOrder, TaskId, TaskState,
};
use futures_util::FutureExt as _;
use sea_orm::DatabaseTransaction;

use crate::commit::{self, Commit};
use crate::dialect::Dialect;
use crate::order::Waiting;
use crate::sql::Sql;
use crate::{BODIES, CHUNK, Store, StoreError, order};

/// A task to plan.
#[derive(Clone, Debug)]
pub struct Unplanned {
    /// Its id.
    pub id: TaskId,
    /// Its place in the job.
    pub seq: i64,
    /// Names its request line.
    pub custom_id: String,
    /// Its record.
    pub record_key: String,
    /// Attempts made already.
    pub attempts: u32,
    /// Its frozen request body, if it was planned before.
    pub request: Option<String>,
    /// Its record's text, if it wasn't.
    pub payload: Option<String>,
}

/// A batch being filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBatch {
    /// Its id.
    pub id: BatchId,
    /// Its number within the job.
    pub number: u32,
    /// The model of its lines.
    pub model: String,
    /// The endpoint of its lines.
    pub endpoint: String,
    /// Lines.
    pub requests: u32,
    /// Bytes of its input file.
    pub bytes: u64,
    /// Whether this part begins it.
    pub new: bool,
    /// Whether it is complete: its bytes are frozen and it goes to submit.
    pub sealed: bool,
}

/// A line of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedLine {
    /// Its attempt.
    pub attempt: AttemptId,
    /// Its task.
    pub task: TaskId,
    /// Its batch.
    pub batch: BatchId,
    /// Its number in the batch's file, from 1.
    pub line: u32,
    /// Which attempt of the task, from 1.
    pub number: u32,
    /// Its name.
    pub custom_id: String,
    /// Its record.
    pub record_key: String,
    /// The request body, if it is to be frozen now.
    pub request: Option<String>,
}

/// One part of a job, planned.
#[derive(Clone, Debug)]
pub struct PlanChunk {
    /// What the job becomes.
    pub job: JobDecision,
    /// The processor, for the index that keeps a record from being on its way twice.
    pub processor: String,
    /// Last task seen.
    pub cursor: i64,
    /// The batches begun, continued or sealed.
    pub batches: Vec<PlannedBatch>,
    /// Their lines.
    pub lines: Vec<PlannedLine>,
    /// Tasks that can't be rendered any more: they fail.
    pub unusable: Vec<(TaskId, String)>,
}

impl Store {
    /// Pending tasks of a job after `seq` whose records are not on their way elsewhere, in order.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn unplanned(&self, job: JobId, seq: i64, limit: u32) -> Result<Vec<Unplanned>, StoreError> {
        let text = "SELECT t.id, t.seq, t.custom_id, t.record_key, t.attempts, q.body, \
                CASE WHEN q.body IS NULL THEN b.payload END AS payload \
            FROM batch_job_tasks t \
            LEFT JOIN task_requests q ON q.task_id = t.id \
            LEFT JOIN record_bodies b ON b.sha256 = t.record_sha256 \
            WHERE t.batch_job_id = $1 AND t.status = 'pending' AND t.seq > $2 AND NOT EXISTS ( \
                SELECT 1 FROM attempts a WHERE a.processor = t.processor AND a.record_key = t.record_key \
                AND a.state = 'live') \
            ORDER BY t.seq LIMIT $3";
        let rows = self.sql("unplanned", text).id(job.0).int(seq).int(limit).all(&self.connection).await?;
        rows.iter()
            .map(|row| {
                Ok(Unplanned {
                    id: TaskId(row.id("id")?),
                    seq: row.int("seq")?,
                    custom_id: row.text("custom_id")?,
                    record_key: row.text("record_key")?,
                    attempts: row.small("attempts")?,
                    request: row.get("body")?,
                    payload: row.get("payload")?,
                })
            })
            .collect()
    }

    /// The batch of a job that is being filled, if there is one, and the highest number so far.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn filling(&self, job: JobId) -> Result<(Option<PlannedBatch>, u32), StoreError> {
        let batches = self.batches(job).await?;
        let highest = batches.iter().map(|batch| batch.number).max().unwrap_or(0);
        let filling = batches.into_iter().find(|row| row.batch.state == domain::BatchState::Filling);
        let filling = filling.map(|row| PlannedBatch {
            id: row.batch.id,
            number: row.number,
            model: row.model,
            endpoint: row.endpoint,
            requests: row.requests,
            bytes: row.bytes,
            new: false,
            sealed: false,
        });
        Ok((filling, highest))
    }

    /// Writes one part: lines, batches, orders and the job's next step, all or none.
    ///
    /// # Errors
    /// A database that fails; a record that went on its way elsewhere since it was read (plan again).
    pub async fn commit_plan(&self, chunk: PlanChunk, claimed: Claimed) -> Result<Commit, StoreError> {
        let (dialect, now) = (self.dialect, self.clock.now());
        self.transaction(Step::Plan, move |on| {
            async move {
                let chunk = &chunk;
                if !commit::job(dialect, on, &chunk.job, Some(&claimed), Step::Plan, now).await? {
                    return Ok(Commit::Overtaken);
                }
                let planned = i64::try_from(chunk.lines.len()).unwrap_or(i64::MAX);
                let update = "UPDATE batch_jobs SET plan_cursor = $2, round_attempts = round_attempts + $3 WHERE id = $1";
                Sql::new(dialect, "plan", update).id(chunk.job.job.id.0).int(chunk.cursor).int(planned).run(on).await?;
                write_batches(dialect, on, chunk, now).await?;
                write_lines(dialect, on, chunk, now).await?;
                crate::ending::fail_unplanned(dialect, on, chunk.job.job.id, &chunk.unusable, now).await?;
                Ok(Commit::Done)
            }
            .boxed()
        })
        .await
    }
}

async fn write_batches(
    dialect: Dialect,
    on: &DatabaseTransaction,
    chunk: &PlanChunk,
    now: domain::Time,
) -> Result<(), StoreError> {
    let job = chunk.job.job.id;
    let priority = commit::priority(dialect, on, job).await?;
    for batch in &chunk.batches {
        let state = if batch.sealed { "planned" } else { "filling" };
        let text = if batch.new {
            "INSERT INTO batches (id, state, requests, bytes, updated_at, job_id, number, model, endpoint, version, \
             upload, cancel, created_at, updated_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, 1, $10, $5, 'plan')"
        } else {
            "UPDATE batches SET state = $2, requests = $3, bytes = $4, updated_at = $5, version = version + 1 \
             WHERE id = $1 AND state = 'filling'"
        };
        let mut sql = Sql::new(dialect, "plan", text).id(batch.id.0).text(state).int(batch.requests);
        sql = sql.int(batch.bytes).time(now);
        if batch.new {
            sql = sql.id(job.0).int(batch.number).text(&batch.model).text(&batch.endpoint).bind(false);
        }
        if sql.run(on).await? != 1 {
            return Err(StoreError::Missing { table: "filling batch", id: batch.id.to_string() });
        }
        if batch.sealed {
            let next = NextOrder::Due(Lane::Submit, now);
            let who = Waiting { entity: batch.id.0, job, priority, now };
            order::place(dialect, on, who, next, None).await?;
        }
    }
    Ok(())
}

async fn write_lines(
    dialect: Dialect,
    on: &DatabaseTransaction,
    chunk: &PlanChunk,
    now: domain::Time,
) -> Result<(), StoreError> {
    let job = chunk.job.job.id;
    for lines in chunk.lines.chunks(CHUNK) {
        let frozen: Vec<(TaskId, &str)> =
            lines.iter().filter_map(|line| Some((line.task, line.request.as_deref()?))).collect();
        for bodies in frozen.chunks(BODIES) {
            Sql::new(dialect, "plan", "INSERT INTO task_requests (task_id, body) VALUES ")
                .rows(bodies, |values, (task, body)| {
                    values.id(task.0).text(body);
                })
                .then(" ON CONFLICT (task_id) DO NOTHING")
                .run(on)
                .await?;
        }
        let insert = "INSERT INTO attempts (id, task_id, job_id, batch_id, line, number, custom_id, processor, \
            record_key, state, created_at) VALUES ";
        Sql::new(dialect, "plan", insert)
            .rows(lines, |values, line| {
                values.id(line.attempt.0).id(line.task.0).id(job.0).id(line.batch.0).int(line.line);
                values.int(line.number).text(&line.custom_id).text(&chunk.processor).text(&line.record_key);
                values.text(AttemptState::Live.as_str()).bind(now);
            })
            .run(on)
            .await?;
        let update = "UPDATE batch_job_tasks SET status = $1, attempts = attempts + 1, updated_at = $2 \
            WHERE status = 'pending' AND id IN (";
        let sql = Sql::new(dialect, "plan", update).text(TaskState::Submitted.as_str()).time(now);
        let moved = sql.ids(lines.iter().map(|line| line.task.0)).then(")").run(on).await?;
        if usize::try_from(moved) != Ok(lines.len()) {
            return Err(StoreError::Missing { table: "pending task", id: format!("of job {job}") });
        }
    }
    Ok(())
}
