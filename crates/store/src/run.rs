//! Runs: firings of a schedule, and nights that passed without one.
//!
//! A started run is worked by whoever holds its lease, told by the database's clock, and fenced like an
//! order: a job of a run is accepted, and a run finished, only by the latest claim.

use std::time::Duration;

use crash::Step;
use domain::{Date, Event, JobId, NewRun, RunId, RunState, Time, Trigger};
use futures_util::FutureExt as _;
use sea_orm::DatabaseTransaction;

use crate::dialect::Dialect;
use crate::order::millis;
use crate::sql::{Row, Sql};
use crate::{CHUNK, Commit, Store, StoreError, event, schedule};

/// A run on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// Its schedule's name.
    pub schedule: String,
    /// What made it.
    pub trigger: Trigger,
    /// The instant that it was due.
    pub slot_at: Time,
    /// The local date that it is for.
    pub slot_date: Date,
    /// Where it stands.
    pub state: RunState,
    /// Tasks that it takes, at most.
    pub max_tasks: u64,
    /// Pending tasks that it took up, within that.
    pub selected: u64,
    /// Its jobs.
    pub jobs: u64,
    /// Their tasks.
    pub tasks: u64,
    /// Pending tasks that were its to take and stayed.
    pub left: u64,
    /// Why it was skipped or missed, or why tasks stayed.
    pub reason: Option<String>,
    /// When it was put on record: the time that it began.
    pub created_at: Time,
    /// When it had collected what it found.
    pub finished_at: Option<Time>,
}

/// A claim on a started run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunClaim {
    /// The run.
    pub id: RunId,
    /// Rises with every claim.
    pub fence: i64,
    /// How often working on it failed.
    pub failures: u32,
}

/// Which job of a claimed run a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPart {
    /// The claim that it is accepted under.
    pub claim: RunClaim,
    /// The agent: a run has one job of each.
    pub agent: String,
}

/// What a run has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// Pending tasks that it took up.
    pub selected: u64,
    /// Pending tasks that were its to take and stayed.
    pub left: u64,
    /// Why they did.
    pub reason: Option<String>,
}

impl Store {
    /// Runs, newest first; of one schedule or of all.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn runs(&self, schedule: Option<&str>, limit: u64) -> Result<Vec<RunRow>, StoreError> {
        let text = "SELECT * FROM schedule_runs WHERE ($1 = '' OR schedule = $1) \
            ORDER BY slot_at DESC, schedule, id DESC LIMIT $2";
        let sql = self.sql("runs", text).text(schedule.unwrap_or_default()).int(limit);
        sql.all(&self.connection).await?.iter().map(read).collect()
    }

    /// A run.
    ///
    /// # Errors
    /// A database that fails, or a run that isn't there.
    pub async fn run(&self, id: RunId) -> Result<RunRow, StoreError> {
        let row = self.sql("run", "SELECT * FROM schedule_runs WHERE id = $1").id(id.0);
        let row = row.one(&self.connection).await?;
        read(&row.ok_or_else(|| StoreError::Missing { table: "run", id: id.to_string() })?)
    }

    /// The jobs of a run with their agents, in the order of acceptance.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn run_jobs(&self, id: RunId) -> Result<Vec<(JobId, String)>, StoreError> {
        let text = "SELECT id, run_part FROM batch_jobs WHERE run_id = $1 ORDER BY created_at, id";
        let rows = self.sql("run_jobs", text).id(id.0).all(&self.connection).await?;
        rows.iter().map(|row| Ok((JobId(row.id("id")?), row.text("run_part")?))).collect()
    }

    /// Started runs that nobody works on, oldest first.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn open_runs(&self) -> Result<Vec<RunId>, StoreError> {
        let now = self.dialect.now();
        let text = format!(
            "SELECT id FROM schedule_runs WHERE state = 'started' \
             AND (lease_until IS NULL OR lease_until <= {now}) ORDER BY created_at, id"
        );
        let rows = self.sql("open_runs", text).all(&self.connection).await?;
        rows.iter().map(|row| row.id("id").map(RunId)).collect()
    }

    /// Claims a started run for `lease`; none where somebody else has it, or it isn't started any more.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn claim_run(&self, id: RunId, lease: Duration) -> Result<Option<RunClaim>, StoreError> {
        let text = format!(
            "UPDATE schedule_runs SET lease_until = {later}, fence = fence + 1 \
             WHERE id = $1 AND state = 'started' AND (lease_until IS NULL OR lease_until <= {now}) \
             RETURNING fence, failures",
            later = self.dialect.now_plus_ms("$2"),
            now = self.dialect.now(),
        );
        let row = self.write(Step::ClaimRun, text).id(id.0).int(millis(lease)).one(&self.connection).await?;
        row.map(|row| Ok(RunClaim { id, fence: row.int("fence")?, failures: row.small("failures")? }))
            .transpose()
    }

    /// Renews a claim; false where somebody else has claimed the run since.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn renew_run(&self, claim: RunClaim, lease: Duration) -> Result<bool, StoreError> {
        let later = self.dialect.now_plus_ms("$3");
        let text = format!("UPDATE schedule_runs SET lease_until = {later} WHERE id = $1 AND fence = $2");
        let sql = self.write(Step::RenewRun, text).id(claim.id.0).int(claim.fence).int(millis(lease));
        Ok(sql.run(&self.connection).await? == 1)
    }

    /// Gives a claim back that came to nothing: nobody takes the run up again before `pause` is over.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn fail_run(&self, claim: RunClaim, pause: Duration, why: &str) -> Result<(), StoreError> {
        let later = self.dialect.now_plus_ms("$3");
        let text = format!(
            "UPDATE schedule_runs SET lease_until = {later}, failures = failures + 1, reason = $4 \
             WHERE id = $1 AND fence = $2"
        );
        let sql = self.write(Step::FailRun, text).id(claim.id.0).int(claim.fence).int(millis(pause));
        sql.text(why).run(&self.connection).await?;
        Ok(())
    }

    /// Finishes a claimed run, and says so.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn finish_run(&self, claim: RunClaim, end: RunEnd, event: Event) -> Result<Commit, StoreError> {
        let (dialect, now) = (self.dialect, self.clock.now());
        self.transaction(Step::FinishRun, move |on| {
            async move {
                let text = "UPDATE schedule_runs SET state = 'finished', selected = $3, left_over = $4, \
                    reason = $5, finished_at = $6, lease_until = NULL \
                    WHERE id = $1 AND fence = $2 AND state = 'started' RETURNING schedule";
                let sql = Sql::new(dialect, "finish_run", text).id(claim.id.0).int(claim.fence);
                let sql = sql.int(end.selected).int(end.left).text_or_null(end.reason.as_deref());
                let Some(row) = sql.time(now).one(on).await? else { return Ok(Commit::Overtaken) };
                let name = row.text("schedule")?;
                event::insert_of_schedule(dialect, on, &name, &[event], now).await?;
                Ok(Commit::Done)
            }
            .boxed()
        })
        .await
    }

    /// Forgets all claims on runs: for the one process that owns its database, right after it started.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn forget_run_claims(&self) -> Result<u64, StoreError> {
        let text = "UPDATE schedule_runs SET lease_until = NULL WHERE lease_until IS NOT NULL";
        self.write(Step::ForgetRunClaims, text).run(&self.connection).await
    }
}

