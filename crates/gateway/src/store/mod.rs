//! All SQL of the gateway, on a SQLite file of its own. A file of bytes is none of its business.

mod batches;
mod files;
mod rows;
mod sql;

use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::error::GatewayError;

pub(crate) use batches::{NewBatch, Served};
pub(crate) use files::FilePage;
pub(crate) use rows::{Finished, Group};

/// The schema, in order. Scripts are never changed, only added.
const SCRIPTS: &[(i64, &str, &str)] = &[(1, "base", include_str!("schema.sql"))];
/// How long a writer waits for its turn.
const BUSY: Duration = Duration::from_secs(10);
/// Readers beside the one writer.
const CONNECTIONS: u32 = 4;

/// Statements that a connection keeps prepared. Those of many rows are long, and each number of rows is another
/// one: a large cache would fill with them.
const STATEMENTS: usize = 16;

/// A handle on the database; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    connection: DatabaseConnection,
}

impl Store {
    /// Opens the file, makes it where it isn't there, and brings its schema up.
    pub(crate) async fn open(path: &Path) -> Result<Self, GatewayError> {
        let mut options = ConnectOptions::new("sqlite://served.db");
        let path = path.to_owned();
        options.max_connections(CONNECTIONS).sqlx_logging(false).map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .filename(&path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY)
                .statement_cache_capacity(STATEMENTS)
        });
        let connection = Database::connect(options).await.map_err(failed("open"))?;
        let scripts = SCRIPTS.iter().map(|(version, name, script)| {
            Migration::new(*version, (*name).into(), MigrationType::Simple, script.into_sql_str(), false)
        });
        let migrator = Migrator::with_migrations(scripts.collect());
        migrator.run(connection.get_sqlite_connection_pool()).await.map_err(|error| match error {
            MigrateError::VersionMissing(found) => GatewayError::NewerSchema { found },
            other => GatewayError::Schema(Box::new(other)),
        })?;
        Ok(Self { connection })
    }

    /// Reads something of the file: a question about nothing would be answered without it.
    pub(crate) async fn check(&self) -> Result<(), GatewayError> {
        let sql = sql::Sql::new("check", "SELECT id FROM served_batches LIMIT 1");
        sql.one(&self.connection).await.map(drop)
    }

    /// Closes all connections, which folds the write-ahead log into the file.
    pub(crate) async fn close(&self) -> Result<(), GatewayError> {
        self.connection.close_by_ref().await.map_err(failed("close"))
    }

    /// Runs `work` in a writing transaction, in a task of its own: a caller whose client hung up is dropped
    /// at any await, and a `begin` that is dropped half-way takes the next writer's work with it.
    async fn transaction<T, F>(&self, what: &'static str, work: F) -> Result<T, GatewayError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<T, GatewayError>> + Send + 'static,
    {
        let connection = self.connection.clone();
        let immediate = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let task = tokio::spawn(async move {
            #[expect(clippy::disallowed_methods, reason = "the one place where the gateway begins")]
            let transaction = connection.begin_with_options(immediate).await.map_err(failed(what))?;
            let value = work(&transaction).await?;
            transaction.commit().await.map_err(failed(what))?;
            Ok(value)
        });
        task.await.map_err(|_| GatewayError::Interrupted { what })?
    }
}

fn failed(what: &'static str) -> impl FnOnce(DbErr) -> GatewayError {
    move |source| GatewayError::Database { what, source }
}

#[cfg(test)]
mod tests {
    use super::sql::Sql;
    use super::*;

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("served.db");
        let store = Store::open(&path).await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
            VALUES (99, 'later', 1, x'00', 0)";
        Sql::new("test", newer).run(&store.connection).await.unwrap();
        store.close().await.unwrap();
        let error = Store::open(&path).await.unwrap_err();
        assert!(matches!(error, GatewayError::NewerSchema { found: 99 }), "{error:?}");
    }
}
