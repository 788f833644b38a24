//! The end of attempts: the attempt, its answer, its task, the job's sums, the backlog and the event, in
//! one transaction. Everything that ends an attempt comes through here.

use domain::{
    AttemptEnd, AttemptState, ErrorClass, Event, EventType, JobId, Money, TaskId, TaskNext, TaskState, Time,
    Tokens,
};
use sea_orm::DatabaseTransaction;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::backlog::{self, Outcome};
use crate::collect::ChunkTally;
use crate::dialect::Dialect;
use crate::sql::{Row, Sql};
use crate::{BODIES, CHUNK, StoreError, event};

/// An attempt that is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) attempt: Uuid,
    pub(crate) task: Uuid,
    pub(crate) line: i64,
    pub(crate) number: u32,
    pub(crate) custom_id: String,
    pub(crate) backlog: Option<String>,
    pub(crate) state: AttemptState,
    /// Whether it has ended and nobody knows what it cost.
    pub(crate) unpriced: bool,
}

impl Live {
    pub(crate) const COLUMNS: &str = "a.id, a.task_id, a.line, a.number, a.custom_id, a.state, a.cost, t.task_id AS backlog_id \
         FROM attempts a JOIN batch_job_tasks t ON t.id = a.task_id";

    pub(crate) fn read(row: &Row) -> Result<Self, StoreError> {
        let state = row.word("state", AttemptState::parse)?;
        let cost: Option<i64> = row.get("cost")?;
        Ok(Self {
            attempt: row.id("id")?,
            task: row.id("task_id")?,
            line: row.int("line")?,
            number: row.small("number")?,
            custom_id: row.text("custom_id")?,
            backlog: row.get("backlog_id")?,
            state,
            unpriced: state != AttemptState::Live && cost.is_none() && has_a_cost(state),
        })
    }
}

/// An attempt that never ran has no cost to know.
fn has_a_cost(state: AttemptState) -> bool {
    !matches!(state, AttemptState::Superseded | AttemptState::Cancelled)
}

/// How an attempt ends, and what becomes of its task.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) live: Live,
    pub(crate) state: AttemptState,
    pub(crate) next: TaskNext,
    pub(crate) detail: Detail,
}

/// What is known of an attempt that ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detail {
    pub(crate) class: Option<ErrorClass>,
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) http_status: Option<u16>,
    pub(crate) request_id: Option<String>,
    pub(crate) tokens: Option<Tokens>,
    /// Paid and normal price; none where nobody knows.
    pub(crate) cost: Option<(Money, Money)>,
    /// The answer as it came, and what the processor read from it.
    pub(crate) answer: Option<(String, Option<String>)>,
}

impl Detail {
    /// The tokens, as events tell them; none where nobody reported any.
    pub(crate) fn told_usage(&self) -> Option<Value> {
        self.tokens.map(|t| json!({ "input_tokens": t.input, "output_tokens": t.output }))
    }

    /// The cost, as events tell it; none where nobody knows.
    pub(crate) fn told_cost(&self) -> Option<Value> {
        self.cost.map(|(paid, normal)| json!({ "usd": paid.dollars(), "normal_usd": normal.dollars() }))
    }

    /// Input, cached, output and reasoning tokens, the paid and the normal price, in this order.
    pub(crate) fn usage_columns(&self, sql: Sql) -> Sql {
        let tokens =
            |of: fn(&Tokens) -> u64| self.tokens.as_ref().map(|t| i64::try_from(of(t)).unwrap_or(i64::MAX));
        sql.int_or_null(tokens(|t| t.input))
            .int_or_null(tokens(|t| t.cached))
            .int_or_null(tokens(|t| t.output))
            .int_or_null(tokens(|t| t.reasoning))
            .int_or_null(self.cost.map(|(paid, _)| paid.0))
            .int_or_null(self.cost.map(|(_, normal)| normal.0))
    }
}

impl Ending {
    /// The end of an attempt by the rules.
    pub(crate) fn new(
        live: Live,
        end: AttemptEnd,
        max_attempts: u32,
        retry_paid: bool,
        detail: Detail,
    ) -> Self {
        let next = domain::settle(end, live.number, max_attempts, retry_paid);
        let class = end.class();
        Self { live, state: end.state(), next, detail: Detail { class, ..detail } }
    }
}

