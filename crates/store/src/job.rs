//! Jobs: reading them, finding them by a prefix, counting what belongs to them.

use domain::{
    BatchTally, HoldReason, Job, JobId, JobState, Kind, Money, ShownState, TaskState, TaskTally, Time, Tokens,
};
use uuid::Uuid;

use crate::sql::Row;
use crate::{Store, StoreError};

/// A job with all that people are shown of it.
#[derive(Clone, Debug)]
pub struct JobRow {
    /// What the rules see.
    pub job: Job,
    /// Where it is held until, if it is.
    pub hold_until: Option<Time>,
    /// `sim` or `openai`.
    pub provider: String,
    /// The processor's name.
    pub processor: String,
    /// Its version.
    pub processor_version: u32,
    /// Its definition as it was when the job was accepted.
    pub definition: String,
    /// The model asked for.
    pub model: String,
    /// The endpoint of every line.
    pub endpoint: String,
    /// Where its records came from, in words.
    pub source: String,
    /// Its priority.
    pub priority: i64,
    /// Last task that this round of planning has seen.
    pub plan_cursor: i64,
    /// Attempts made in this round of planning.
    pub round_attempts: u64,
    /// Outcomes so far.
    pub ended: TaskTally,
    /// Tokens of all answers.
    pub tokens: Tokens,
    /// Paid, as far as known; [`JobRow::known_cost`] tells nothing from unknown.
    pub cost: Money,
    /// The same at the normal price.
    pub normal_cost: Money,
    /// Answers whose cost nobody knows.
    pub unpriced: u64,
    /// Tokens expected, in and out.
    pub estimate_tokens: Option<(u64, u64)>,
    /// Price expected; none: unknown.
    pub estimate_cost: Option<Money>,
    /// The same at the normal price.
    pub estimate_normal_cost: Option<Money>,
    /// Date of the price table.
    pub prices_of: String,
    /// The job whose tasks it takes up again.
    pub parent: Option<JobId>,
    /// Words that the caller finds it by.
    pub labels: Option<serde_json::Value>,
    /// Whatever else the caller keeps with it.
    pub metadata: Option<serde_json::Value>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was accepted.
    pub created_at: Time,
    /// When its first batch was created.
    pub submitted_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
}

impl JobRow {
    /// What it cost and what it would have cost at the normal price, as far as known; none: requests may have
    /// been billed, and nobody knows what any of them cost.
    #[must_use]
    pub fn known_cost(&self) -> Option<(Money, Money)> {
        let is_unknown = self.unpriced > 0 && self.cost == Money(0);
        (!is_unknown).then_some((self.cost, self.normal_cost))
    }
}

/// What a prefix of an id found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Find {
    /// The one job.
    One(JobId),
    /// None; these, at most three, begin most like it.
    None(Vec<JobId>),
    /// Several.
    Many(Vec<JobId>),
}

/// Jobs with why they can't go on: their own reason, or that of a batch; one that waits for a person first.
pub(crate) const WITH_WHY: &str = "SELECT j.*, (SELECT b.last_error FROM batches b WHERE b.job_id = j.id \
    AND b.last_error IS NOT NULL AND b.state NOT IN ('collected', 'cancelled') \
    ORDER BY CASE b.state WHEN 'parked' THEN 0 ELSE 1 END, b.number LIMIT 1) AS batch_error FROM batch_jobs j";
/// Ids shown where a prefix finds several.
const SEVERAL: u64 = 5;

/// Ids shown where a prefix finds none.
const NEAREST: u64 = 3;

/// Characters of an id as text.
const ID_CHARS: usize = 36;

impl Store {
    /// A job.
    ///
    /// # Errors
    /// A database that fails, or a job that isn't there.
    pub async fn job(&self, id: JobId) -> Result<JobRow, StoreError> {
        let row =
            self.sql("job", format!("{WITH_WHY} WHERE j.id = $1")).id(id.0).one(&self.connection).await?;
        read(&row.ok_or_else(|| StoreError::Missing { table: "job", id: id.to_string() })?)
    }

