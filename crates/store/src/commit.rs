//! The one door for state: state, next order, effects and events in one transaction, or none of it.
//!
//! The write states the version that was read. Losing the race is an ordinary outcome: after a mere look
//! it means done; after a side effect it means reload, and decide again with the same fact.

use crash::Step;
use domain::{
    AttemptEffect, AttemptEnd, AttemptState, BadLine, BatchDecision, BatchId, Claimed, ErrorClass,
    JobDecision, JobId, JobState, Lane, Refusal, TaskNext, TaskState, Time, ValidationFailure,
};
use futures_util::FutureExt as _;
use sea_orm::DatabaseTransaction;

use crate::collect::SettleRules;
use crate::dialect::Dialect;
use crate::ending::{self, Detail, Ending, Live};
use crate::order::Waiting;
use crate::sql::Sql;
use crate::{Store, StoreError, batch, event, order};

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Commit {
    /// Written.
    Done,
    /// Somebody else was faster; nothing is written.
    Overtaken,
}

impl Store {
    /// Commits what a batch becomes. `claimed` is the order that this answers, if it answers one; `by`
    /// names the write.
    ///
    /// # Errors
    /// A database that fails: whether it was written is then unknown, and the next load tells.
    pub async fn commit_batch(
        &self,
        decision: BatchDecision,
        claimed: Option<Claimed>,
        rules: SettleRules,
        by: Step,
    ) -> Result<Commit, StoreError> {
        let (dialect, now) = (self.dialect, self.clock.now());
        self.transaction(by, move |on| {
            async move {
                let (id, job) = (decision.batch.id, decision.batch.job);
                if !batch::update(dialect, on, &decision, by, now).await? {
                    return Ok(Commit::Overtaken);
                }
                // Locks the job's row before its order, as every commit does: no two wait for each other.
                let priority = priority(dialect, on, job).await?;
                let who = Waiting { entity: id.0, job, priority, now };
                order::place(dialect, on, who, decision.order, claimed.as_ref()).await?;
                end_attempts(dialect, on, &decision, rules, now).await?;
                if decision.nudge_job {
                    order::nudge(dialect, job.0, Some(Lane::Settle)).run(on).await?;
                }
                mark_submitted(dialect, on, &decision, now).await?;
                event::insert(dialect, on, job, &decision.events, now).await?;
                Ok(Commit::Done)
            }
            .boxed()
        })
        .await
    }

    /// Commits what a job becomes.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn commit_job(
        &self,
        decision: JobDecision,
        claimed: Option<Claimed>,
        by: Step,
    ) -> Result<Commit, StoreError> {
        let (dialect, now) = (self.dialect, self.clock.now());
        self.transaction(by, move |on| {
            async move {
                let written = job(dialect, on, &decision, claimed.as_ref(), by, now).await?;
                Ok(if written { Commit::Done } else { Commit::Overtaken })
            }
            .boxed()
        })
        .await
    }

    /// Cancels the next tasks of a job that are in no batch; answers how many there were.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn cancel_unplanned(&self, job: JobId) -> Result<u64, StoreError> {
        let (dialect, now) = (self.dialect, self.clock.now());
        self.transaction(Step::CancelUnplanned, move |on| {
            async move { ending::cancel_unplanned(dialect, on, job, now).await }.boxed()
        })
        .await
    }

    /// Writes down why a job can't be planned or settled, until it can.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn note_job(&self, job: JobId, note: &str) -> Result<(), StoreError> {
        let text = "UPDATE batch_jobs SET last_error = $2, updated_at = $3 WHERE id = $1";
        self.write(Step::NoteJob, text)
            .id(job.0)
            .text(note)
            .time(self.clock.now())
            .run(&self.connection)
            .await?;
        Ok(())
    }

    /// Writes down why a batch can't go on, until it does.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn note_batch(&self, batch: BatchId, note: &str) -> Result<(), StoreError> {
        let text = "UPDATE batches SET last_error = $2, updated_at = $3 WHERE id = $1";
        let sql = self.write(Step::NoteBatch, text).id(batch.0).text(note).time(self.clock.now());
        sql.run(&self.connection).await?;
        Ok(())
    }
}

/// Writes a job, if its version is still the one that was read, with its order and events.
pub(crate) async fn job(
    dialect: Dialect,
    on: &DatabaseTransaction,
    decision: &JobDecision,
    claimed: Option<&Claimed>,
    by: Step,
    now: Time,
) -> Result<bool, StoreError> {
    let job = &decision.job;
    let text = "UPDATE batch_jobs SET state = $3, hold_reason = $4, ended_at = coalesce(ended_at, $5), \
        updated_at = $6, updated_by = $7, version = version + 1, last_error = NULL, \
        plan_cursor = CASE WHEN $8 = 1 THEN 0 ELSE plan_cursor END, round = round + $8, \
        round_attempts = CASE WHEN $8 = 1 THEN 0 ELSE round_attempts END \
        WHERE id = $1 AND version = $2";
    let hold = if let JobState::Held(reason) = job.state { Some(reason.as_str()) } else { None };
    let sql = Sql::new(dialect, by.word(), text)
        .id(job.id.0)
        .int(job.version)
        .text(job.state.as_str())
        .text_or_null(hold)
        .time_or_null(job.state.outcome().map(|_| now))
        .time(now)
        .text(by.word())
        .int(i64::from(decision.new_round));
    if sql.run(on).await? != 1 {
        return Ok(false);
    }
    let priority = priority(dialect, on, job.id).await?;
    let who = Waiting { entity: job.id.0, job: job.id, priority, now };
    order::place(dialect, on, who, decision.order, claimed).await?;
    event::insert(dialect, on, job.id, &decision.events, now).await?;
    Ok(true)
}

