//! Schedules: rules that collect the backlog, each with the one instant that it waits for.
//!
//! A schedule is written with the version that was read, together with the runs and events of the same
//! decision. Whether it is due is asked with the process's clock and not with the database's: the instant
//! was worked out from a calendar, and it is that clock which people set their hour by.

use crash::Step;
use domain::{Date, NewRun, Pause, Priority, Rule, Schedule, ScheduleDecision, ScheduleTerms, Slot, Time};
use futures_util::FutureExt as _;
use sea_orm::DatabaseTransaction;

use crate::dialect::Dialect;
use crate::sql::{Row, Sql};
use crate::{Commit, Store, StoreError, event, run};

impl Store {
    /// Schedules, by name; those that were removed are left out.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        let text = "SELECT * FROM schedules WHERE removed = $1 ORDER BY name";
        let rows = self.sql("schedules", text).bind(false).all(&self.connection).await?;
        rows.iter().map(read).collect()
    }

    /// Schedules whose slot has come by `now`, those of single repositories first.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn due_schedules(&self, now: Time) -> Result<Vec<Schedule>, StoreError> {
        let text = "SELECT * FROM schedules WHERE next_at <= $1 ORDER BY repo IS NULL, next_at, name";
        let rows = self.sql("due_schedules", text).time(now).all(&self.connection).await?;
        rows.iter().map(read).collect()
    }

    /// The schedule of a name, removed or not.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        let sql = self.sql("schedule", "SELECT * FROM schedules WHERE name = $1").text(name);
        sql.one(&self.connection).await?.as_ref().map(read).transpose()
    }

    /// Commits what a schedule becomes, with its runs and events: all or none. A night that is on record
    /// already is left as it is, and nothing is said of it again.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn commit_schedule(&self, decision: ScheduleDecision) -> Result<Commit, StoreError> {
        let (dialect, now) = (self.dialect, self.clock.now());
        self.transaction(Step::Schedule, move |on| {
            async move {
                let schedule = &decision.schedule;
                if !write(dialect, on, schedule, now).await? {
                    return Ok(Commit::Overtaken);
                }
                let inserted = run::insert(dialect, on, &schedule.name, &decision.runs, now).await?;
                let said = |run: &NewRun| inserted.contains(&run.id).then(|| run.event.clone());
                let events: Vec<_> = decision.runs.iter().filter_map(said).chain(decision.events).collect();
                event::insert_of_schedule(dialect, on, &schedule.name, &events, now).await?;
                Ok(Commit::Done)
            }
            .boxed()
        })
        .await
    }
}

/// Writes a schedule, if its version is still the one that was read.
async fn write(
    dialect: Dialect,
    on: &DatabaseTransaction,
    schedule: &Schedule,
    now: Time,
) -> Result<bool, StoreError> {
    let text = if schedule.version == 0 {
        "INSERT INTO schedules (name, version, repo, hour, zone, max_tasks, priority, next_at, next_date, \
            last_date, paused_at, paused_reason, removed, updated_at, created_at) \
         VALUES ($1, $2 + 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14) \
         ON CONFLICT (name) DO NOTHING"
    } else {
        "UPDATE schedules SET version = version + 1, repo = $3, hour = $4, zone = $5, max_tasks = $6, \
            priority = $7, next_at = $8, next_date = $9, last_date = $10, paused_at = $11, \
            paused_reason = $12, removed = $13, updated_at = $14 WHERE name = $1 AND version = $2"
    };
    let (terms, paused) = (schedule.terms, schedule.paused.as_ref());
    let date = |date: Option<Date>| date.map(|date| date.to_string());
    let written = Sql::new(dialect, "commit_schedule", text)
        .text(&schedule.name)
        .int(schedule.version)
        .text_or_null(schedule.repo.as_deref())
        .int(terms.rule.hour())
        .text(terms.rule.zone().name())
        .int(terms.max_tasks)
        .text(terms.priority.as_str())
        .time_or_null(schedule.next.map(|slot| slot.at))
        .text_or_null(date(schedule.next.map(|slot| slot.date)).as_deref())
        .text_or_null(date(schedule.last).as_deref())
        .time_or_null(paused.map(|pause| pause.at))
        .text_or_null(paused.map(|pause| pause.reason.as_str()))
        .bind(schedule.removed)
        .time(now)
        .run(on)
        .await?;
    Ok(written == 1)
}

fn read(row: &Row) -> Result<Schedule, StoreError> {
    let next = match (row.get("next_at")?, date(row, "next_date")?) {
        (Some(at), Some(date)) => Some(Slot { date, at }),
        _ => None,
    };
    let paused = match (row.get("paused_at")?, row.get("paused_reason")?) {
        (Some(at), Some(reason)) => Some(Pause { at, reason }),
        _ => None,
    };
    let zone = row.text("zone")?;
    let zone = zone.parse().map_err(|_| row.unreadable("zone", &zone))?;
    let hour = row.int("hour")?;
    let rule = u8::try_from(hour).ok().and_then(|hour| Rule::new(hour, zone).ok());
    let rule = rule.ok_or_else(|| row.unreadable("hour", &hour.to_string()))?;
    let (max_tasks, priority) = (row.count("max_tasks")?, row.word("priority", Priority::parse)?);
    Ok(Schedule {
        name: row.text("name")?,
        repo: row.get("repo")?,
        terms: ScheduleTerms { rule, max_tasks, priority },
        next,
        last: date(row, "last_date")?,
        paused,
        removed: row.get("removed")?,
        version: row.int("version")?,
    })
}

pub(crate) fn date(row: &Row, column: &'static str) -> Result<Option<Date>, StoreError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|_| row.unreadable(column, &text))).transpose()
}
