//! One schema for both databases, and the version that this build needs.
//!
//! A script is written once; the few words that differ are filled in by [`Dialect`]. Applying them is
//! sqlx's migrator: it locks, it checksums, and it refuses a database that is newer than the build.
//! Changes come as expand, move, contract, so that an old build and a new one can run side by side.

mod dialect;

use std::borrow::Cow;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, Statement, TransactionTrait as _};
use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

pub use dialect::Dialect;

/// The scripts, in order.
const SCRIPTS: &[(i64, &str, &str)] = &[(1, "base", include_str!("../sql/0001_base.sql"))];

/// The backlog of a platform that has none.
const BACKLOG: &str = include_str!("../sql/backlog.sql");

/// The schema version that this build needs.
pub const VERSION: i64 = 1;

/// Why a schema can't be brought up.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database was migrated by a newer build.
    #[error(
        "the database has schema version {found}, this build knows {VERSION}; use the newer overnight that migrated it"
    )]
    Newer {
        /// What is there.
        found: i64,
    },
    /// The database was not brought up to this build's.
    #[error("the database has schema version {found}, this build needs {VERSION}; run overnight migrate")]
    Older {
        /// What is there; 0: none.
        found: i64,
    },
    /// A script was changed after it was applied.
    #[error(
        "schema version {version} in the database is not the one of this build; restore the database, or use the build that made it"
    )]
    Changed {
        /// Which.
        version: i64,
    },
    /// A script has a word that nobody defines: a bug of ours.
    #[error("schema script doesn't render")]
    Script(#[from] minijinja::Error),
    /// The database said no.
    #[error("database refuses the schema")]
    Database(#[source] Box<MigrateError>),
    /// The database said no to the table of tasks.
    #[error("database refuses the table tasks")]
    Backlog(#[source] DbErr),
}

/// Brings the database up to [`VERSION`]; does nothing where it is there already.
///
/// # Errors
/// A newer or changed schema, or a database that refuses.
pub async fn up(connection: &DatabaseConnection) -> Result<(), SchemaError> {
    let dialect = dialect_of(connection.get_database_backend());
    make_backlog(connection, dialect).await?;
    let migrator = Migrator::with_migrations(scripts(dialect)?);
    let result = match dialect {
        Dialect::Sqlite => migrator.run(connection.get_sqlite_connection_pool()).await,
        Dialect::Postgres => migrator.run(connection.get_postgres_connection_pool()).await,
    };
    result.map_err(|error| match error {
        MigrateError::VersionMissing(found) => SchemaError::Newer { found },
        MigrateError::VersionMismatch(version) => SchemaError::Changed { version },
        other => SchemaError::Database(Box::new(other)),
    })
}

/// Makes the table `tasks`, with its index, where nothing has that name.
async fn make_backlog(connection: &DatabaseConnection, dialect: Dialect) -> Result<(), SchemaError> {
    if has_backlog(connection, dialect).await? {
        return Ok(());
    }
    let script = dialect.render(BACKLOG)?;
    #[expect(clippy::disallowed_methods, reason = "the schema is made before there is anything to lose")]
    let made = async {
        let transaction = connection.begin().await?;
        transaction.execute_unprepared(&script).await?;
        transaction.commit().await
    };
    match made.await {
        // Another process has made it meanwhile.
        Err(_) if has_backlog(connection, dialect).await? => Ok(()),
        made => made.map_err(SchemaError::Backlog),
    }
}

async fn has_backlog(connection: &DatabaseConnection, dialect: Dialect) -> Result<bool, SchemaError> {
    let question = Statement::from_string(connection.get_database_backend(), dialect.has_backlog());
    #[expect(clippy::disallowed_methods, reason = "there is no store before there is a schema")]
    let answer = connection.query_one_raw(question).await.map_err(SchemaError::Backlog)?;
    Ok(answer.is_some())
}

/// The dialect of a connection.
#[must_use]
pub fn dialect_of(backend: DbBackend) -> Dialect {
    match backend {
        DbBackend::Postgres => Dialect::Postgres,
        _ => Dialect::Sqlite,
    }
}

fn scripts(dialect: Dialect) -> Result<Vec<Migration>, SchemaError> {
    SCRIPTS
        .iter()
        .map(|(version, name, script)| {
            // The text is ours, compiled in; no input reaches it.
            let sql = sqlx::AssertSqlSafe(dialect.render(script)?).into_sql_str();
            Ok(Migration::new(*version, Cow::Borrowed(name), MigrationType::Simple, sql, false))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_render_for_both_databases_and_end_at_the_version() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let scripts = scripts(dialect).unwrap();
            assert_eq!(scripts.last().unwrap().version, VERSION);
            assert!(scripts.iter().all(|script| !script.sql.as_str().contains("{{")));
        }
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the test plays a later build")]
    async fn a_database_is_brought_up_once_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("a.db").display());
        let connection = sea_orm::Database::connect(url).await.unwrap();
        up(&connection).await.unwrap();
        up(&connection).await.unwrap();
        let newer = "UPDATE _sqlx_migrations SET version = 99";
        sea_orm::ConnectionTrait::execute_unprepared(&connection, newer).await.unwrap();
        let error = up(&connection).await.unwrap_err().to_string();
        assert!(error.contains("schema version 99, this build knows 1"), "{error}");
    }
}
