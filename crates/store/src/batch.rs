//! Batches: reading and writing them whole, and the lines of their input files.

use crash::Step;
use domain::{
    Absence, Batch, BatchDecision, BatchId, BatchState, CreateDoubt, CreateKey, End, JobId, Loss, NextOrder,
    Parked, Remote, TaskId, Time,
};
use sea_orm::DatabaseTransaction;

use crate::dialect::Dialect;
use crate::sql::{Row, Sql};
use crate::{CHUNK, Store, StoreError};

/// A batch with all that people are shown of it.
#[derive(Clone, Debug)]
pub struct BatchRow {
    /// What the rules see.
    pub batch: Batch,
    /// Its number within the job, from 1.
    pub number: u32,
    /// The model of its lines.
    pub model: String,
    /// The endpoint of its lines.
    pub endpoint: String,
    /// Lines.
    pub requests: u32,
    /// Bytes of its input file.
    pub bytes: u64,
    /// The provider's id of the input file of the latest upload that has one.
    pub file_id: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was planned.
    pub created_at: Time,
}

/// A line of a batch's input file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Its number in the file, from 1.
    pub line: i64,
    /// Its name.
    pub custom_id: String,
    /// The request body, JSON.
    pub body: String,
}

impl Store {
    /// A batch.
    ///
    /// # Errors
    /// A database that fails, or a batch that isn't there.
    pub async fn batch(&self, id: BatchId) -> Result<BatchRow, StoreError> {
        let found = self.batches_where("id = $1", id.0).await?.pop();
        found.ok_or_else(|| StoreError::Missing { table: "batch", id: id.to_string() })
    }

    /// The batches of a job, by number.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn batches(&self, job: JobId) -> Result<Vec<BatchRow>, StoreError> {
        self.batches_where("job_id = $1", job.0).await
    }

    /// A batch, if it is there.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn try_batch(&self, id: BatchId) -> Result<Option<BatchRow>, StoreError> {
        Ok(self.batches_where("id = $1", id.0).await?.pop())
    }

    /// Batches by their ids; those that aren't there are left out.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn batches_by_id(&self, ids: &[BatchId]) -> Result<Vec<BatchRow>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let sql = self.sql("batches_by_id", "SELECT * FROM batches WHERE id IN (");
            let rows = sql.ids(chunk.iter().map(|id| id.0)).then(")").all(&self.connection).await?;
            found.extend(rows.iter().map(read).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(found)
    }

    /// The provider's id of the batch, of the jobs that `provider` runs, that it created next after `time`: in its
    /// list, which shows newer ones first, that of `time` stand behind it.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn created_next(&self, provider: &str, time: Time) -> Result<Option<String>, StoreError> {
        let text = "SELECT provider_id FROM batches WHERE remote_created_at > $1 AND provider_id IS NOT NULL \
            AND job_id IN (SELECT id FROM batch_jobs WHERE provider = $2) ORDER BY remote_created_at LIMIT 1";
        let row = self.sql("created_next", text).time(time).text(provider).one(&self.connection).await?;
        row.map(|row| row.text("provider_id")).transpose()
    }

    async fn batches_where(&self, condition: &str, id: uuid::Uuid) -> Result<Vec<BatchRow>, StoreError> {
        let text = format!("SELECT * FROM batches WHERE {condition} ORDER BY number");
        self.sql("batch", text).id(id).all(&self.connection).await?.iter().map(read).collect()
    }

    /// Lines of a batch's input file after `line`, in order.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn request_rows(
        &self,
        batch: BatchId,
        line: i64,
        limit: u32,
    ) -> Result<Vec<RequestRow>, StoreError> {
        let text = "SELECT a.line, a.custom_id, r.body FROM attempts a \
            JOIN task_requests r ON r.task_id = a.task_id \
            WHERE a.batch_id = $1 AND a.line > $2 ORDER BY a.line LIMIT $3";
        let rows =
            self.sql("request_rows", text).id(batch.0).int(line).int(limit).all(&self.connection).await?;
        rows.iter()
            .map(|row| {
                let (line, custom_id) = (row.int("line")?, row.text("custom_id")?);
                Ok(RequestRow { line, custom_id, body: row.text("body")? })
            })
            .collect()
    }

    /// The frozen request body of a task.
    ///
    /// # Errors
    /// A database that fails, or a task that isn't planned.
    pub async fn request_body(&self, task: TaskId) -> Result<String, StoreError> {
        let text = "SELECT body FROM task_requests WHERE task_id = $1";
        let row = self.sql("request_body", text).id(task.0).one(&self.connection).await?;
        row.ok_or_else(|| StoreError::Missing { table: "request of task", id: task.to_string() })?
            .text("body")
    }
}

