//! Statements and rows: text with numbered parameters, written once for both databases.

#![expect(clippy::disallowed_methods, reason = "the one room that runs statements")]

use crash::{Injected, Step};
use domain::Time;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, QueryResult, Statement, TryGetable,
    Value,
};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::error::StoreError;
use crate::silence::answer;

/// A statement being put together: `$1`, `$2` … are bound in order.
pub(crate) struct Sql {
    dialect: Dialect,
    what: &'static str,
    text: String,
    values: Vec<Value>,
    /// Where it is a commit by itself.
    step: Option<Step>,
}

/// Where a statement runs.
pub(crate) trait On: ConnectionTrait {
    /// Whether each statement is a commit by itself.
    const COMMITS: bool;
}

impl On for DatabaseConnection {
    const COMMITS: bool = true;
}

impl On for DatabaseTransaction {
    const COMMITS: bool = false;
}

impl Sql {
    /// A statement named `what` for errors.
    pub(crate) fn new(dialect: Dialect, what: &'static str, text: impl Into<String>) -> Self {
        Self { dialect, what, text: text.into(), values: Vec::new(), step: None }
    }

    /// It writes, and is a commit by itself.
    pub(crate) fn commits(self, step: Step) -> Self {
        Self { step: Some(step), ..self }
    }

    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    pub(crate) fn id(self, id: Uuid) -> Self {
        self.id_or_null(Some(id))
    }

    pub(crate) fn id_or_null(self, id: Option<Uuid>) -> Self {
        let value = self.dialect.id(id);
        self.bind(value)
    }

    pub(crate) fn text(self, text: impl Into<String>) -> Self {
        self.bind(text.into())
    }

    pub(crate) fn text_or_null(self, text: Option<&str>) -> Self {
        self.bind(Value::String(text.map(str::to_owned)))
    }

    pub(crate) fn int(self, number: impl TryInto<i64>) -> Self {
        self.bind(number.try_into().unwrap_or(i64::MAX))
    }

    pub(crate) fn int_or_null(self, number: Option<i64>) -> Self {
        self.bind(number)
    }

    pub(crate) fn time(self, time: Time) -> Self {
        self.bind(time)
    }

    pub(crate) fn time_or_null(self, time: Option<Time>) -> Self {
        self.bind(time)
    }

    /// Appends `(…), (…)` with a row of parameters for each of `rows`, one at least, and binds them.
    pub(crate) fn rows<R>(mut self, rows: &[R], bind: impl Fn(&mut Values<'_>, &R)) -> Self {
        debug_assert!(!rows.is_empty(), "rows of nothing in {}", self.text);
        for (index, row) in rows.iter().enumerate() {
            let first = self.values.len();
            bind(&mut Values { dialect: self.dialect, values: &mut self.values }, row);
            let marks: Vec<String> = (first..self.values.len()).map(|at| format!("${}", at + 1)).collect();
            let comma = if index == 0 { "" } else { ", " };
            self.text.push_str(&format!("{comma}({})", marks.join(", ")));
        }
        self
    }

    /// Appends `$n, $m, …` for a list of values, and binds them. There is one at least: SQLite takes an empty list, PostgreSQL
    /// doesn't.
    pub(crate) fn list(mut self, values: impl IntoIterator<Item = Value>) -> Self {
        let first = self.values.len();
        self.values.extend(values);
        debug_assert!(self.values.len() > first, "a list of nothing in {}", self.text);
        let marks: Vec<String> = (first..self.values.len()).map(|at| format!("${}", at + 1)).collect();
        self.text.push_str(&marks.join(", "));
        self
    }

    pub(crate) fn ids(self, ids: impl IntoIterator<Item = Uuid>) -> Self {
        let dialect = self.dialect;
        self.list(ids.into_iter().map(|id| dialect.id(Some(id))).collect::<Vec<_>>())
    }

    /// Appends text.
    pub(crate) fn then(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Runs it; answers how many rows changed.
    pub(crate) async fn run<O: On>(self, on: &O) -> Result<u64, StoreError> {
        let done = self.take(on, |statement| on.execute_raw(statement)).await?;
        Ok(done.rows_affected())
    }

    /// All of its rows.
    pub(crate) async fn all<O: On>(self, on: &O) -> Result<Vec<Row>, StoreError> {
        let what = self.what;
        let rows = self.take(on, |statement| on.query_all_raw(statement)).await?;
        Ok(rows.into_iter().map(|inner| Row { what, inner }).collect())
    }

    /// Its one row, if there is one.
    pub(crate) async fn one<O: On>(self, on: &O) -> Result<Option<Row>, StoreError> {
        let what = self.what;
        let row = self.take(on, |statement| on.query_one_raw(statement)).await?;
        Ok(row.map(|inner| Row { what, inner }))
    }

    /// Runs it; where it is a commit by itself, as the step that it is.
    async fn take<O: On, T, F: Future<Output = Result<T, DbErr>>>(
        self,
        _on: &O,
        run: impl FnOnce(Statement) -> F,
    ) -> Result<T, StoreError> {
        debug_assert!(
            self.step.is_some() == (O::COMMITS && !self.reads()),
            "{:?} writes outside of a transaction without `Store::write`, or is no commit by itself",
            self.what
        );
        let (what, step) = (self.what, self.step);
        let statement = Statement::from_sql_and_values(self.dialect.backend(), self.text, self.values);
        let work = answer(self.dialect, what, run(statement));
        match step {
            Some(step) => crash::attempt(step, work, injected(what)).await,
            None => work.await,
        }
    }

    /// Whether it only looks.
    fn reads(&self) -> bool {
        self.text.trim_start().starts_with("SELECT")
    }
}

/// The parameters of one row of a multi-row statement.
pub(crate) struct Values<'a> {
    dialect: Dialect,
    values: &'a mut Vec<Value>,
}

impl Values<'_> {
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self
    }

    pub(crate) fn id(&mut self, id: Uuid) -> &mut Self {
        self.id_or_null(Some(id))
    }

    pub(crate) fn id_or_null(&mut self, id: Option<Uuid>) -> &mut Self {
        let value = self.dialect.id(id);
        self.bind(value)
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bind(text.to_owned())
    }

    pub(crate) fn text_or_null(&mut self, text: Option<&str>) -> &mut Self {
        self.bind(text.map(str::to_owned))
    }

    pub(crate) fn int(&mut self, number: impl TryInto<i64>) -> &mut Self {
        self.bind(number.try_into().unwrap_or(i64::MAX))
    }
}

