//! Accepting a job: its records, tasks, first order and event, all or none.
//!
//! The rows arrive in chunks, so that a job of any size passes in bounded memory; the transaction runs in
//! a task of its own and ends with [`Accept::finish`]. An `Accept` that is dropped leaves nothing behind.
//!
//! Tasks of the backlog are claimed here. What a person names is taken whole or not at all; a run of a
//! schedule takes what is still there, since a live runner beside it never stands still.

use std::collections::HashSet;

use crash::Step;
use domain::{
    Event, EventType, HoldReason, JobId, JobState, Kind, Lane, Money, NextOrder, TaskId, TaskState, Time,
    Trace,
};
use futures_util::FutureExt as _;
use sea_orm::DatabaseTransaction;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::backlog::Claim;
use crate::dialect::Dialect;
use crate::error::PENDING_TASK;
use crate::order::Waiting;
use crate::origin::{self, Origin};
use crate::record::{RecordRow, insert_records, insert_texts};
use crate::sql::Sql;
use crate::{CHUNK, RunPart, Store, StoreError, backlog, event, order, run};

/// A job to accept.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: Kind,
    /// Why it waits, and until when; none: it starts at once.
    pub hold: Option<(HoldReason, Option<Time>)>,
    /// `sim` or `openai`.
    pub provider: String,
    /// The processor's name.
    pub processor: String,
    /// Its version.
    pub processor_version: u32,
    /// Its definition, kept with the job.
    pub definition: String,
    /// The model asked for.
    pub model: String,
    /// The endpoint of every line.
    pub endpoint: String,
    /// Where its records come from, in words.
    pub source: String,
    /// Its priority.
    pub priority: i32,
    /// Date of the price table.
    pub prices_of: String,
    /// The run of a schedule that makes it, if one does.
    pub run: Option<RunPart>,
    /// How it was asked for.
    pub origin: Origin,
}

/// A task of a job to accept.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// Names its request line.
    pub custom_id: String,
    /// Its record.
    pub record_key: String,
    /// The record's text.
    pub record_sha256: String,
    /// The backlog task that it works on.
    pub backlog: Option<Claim>,
    /// Tokens of its prompt, as far as they are counted.
    pub input_tokens: u64,
}

/// The tasks that the job has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many.
    pub tasks: u64,
    /// Tokens of their prompts.
    pub input_tokens: u64,
}

impl NewTask {
    fn task_id(&self) -> Option<&str> {
        self.backlog.as_ref().map(|claim| claim.id.as_str())
    }
}

/// What is known once all tasks have arrived.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accepted {
    /// Tokens expected, in and out.
    pub estimate_tokens: Option<(u64, u64)>,
    /// Price expected; none: unknown.
    pub estimate_cost: Option<Money>,
    /// The same at the normal price.
    pub estimate_normal_cost: Option<Money>,
}

enum Part {
    Rows(Vec<RecordRow>, Vec<NewTask>, Vec<(String, String)>),
    Finish(Box<dyn FnOnce(Taken) -> Accepted + Send>),
}

/// A job that is being accepted.
#[derive(Debug)]
pub struct Accept {
    parts: mpsc::Sender<Part>,
    done: JoinHandle<Result<u64, StoreError>>,
}

impl Accept {
    /// Adds records and tasks, and the texts (by hash) of tasks that have no record.
    ///
    /// # Errors
    /// What the database said, where it has refused an earlier part.
    pub async fn add(
        self,
        records: Vec<RecordRow>,
        tasks: Vec<NewTask>,
        texts: Vec<(String, String)>,
    ) -> Result<Self, StoreError> {
        self.send(Part::Rows(records, tasks, texts)).await
    }

    /// Accepts the job with the tasks that it has got, for what they come to; answers how many they are.
    ///
    /// # Errors
    /// A database that fails, or a run that has got none of its tasks: nothing is stored.
    pub async fn finish(
        self,
        accepted: impl FnOnce(Taken) -> Accepted + Send + 'static,
    ) -> Result<u64, StoreError> {
        self.send(Part::Finish(Box::new(accepted))).await?.result().await
    }

