//! Events: written in the transaction that causes them, read in order.

use domain::{Event, EventId, EventType, JobId, Time};
use sea_orm::DatabaseTransaction;
use serde_json::Value;

use crate::dialect::Dialect;
use crate::sql::Sql;
use crate::{CHUNK, Store, StoreError};

/// An event with its place.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Its id: the same for the same occurrence.
    pub id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// What it is about.
    pub subject: String,
    /// The job it belongs to.
    pub job: JobId,
    /// Its place within the job, from 1.
    pub sequence: u64,
    /// The facts.
    pub data: Value,
    /// When it was written.
    pub created_at: Time,
}

impl Store {
    /// Events written after `after` (a place that an earlier call gave), oldest first.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn events(
        &self,
        after: Option<(Time, EventId)>,
        job: Option<JobId>,
        limit: u64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let (time, id) = after.map_or((Time::UNIX_EPOCH, None), |(time, id)| (time, Some(id.0)));
        let text = "SELECT * FROM events WHERE (created_at > $1 OR (created_at = $1 AND id > $2)) \
            AND ($3 = 0 OR job_id = $4) ORDER BY created_at, id LIMIT $5";
        let sql =
            self.sql("events", text).time(time).id(id.unwrap_or_default()).int(i64::from(job.is_some()));
        let rows = sql.id(job.map(|job| job.0).unwrap_or_default()).int(limit).all(&self.connection).await?;
        rows.iter()
            .map(|row| {
                Ok(EventRow {
                    id: EventId(row.id("id")?),
                    event_type: row.word("type", EventType::parse)?,
                    subject: row.text("subject")?,
                    job: JobId(row.id("job_id")?),
                    sequence: row.count("sequence")?,
                    data: row.get("data")?,
                    created_at: row.get("created_at")?,
                })
            })
            .collect()
    }
}

/// Writes events of a job. One that was written before is left as it is.
pub(crate) async fn insert(
    dialect: Dialect,
    on: &DatabaseTransaction,
    job: JobId,
    events: &[Event],
    now: Time,
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let update =
        "UPDATE batch_jobs SET event_sequence = event_sequence + $2 WHERE id = $1 RETURNING event_sequence";
    let row = Sql::new(dialect, "event_sequence", update).id(job.0).int(count).one(on).await?;
    let last = row
        .ok_or_else(|| StoreError::Missing { table: "job", id: job.to_string() })?
        .int("event_sequence")?;
    let numbered: Vec<(i64, &Event)> = (last - count + 1..).zip(events).collect();
    for chunk in numbered.chunks(CHUNK) {
        Sql::new(
            dialect,
            "events",
            "INSERT INTO events (id, type, subject, job_id, sequence, data, created_at) VALUES ",
        )
        .rows(chunk, |values, (sequence, event)| {
            values.id(event.id.0).text(event.event_type.as_str()).text(&event.subject).id(job.0);
            values.int(*sequence).bind(event.data.clone()).bind(now);
        })
        .then(" ON CONFLICT (id) DO NOTHING")
        .run(on)
        .await?;
    }
    Ok(())
}