/// A row, read by column name.
pub(crate) struct Row {
    what: &'static str,
    inner: QueryResult,
}

impl Row {
    pub(crate) fn get<T: TryGetable>(&self, column: &str) -> Result<T, StoreError> {
        self.inner.try_get("", column).map_err(|source| StoreError::Database { what: self.what, source })
    }

    pub(crate) fn id(&self, column: &'static str) -> Result<Uuid, StoreError> {
        self.id_or_null(column)?.ok_or_else(|| self.unreadable(column, "null"))
    }

    /// An id, whichever way the database keeps it.
    pub(crate) fn id_or_null(&self, column: &'static str) -> Result<Option<Uuid>, StoreError> {
        match self.inner.try_get::<Option<Uuid>>("", column) {
            Ok(id) => Ok(id),
            Err(_) => match self.get::<Option<String>>(column)? {
                None => Ok(None),
                Some(text) => text.parse().map(Some).map_err(|_| self.unreadable(column, &text)),
            },
        }
    }

    pub(crate) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.get(column)
    }

    pub(crate) fn int(&self, column: &str) -> Result<i64, StoreError> {
        self.get(column)
    }

    pub(crate) fn count(&self, column: &'static str) -> Result<u64, StoreError> {
        let number = self.int(column)?;
        u64::try_from(number).map_err(|_| self.unreadable(column, &number.to_string()))
    }

    pub(crate) fn small(&self, column: &'static str) -> Result<u32, StoreError> {
        let number = self.int(column)?;
        u32::try_from(number).map_err(|_| self.unreadable(column, &number.to_string()))
    }

    /// A word of a closed list.
    pub(crate) fn word<T>(
        &self,
        column: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let word = self.text(column)?;
        parse(&word).ok_or_else(|| self.unreadable(column, &word))
    }

    pub(crate) fn unreadable(&self, column: &'static str, value: &str) -> StoreError {
        let id = self.get::<String>("id").unwrap_or_default();
        StoreError::Row { table: self.what, id, column, value: value.to_owned() }
    }
}

/// A failure of a call that is not a statement.
pub(crate) fn failed(what: &'static str) -> impl Fn(DbErr) -> StoreError {
    move |source| StoreError::Database { what, source }
}

/// A failure that a test asked for.
pub(crate) fn injected(what: &'static str) -> impl Fn(Injected) -> StoreError {
    move |injected| StoreError::Database { what, source: DbErr::Custom(injected.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_without_a_step_is_refused() {
        let on = sea_orm::Database::connect("sqlite::memory:").await.unwrap();
        let dialect = Dialect::of(on.get_database_backend());
        let bare = move |text: &'static str| Sql::new(dialect, "bare", text);
        assert_eq!(bare("SELECT 1 AS one").all(&on).await.unwrap().len(), 1);
        bare("CREATE TABLE t (a int)").commits(Step::Nudge).run(&on).await.unwrap();
        let written =
            tokio::spawn(async move { bare("INSERT INTO t VALUES (1) RETURNING a").all(&on).await });
        assert!(written.await.err().is_some_and(|error| error.is_panic()));
    }
}
