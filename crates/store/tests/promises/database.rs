//! A fresh database of either kind.

use domain::Clock;
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
        let url = match self {
            Self::Sqlite(folder) => format!("sqlite://{}?mode=rwc", folder.path().join("store.db").display()),
            Self::Postgres(database) => database.url().to_owned(),
        };
        Store::open(&StoreOptions { url, migrate: true, clock: Clock::default() }).await.unwrap()
    }
}