    async fn send(self, part: Part) -> Result<Self, StoreError> {
        if self.parts.send(part).await.is_ok() {
            return Ok(self);
        }
        self.result().await?;
        Err(StoreError::Interrupted { what: "accept" })
    }

    async fn result(self) -> Result<u64, StoreError> {
        drop(self.parts);
        self.done.await.map_err(|_| StoreError::Interrupted { what: "accept" })?
    }
}

impl Store {
    /// Begins to accept a job.
    #[must_use]
    pub fn accept(&self, job: NewJob) -> Accept {
        let (parts, mut arriving) = mpsc::channel(2);
        let (store, now) = (self.clone(), self.clock.now());
        let done = tokio::spawn(async move {
            let dialect = store.dialect;
            store
                .transaction(Step::Accept, move |on| {
                    async move {
                        insert_job(dialect, on, &job, now).await?;
                        origin::write(dialect, on, job.id, &job.origin).await?;
                        let mut taken = Taken::default();
                        while let Some(part) = arriving.recv().await {
                            match part {
                                Part::Rows(records, tasks, mut texts) => {
                                    let tasks = claim(dialect, on, &job, tasks, now).await?;
                                    let wanted: HashSet<&str> =
                                        tasks.iter().map(|task| &*task.record_sha256).collect();
                                    texts.retain(|(sha256, _)| wanted.contains(&**sha256));
                                    insert_records(dialect, on, &records, now).await?;
                                    insert_texts(dialect, on, &texts).await?;
                                    insert_tasks(dialect, on, &job, &tasks, taken.tasks, now).await?;
                                    taken.tasks += u64::try_from(tasks.len()).unwrap_or(u64::MAX);
                                    taken.input_tokens +=
                                        tasks.iter().map(|task| task.input_tokens).sum::<u64>();
                                }
                                Part::Finish(accepted) => {
                                    if job.run.is_some() && taken.tasks == 0 {
                                        let id = "all that the run has selected".to_owned();
                                        return Err(StoreError::Taken { what: PENDING_TASK, id });
                                    }
                                    finish(dialect, on, &job, taken.tasks, accepted(taken), now).await?;
                                    return Ok(taken.tasks);
                                }
                            }
                        }
                        Err(StoreError::Interrupted { what: "accept" })
                    }
                    .boxed()
                })
                .await
        });
        Accept { parts, done }
    }
}

async fn insert_job(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: &NewJob,
    now: Time,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO batch_jobs (id, kind, state, hold_reason, hold_until, version, provider, processor, \
        processor_version, definition, model, endpoint, source, priority, total, prices_of, created_at, \
        updated_at, updated_by, run_id, run_part, trace) \
        VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9, $10, $11, $12, $13, 0, $14, $15, $15, 'accept', $16, $17, $18)";
    let state = job.hold.map_or(JobState::Queued, |(reason, _)| JobState::Held(reason));
    Sql::new(dialect, "accept", insert)
        .id(job.id.0)
        .text(job.kind.as_str())
        .text(state.as_str())
        .text_or_null(job.hold.map(|(reason, _)| reason.as_str()))
        .time_or_null(job.hold.and_then(|(_, until)| until))
        .text(&job.provider)
        .text(&job.processor)
        .int(job.processor_version)
        .text(&job.definition)
        .text(&job.model)
        .text(&job.endpoint)
        .text(&job.source)
        .int(job.priority)
        .text(&job.prices_of)
        .time(now)
        .id_or_null(job.run.as_ref().map(|part| part.claim.id.0))
        .text_or_null(job.run.as_ref().map(|part| part.agent.as_str()))
        .text(job.origin.trace.unwrap_or(Trace::of(job.id.0)).to_string())
        .run(on)
        .await?;
    Ok(())
}