/// Ends attempts. Those that have ended already are left as they are.
pub(crate) async fn apply(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: JobId,
    endings: Vec<Ending>,
    now: Time,
) -> Result<ChunkTally, StoreError> {
    let about = About::of(dialect, on, job).await?;
    let mut tally = ChunkTally::default();
    let mut ended = Vec::with_capacity(endings.len());
    for ending in endings {
        if end_attempt(dialect, on, &ending, now).await? {
            ended.push(ending);
        } else {
            tally.repeated += 1;
        }
    }
    insert_answers(dialect, on, &ended).await?;
    let mut sums = Sums::default();
    let (mut outcomes, mut events) = (Vec::new(), Vec::new());
    for ending in &ended {
        sums.add(ending);
        end_task(dialect, on, ending, now).await?;
        match ending.next {
            TaskNext::Again => tally.again += 1,
            TaskNext::Ends(state) => {
                tally.settled += 1;
                outcomes.extend(outcome(ending, state));
                events.push(completed(job, &about, ending, state));
            }
        }
    }
    backlog::write_back(dialect, on, job, &outcomes, now).await?;
    sums.write(dialect, on, job).await?;
    event::insert(dialect, on, job, &events, now).await?;
    Ok(tally)
}

/// Fails tasks that never got an attempt.
pub(crate) async fn fail_unplanned(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: JobId,
    tasks: &[(TaskId, String)],
    now: Time,
) -> Result<(), StoreError> {
    let end = Unsent { state: TaskState::Failed, class: ErrorClass::InvalidRequest };
    end_unsent(dialect, on, job, tasks, end, now).await
}

#[derive(Clone, Copy)]
struct Unsent {
    state: TaskState,
    class: ErrorClass,
}

/// Cancels tasks that are in no batch.
pub(crate) async fn cancel_unplanned(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: JobId,
    now: Time,
) -> Result<u64, StoreError> {
    let select =
        "SELECT id FROM batch_job_tasks WHERE batch_job_id = $1 AND status = 'pending' ORDER BY seq LIMIT $2";
    let rows = Sql::new(dialect, "cancel", select)
        .id(job.0)
        .int(i64::try_from(CHUNK).unwrap_or(500))
        .all(on)
        .await?;
    let reason = "cancelled before it was sent".to_owned();
    let tasks = rows.iter().map(|row| Ok((TaskId(row.id("id")?), reason.clone())));
    let tasks: Vec<_> = tasks.collect::<Result<_, StoreError>>()?;
    let end = Unsent { state: TaskState::Cancelled, class: ErrorClass::CancelledByUser };
    end_unsent(dialect, on, job, &tasks, end, now).await?;
    Ok(u64::try_from(tasks.len()).unwrap_or(u64::MAX))
}

async fn end_unsent(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: JobId,
    tasks: &[(TaskId, String)],
    end: Unsent,
    now: Time,
) -> Result<(), StoreError> {
    let about = About::of(dialect, on, job).await?;
    let (mut sums, mut outcomes, mut events) = (Sums::default(), Vec::new(), Vec::new());
    for (task, message) in tasks {
        let text = "UPDATE batch_job_tasks SET status = $2, error_class = $3, error_message = $4, updated_at = $5 \
            WHERE id = $1 AND status = 'pending' RETURNING custom_id, task_id AS backlog_id, attempts";
        let sql = Sql::new(dialect, "end_unsent", text).id(task.0).text(end.state.as_str());
        let row = sql.text(end.class.label()).text(message).time(now).one(on).await?;
        let Some(row) = row else { continue };
        let live = Live {
            attempt: Uuid::nil(),
            task: task.0,
            line: 0,
            number: row.small("attempts")?,
            custom_id: row.text("custom_id")?,
            backlog: row.get("backlog_id")?,
            state: AttemptState::Superseded,
            unpriced: false,
        };
        let detail = Detail { class: Some(end.class), message: Some(message.clone()), ..Detail::default() };
        let next = TaskNext::Ends(end.state);
        let ending = Ending { live, state: AttemptState::Superseded, next, detail };
        sums.outcome(end.state);
        outcomes.extend(outcome(&ending, end.state));
        events.push(completed(job, &about, &ending, end.state));
    }
    backlog::write_back(dialect, on, job, &outcomes, now).await?;
    sums.write(dialect, on, job).await?;
    event::insert(dialect, on, job, &events, now).await
}

