//! A database server that says nothing: a line may break without either end hearing of it, and whoever waits for an answer
//! would wait for ever, while the server keeps the locks of a transaction that nobody ends.

use std::future::Future;
use std::time::Duration;

use sea_orm::DbErr;
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::{Executor as _, Postgres};

use crate::dialect::Dialect;
use crate::error::StoreError;
use crate::sql::failed;

/// Longest that a server may take for a statement. Ours touch some hundred rows; the longest that they wait for is a lock of
/// a large job that is being accepted.
const ANSWER: Duration = Duration::from_secs(60);
/// The same for the server, which can't hear either: of a transaction whose next statement doesn't come, and of one that gets
/// a lock that nobody waits for any more.
const SERVER: &str = "SET idle_in_transaction_session_timeout = '60s'; SET lock_timeout = '60s'";
/// Longest that a connection may take to be made ready for its next user.
const ROLLED_BACK: Duration = Duration::from_secs(5);

/// Waits for an answer, and for a server's not for ever. Whether what was asked for is done is then unknown, as where the
/// connection broke.
pub(crate) async fn answer<T>(
    dialect: Dialect,
    what: &'static str,
    asked: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, StoreError> {
    if dialect.is_a_file() {
        return asked.await.map_err(failed(what));
    }
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(answered) => answered.map_err(failed(what)),
        Err(_) => Err(StoreError::Silent { what, seconds: ANSWER.as_secs() }),
    }
}

/// Connections to a server that end where either side hears nothing of the other.
pub(crate) fn mindful(pool: PoolOptions<Postgres>) -> PoolOptions<Postgres> {
    let pool = pool
        .after_connect(|connection, _| Box::pin(async move { connection.execute(SERVER).await.map(|_| ()) }));
    // A connection that comes back inside a transaction must not take the next one's writes with it.
    pool.after_release(|connection, _| {
        Box::pin(async move {
            let ended = tokio::time::timeout(ROLLED_BACK, connection.execute("ROLLBACK")).await;
            // One that doesn't answer is closed, and gives its place in the pool to another.
            ended.map_or(Ok(false), |done| done.map(|_| true))
        })
    })
}
