//! What the product's database says, read from outside and all at once. It judges nothing.

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, Statement};
use sha2::{Digest as _, Sha256};

/// The rows that the oracle looks at, as plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub jobs: Vec<Job>,
    pub batches: Vec<Batch>,
    pub tasks: Vec<Task>,
    pub attempts: Vec<Attempt>,
    pub answers: Vec<Answer>,
    pub orders: Vec<Order>,
    pub events: Vec<Event>,
    pub runs: Vec<Run>,
    pub backlog: Vec<Backlog>,
}

macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident, $columns:literal, $rest:literal: $($field:ident),*;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name { $(pub $field: String),* }

        impl $name {
            const SELECT: &str = concat!("SELECT ", $columns, " FROM ", $rest);

            fn read(row: Vec<String>) -> Self {
                let mut cells = row.into_iter();
                Self { $($field: cells.next().unwrap_or_default()),* }
            }
        })*
    };
}

rows! {
    /// A job.
    Job, "id, state, total, succeeded, failed, expired, cancelled, missing", "batch_jobs":
        id, state, total, succeeded, failed, expired, cancelled, missing;
    /// A batch.
    Batch, "id, job_id, state, parked", "batches": id, job, state, parked;
    /// A task of a job.
    Task, "id, batch_job_id, custom_id, task_id, status", "batch_job_tasks": id, job, custom_id, backlog, status;
    /// An attempt.
    Attempt, "id, task_id, batch_id, custom_id, state", "attempts": id, task, batch, custom_id, state;
    /// An answer; its text becomes its hash.
    Answer, "attempt_id, response", "answers": attempt, sha256;
    /// An order.
    Order, "entity_id, lane, failures", "orders": entity, lane, failures;
    /// An event; `published` is empty where nobody has heard of it.
    Event, "id, type, subject, job_id, sequence, published_at", "events ORDER BY job_id, sequence":
        id, kind, subject, job, sequence, published;
    /// A firing of a schedule.
    Run, "schedule, trigger, slot_date, state", "schedule_runs": schedule, trigger, date, state;
    /// A task of the platform's backlog, and the job that has taken it.
    Backlog, "id, batch_job_id, status", "tasks": id, job, status;
}

impl Books {
    /// Reads them.
    ///
    /// # Errors
    /// A database that can't be read now.
    pub fn read(url: &str) -> Result<Self, sea_orm::DbErr> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut options = ConnectOptions::new(url);
            options.max_connections(1).sqlx_logging(false);
            let connection = Database::connect(options).await?;
            let books = Self::read_from(&connection).await;
            connection.close().await?;
            books
        })
    }

    async fn read_from(connection: &DatabaseConnection) -> Result<Self, sea_orm::DbErr> {
        let mut answers: Vec<Answer> = rows(connection, Answer::SELECT, Answer::read).await?;
        for answer in &mut answers {
            answer.sha256 = hash(&answer.sha256);
        }
        Ok(Self {
            jobs: rows(connection, Job::SELECT, Job::read).await?,
            batches: rows(connection, Batch::SELECT, Batch::read).await?,
            tasks: rows(connection, Task::SELECT, Task::read).await?,
            attempts: rows(connection, Attempt::SELECT, Attempt::read).await?,
            answers,
            orders: rows(connection, Order::SELECT, Order::read).await?,
            events: rows(connection, Event::SELECT, Event::read).await?,
            runs: rows(connection, Run::SELECT, Run::read).await?,
            backlog: rows(connection, Backlog::SELECT, Backlog::read).await?,
        })
    }

    /// The job of a batch, by the batch's id.
    #[must_use]
    pub fn job_of_batch(&self, batch: &str) -> Option<&str> {
        self.batches.iter().find(|row| row.id == batch).map(|row| row.job.as_str())
    }
}

/// Every column as text: the two databases have different types for the same thing.
async fn rows<T>(
    connection: &DatabaseConnection,
    select: &str,
    read: fn(Vec<String>) -> T,
) -> Result<Vec<T>, sea_orm::DbErr> {
    let (columns, rest) = select.trim_start_matches("SELECT ").split_once(" FROM ").unwrap_or_default();
    let texts: Vec<_> = columns
        .split(", ")
        .map(|column| format!("coalesce(CAST({column} AS TEXT), '') AS \"c_{column}\""))
        .collect();
    let backend = connection.get_database_backend();
    let sql = format!("SELECT {} FROM {rest}", texts.join(", "));
    #[expect(clippy::disallowed_methods, reason = "it only reads, and from outside")]
    let found = connection.query_all_raw(Statement::from_string(backend, sql)).await?;
    let cells = |row: &sea_orm::QueryResult| {
        (0..texts.len()).map(|at| row.try_get_by_index::<String>(at)).collect::<Result<Vec<_>, _>>()
    };
    found.iter().map(|row| cells(row).map(read)).collect()
}

/// SHA-256, hexadecimal.
pub(crate) fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
