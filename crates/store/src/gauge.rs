//! What stands in the database right now, in numbers: the gauges.

use domain::Time;

use crate::sql::Row;
use crate::{Store, StoreError};

/// What stands in the database right now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Jobs that have not ended, by state.
    pub jobs: Vec<(String, u64)>,
    /// Batches that have not ended, by state.
    pub batches: Vec<(String, u64)>,
    /// Batches that wait for a person, by reason.
    pub parked: Vec<(String, u64)>,
    /// Events that wait to be published, and when the oldest was written.
    pub events: (u64, Option<Time>),
    /// When the most overdue poll was due.
    pub poll_oldest_due: Option<Time>,
    /// When the first open batch expires.
    pub next_expiry: Option<Time>,
    /// Schedules that are there.
    pub schedules: Vec<ScheduleGauge>,
}

/// Where a schedule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleGauge {
    /// Its name.
    pub name: String,
    /// When its next night is; none: it is switched off.
    pub next: Option<Time>,
    /// When a run of it was last finished.
    pub last_success: Option<Time>,
    /// Whether it is paused.
    pub paused: bool,
    /// Its runs that were finished.
    pub finished: u64,
    /// Its nights that were skipped, since it was paused.
    pub skipped: u64,
    /// Its nights that nobody was up for.
    pub missed: u64,
}

impl Store {
    /// The gauges.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn gauges(&self) -> Result<Gauges, StoreError> {
        let jobs = self.count_by("state", "batch_jobs", "ended_at IS NULL").await?;
        let ends = "state NOT IN ('collected', 'refused', 'cancelled', 'abandoned')";
        let batches = self.count_by("state", "batches", ends).await?;
        let parked = self.count_by("parked", "batches", "state = 'parked'").await?;
        let text = "SELECT count(*) AS n, min(created_at) AS at FROM events WHERE published_at IS NULL";
        let waiting = self.sql("gauges", text).one(&self.connection).await?;
        let events = match waiting {
            Some(row) => (row.count("n")?, row.get("at")?),
            None => (0, None),
        };
        let due = format!(
            "SELECT min(due_at) AS at FROM orders WHERE lane = 'poll' AND due_at <= {}",
            self.dialect.now()
        );
        let expiry = "SELECT min(expires_at) AS at FROM batches WHERE state = 'open'";
        Ok(Gauges {
            jobs,
            batches,
            parked,
            events,
            poll_oldest_due: self.one_time(due).await?,
            next_expiry: self.one_time(expiry.to_owned()).await?,
            schedules: self.schedule_gauges().await?,
        })
    }

    async fn schedule_gauges(&self) -> Result<Vec<ScheduleGauge>, StoreError> {
        // Only what is finished has the time of its end.
        let text = "SELECT s.name, s.next_at, s.paused_at, max(r.finished_at) AS last_at, \
            sum(CASE WHEN r.state = 'finished' THEN 1 ELSE 0 END) AS finished, \
            sum(CASE WHEN r.state = 'skipped' THEN 1 ELSE 0 END) AS skipped, \
            sum(CASE WHEN r.state = 'missed' THEN 1 ELSE 0 END) AS missed \
            FROM schedules s LEFT JOIN schedule_runs r ON r.schedule = s.name WHERE NOT s.removed \
            GROUP BY s.name, s.next_at, s.paused_at ORDER BY s.name";
        let rows = self.sql("gauges", text).all(&self.connection).await?;
        let read = |row: &Row| {
            let paused: Option<Time> = row.get("paused_at")?;
            Ok(ScheduleGauge {
                name: row.text("name")?,
                next: row.get("next_at")?,
                last_success: row.get("last_at")?,
                paused: paused.is_some(),
                finished: row.count("finished")?,
                skipped: row.count("skipped")?,
                missed: row.count("missed")?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn count_by(
        &self,
        word: &str,
        table: &str,
        condition: &str,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let text =
            format!("SELECT {word} AS word, count(*) AS n FROM {table} WHERE {condition} GROUP BY {word}");
        let rows = self.sql("gauges", text).all(&self.connection).await?;
        rows.iter().map(|row| Ok((row.text("word")?, row.count("n")?))).collect()
    }

    async fn one_time(&self, text: String) -> Result<Option<Time>, StoreError> {
        let row = self.sql("gauges", text).one(&self.connection).await?;
        row.map_or(Ok(None), |row| row.get("at"))
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It doesn't.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.sql("ping", "SELECT 1 AS one").one(&self.connection).await.map(drop)
    }
}
