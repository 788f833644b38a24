//! Collecting: result lines matched to attempts and settled, a chunk at a time. A chunk may be repeated.

use std::collections::HashMap;

use crash::Step;
use domain::{AttemptEnd, AttemptState, BatchId, JobId, Money, Tokens};
use futures_util::FutureExt as _;
use sea_orm::Value;

use crate::ending::{self, Detail, Ending, Live};
use crate::late;
use crate::sql::Sql;
use crate::{CHUNK, Store, StoreError};

/// A result line, understood.
#[derive(Clone, Debug)]
pub struct SettledLine {
    /// The request that it answers.
    pub custom_id: String,
    /// How the attempt ended.
    pub end: AttemptEnd,
    /// HTTP status of the answer.
    pub http_status: Option<u16>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The provider's error code.
    pub code: Option<String>,
    /// What went wrong, for people.
    pub message: Option<String>,
    /// What it used, and what that costs.
    pub usage: Usage,
    /// The answer as it came, and what the processor read from it.
    pub answer: Option<(String, Option<String>)>,
}

/// What an answer used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens, where reported.
    pub tokens: Option<Tokens>,
    /// Paid and normal price; none where nobody knows.
    pub cost: Option<(Money, Money)>,
}

/// What the rules need to know of an attempt's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleRules {
    /// Automatic attempts per task.
    pub max_attempts: u32,
    /// Whether lines that may have been billed go out again.
    pub retry_paid: bool,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkTally {
    /// Tasks that got their outcome.
    pub settled: u64,
    /// Tasks that go out again.
    pub again: u64,
    /// Lines for attempts that had ended: stored by an earlier run, or the provider's duplicates.
    pub repeated: u64,
    /// Answers to attempts that had ended without one: kept and billed, and no task's outcome.
    pub late: u64,
    /// Lines for requests that the batch never had.
    pub unexpected: u64,
}

impl ChunkTally {
    /// Lines for requests of the batch, whatever became of them.
    #[must_use]
    pub fn results(&self) -> u64 {
        self.settled + self.again + self.repeated + self.late
    }

    /// Adds another chunk.
    pub fn add(&mut self, other: Self) {
        self.settled += other.settled;
        self.again += other.again;
        self.repeated += other.repeated;
        self.late += other.late;
        self.unexpected += other.unexpected;
    }
}

impl Store {
    /// Settles result lines of a batch, at most [`CHUNK`] at a time. Safe to repeat.
    ///
    /// # Errors
    /// A database that fails: nothing of the chunk is stored.
    pub async fn settle_lines(
        &self,
        batch: BatchId,
        job: JobId,
        lines: Vec<SettledLine>,
        rules: SettleRules,
    ) -> Result<ChunkTally, StoreError> {
        if lines.is_empty() {
            return Ok(ChunkTally::default());
        }
        let (dialect, now) = (self.dialect, self.clock.now());
        self.transaction(Step::SettleLines, move |on| {
            async move {
                let select = format!("SELECT {} WHERE a.batch_id = $1 AND a.custom_id IN (", Live::COLUMNS);
                let names = lines.iter().map(|line| Value::from(line.custom_id.clone()));
                let rows = Sql::new(dialect, "settle_lines", select)
                    .id(batch.0)
                    .list(names)
                    .then(")")
                    .all(on)
                    .await?;
                let mut attempts = HashMap::with_capacity(rows.len());
                for row in &rows {
                    let attempt = Live::read(row)?;
                    attempts.insert(attempt.custom_id.clone(), Some(attempt));
                }
                let mut tally = ChunkTally::default();
                let (mut endings, mut after) = (Vec::with_capacity(lines.len()), Vec::new());
                // Of two lines for one request, the one that holds an answer counts.
                let (answered, unanswered): (Vec<_>, Vec<_>) =
                    lines.into_iter().partition(|line| line.answer.is_some());
                for line in answered.into_iter().chain(unanswered) {
                    match attempts.get_mut(&line.custom_id).map(Option::take) {
                        None => tally.unexpected += 1,
                        Some(Some(live)) if live.state == AttemptState::Live => {
                            endings.push(line.ending(live, rules));
                        }
                        // It was called off, refused or counted as lost, and was answered all the same.
                        Some(Some(ended)) if ended.state.may_be_answered_late() && line.answer.is_some() => {
                            after.push(line.ending(ended, rules));
                        }
                        Some(_) => tally.repeated += 1,
                    }
                }
                tally.add(ending::apply(dialect, on, job, endings, now).await?);
                tally.add(late::apply(dialect, on, job, after, now).await?);
                Ok(tally)
            }
            .boxed()
        })
        .await
    }

    /// Attempts of a batch that have no end yet.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn live_attempts(&self, batch: BatchId) -> Result<u64, StoreError> {
        let text = "SELECT count(*) AS live FROM attempts WHERE batch_id = $1 AND state = 'live'";
        let row = self.sql("live_attempts", text).id(batch.0).one(&self.connection).await?;
        let none = || StoreError::Missing { table: "attempts", id: batch.to_string() };
        row.ok_or_else(none)?.count("live")
    }

    /// Settles the next attempts of a batch that no line answered: they are missing. Answers none once
    /// there are no more.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn settle_missing(
        &self,
        batch: BatchId,
        job: JobId,
        rules: SettleRules,
    ) -> Result<Option<ChunkTally>, StoreError> {
        let (dialect, now) = (self.dialect, self.clock.now());
        self.transaction(Step::SettleMissing, move |on| {
            async move {
                let select = format!(
                    "SELECT {} WHERE a.batch_id = $1 AND a.state = 'live' ORDER BY a.line LIMIT $2",
                    Live::COLUMNS
                );
                let limit = i64::try_from(CHUNK).unwrap_or(500);
                let rows = Sql::new(dialect, "settle_missing", select).id(batch.0).int(limit).all(on).await?;
                if rows.is_empty() {
                    return Ok(None);
                }
                let detail = || Detail {
                    message: Some("the provider returned no line for this request".to_owned()),
                    ..Detail::default()
                };
                let missing = |row| {
                    let live = Live::read(row)?;
                    Ok(Ending::new(live, AttemptEnd::Missing, rules.max_attempts, rules.retry_paid, detail()))
                };
                let endings = rows.iter().map(missing).collect::<Result<Vec<_>, StoreError>>()?;
                ending::apply(dialect, on, job, endings, now).await.map(Some)
            }
            .boxed()
        })
        .await
    }
}

impl SettledLine {
    fn ending(self, live: Live, rules: SettleRules) -> Ending {
        let detail = Detail {
            class: None,
            code: self.code,
            message: self.message,
            http_status: self.http_status,
            request_id: self.request_id,
            tokens: self.usage.tokens,
            cost: self.usage.cost,
            answer: self.answer,
        };
        Ending::new(live, self.end, rules.max_attempts, rules.retry_paid, detail)
    }
}