    /// Jobs, newest first; `open` leaves out those that have ended.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn jobs(&self, open: bool, since: Option<Time>, limit: u64) -> Result<Vec<JobRow>, StoreError> {
        let mut text = format!("{WITH_WHY} WHERE j.created_at >= $1");
        if open {
            text.push_str(" AND ended_at IS NULL");
        }
        text.push_str(" ORDER BY created_at DESC, id DESC LIMIT $2");
        let since = since.unwrap_or(Time::UNIX_EPOCH);
        let rows = self.sql("jobs", text).time(since).int(limit).all(&self.connection).await?;
        rows.iter().map(read).collect()
    }

    /// The job that an id or the beginning of one names.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn find_job(&self, prefix: &str) -> Result<Find, StoreError> {
        let prefix = prefix.to_ascii_lowercase();
        let id_text = self.dialect.id_text("id");
        let plain = prefix.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        let mut found = Vec::new();
        if plain && !prefix.is_empty() {
            let text = format!("SELECT id FROM batch_jobs WHERE {id_text} LIKE $1 ORDER BY id LIMIT $2");
            let sql = self.sql("find_job", text).text(format!("{prefix}%")).int(SEVERAL);
            found = ids(&sql.all(&self.connection).await?)?;
        }
        Ok(match found.as_slice() {
            [] => Find::None(self.nearest_jobs(&prefix).await?),
            [one] => Find::One(*one),
            _ => Find::Many(found),
        })
    }

    /// The jobs whose ids share the longest beginning with what was typed, then the newest.
    async fn nearest_jobs(&self, typed: &str) -> Result<Vec<JobId>, StoreError> {
        let id_text = self.dialect.id_text("id");
        let of_an_id = |c: &char| c.is_ascii_hexdigit() || *c == '-';
        let beginning: String = typed.chars().take(ID_CHARS).take_while(of_an_id).collect();
        let shared: String = (1..=beginning.len())
            .rev()
            .map(|length| format!(" WHEN {id_text} LIKE ${} THEN {length}", length + 1))
            .collect();
        // A CASE has an arm at least, and an id is never null.
        let text = format!(
            "SELECT id FROM batch_jobs ORDER BY CASE{shared} WHEN id IS NULL THEN 1 ELSE 0 END DESC, \
             created_at DESC, id DESC LIMIT $1"
        );
        let beginnings = (1..=beginning.len()).map(|length| format!("{}%", &beginning[..length]));
        let sql = beginnings.fold(self.sql("nearest_jobs", text).int(NEAREST), |sql, text| sql.text(text));
        ids(&sql.all(&self.connection).await?)
    }

    /// Tasks of a job by state.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn task_tally(&self, job: JobId) -> Result<TaskTally, StoreError> {
        let text =
            "SELECT status, count(*) AS n FROM batch_job_tasks WHERE batch_job_id = $1 GROUP BY status";
        let mut tally = TaskTally::default();
        for row in self.sql("task_tally", text).id(job.0).all(&self.connection).await? {
            let count = row.count("n")?;
            *match row.word("status", TaskState::parse)? {
                TaskState::Pending => &mut tally.pending,
                TaskState::Submitted => &mut tally.submitted,
                TaskState::Succeeded => &mut tally.succeeded,
                TaskState::Failed => &mut tally.failed,
                TaskState::Expired => &mut tally.expired,
                TaskState::Cancelled => &mut tally.cancelled,
                TaskState::Missing => &mut tally.missing,
            } = count;
        }
        Ok(tally)
    }

    /// Batches of a job by what they wait for.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn batch_tally(&self, job: JobId) -> Result<BatchTally, StoreError> {
        let text = "SELECT state, count(*) AS n, sum(CASE WHEN cancel THEN 1 ELSE 0 END) AS called_off, CAST(sum(remote_completed + remote_failed) AS BIGINT) AS answered \
            FROM batches WHERE job_id = $1 GROUP BY state";
        let mut tally = BatchTally::default();
        for row in self.sql("batch_tally", text).id(job.0).all(&self.connection).await? {
            let count = row.count("n")?;
            let state = row.text("state")?;
            match state.as_str() {
                "open" => {
                    tally.open += count;
                    tally.answered += row.count("answered")?;
                }
                "collecting" => tally.collecting += count,
                "collected" | "refused" | "cancelled" | "abandoned" => tally.ended += count,
                "parked" => {
                    tally.parked += count;
                    tally.stuck += row.count("called_off")?;
                }
                "filling" | "planned" | "creating" | "unknown" | "fencing" | "fenced" => {
                    tally.unsent += count;
                }
                _ => return Err(row.unreadable("state", &state)),
            }
        }
        Ok(tally)
    }

    /// Jobs that are held for this reason, and the time that they were held until, if any.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn held(&self, reason: HoldReason) -> Result<Vec<(JobId, Option<Time>)>, StoreError> {
        let text =
            "SELECT id, hold_until FROM batch_jobs WHERE state = 'held' AND hold_reason = $1 ORDER BY id";
        let rows = self.sql("held", text).text(reason.as_str()).all(&self.connection).await?;
        rows.iter().map(|row| Ok((JobId(row.id("id")?), row.get("hold_until")?))).collect()
    }

    /// A job with the state that people are shown.
    ///
    /// # Errors
    /// A database that fails, or a job that isn't there.
    pub async fn job_shown(&self, id: JobId) -> Result<(JobRow, ShownState, BatchTally), StoreError> {
        let row = self.job(id).await?;
        let batches = self.batch_tally(id).await?;
        let shown = ShownState::of(row.job.state, &batches);
        Ok((row, shown, batches))
    }
}

