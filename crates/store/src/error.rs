//! What can go wrong below a store call.

use sea_orm::DbErr;

/// What is taken where a task of the backlog is.
pub(crate) const PENDING_TASK: &str = "pending task";

/// What can go wrong below a store call.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be reached or opened.
    #[error("can't open the database at {address}")]
    Open {
        /// Where, without a password.
        address: String,
        /// Why.
        #[source]
        source: DbErr,
    },
    /// The schema can't be used.
    #[error(transparent)]
    Schema(#[from] migrations::SchemaError),
    /// The platform's table of tasks can't be worked with.
    #[error("the table tasks {wrong}")]
    Tasks {
        /// What is wrong with it.
        wrong: String,
    },
    /// The database refused a statement, or went away.
    #[error("database failed in {what}")]
    Database {
        /// The write or the question.
        what: &'static str,
        /// Why.
        #[source]
        source: DbErr,
    },
    /// The database server has not answered: whether it was done is unknown.
    #[error("the database has not answered {what} for {seconds} s")]
    Silent {
        /// The write or the question.
        what: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A row that this build can't read.
    #[error("unreadable row: {table} {id}, column {column} is {value:?}")]
    Row {
        /// Its table.
        table: &'static str,
        /// Its id.
        id: String,
        /// Its column.
        column: &'static str,
        /// What stands there.
        value: String,
    },
    /// There is no such row.
    #[error("no {table} {id}")]
    Missing {
        /// Its table.
        table: &'static str,
        /// Its id.
        id: String,
    },
    /// Somebody else was faster; nothing was written.
    #[error("somebody else has taken {what} {id}")]
    Taken {
        /// What it is.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// A transaction's task died: a bug of ours, nothing was written.
    #[error("{what} was interrupted")]
    Interrupted {
        /// The write.
        what: &'static str,
    },
}

impl StoreError {
    /// Whether somebody else was faster: an ordinary outcome, and looking again tells what is left.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Taken { .. })
    }

    /// Whether a task of the backlog was not pending any more.
    #[must_use]
    pub fn is_task_taken(&self) -> bool {
        matches!(self, Self::Taken { what: PENDING_TASK, .. })
    }

    /// Whether a unique index refused a row.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        let Self::Database { source, .. } = self else { return false };
        matches!(source.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_)))
    }
}