/// Writes a batch whole, with why it is where it is, if its version is still the one that was read. A note lasts
/// until a decision moves the batch on.
pub(crate) async fn update(
    dialect: Dialect,
    on: &DatabaseTransaction,
    decision: &BatchDecision,
    by: Step,
    now: Time,
) -> Result<bool, StoreError> {
    let batch = &decision.batch;
    let columns = Columns::of(batch);
    let text = "UPDATE batches SET state = $3, upload = $4, cancel = $5, file_id = coalesce($6, file_id), \
        create_deadline = $7, absent_looks = $8, absent_since = $9, provider_id = $10, provider_end = $11, \
        parked = $12, remote_status = $13, remote_total = $14, remote_completed = $15, remote_failed = $16, \
        output_file_id = $17, error_file_id = $18, remote_created_at = $19, expires_at = $20, \
        remote_ended_at = $21, last_error = CASE WHEN $25 = 1 THEN coalesce($22, last_error) ELSE $22 END, updated_at = $23, updated_by = $24, \
        version = version + 1 WHERE id = $1 AND version = $2";
    let remote = &batch.remote;
    let sql = Sql::new(dialect, by.word(), text)
        .id(batch.id.0)
        .int(batch.version)
        .text(batch.state.as_str())
        .int(batch.upload)
        .bind(batch.cancel)
        .text_or_null(columns.file_id)
        .time_or_null(columns.deadline)
        .int(columns.absence.looks)
        .time_or_null(columns.absence.since)
        .text_or_null(batch.state.provider_id())
        .text_or_null(columns.end)
        .text_or_null(columns.parked)
        .text_or_null(remote.status.as_deref())
        .int(remote.total)
        .int(remote.completed)
        .int(remote.failed)
        .text_or_null(remote.output_file_id.as_deref())
        .text_or_null(remote.error_file_id.as_deref())
        .time_or_null(remote.created_at)
        .time_or_null(remote.expires_at)
        .time_or_null(remote.ended_at)
        .text_or_null(decision.note.as_deref())
        .time(now)
        .text(by.word())
        .int(i64::from(decision.order == NextOrder::Keep));
    Ok(sql.run(on).await? == 1)
}

/// What a state keeps in columns.
#[derive(Default)]
struct Columns<'a> {
    file_id: Option<&'a str>,
    deadline: Option<Time>,
    absence: Absence,
    end: Option<&'static str>,
    parked: Option<&'static str>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a Batch) -> Self {
        let mut columns =
            Self { file_id: batch.state.key().map(|key| key.file_id.as_str()), ..Self::default() };
        match &batch.state {
            BatchState::Creating { deadline, .. } => columns.deadline = Some(*deadline),
            BatchState::Unknown { absence, .. } | BatchState::Fenced { absence, .. } => {
                columns.absence = *absence;
            }
            BatchState::Collecting { end, .. } => columns.end = Some(end.as_str()),
            BatchState::Parked(parked) => columns.parked = Some(parked.as_str()),
            _ => {}
        }
        columns
    }
}

fn read(row: &Row) -> Result<BatchRow, StoreError> {
    let batch = Batch {
        id: BatchId(row.id("id")?),
        job: JobId(row.id("job_id")?),
        version: row.int("version")?,
        upload: row.small("upload")?,
        cancel: row.get("cancel")?,
        state: state(row)?,
        remote: Remote {
            status: row.get("remote_status")?,
            total: row.count("remote_total")?,
            completed: row.count("remote_completed")?,
            failed: row.count("remote_failed")?,
            output_file_id: row.get("output_file_id")?,
            error_file_id: row.get("error_file_id")?,
            created_at: row.get("remote_created_at")?,
            expires_at: row.get("expires_at")?,
            ended_at: row.get("remote_ended_at")?,
        },
    };
    Ok(BatchRow {
        batch,
        number: row.small("number")?,
        model: row.text("model")?,
        endpoint: row.text("endpoint")?,
        requests: row.small("requests")?,
        bytes: row.count("bytes")?,
        file_id: row.get("file_id")?,
        last_error: row.get("last_error")?,
        created_at: row.get("created_at")?,
    })
}

fn state(row: &Row) -> Result<BatchState, StoreError> {
    let key = || -> Result<CreateKey, StoreError> {
        Ok(CreateKey { upload: row.small("upload")?, file_id: row.text("file_id")? })
    };
    let absence = || -> Result<Absence, StoreError> {
        Ok(Absence { looks: row.small("absent_looks")?, since: row.get("absent_since")? })
    };
    let provider_id = || row.text("provider_id");
    let word = row.text("state")?;
    Ok(match word.as_str() {
        "filling" => BatchState::Filling,
        "planned" => BatchState::Planned,
        "creating" => BatchState::Creating { key: key()?, deadline: row.get("create_deadline")? },
        "unknown" => BatchState::Unknown { key: key()?, absence: absence()? },
        "fencing" => BatchState::Fencing { key: key()? },
        "fenced" => BatchState::Fenced { key: key()?, absence: absence()? },
        "open" => BatchState::Open { provider_id: provider_id()? },
        "collecting" => {
            BatchState::Collecting { provider_id: provider_id()?, end: row.word("provider_end", End::parse)? }
        }
        "collected" => BatchState::Collected { provider_id: provider_id()? },
        "refused" => BatchState::Refused,
        "cancelled" => BatchState::Cancelled,
        "abandoned" => BatchState::Abandoned { provider_id: row.get("provider_id")? },
        "parked" => BatchState::Parked(parked(row, key, provider_id)?),
        _ => return Err(row.unreadable("state", &word)),
    })
}

fn parked(
    row: &Row,
    key: impl Fn() -> Result<CreateKey, StoreError>,
    provider_id: impl Fn() -> Result<String, StoreError>,
) -> Result<Parked, StoreError> {
    let word = row.text("parked")?;
    let create = |doubt| -> Result<Parked, StoreError> { Ok(Parked::Create { key: key()?, doubt }) };
    let provider =
        |loss| -> Result<Parked, StoreError> { Ok(Parked::Provider { provider_id: provider_id()?, loss }) };
    match word.as_str() {
        "create_unknown" => create(CreateDoubt::Absent),
        "fence_refused" => create(CreateDoubt::FenceRefused),
        "vanished" => provider(Loss::Vanished),
        "files_gone" => provider(Loss::FilesGone),
        "failing" => provider(Loss::Failing),
        "submit_failing" => Ok(Parked::Submit),
        _ => Err(row.unreadable("parked", &word)),
    }
}
