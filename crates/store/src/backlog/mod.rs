//! The platform's backlog: claimed so that the live runner never runs a task too, written back at the end.
//!
//! Statuses that are not `pending`, `batched`, `completed` or `failed` are the platform's own and never touched.

mod table;

use std::collections::{BTreeMap, HashSet};

use crash::Step;
use domain::{JobId, Time};
use futures_util::FutureExt as _;
use sea_orm::{DatabaseTransaction, Value};

use crate::dialect::Dialect;
use crate::error::PENDING_TASK;
use crate::sql::{Row, Sql};
use crate::{CHUNK, Store, StoreError};

pub(crate) use table::Table;

/// A unit of work of the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BacklogTask {
    /// The platform's id.
    pub id: String,
    /// `org/repo`, if it belongs to one.
    pub repo: Option<String>,
    /// Which agent works on it.
    pub agent_type: String,
    /// Higher goes first.
    pub priority: i64,
    /// What the processor's template reads, JSON.
    pub payload: String,
}

/// What a task is believed to be that a job claims: nobody else has taken it up since it was looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Was {
    /// Waiting.
    Pending,
    /// Failed, and last claimed by this one: a job's id, or whatever the platform's runner calls itself there.
    Failed(Option<String>),
}

/// A backlog task that a job claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its id.
    pub id: String,
    /// What it is believed to be.
    pub was: Was,
}

/// Whose pending tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// One repository's.
    Of(String),
    /// Those of no repository, and of those that have no schedule of their own.
    Rest,
}

impl Backlog {
    /// The condition; it takes one parameter.
    fn among(&self, parameter: &str) -> String {
        let which = match self {
            Self::Of(_) => format!("repo = {parameter}"),
            Self::Rest => format!(
                "({parameter} = '' AND (repo IS NULL OR NOT EXISTS \
                 (SELECT 1 FROM schedules s WHERE s.repo = tasks.repo AND NOT s.removed)))"
            ),
        };
        format!("status = 'pending' AND {which}")
    }

    fn repo(&self) -> &str {
        if let Self::Of(repo) = self { repo } else { "" }
    }
}

/// The order in which tasks are taken.
const ORDER: &str = "priority DESC, created_at, id";

/// A task's place in the order in which tasks are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    priority: i64,
    created_at: Time,
    id: String,
}

impl Store {
    /// Adds tasks to the backlog; an id that is there already is left as it is. Answers how many are new.
    ///
    /// # Errors
    /// A database that fails; a view, whose rows are added where it reads them.
    pub async fn add_backlog(&self, tasks: Vec<BacklogTask>) -> Result<u64, StoreError> {
        let (dialect, now) = (self.dialect, self.clock.now());
        self.transaction(Step::AddBacklog, move |on| {
            async move {
                let table = Table::find(dialect, on).await?;
                if table.is_view {
                    let wrong = "is a view: add tasks to what it reads".to_owned();
                    return Err(StoreError::Tasks { wrong });
                }
                let mut added = 0;
                for chunk in tasks.chunks(CHUNK) {
                    added += table.insert(dialect, chunk, now).run(on).await?;
                }
                Ok(added)
            }
            .boxed()
        })
        .await
    }

