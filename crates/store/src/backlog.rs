//! The platform's backlog: claimed so that the live runner never runs a task too, written back at the end.
//!
//! Statuses that are not `pending`, `batched`, `completed` or `failed` are the platform's own and never touched.

use std::collections::{BTreeMap, HashSet};

use crash::Step;
use domain::{JobId, Time};
use futures_util::FutureExt as _;
use sea_orm::{DatabaseTransaction, Value};

use crate::dialect::Dialect;
use crate::error::PENDING_TASK;
use crate::sql::{On, Sql};
use crate::{CHUNK, Store, StoreError};

/// What a table `tasks` must have; docs/integration.md says what each means. More may be there.
const COLUMNS: [&str; 11] = [
    "id",
    "repo",
    "agent_type",
    "status",
    "priority",
    "payload",
    "batch_job_id",
    "result",
    "error",
    "created_at",
    "updated_at",
];

/// Refuses a table `tasks` of the platform's that lacks what we read and write. Where there is none, the
/// schema makes it.
pub(crate) async fn check_table(dialect: Dialect, on: &impl On) -> Result<(), StoreError> {
    let rows = Sql::new(dialect, "columns of tasks", dialect.columns()).text("tasks").all(on).await?;
    let found = rows.iter().map(|row| row.text("name")).collect::<Result<Vec<_>, _>>()?;
    let missing: Vec<_> =
        COLUMNS.into_iter().filter(|column| !found.iter().any(|name| name == column)).collect();
    if found.is_empty() || missing.is_empty() {
        return Ok(());
    }
    Err(StoreError::Tasks { missing: missing.join(", ") })
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Was {
    /// Waiting.
    Pending,
    /// Failed, and last claimed by this job; by none: the platform's runner failed it.
    Failed(Option<JobId>),
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
/// Behind a place in that order, where one is given.
const BEHIND: &str =
    "($2 = 0 OR priority < $3 OR (priority = $3 AND (created_at > $4 OR (created_at = $4 AND id > $5))))";

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
    /// A database that fails.
    pub async fn add_backlog(&self, tasks: Vec<BacklogTask>) -> Result<u64, StoreError> {
        let (dialect, now) = (self.dialect, self.clock.now());
        self.transaction(Step::AddBacklog, move |on| {
            async move {
                let mut added = 0;
                for chunk in tasks.chunks(CHUNK) {
                    let insert = "INSERT INTO tasks \
                        (id, repo, agent_type, priority, payload, created_at, updated_at) VALUES ";
                    added += Sql::new(dialect, "add_backlog", insert)
                        .rows(chunk, |values, task| {
                            values.text(&task.id).text_or_null(task.repo.as_deref()).text(&task.agent_type);
                            values.int(task.priority).text(&task.payload).bind(now).bind(now);
                        })
                        .then(" ON CONFLICT (id) DO NOTHING")
                        .run(on)
                        .await?;
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
            "SELECT * FROM tasks WHERE {} AND {BEHIND} ORDER BY {ORDER} LIMIT $6",
            backlog.among("$1")
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

    /// Pending tasks of a repository and an agent type (empty: of all), most urgent first.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn backlog_of(
        &self,
        repo: &str,
        agent: &str,
        limit: u64,
    ) -> Result<Vec<BacklogTask>, StoreError> {
        let text = "SELECT * FROM tasks WHERE status = 'pending' AND ($1 = '' OR repo = $1) \
            AND ($2 = '' OR agent_type = $2) ORDER BY priority DESC, created_at, id LIMIT $3";
        let sql = self.sql("backlog_of", text).text(repo).text(agent).int(limit);
        sql.all(&self.connection).await?.iter().map(read).collect()
    }

    /// Tasks of a repository and an agent type (empty: of all) that the platform has down as failed, and no job
    /// of ours has failed, each with the job that had it before; most urgent first. And how many there are.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn failed_backlog(
        &self,
        repo: &str,
        agent: &str,
        before: Time,
        limit: u64,
    ) -> Result<(Vec<(BacklogTask, Option<JobId>)>, u64), StoreError> {
        const WHICH: &str = "FROM tasks WHERE status = 'failed' AND ($1 = '' OR repo = $1) \
            AND ($2 = '' OR agent_type = $2) AND updated_at <= $3 AND NOT EXISTS (SELECT 1 FROM batch_job_tasks t \
            WHERE t.task_id = tasks.id AND t.batch_job_id = tasks.batch_job_id AND t.status <> 'succeeded')";
        let sql = |text: String| self.sql("failed_backlog", text).text(repo).text(agent).time(before);
        let counted = sql(format!("SELECT count(*) AS n {WHICH}")).one(&self.connection).await?;
        let all = counted.map_or(Ok(0), |row| row.count("n"))?;
        let rows = sql(format!("SELECT * {WHICH} ORDER BY {ORDER} LIMIT $4")).int(limit);
        let rows = rows.all(&self.connection).await?;
        let tasks = rows.iter().map(|row| Ok((read(row)?, row.id_or_null("batch_job_id")?.map(JobId))));
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
            let sql = self.sql("backlog_by_id", "SELECT * FROM tasks WHERE id IN (").list(values).then(")");
            for row in sql.all(&self.connection).await? {
                found.push((read(&row)?, row.text("status")?));
            }
        }
        let place = |task: &BacklogTask| ids.iter().position(|id| *id == task.id);
        found.sort_by_key(|(task, _)| place(task));
        Ok(found)
    }
}

fn read(row: &crate::sql::Row) -> Result<BacklogTask, StoreError> {
    Ok(BacklogTask {
        id: row.text("id")?,
        repo: row.get("repo")?,
        agent_type: row.text("agent_type")?,
        priority: row.int("priority")?,
        payload: row.text("payload")?,
    })
}

fn place(row: &crate::sql::Row) -> Result<Place, StoreError> {
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
        believed.entry(claim.was).or_default().push(Value::from(claim.id.clone()));
    }
    let mut got = HashSet::new();
    for (was, ids) in believed {
        let update = "UPDATE tasks SET status = 'batched', batch_job_id = $1, updated_at = $2 \
            WHERE status = $3 AND ($3 = 'pending' OR batch_job_id IS NOT DISTINCT FROM $4) AND id IN (";
        let (status, by) = match was {
            Was::Pending => ("pending", None),
            Was::Failed(by) => ("failed", by.map(|job| job.0)),
        };
        let sql = Sql::new(dialect, "claim_backlog", update).id(job.0).time(now).text(status).id_or_null(by);
        for row in sql.list(ids).then(") RETURNING id").all(on).await? {
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

/// Writes an outcome back. A task that isn't ours any more is left alone.
pub(crate) async fn write_back(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: JobId,
    id: &str,
    outcome: Result<Option<&str>, String>,
    now: Time,
) -> Result<(), StoreError> {
    let update = "UPDATE tasks SET status = $3, result = $4, error = $5, updated_at = $6 \
        WHERE id = $1 AND batch_job_id = $2 AND status = 'batched'";
    let (status, result, error) = match &outcome {
        Ok(result) => ("completed", *result, None),
        Err(error) => ("failed", None, Some(error.as_str())),
    };
    Sql::new(dialect, "write_back", update)
        .text(id)
        .id(job.0)
        .text(status)
        .text_or_null(result)
        .text_or_null(error)
        .time(now)
        .run(on)
        .await?;
    Ok(())
}
