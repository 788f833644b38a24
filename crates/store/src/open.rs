//! Opening a database, and the only way to begin a transaction.

use std::path::PathBuf;
use std::time::Duration;

use crash::Step;
use domain::Clock;
use futures_util::future::BoxFuture;
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, TransactionTrait};

use crate::backlog::Table;
use crate::dialect::Dialect;
use crate::error::StoreError;
use crate::silence::{answer, mindful};
use crate::sql::{Sql, failed, injected};

/// How long a writer waits for its turn on SQLite.
const SQLITE_BUSY: Duration = Duration::from_secs(10);
/// How long a caller waits for a connection; a database that is down shall not look like a slow one.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Connections of a process.
const CONNECTIONS: u32 = 8;
/// The same on SQLite, where each is a thread with memory of its own: the one writer and a few readers.
const SQLITE_CONNECTIONS: u32 = 3;

/// Statements that a connection keeps prepared. Statements of many rows are long and each length is another
/// one: a large cache would fill with them and grow with the work.
const STATEMENTS: usize = 8;

/// Where the database is.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite:` or `postgres:` URL.
    pub url: String,
    /// Bring the schema up on opening.
    pub migrate: bool,
    /// The clock of this process.
    pub clock: Clock,
}

/// A handle on the database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) connection: DatabaseConnection,
    pub(crate) dialect: Dialect,
    pub(crate) clock: Clock,
}

impl Store {
    /// Opens the database.
    ///
    /// # Errors
    /// A database that can't be reached, whose schema isn't this build's, or whose table `tasks` can't be worked with.
    pub async fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        let connection = Database::connect(connect_options(&options.url))
            .await
            .map_err(|source| StoreError::Open { address: without_password(&options.url), source })?;
        let dialect = Dialect::of(connection.get_database_backend());
        // Before the schema: where the backlog can't be worked with, nothing is made beside it.
        Table::find(dialect, &connection).await?;
        if options.migrate {
            migrations::up(&connection).await?;
        }
        let store = Self { connection, dialect, clock: options.clock };
        if options.migrate {
            store.tag_if_new().await?;
        }
        Ok(store)
    }

    /// Closes all connections; on SQLite this folds the write-ahead log into the file.
    ///
    /// # Errors
    /// A database that went away.
    pub async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await.map_err(failed("close"))
    }

    /// Asks the database for its schema version, and sees that it is this build's.
    ///
    /// # Errors
    /// A database that doesn't answer, or whose schema is another.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        let columns = self.sql("check_schema", self.dialect.columns()).text("_sqlx_migrations");
        if columns.all(&self.connection).await?.is_empty() {
            return Err(migrations::SchemaError::Older { found: 0 }.into());
        }
        let text = "SELECT max(version) AS version FROM _sqlx_migrations";
        let row = self.sql("check_schema", text).one(&self.connection).await?;
        let found: Option<i64> = row.map(|row| row.get("version")).transpose()?.flatten();
        match found {
            Some(found) if found == migrations::VERSION => Ok(()),
            Some(found) if found > migrations::VERSION => {
                Err(migrations::SchemaError::Newer { found }.into())
            }
            found => Err(migrations::SchemaError::Older { found: found.unwrap_or_default() }.into()),
        }
    }

    /// The clock of this process.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn sql(&self, what: &'static str, text: impl Into<String>) -> Sql {
        Sql::new(self.dialect, what, text)
    }

    /// A statement that is a commit by itself.
    pub(crate) fn write(&self, step: Step, text: impl Into<String>) -> Sql {
        Sql::new(self.dialect, step.word(), text).commits(step)
    }

    /// Runs `work` in a transaction, in a task of its own: the caller may be dropped at any
    /// await, the transaction is not. (A `begin` that is dropped half-way gives its connection back with
    /// the transaction open, and the next writer's work is lost in silence.)
    pub(crate) async fn transaction<T, F>(&self, step: Step, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
    {
        let (connection, dialect, what) = (self.connection.clone(), self.dialect, step.word());
        let work = async move {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that begins")]
            let begun = connection.begin_with_options(dialect.begin());
            let transaction = answer(dialect, what, begun).await?;
            match work(&transaction).await {
                Ok(value) => answer(dialect, what, transaction.commit()).await.map(|()| value),
                // Its connection is closed when it comes back to the pool, and the server rolls back.
                Err(error @ StoreError::Silent { .. }) => Err(error),
                Err(error) => {
                    if let Err(rollback) = answer(dialect, what, transaction.rollback()).await {
                        tracing::warn!(transaction = what, error = %rollback, "rollback failed");
                    }
                    Err(error)
                }
            }
        };
        let task = tokio::spawn(crash::attempt(step, work, injected(what)));
        task.await.map_err(|_| StoreError::Interrupted { what })?
    }
}

fn connect_options(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    let connections = if url.starts_with("sqlite:") { SQLITE_CONNECTIONS } else { CONNECTIONS };
    options.max_connections(connections).acquire_timeout(ACQUIRE).sqlx_logging(false);
    options.map_sqlx_sqlite_opts(|sqlite| {
        use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
        sqlite
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(SQLITE_BUSY)
            .foreign_keys(true)
            .statement_cache_capacity(STATEMENTS)
    });
    options.map_sqlx_postgres_pool_opts(mindful);
    options
}

/// The file that a `sqlite:` URL names, as the driver reads it; none for another database, or one in memory.
#[must_use]
pub fn sqlite_file(url: &str) -> Option<PathBuf> {
    use sea_orm::sqlx::sqlite::SqliteConnectOptions;
    if !url.starts_with("sqlite:") {
        return None;
    }
    let options: SqliteConnectOptions = url.parse().ok()?;
    let file = options.get_filename();
    // What the driver calls a database in memory; it is its connection's own.
    let in_memory = file.to_string_lossy().starts_with("file:sqlx-in-memory");
    (!in_memory).then(|| file.to_path_buf())
}

/// An address without its password, as people may see it. Its options are left out: one of them may be the password.
#[must_use]
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let place = |rest: &str| rest.split('?').next().unwrap_or_default().to_owned();
    match rest.rsplit_once('@') {
        // Either sign may be the password's own, and where it ends nobody can tell.
        Some((user, _)) if user.contains('?') => format!("{scheme}://..."),
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{}", place(host))
        }
        None => format!("{scheme}://{}", place(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_one_that_the_driver_opens() {
        let file = |url| sqlite_file(url).map(|path| path.display().to_string());
        assert_eq!(file("sqlite:///a/b%20c.db?mode=rwc").as_deref(), Some("/a/b c.db"));
        assert_eq!(file("sqlite:b.db").as_deref(), Some("b.db"));
        assert_eq!(file("sqlite::memory:"), None);
        assert_eq!(file("postgres://db/x"), None);
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(without_password("postgres://me:secret@db:5432/x"), "postgres://me@db:5432/x");
        assert_eq!(without_password("sqlite:///a/b.db"), "sqlite:///a/b.db");
        assert_eq!(without_password("postgres://db/x?user=me&password=secret"), "postgres://db/x");
        assert_eq!(without_password("postgres://me:a@db/x?password=secret&b=c"), "postgres://me@db/x");
        assert!(!without_password("postgres://db/x?password=sec@ret&user=me").contains("ret"));
        assert!(!without_password("postgres://me:se?c@ret@db/x").contains("ret"));
    }
}