/// Claims what tasks of the backlog are among these; answers the tasks that the job has got.
async fn claim(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: &NewJob,
    mut tasks: Vec<NewTask>,
    now: Time,
) -> Result<Vec<NewTask>, StoreError> {
    let mut got = HashSet::new();
    for chunk in tasks.chunks(CHUNK) {
        let claims: Vec<&Claim> = chunk.iter().filter_map(|task| task.backlog.as_ref()).collect();
        let claimed = backlog::claim(dialect, on, job.id, &claims, now).await?;
        if job.run.is_none() && claimed.len() < claims.len() {
            return Err(backlog::taken(&claims, &claimed));
        }
        got.extend(claimed);
    }
    tasks.retain(|task| task.task_id().is_none_or(|id| got.contains(id)));
    Ok(tasks)
}

async fn insert_tasks(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: &NewJob,
    tasks: &[NewTask],
    before: u64,
    now: Time,
) -> Result<(), StoreError> {
    let mut seq = i64::try_from(before).unwrap_or(i64::MAX);
    for chunk in tasks.chunks(CHUNK) {
        let numbered: Vec<(i64, &NewTask)> = (seq + 1..).zip(chunk).collect();
        seq += i64::try_from(chunk.len()).unwrap_or_default();
        let insert = "INSERT INTO batch_job_tasks (id, batch_job_id, seq, custom_id, record_key, record_sha256, \
            processor, task_id, status, created_at, updated_at) VALUES ";
        Sql::new(dialect, "accept", insert)
            .rows(&numbered, |values, (seq, task)| {
                values.id(task.id.0).id(job.id.0).int(*seq).text(&task.custom_id).text(&task.record_key);
                values.text(&task.record_sha256).text(&job.processor).text_or_null(task.task_id());
                values.text(TaskState::Pending.as_str()).bind(now).bind(now);
            })
            .run(on)
            .await?;
    }
    Ok(())
}

async fn finish(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: &NewJob,
    total: u64,
    accepted: Accepted,
    now: Time,
) -> Result<(), StoreError> {
    let update = "UPDATE batch_jobs SET total = $2, estimate_input_tokens = $3, estimate_output_tokens = $4, \
        estimate_cost = $5, estimate_normal_cost = $6 WHERE id = $1";
    let whole = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    Sql::new(dialect, "accept", update)
        .id(job.id.0)
        .int(total)
        .int_or_null(accepted.estimate_tokens.map(|(input, _)| whole(input)))
        .int_or_null(accepted.estimate_tokens.map(|(_, output)| whole(output)))
        .int_or_null(accepted.estimate_cost.map(|money| money.0))
        .int_or_null(accepted.estimate_normal_cost.map(|money| money.0))
        .run(on)
        .await?;
    if let Some(part) = &job.run {
        run::count_job(dialect, on, part, total).await?;
    }
    // A switch that is off has no end; a hold without one waits for a person; everything else waits for plan.
    let due = match job.hold {
        Some((HoldReason::BatchApiDisabled, _)) => None,
        Some((HoldReason::Overnight, until)) => until,
        None => Some(now),
    };
    if let Some(due) = due {
        let next = NextOrder::Due(Lane::Plan, due);
        let who = Waiting { entity: job.id.0, job: job.id, priority: i64::from(job.priority), now };
        order::place(dialect, on, who, next, None).await?;
    }
    let data = json!({
        "job_id": job.id,
        "kind": job.kind,
        "processor": job.processor,
        "model": job.model,
        "tasks": total,
        "hold": job.hold.map(|(reason, until)| json!({ "reason": reason, "until": until })),
        "parent_job_id": job.origin.parent,
        "command": job.origin.command,
        "left_out": job.origin.left_out,
        "estimate_usd": accepted.estimate_cost.map(Money::dollars),
        "run_id": job.run.as_ref().map(|part| part.claim.id),
    });
    let said = Event::new(EventType::JobAccepted, job.id, format!("job/{}", job.id), "", data);
    event::insert(dialect, on, job.id, &[said], now).await
}
