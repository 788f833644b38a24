//! A database of the product, opened to look into.

use std::path::Path;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use tokio::runtime::Runtime;

/// A database to look into.
pub struct Database {
    runtime: Runtime,
    connection: DatabaseConnection,
}

impl Database {
    pub(crate) fn open(path: &Path) -> Self {
        Self::at(&format!("sqlite://{}", path.display()))
    }

    /// The database at this address.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn at(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut options = sea_orm::ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        let connection = runtime.block_on(sea_orm::Database::connect(options)).expect("the database opens");
        Self { runtime, connection }
    }

    /// The one number that a query answers; 0 for null.
    #[must_use]
    pub fn number(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(self.connection.get_database_backend(), sql);
        let row = self.runtime.block_on(self.connection.query_one_raw(statement)).expect("the query runs");
        row.expect("one row").try_get_by_index::<Option<i64>>(0).expect("a number").unwrap_or_default()
    }

    /// The first column of every row, as text.
    #[must_use]
    pub fn texts(&self, sql: &str) -> Vec<String> {
        let statement = Statement::from_string(self.connection.get_database_backend(), sql);
        let rows = self.runtime.block_on(self.connection.query_all_raw(statement)).expect("the query runs");
        rows.iter().map(|row| row.try_get_by_index::<String>(0).expect("text")).collect()
    }

    /// Changes it behind the product's back.
    pub fn run(&self, sql: &str) {
        self.runtime.block_on(self.connection.execute_unprepared(sql)).expect("the statement runs");
    }
}
