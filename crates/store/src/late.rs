//! Answers to attempts that had ended without one: the batch was called off, given up or restored from an older
//! backup, and the provider ran it all the same. The answer and its cost are kept, since they were paid for;
//! the task keeps the outcome that it has.

use domain::{Event, EventType, JobId, Time};
use sea_orm::DatabaseTransaction;
use serde_json::json;

use crate::collect::ChunkTally;
use crate::dialect::Dialect;
use crate::ending::{Ending, Sums};
use crate::sql::Sql;
use crate::{StoreError, event};

/// Keeps late answers. One that is kept already is left as it is: whoever inserts the answer books it, since of
/// two that read the same file at once only one can.
pub(crate) async fn apply(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: JobId,
    endings: Vec<Ending>,
    now: Time,
) -> Result<ChunkTally, StoreError> {
    let (mut tally, mut sums, mut events) = (ChunkTally::default(), Sums::default(), Vec::new());
    for ending in endings {
        if !insert_answer(dialect, on, &ending).await? {
            tally.repeated += 1;
            continue;
        }
        bill(dialect, on, &ending).await?;
        tally.late += 1;
        sums.late(&ending);
        events.push(answered_late(job, &ending));
    }
    sums.write(dialect, on, job).await?;
    event::insert(dialect, on, job, &events, now).await?;
    Ok(tally)
}

async fn insert_answer(
    dialect: Dialect,
    on: &DatabaseTransaction,
    ending: &Ending,
) -> Result<bool, StoreError> {
    let Some((response, result)) = &ending.detail.answer else { return Ok(false) };
    let text = "INSERT INTO answers (attempt_id, response, result) VALUES ($1, $2, $3) \
        ON CONFLICT (attempt_id) DO NOTHING";
    let sql = Sql::new(dialect, "late_answer", text).id(ending.live.attempt).text(response);
    Ok(sql.text_or_null(result.as_deref()).run(on).await? == 1)
}

/// Writes what the answer used.
async fn bill(dialect: Dialect, on: &DatabaseTransaction, ending: &Ending) -> Result<(), StoreError> {
    let text = "UPDATE attempts SET http_status = $2, request_id = $3, input_tokens = $4, cached_tokens = $5, \
        output_tokens = $6, reasoning_tokens = $7, cost = $8, normal_cost = $9 WHERE id = $1";
    let detail = &ending.detail;
    let sql = Sql::new(dialect, "late_answer", text)
        .id(ending.live.attempt)
        .int_or_null(detail.http_status.map(i64::from))
        .text_or_null(detail.request_id.as_deref());
    detail.usage_columns(sql).run(on).await?;
    Ok(())
}

fn answered_late(job: JobId, ending: &Ending) -> Event {
    let (live, detail) = (&ending.live, &ending.detail);
    let data = json!({
        "job_id": job,
        "custom_id": live.custom_id,
        "task_id": live.backlog,
        "attempt": live.number,
        "attempt_state": live.state,
        "usage": detail.told_usage(),
        "cost": detail.told_cost(),
    });
    let subject = format!("job/{job}/task/{}", live.custom_id);
    Event::new(EventType::TaskAnsweredLate, job, subject, &live.attempt.to_string(), data)
}
