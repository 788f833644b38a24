//! A database of the product, opened to look into.

use std::path::Path;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use tokio::runtime::Runtime;

/// A SQLite file to look into.
pub struct Database {
    runtime: Runtime,
    connection: DatabaseConnection,
}

impl Database {
    pub(crate) fn open(path: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = format!("sqlite://{}", path.display());
        let connection = runtime.block_on(sea_orm::Database::connect(url)).expect("the database opens");
        Self { runtime, connection }
    }

    /// The one number that a query answers; 0 for null.
    #[must_use]
    pub fn number(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(DbBackend::Sqlite, sql);
        let row = self.runtime.block_on(self.connection.query_one_raw(statement)).expect("the query runs");
        row.expect("one row").try_get_by_index::<Option<i64>>(0).expect("a number").unwrap_or_default()
    }

    /// The first column of every row, as text.
    #[must_use]
    pub fn texts(&self, sql: &str) -> Vec<String> {
        let statement = Statement::from_string(DbBackend::Sqlite, sql);
        let rows = self.runtime.block_on(self.connection.query_all_raw(statement)).expect("the query runs");
        rows.iter().map(|row| row.try_get_by_index::<String>(0).expect("text")).collect()
    }

    /// Changes it behind the product's back.
    pub fn run(&self, sql: &str) {
        self.runtime.block_on(self.connection.execute_unprepared(sql)).expect("the statement runs");
    }
}
