//! A fresh database of either kind.

use domain::Clock;
use sea_orm::{ConnectionTrait as _, Database, Statement};
use store::{Store, StoreOptions};
use tempfile::TempDir;

/// A fresh database, gone when it is dropped.
pub(crate) enum Fresh {
    Sqlite(TempDir),
    Postgres(testkit::Postgres),
}

impl Fresh {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn postgres() -> Self {
        Self::Postgres(testkit::Postgres::fresh().await)
    }

    /// Opens it, with its schema.
    pub(crate) async fn open(&self) -> Store {
        let options = StoreOptions { url: self.url(), migrate: true, clock: Clock::default() };
        Store::open(&options).await.unwrap()
    }

    /// How many rows a view shows, with all of their columns.
    pub(crate) async fn rows(&self, view: &str) -> usize {
        let connection = Database::connect(self.url()).await.unwrap();
        let backend = connection.get_database_backend();
        let statement = Statement::from_string(backend, format!("SELECT * FROM {view}"));
        #[expect(clippy::disallowed_methods, reason = "a view is for people, who ask without the store")]
        let rows = connection.query_all_raw(statement).await.unwrap().len();
        connection.close().await.unwrap();
        rows
    }

    /// Changes it behind the store's back.
    pub(crate) async fn run(&self, sql: &str) {
        let connection = Database::connect(self.url()).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "somebody else changes it")]
        connection.execute_unprepared(sql).await.unwrap();
        connection.close().await.unwrap();
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}?mode=rwc", folder.path().join("store.db").display()),
            Self::Postgres(database) => database.url().to_owned(),
        }
    }
}