fn read(row: &Row) -> Result<RunRow, StoreError> {
    Ok(RunRow {
        id: RunId(row.id("id")?),
        schedule: row.text("schedule")?,
        trigger: row.word("trigger", Trigger::parse)?,
        slot_at: row.get("slot_at")?,
        slot_date: schedule::date(row, "slot_date")?.ok_or_else(|| row.unreadable("slot_date", "null"))?,
        state: row.word("state", RunState::parse)?,
        max_tasks: row.count("max_tasks")?,
        selected: row.count("selected")?,
        jobs: row.count("jobs")?,
        tasks: row.count("tasks")?,
        left: row.count("left_over")?,
        reason: row.get("reason")?,
        created_at: row.get("created_at")?,
        finished_at: row.get("finished_at")?,
    })
}

/// Puts runs on record; answers which ones. A night that is there already stays as it is: the unique index
/// on schedule and date is what a thousand schedulers can't get past.
pub(crate) async fn insert(
    dialect: Dialect,
    on: &DatabaseTransaction,
    schedule: &str,
    runs: &[NewRun],
    now: Time,
) -> Result<Vec<RunId>, StoreError> {
    let mut inserted = Vec::new();
    for chunk in runs.chunks(CHUNK) {
        let insert = "INSERT INTO schedule_runs \
            (id, schedule, trigger, slot_at, slot_date, state, max_tasks, reason, created_at, finished_at) VALUES ";
        let rows = Sql::new(dialect, "schedule_runs", insert)
            .rows(chunk, |values, run| {
                let ended = (run.state != RunState::Started).then_some(now);
                values.id(run.id.0).text(schedule).text(run.trigger.as_str()).bind(run.slot.at);
                values.text(&run.slot.date.to_string()).text(run.state.as_str()).int(run.max_tasks);
                values.text_or_null(run.reason.as_deref()).bind(now).bind(ended);
            })
            .then(" ON CONFLICT DO NOTHING RETURNING id")
            .all(on)
            .await?;
        for row in rows {
            inserted.push(RunId(row.id("id")?));
        }
    }
    Ok(inserted)
}

/// Counts a job that a run has made, in the transaction that accepts it: only under the latest claim.
pub(crate) async fn count_job(
    dialect: Dialect,
    on: &DatabaseTransaction,
    part: &RunPart,
    tasks: u64,
) -> Result<(), StoreError> {
    let text = "UPDATE schedule_runs SET jobs = jobs + 1, tasks = tasks + $3 \
        WHERE id = $1 AND fence = $2 AND state = 'started'";
    let sql = Sql::new(dialect, "count_job", text).id(part.claim.id.0).int(part.claim.fence).int(tasks);
    if sql.run(on).await? == 1 {
        return Ok(());
    }
    Err(StoreError::Taken { what: "run", id: part.claim.id.to_string() })
}