/// What the events of a job's tasks say of the job.
struct About {
    kind: String,
    processor: String,
    provider: String,
    model: String,
    labels: Option<Value>,
}

impl About {
    async fn of(dialect: Dialect, on: &DatabaseTransaction, job: JobId) -> Result<Self, StoreError> {
        let text = "SELECT kind, processor, provider, model, labels FROM batch_jobs WHERE id = $1";
        let row = Sql::new(dialect, "job", text).id(job.0).one(on).await?;
        let row = row.ok_or_else(|| StoreError::Missing { table: "job", id: job.to_string() })?;
        Ok(Self {
            kind: row.text("kind")?,
            processor: row.text("processor")?,
            provider: row.text("provider")?,
            model: row.text("model")?,
            labels: row.get("labels")?,
        })
    }
}

async fn end_attempt(
    dialect: Dialect,
    on: &DatabaseTransaction,
    ending: &Ending,
    now: Time,
) -> Result<bool, StoreError> {
    let text = "UPDATE attempts SET state = $2, http_status = $3, request_id = $4, error_class = $5, error_code = $6, \
        error_message = $7, input_tokens = $8, cached_tokens = $9, output_tokens = $10, reasoning_tokens = $11, \
        cost = $12, normal_cost = $13, ended_at = $14 WHERE id = $1 AND state = 'live'";
    let detail = &ending.detail;
    let sql = Sql::new(dialect, "end_attempt", text)
        .id(ending.live.attempt)
        .text(ending.state.as_str())
        .int_or_null(detail.http_status.map(i64::from))
        .text_or_null(detail.request_id.as_deref())
        .text_or_null(detail.class.map(ErrorClass::label))
        .text_or_null(detail.code.as_deref())
        .text_or_null(detail.message.as_deref());
    Ok(detail.usage_columns(sql).time(now).run(on).await? == 1)
}

async fn insert_answers(
    dialect: Dialect,
    on: &DatabaseTransaction,
    ended: &[Ending],
) -> Result<(), StoreError> {
    let answered: Vec<_> = ended
        .iter()
        .filter_map(|ending| Some((ending.live.attempt, ending.detail.answer.as_ref()?)))
        .collect();
    for chunk in answered.chunks(BODIES) {
        Sql::new(dialect, "answers", "INSERT INTO answers (attempt_id, response, result) VALUES ")
            .rows(chunk, |values, (attempt, (response, result))| {
                values.id(*attempt).text(response).text_or_null(result.as_deref());
            })
            .then(" ON CONFLICT (attempt_id) DO NOTHING")
            .run(on)
            .await?;
    }
    Ok(())
}

async fn end_task(
    dialect: Dialect,
    on: &DatabaseTransaction,
    ending: &Ending,
    now: Time,
) -> Result<(), StoreError> {
    let (state, attempt) = match ending.next {
        TaskNext::Again => (TaskState::Pending, None),
        TaskNext::Ends(state) => (state, Some(ending.live.attempt)),
    };
    let text = "UPDATE batch_job_tasks SET status = $2, attempt_id = $3, error_class = $4, error_message = $5, \
        updated_at = $6 WHERE id = $1 AND status = 'submitted'";
    Sql::new(dialect, "end_task", text)
        .id(ending.live.task)
        .text(state.as_str())
        .id_or_null(attempt)
        .text_or_null(ending.detail.class.map(ErrorClass::label))
        .text_or_null(ending.detail.message.as_deref())
        .time(now)
        .run(on)
        .await?;
    Ok(())
}

/// What the platform is told of the backlog task that this was, if it was one.
fn outcome(ending: &Ending, state: TaskState) -> Option<Outcome> {
    let detail = &ending.detail;
    let said = if state == TaskState::Succeeded {
        Ok(detail.answer.as_ref().and_then(|(_, result)| result.clone()))
    } else {
        let class = detail.class.map(ErrorClass::label);
        Err(json!({ "outcome": state, "class": class, "message": detail.message }).to_string())
    };
    Some(Outcome { id: ending.live.backlog.clone()?, said })
}

