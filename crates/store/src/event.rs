//! Events: written in the transaction that causes them, read in order.

use chrono::TimeDelta;
use crash::Step;
use domain::{CommandId, Event, EventId, EventType, JobId, Stream, Time, Trace};
use sea_orm::DatabaseTransaction;
use serde_json::Value;

use crate::dialect::Dialect;
use crate::sql::{Row, Sql};
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
    /// What it belongs to.
    pub stream: Stream,
    /// Its place within its stream, from 1.
    pub sequence: u64,
    /// The facts.
    pub data: Value,
    /// Its place in a trace.
    pub trace: Option<Trace>,
    /// When it was written.
    pub created_at: Time,
}

/// A place in the order of events: by time, and within an instant as each job or schedule counted them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPlace {
    /// When it was written, by the clock of the process that wrote it.
    pub created_at: Time,
    /// What it belongs to, as text.
    pub stream: String,
    /// Its place within its stream, from 1.
    pub sequence: u64,
}

impl EventPlace {
    /// Before all events of an instant.
    #[must_use]
    pub fn at(created_at: Time) -> Self {
        Self { created_at, stream: String::new(), sequence: 0 }
    }
}

impl EventRow {
    /// Its place in the order of events.
    #[must_use]
    pub fn place(&self) -> EventPlace {
        EventPlace { created_at: self.created_at, stream: self.stream.to_string(), sequence: self.sequence }
    }
}

impl Store {
    /// Events behind a place, in order. What a slow transaction writes may turn up before places that were
    /// read already: its time is from before its commit.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn events(
        &self,
        after: EventPlace,
        job: Option<JobId>,
        limit: u64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let stream = self.stream_text();
        let text = format!(
            "SELECT * FROM events WHERE created_at >= $1 AND (created_at > $1 OR {stream} > $2 \
                OR ({stream} = $2 AND sequence > $3)) \
             AND ($4 = 0 OR job_id = $5) ORDER BY created_at, {stream}, sequence LIMIT $6"
        );
        let sql = self.sql("events", text).time(after.created_at).text(after.stream).int(after.sequence);
        let sql = sql.int(i64::from(job.is_some())).id(job.map(|job| job.0).unwrap_or_default());
        sql.int(limit).all(&self.connection).await?.iter().map(read).collect()
    }

    /// What an event belongs to, as text: a stream's own words.
    fn stream_text(&self) -> String {
        let (job, command) = (self.dialect.id_text("job_id"), self.dialect.id_text("command"));
        format!("coalesce({job}, 'schedule/' || schedule, 'command/' || {command})")
    }

    /// Events that nobody outside has heard of, oldest first.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn unpublished_events(&self, limit: usize) -> Result<Vec<EventRow>, StoreError> {
        let stream = self.stream_text();
        let text = format!(
            "SELECT * FROM events WHERE published_at IS NULL ORDER BY created_at, {stream}, sequence LIMIT $1"
        );
        let rows = self.sql("unpublished_events", text).int(i64::try_from(limit).unwrap_or(i64::MAX));
        rows.all(&self.connection).await?.iter().map(read).collect()
    }

    /// Says what became of a command from outside. What was said before is left as it is.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn say_of_command(&self, command: CommandId, event: &Event) -> Result<(), StoreError> {
        let insert = "INSERT INTO events (id, type, subject, command, sequence, data, trace, created_at) \
            SELECT $1, $2, $3, $4, coalesce(max(sequence), 0) + 1, $5, $6, $7 FROM events WHERE command = $4 \
            ON CONFLICT (id) DO NOTHING";
        let sql = self.write(Step::SayOfCommand, insert).id(event.id.0).text(event.event_type.as_str());
        let sql = sql.text(&event.subject).id(command.0).bind(event.data.clone());
        let sql = sql.text_or_null(event.trace.map(|trace| trace.to_string()).as_deref());
        sql.time(self.clock.now()).run(&self.connection).await?;
        Ok(())
    }

    /// Marks events as published.
    ///
    /// # Errors
    /// A database that fails: they are published again, with the same ids.
    pub async fn mark_published(&self, events: &[EventId]) -> Result<(), StoreError> {
        for chunk in events.chunks(CHUNK) {
            let sql = self.write(Step::Published, "UPDATE events SET published_at = $1 WHERE id IN (");
            let ids = chunk.iter().map(|id| id.0);
            sql.time(self.clock.now()).ids(ids).then(")").run(&self.connection).await?;
        }
        Ok(())
    }

    /// Has the events published once more that were published in the last `back`: whoever kept them has lost
    /// them. Answers how many.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn publish_again(&self, back: TimeDelta) -> Result<u64, StoreError> {
        let since = self.clock.now().checked_sub_signed(back).unwrap_or(Time::MIN_UTC);
        let text = "UPDATE events SET published_at = NULL WHERE published_at >= $1";
        self.write(Step::PublishAgain, text).time(since).run(&self.connection).await
    }
}