fn ids(rows: &[Row]) -> Result<Vec<JobId>, StoreError> {
    rows.iter().map(|row| row.id("id").map(JobId)).collect()
}

pub(crate) fn read(row: &Row) -> Result<JobRow, StoreError> {
    let id: Uuid = row.id("id")?;
    let hold: Option<String> = row.get("hold_reason")?;
    let money =
        |column| -> Result<Option<Money>, StoreError> { Ok(row.get::<Option<i64>>(column)?.map(Money)) };
    let estimate_in: Option<i64> = row.get("estimate_input_tokens")?;
    let estimate_out: Option<i64> = row.get("estimate_output_tokens")?;
    let estimate = estimate_in.zip(estimate_out).map(|(a, b)| (a.unsigned_abs(), b.unsigned_abs()));
    Ok(JobRow {
        job: Job {
            id: JobId(id),
            kind: row.word("kind", Kind::parse)?,
            version: row.int("version")?,
            total: row.count("total")?,
            state: row.word("state", |word| JobState::parse(word, hold.as_deref()))?,
        },
        hold_until: row.get("hold_until")?,
        provider: row.text("provider")?,
        processor: row.text("processor")?,
        processor_version: row.small("processor_version")?,
        definition: row.text("definition")?,
        model: row.text("model")?,
        endpoint: row.text("endpoint")?,
        source: row.text("source")?,
        priority: row.int("priority")?,
        plan_cursor: row.int("plan_cursor")?,
        round_attempts: row.count("round_attempts")?,
        ended: TaskTally {
            succeeded: row.count("succeeded")?,
            failed: row.count("failed")?,
            expired: row.count("expired")?,
            cancelled: row.count("cancelled")?,
            missing: row.count("missing")?,
            ..TaskTally::default()
        },
        tokens: Tokens {
            input: row.count("input_tokens")?,
            cached: row.count("cached_tokens")?,
            output: row.count("output_tokens")?,
            reasoning: 0,
        },
        cost: Money(row.int("cost")?),
        normal_cost: Money(row.int("normal_cost")?),
        unpriced: row.count("unpriced")?,
        estimate_tokens: estimate,
        estimate_cost: money("estimate_cost")?,
        estimate_normal_cost: money("estimate_normal_cost")?,
        prices_of: row.text("prices_of")?,
        parent: row.id_or_null("parent_job_id")?.map(JobId),
        labels: row.get("labels")?,
        metadata: row.get("metadata")?,
        last_error: row.get::<Option<String>>("last_error")?.or(row.get("batch_error")?),
        created_at: row.get("created_at")?,
        submitted_at: row.get("submitted_at")?,
        ended_at: row.get("ended_at")?,
    })
}
