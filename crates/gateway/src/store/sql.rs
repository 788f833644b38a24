//! Statements with bound values, and rows read by column name.

#![expect(clippy::disallowed_methods, reason = "the one room of the gateway's own statements")]

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, TryGetable, Value};

use super::failed;
use crate::error::GatewayError;

/// A statement being put together: `?` are bound in order.
pub(super) struct Sql {
    what: &'static str,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// A statement named `what` for errors.
    pub(super) fn new(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, text: text.into(), values: Vec::new() }
    }

    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    pub(super) fn count(self, number: impl TryInto<i64>) -> Self {
        self.bind(number.try_into().unwrap_or(i64::MAX))
    }

    /// Appends `(?, ?), (?, ?)` for `rows` of `width` values each, and binds them.
    pub(super) fn rows(mut self, width: usize, rows: impl IntoIterator<Item = Vec<Value>>) -> Self {
        let marks = format!("({})", vec!["?"; width].join(", "));
        for (index, row) in rows.into_iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { ", " });
            self.text.push_str(&marks);
            self.values.extend(row);
        }
        self
    }

    /// Runs it; answers how many rows changed.
    pub(super) async fn run(self, on: &impl ConnectionTrait) -> Result<u64, GatewayError> {
        let what = self.what;
        let done = on.execute_raw(self.statement()).await.map_err(failed(what))?;
        Ok(done.rows_affected())
    }

    pub(super) async fn all(self, on: &impl ConnectionTrait) -> Result<Vec<Row>, GatewayError> {
        let what = self.what;
        let rows = on.query_all_raw(self.statement()).await.map_err(failed(what))?;
        Ok(rows.into_iter().map(|inner| Row { what, inner }).collect())
    }

    pub(super) async fn one(self, on: &impl ConnectionTrait) -> Result<Option<Row>, GatewayError> {
        let what = self.what;
        let row = on.query_one_raw(self.statement()).await.map_err(failed(what))?;
        Ok(row.map(|inner| Row { what, inner }))
    }

    fn statement(self) -> Statement {
        Statement::from_sql_and_values(DbBackend::Sqlite, self.text, self.values)
    }
}

/// A row, read by column name.
pub(super) struct Row {
    what: &'static str,
    inner: QueryResult,
}

impl Row {
    pub(super) fn get<T: TryGetable>(&self, column: &str) -> Result<T, GatewayError> {
        self.inner.try_get("", column).map_err(failed(self.what))
    }

    /// A number that can't be negative.
    pub(super) fn count(&self, column: &str) -> Result<u64, GatewayError> {
        Ok(u64::try_from(self.get::<i64>(column)?).unwrap_or_default())
    }

    /// A column that holds JSON, or nothing.
    pub(super) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<Option<T>, GatewayError> {
        let text = self.get::<Option<String>>(column)?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| failed(self.what)(DbErr::Json(format!("column {column}: {error}"))))
    }
}