fn read(row: &Row) -> Result<EventRow, StoreError> {
    let stream = match (row.id_or_null("job_id")?, row.id_or_null("command")?) {
        (Some(job), _) => Stream::Job(JobId(job)),
        (None, Some(command)) => Stream::Command(CommandId(command)),
        (None, None) => Stream::Schedule(row.text("schedule")?),
    };
    Ok(EventRow {
        id: EventId(row.id("id")?),
        event_type: row.word("type", EventType::parse)?,
        subject: row.text("subject")?,
        stream,
        sequence: row.count("sequence")?,
        data: row.get("data")?,
        trace: trace(row)?,
        created_at: row.get("created_at")?,
    })
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
    let update = "UPDATE batch_jobs SET event_sequence = event_sequence + $2 WHERE id = $1 \
        RETURNING event_sequence, trace";
    let sequence = Sql::new(dialect, "event_sequence", update).id(job.0).int(count(events));
    let row = sequence.one(on).await?;
    let row = row.ok_or_else(|| StoreError::Missing { table: "job", id: job.to_string() })?;
    let last = row.int("event_sequence")?;
    if write(dialect, on, (last, trace(&row)?), events, now).await? < count(events) {
        let last = close_gaps(dialect, on, last, events).await?;
        let update = "UPDATE batch_jobs SET event_sequence = $2 WHERE id = $1";
        Sql::new(dialect, "event_sequence", update).id(job.0).int(last).run(on).await?;
    }
    Ok(())
}

/// Writes events of a schedule, in the same way.
pub(crate) async fn insert_of_schedule(
    dialect: Dialect,
    on: &DatabaseTransaction,
    name: &str,
    events: &[Event],
    now: Time,
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let update =
        "UPDATE schedules SET event_sequence = event_sequence + $2 WHERE name = $1 RETURNING event_sequence";
    let row = Sql::new(dialect, "event_sequence", update).text(name).int(count(events)).one(on).await?;
    let row = row.ok_or_else(|| StoreError::Missing { table: "schedule", id: name.to_owned() })?;
    let last = row.int("event_sequence")?;
    if write(dialect, on, (last, None), events, now).await? < count(events) {
        let last = close_gaps(dialect, on, last, events).await?;
        let update = "UPDATE schedules SET event_sequence = $2 WHERE name = $1";
        Sql::new(dialect, "event_sequence", update).text(name).int(last).run(on).await?;
    }
    Ok(())
}

/// Some of the events were there before, and their new numbers are free: those behind them move up. Answers the last
/// number that is taken.
async fn close_gaps(
    dialect: Dialect,
    on: &DatabaseTransaction,
    last: i64,
    events: &[Event],
) -> Result<i64, StoreError> {
    let mut taken = last - count(events);
    for event in events {
        let update = "UPDATE events SET sequence = $2 WHERE id = $1 AND sequence >= $2";
        let moved = Sql::new(dialect, "events", update).id(event.id.0).int(taken + 1).run(on).await?;
        taken += i64::from(moved > 0);
    }
    Ok(taken)
}

fn count(events: &[Event]) -> i64 {
    i64::try_from(events.len()).unwrap_or(i64::MAX)
}

/// A place in a trace, if there is one.
pub(crate) fn trace(row: &Row) -> Result<Option<Trace>, StoreError> {
    let text: Option<String> = row.get("trace")?;
    text.map(|text| text.parse().map_err(|_| row.unreadable("trace", &text))).transpose()
}

/// Writes events whose last one gets the number `last`; those without a place in a trace get that of what they
/// belong to. Answers how many were not there before.
async fn write(
    dialect: Dialect,
    on: &DatabaseTransaction,
    (last, place): (i64, Option<Trace>),
    events: &[Event],
    now: Time,
) -> Result<i64, StoreError> {
    let insert = "INSERT INTO events (id, type, subject, job_id, schedule, command, sequence, data, trace, created_at) VALUES ";
    let numbered: Vec<(i64, &Event)> = (last - count(events) + 1..).zip(events).collect();
    let mut written = 0;
    for chunk in numbered.chunks(CHUNK) {
        written += Sql::new(dialect, "events", insert)
            .rows(chunk, |values, (sequence, event)| {
                values.id(event.id.0).text(event.event_type.as_str()).text(&event.subject);
                match &event.stream {
                    Stream::Job(job) => values.id(job.0).text_or_null(None).id_or_null(None),
                    Stream::Schedule(name) => values.id_or_null(None).text(name).id_or_null(None),
                    Stream::Command(id) => values.id_or_null(None).text_or_null(None).id(id.0),
                };
                values.int(*sequence).bind(event.data.clone());
                let trace = event.trace.or(place).map(|trace| trace.to_string());
                values.text_or_null(trace.as_deref()).bind(now);
            })
            .then(" ON CONFLICT (id) DO NOTHING")
            .run(on)
            .await?;
    }
    Ok(i64::try_from(written).unwrap_or(i64::MAX))
}