/// The priority of a job, whose row is locked from here on.
pub(crate) async fn priority(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: JobId,
) -> Result<i64, StoreError> {
    let text = format!("SELECT priority FROM batch_jobs WHERE id = $1{}", dialect.for_update());
    let row = Sql::new(dialect, "job", text).id(job.0).one(on).await?;
    row.ok_or_else(|| StoreError::Missing { table: "job", id: job.to_string() })?.int("priority")
}

/// The first batch at the provider is when the job counts as submitted.
async fn mark_submitted(
    dialect: Dialect,
    on: &DatabaseTransaction,
    decision: &BatchDecision,
    now: Time,
) -> Result<(), StoreError> {
    if decision.batch.state.provider_id().is_none() {
        return Ok(());
    }
    let text = "UPDATE batch_jobs SET submitted_at = $2 WHERE id = $1 AND submitted_at IS NULL";
    Sql::new(dialect, "mark_submitted", text).id(decision.batch.job.0).time(now).run(on).await?;
    Ok(())
}

/// Ends the live attempts of a batch that ended without results. It stands in the transaction that ends
/// the batch: a moment in which a line belongs to nobody, or to a batch that will run after all, must
/// not exist.
async fn end_attempts(
    dialect: Dialect,
    on: &DatabaseTransaction,
    decision: &BatchDecision,
    rules: SettleRules,
    now: Time,
) -> Result<(), StoreError> {
    if decision.attempts == AttemptEffect::None {
        return Ok(());
    }
    let select =
        format!("SELECT {} WHERE a.batch_id = $1 AND a.state = 'live' ORDER BY a.line", Live::COLUMNS);
    let rows = Sql::new(dialect, "end_attempts", select).id(decision.batch.id.0).all(on).await?;
    let ending =
        |row| -> Result<Ending, StoreError> { Ok(effect(&decision.attempts, Live::read(row)?, rules)) };
    let endings = rows.iter().map(ending).collect::<Result<Vec<_>, _>>()?;
    ending::apply(dialect, on, decision.batch.job, endings, now).await?;
    Ok(())
}

fn effect(effect: &AttemptEffect, live: Live, rules: SettleRules) -> Ending {
    match effect {
        AttemptEffect::Fail(Refusal { class, message, .. }) => failed(live, *class, None, message),
        AttemptEffect::FailLines(failure) => {
            match failure.lines.iter().find(|bad| i64::try_from(bad.line) == Ok(live.line)) {
                Some(BadLine { code, message, .. }) => {
                    failed(live, ErrorClass::InvalidRequest, Some(code), message)
                }
                None => innocent(live, failure, rules),
            }
        }
        AttemptEffect::Lose => {
            let message = Some("its batch was given up; whether it ran is unknown".to_owned());
            let detail = Detail { message, ..Detail::default() };
            Ending::new(live, AttemptEnd::Missing, rules.max_attempts, rules.retry_paid, detail)
        }
        AttemptEffect::None | AttemptEffect::Cancel => {
            let message = Some("cancelled before it was sent".to_owned());
            let detail = Detail { message, ..Detail::default() };
            Ending::new(live, AttemptEnd::Cancelled, rules.max_attempts, rules.retry_paid, detail)
        }
    }
}

fn failed(live: Live, class: ErrorClass, code: Option<&String>, message: &str) -> Ending {
    let detail =
        Detail { class: Some(class), code: code.cloned(), message: Some(message.to_owned()), ..unbilled() };
    Ending { live, state: AttemptState::Failed, next: TaskNext::Ends(TaskState::Failed), detail }
}

/// The line never ran, through no fault of its own. It goes out again, while attempts are left.
fn innocent(live: Live, failure: &ValidationFailure, rules: SettleRules) -> Ending {
    if live.number >= rules.max_attempts {
        let class = failure.class.unwrap_or(ErrorClass::InvalidRequest);
        let message = format!("the provider refused the whole batch, again and again: {}", failure.message);
        return failed(live, class, None, &message);
    }
    Ending { live, state: AttemptState::Superseded, next: TaskNext::Again, detail: unbilled() }
}

/// Nothing ran: it costs nothing, and that is known.
fn unbilled() -> Detail {
    Detail { cost: Some(Default::default()), ..Detail::default() }
}