fn completed(job: JobId, about: &About, ending: &Ending, state: TaskState) -> Event {
    let (live, detail) = (&ending.live, &ending.detail);
    let custom_id = &live.custom_id;
    let error = detail.class.map(|class| {
        json!({ "class": class, "provider_code": detail.code, "http_status": detail.http_status, "message": detail.message })
    });
    // A task of the backlog is an agent's: its processor is named as the agent's type.
    let agent_type = live.backlog.as_ref().map(|_| &about.processor);
    let result = detail
        .answer
        .as_ref()
        .and_then(|(_, result)| result.as_deref())
        .map(|result| json!({ "bytes": result.len(), "media_type": "application/json" }));
    let data = json!({
        "job_id": job,
        "kind": about.kind,
        "labels": about.labels,
        "custom_id": custom_id,
        "task_id": live.backlog,
        "agent_type": agent_type,
        "processor": about.processor,
        "provider": { "name": about.provider, "request_model": about.model, "request_id": detail.request_id },
        "result": result,
        "outcome": state,
        "attempt": live.number,
        "error": error,
        "usage": detail.told_usage(),
        "cost": detail.told_cost(),
    });
    Event::new(EventType::TaskCompleted, job, format!("job/{job}/task/{custom_id}"), "", data)
}

/// What a chunk of endings adds to its job.
#[derive(Default)]
pub(crate) struct Sums {
    outcomes: [i64; 5],
    tokens: Tokens,
    cost: Money,
    normal_cost: Money,
    unpriced: i64,
}

impl Sums {
    fn add(&mut self, ending: &Ending) {
        if let TaskNext::Ends(state) = ending.next {
            self.outcome(state);
        }
        if let Some(tokens) = ending.detail.tokens {
            self.tokens = self.tokens + tokens;
        }
        match ending.detail.cost {
            Some((paid, normal)) => {
                self.cost = self.cost + paid;
                self.normal_cost = self.normal_cost + normal;
            }
            None if has_a_cost(ending.state) => self.unpriced += 1,
            None => {}
        }
    }

    /// An answer to an attempt that had ended without one.
    pub(crate) fn late(&mut self, ending: &Ending) {
        self.unpriced -= i64::from(ending.live.unpriced);
        self.tokens = self.tokens + ending.detail.tokens.unwrap_or_default();
        match ending.detail.cost {
            Some((paid, normal)) => {
                self.cost = self.cost + paid;
                self.normal_cost = self.normal_cost + normal;
            }
            None => self.unpriced += 1,
        }
    }

    fn outcome(&mut self, state: TaskState) {
        let place = match state {
            TaskState::Succeeded => 0,
            TaskState::Failed => 1,
            TaskState::Expired => 2,
            TaskState::Cancelled => 3,
            TaskState::Missing => 4,
            TaskState::Pending | TaskState::Submitted => return,
        };
        self.outcomes[place] += 1;
    }

    pub(crate) async fn write(
        &self,
        dialect: Dialect,
        on: &DatabaseTransaction,
        job: JobId,
    ) -> Result<(), StoreError> {
        let text = "UPDATE batch_jobs SET succeeded = succeeded + $2, failed = failed + $3, expired = expired + $4, \
            cancelled = cancelled + $5, missing = missing + $6, input_tokens = input_tokens + $7, \
            cached_tokens = cached_tokens + $8, output_tokens = output_tokens + $9, cost = cost + $10, \
            normal_cost = normal_cost + $11, unpriced = unpriced + $12 WHERE id = $1";
        let mut sql = Sql::new(dialect, "sums", text).id(job.0);
        for outcome in self.outcomes {
            sql = sql.int(outcome);
        }
        sql = sql.int(self.tokens.input).int(self.tokens.cached).int(self.tokens.output);
        sql.int(self.cost.0).int(self.normal_cost.0).int(self.unpriced).run(on).await?;
        Ok(())
    }
}