    /// Pending tasks behind `after`, the most urgent first, then the older.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn pending_backlog(
        &self,
        backlog: &Backlog,
        after: Option<&Place>,
        limit: u64,
    ) -> Result<Vec<(BacklogTask, Place)>, StoreError> {
        let text = format!(
            "SELECT * FROM (SELECT {} FROM tasks WHERE {}) t WHERE $2 = 0 OR priority < $3 OR (priority = $3 \
             AND (created_at > {behind} OR (created_at = {behind} AND id > $5))) ORDER BY {ORDER} LIMIT $6",
            columns(self.dialect),
            backlog.among("$1"),
            behind = self.dialect.foreign_time("$4"),
        );
        let sql = self.sql("pending_backlog", text).text(backlog.repo()).int(i64::from(after.is_some()));
        let sql = match after {
            Some(place) => sql.int(place.priority).time(place.created_at).text(&place.id),
            None => sql.int(0).time(Time::UNIX_EPOCH).text(""),
        };
        let rows = sql.int(limit).all(&self.connection).await?;
        rows.iter().map(|row| Ok((read(row)?, place(row)?))).collect()
    }

    /// How many tasks are pending.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn count_pending(&self, backlog: &Backlog) -> Result<u64, StoreError> {
        let text = format!("SELECT count(*) AS n FROM tasks WHERE {}", backlog.among("$1"));
        let row = self.sql("count_pending", text).text(backlog.repo()).one(&self.connection).await?;
        row.map_or(Ok(0), |row| row.count("n"))
    }

    /// Pending tasks of a repository and an agent type (empty: of all), most urgent first. And how many there are.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn backlog_of(
        &self,
        repo: &str,
        agent: &str,
        limit: u64,
    ) -> Result<(Vec<BacklogTask>, u64), StoreError> {
        let which = "FROM tasks WHERE status = 'pending' AND ($1 = '' OR repo = $1) \
            AND ($2 = '' OR agent_type = $2)";
        let sql = |text: String| self.sql("backlog_of", text).text(repo).text(agent);
        let counted = sql(format!("SELECT count(*) AS n {which}")).one(&self.connection).await?;
        let all = counted.map_or(Ok(0), |row| row.count("n"))?;
        let columns = columns(self.dialect);
        let rows = sql(format!("SELECT {columns} {which} ORDER BY {ORDER} LIMIT $3")).int(limit);
        let tasks: Result<_, StoreError> = rows.all(&self.connection).await?.iter().map(read).collect();
        Ok((tasks?, all))
    }

    /// Tasks of a repository and an agent type (empty: of all) that the platform has down as failed, and no job
    /// of ours has failed, each with who had it before; most urgent first. And how many there are.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn failed_backlog(
        &self,
        repo: &str,
        agent: &str,
        before: Time,
        limit: u64,
    ) -> Result<(Vec<(BacklogTask, Option<String>)>, u64), StoreError> {
        let which = format!(
            "FROM tasks WHERE status = 'failed' AND ($1 = '' OR repo = $1) \
             AND ($2 = '' OR agent_type = $2) AND {} <= {} AND NOT EXISTS (SELECT 1 FROM batch_job_tasks t \
             WHERE t.task_id = tasks.id AND {} = {} AND t.status <> 'succeeded')",
            self.dialect.foreign_time("updated_at"),
            self.dialect.foreign_time("$3"),
            self.dialect.id_text("t.batch_job_id"),
            self.dialect.id_text("tasks.batch_job_id"),
        );
        let sql = |text: String| self.sql("failed_backlog", text).text(repo).text(agent).time(before);
        let counted = sql(format!("SELECT count(*) AS n {which}")).one(&self.connection).await?;
        let all = counted.map_or(Ok(0), |row| row.count("n"))?;
        let columns = columns(self.dialect);
        let rows = sql(format!("SELECT {columns} {which} ORDER BY {ORDER} LIMIT $4")).int(limit);
        let rows = rows.all(&self.connection).await?;
        let tasks = rows.iter().map(|row| Ok((read(row)?, row.get("batch_job_id")?)));
        Ok((tasks.collect::<Result<_, StoreError>>()?, all))
    }

    /// The tasks of these ids that are pending, in the order of the ids; the rest is not ours to take.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn backlog_by_id(&self, ids: &[String]) -> Result<Vec<(BacklogTask, String)>, StoreError> {
        let mut found = Vec::new();
        for chunk in ids.chunks(CHUNK) {
            let values = chunk.iter().map(|id| Value::from(id.clone()));
            let text = format!("SELECT {} FROM tasks WHERE id IN (", columns(self.dialect));
            let sql = self.sql("backlog_by_id", text).list(values).then(")");
            for row in sql.all(&self.connection).await? {
                found.push((read(&row)?, row.text("status")?));
            }
        }
        let place = |task: &BacklogTask| ids.iter().position(|id| *id == task.id);
        found.sort_by_key(|(task, _)| place(task));
        Ok(found)
    }
}

/// What is read of a task, in types of ours whatever the platform's are. What must not be null and is fails
/// its task alone, later: an empty payload is no issue, an empty agent no processor's name.
fn columns(dialect: Dialect) -> String {
    format!(
        "CAST(id AS TEXT) AS id, CAST(repo AS TEXT) AS repo, coalesce(CAST(agent_type AS TEXT), '') AS agent_type, \
         CAST(status AS TEXT) AS status, coalesce(CAST(priority AS BIGINT), 0) AS priority, \
         coalesce(CAST(payload AS TEXT), '') AS payload, CAST(batch_job_id AS TEXT) AS batch_job_id, \
         {} AS created_at",
        dialect.foreign_time("created_at")
    )
}

fn read(row: &Row) -> Result<BacklogTask, StoreError> {
    Ok(BacklogTask {
        id: row.text("id")?,
        repo: row.get("repo")?,
        agent_type: row.text("agent_type")?,
        priority: row.int("priority")?,
        payload: row.text("payload")?,
    })
}

fn place(row: &Row) -> Result<Place, StoreError> {
    Ok(Place { priority: row.int("priority")?, created_at: row.get("created_at")?, id: row.text("id")? })
}

/// Claims for a job what of these still is what it was; answers which they are.
pub(crate) async fn claim(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: JobId,
    claims: &[&Claim],
    now: Time,
) -> Result<HashSet<String>, StoreError> {
    let mut believed: BTreeMap<Was, Vec<Value>> = BTreeMap::new();
    for claim in claims {
        believed.entry(claim.was.clone()).or_default().push(Value::from(claim.id.clone()));
    }
    let mut got = HashSet::new();
    for (was, ids) in believed {
        // Statuses are literals, so that a column of an enum takes them.
        let still = match was {
            Was::Pending => "status = 'pending'",
            Was::Failed(_) => {
                "status = 'failed' AND CAST(batch_job_id AS TEXT) IS NOT DISTINCT FROM CAST($3 AS TEXT)"
            }
        };
        let update = format!(
            "UPDATE tasks SET status = 'batched', batch_job_id = $1, updated_at = $2 WHERE {still} AND id IN ("
        );
        let sql = Sql::new(dialect, "claim_backlog", update).id(job.0).time(now);
        let sql = if let Was::Failed(by) = &was { sql.text_or_null(by.as_deref()) } else { sql };
        for row in sql.list(ids).then(") RETURNING CAST(id AS TEXT) AS id").all(on).await? {
            got.insert(row.text("id")?);
        }
    }
    Ok(got)
}

/// Some of these were not to be had.
pub(crate) fn taken(claims: &[&Claim], claimed: &HashSet<String>) -> StoreError {
    let lost = claims.iter().map(|claim| claim.id.as_str()).filter(|id| !claimed.contains(*id));
    let lost: Vec<&str> = lost.collect();
    StoreError::Taken { what: PENDING_TASK, id: lost.join(", ") }
}

/// The outcome of a backlog task.
pub(crate) struct Outcome {
    /// The task.
    pub(crate) id: String,
    /// JSON: the answer, if one was read; or what went wrong.
    pub(crate) said: Result<Option<String>, String>,
}

/// Writes outcomes back. A task that isn't the job's any more is left alone.
pub(crate) async fn write_back(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: JobId,
    outcomes: &[Outcome],
    now: Time,
) -> Result<(), StoreError> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let table = Table::find(dialect, on).await?;
    for outcome in outcomes {
        table.write_back(dialect, job, outcome, now).run(on).await?;
    }
    Ok(())
}
