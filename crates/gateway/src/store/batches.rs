//! The table `served_batches`. Every write states the status that it believed, and answers whether it was so:
//! somebody else having been faster is an ordinary outcome.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use wire::{Batch, BatchError, BatchErrors, BatchStatus, File, RequestCounts, Usage};

use super::sql::{Row, Sql};
use super::{Store, files};
use crate::error::GatewayError;

const OPEN: &str = "status IN ('validating', 'in_progress', 'finalizing', 'cancelling')";
/// Seconds until a batch expires.
const WINDOW_SECONDS: i64 = 86_400;

/// A batch as it stands in the database.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// Counts the batches of this gateway, from 1.
    pub(crate) ordinal: u64,
    /// What clients see.
    pub(crate) batch: Batch,
    /// Where successes are written, and how many bytes of it count.
    pub(crate) output: (String, u64),
    /// Where the rest is written.
    pub(crate) error: (String, u64),
    /// When the result files go, in seconds from their creation.
    pub(crate) output_expires_seconds: Option<i64>,
}

impl Served {
    /// Request lines; 0 until the file was checked.
    pub(crate) fn total(&self) -> u32 {
        let total = self.batch.request_counts.map_or(0, |counts| counts.total);
        u32::try_from(total).unwrap_or(u32::MAX)
    }
}

/// A batch to create.
#[derive(Debug)]
pub(crate) struct NewBatch {
    pub(crate) id: String,
    pub(crate) input_file_id: String,
    pub(crate) endpoint: String,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    pub(crate) output_expires_seconds: Option<i64>,
    pub(crate) output_file_id: String,
    pub(crate) error_file_id: String,
}

impl Store {
    pub(crate) async fn add_batch(&self, new: &NewBatch, now: i64) -> Result<(), GatewayError> {
        let metadata = new.metadata.as_ref().and_then(|metadata| serde_json::to_string(metadata).ok());
        let insert = "INSERT INTO served_batches (id, status, endpoint, input_file_id, completion_window, metadata, \
            output_file_id, error_file_id, output_expires_seconds, created_at, expires_at) \
            VALUES (?, 'validating', ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let insert =
            Sql::new("create batch", insert).bind(&new.id).bind(&new.endpoint).bind(&new.input_file_id);
        let insert = insert.bind(wire::COMPLETION_WINDOW).bind(metadata).bind(&new.output_file_id);
        let insert = insert.bind(&new.error_file_id).bind(new.output_expires_seconds);
        insert.bind(now).bind(now + WINDOW_SECONDS).run(&self.connection).await?;
        Ok(())
    }

    pub(crate) async fn batch(&self, id: &str) -> Result<Option<Served>, GatewayError> {
        let select = "SELECT * FROM served_batches WHERE id = ?";
        let row = Sql::new("read batch", select).bind(id).one(&self.connection).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Up to `limit` batches, newest first, and whether more follow; none where `after` was never a batch.
    pub(crate) async fn batches(
        &self,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Option<(Vec<Batch>, bool)>, GatewayError> {
        let before = match after {
            None => i64::MAX,
            Some(id) => match self.batch(id).await? {
                None => return Ok(None),
                Some(served) => i64::try_from(served.ordinal).unwrap_or(i64::MAX),
            },
        };
        let select = "SELECT * FROM served_batches WHERE ordinal < ? ORDER BY ordinal DESC LIMIT ?";
        let query = Sql::new("list batches", select).bind(before).count(limit + 1);
        let rows = query.all(&self.connection).await?;
        let batches = rows.iter().map(|row| read(row).map(|served| served.batch));
        let mut batches: Vec<Batch> = batches.collect::<Result<_, _>>()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = batches.len() > limit;
        batches.truncate(limit);
        Ok(Some((batches, more)))
    }

    /// Up to `limit` batches that have not ended, oldest first.
    pub(crate) async fn open_batches(&self, limit: usize) -> Result<Vec<String>, GatewayError> {
        let select = format!("SELECT id FROM served_batches WHERE {OPEN} ORDER BY ordinal LIMIT ?");
        let rows = Sql::new("open batches", select).count(limit).all(&self.connection).await?;
        rows.iter().map(|row| row.get("id")).collect()
    }

    /// validating → failed.
    pub(crate) async fn refuse_batch(
        &self,
        id: &str,
        errors: Vec<BatchError>,
        now: i64,
    ) -> Result<bool, GatewayError> {
        let errors = BatchErrors { object: Some("list".to_owned()), data: errors };
        let update = "UPDATE served_batches SET status = 'failed', errors = ?, failed_at = ? \
            WHERE id = ? AND status = 'validating'";
        let errors = serde_json::to_string(&errors).unwrap_or_default();
        let update = Sql::new("refuse batch", update).bind(errors).bind(now).bind(id);
        Ok(update.run(&self.connection).await? == 1)
    }

    /// validating → in_progress, unless the input file was deleted meanwhile: whoever deletes the file of a
    /// batch that doesn't run yet may rely on it that nothing will.
    pub(crate) async fn begin_batch(
        &self,
        id: &str,
        model: &str,
        total: u32,
        now: i64,
    ) -> Result<bool, GatewayError> {
        let update = "UPDATE served_batches SET status = 'in_progress', model = ?, total = ?, in_progress_at = ? \
            WHERE id = ? AND status = 'validating' AND EXISTS \
            (SELECT 1 FROM served_files WHERE id = input_file_id AND deleted_at IS NULL)";
        let update = Sql::new("begin batch", update).bind(model).bind(i64::from(total)).bind(now).bind(id);
        Ok(update.run(&self.connection).await? == 1)
    }

    /// in_progress → finalizing.
    pub(crate) async fn finalize_batch(&self, id: &str, now: i64) -> Result<bool, GatewayError> {
        let update = "UPDATE served_batches SET status = 'finalizing', finalizing_at = ? \
            WHERE id = ? AND status = 'in_progress'";
        Ok(Sql::new("finalize batch", update).bind(now).bind(id).run(&self.connection).await? == 1)
    }

    /// validating, in_progress or finalizing → cancelling.
    pub(crate) async fn cancel_batch(&self, id: &str, now: i64) -> Result<bool, GatewayError> {
        let update = "UPDATE served_batches SET status = 'cancelling', cancelling_at = ? \
            WHERE id = ? AND status IN ('validating', 'in_progress', 'finalizing')";
        Ok(Sql::new("cancel batch", update).bind(now).bind(id).run(&self.connection).await? == 1)
    }

    /// `from` → `to`, an end, together with its result files.
    pub(crate) async fn end_batch(
        &self,
        id: &str,
        (from, to): (BatchStatus, BatchStatus),
        files: Vec<File>,
        error_bytes: u64,
        now: i64,
    ) -> Result<bool, GatewayError> {
        let update = format!(
            "UPDATE served_batches SET status = ?, {to}_at = ?, error_bytes = ? WHERE id = ? AND status = ?"
        );
        let update = Sql::new("end batch", update).bind(to.as_str()).bind(now).count(error_bytes);
        let update = update.bind(id).bind(from.as_str());
        self.transaction("end batch", move |on| {
            async move {
                if update.run(on).await? == 0 {
                    return Ok(false);
                }
                for file in &files {
                    files::insert(on, file).await?;
                }
                Ok(true)
            }
            .boxed()
        })
        .await
    }
}

fn read(row: &Row) -> Result<Served, GatewayError> {
    let status = BatchStatus::from(row.get::<String>("status")?);
    let output = (row.get("output_file_id")?, row.count("output_bytes")?);
    let error = (row.get("error_file_id")?, row.count("error_bytes")?);
    let ended = status.is_terminal();
    let shown = |(id, bytes): &(String, u64)| (ended && *bytes > 0).then(|| id.clone());
    let batch = Batch {
        id: row.get("id")?,
        object: "batch".to_owned(),
        endpoint: row.get("endpoint")?,
        model: row.get("model")?,
        errors: row.json("errors")?,
        input_file_id: row.get("input_file_id")?,
        completion_window: row.get("completion_window")?,
        output_file_id: shown(&output),
        error_file_id: shown(&error),
        created_at: row.get("created_at")?,
        in_progress_at: row.get("in_progress_at")?,
        expires_at: row.get("expires_at")?,
        finalizing_at: row.get("finalizing_at")?,
        completed_at: row.get("completed_at")?,
        failed_at: row.get("failed_at")?,
        expired_at: row.get("expired_at")?,
        cancelling_at: row.get("cancelling_at")?,
        cancelled_at: row.get("cancelled_at")?,
        request_counts: Some(RequestCounts {
            total: row.count("total")?,
            completed: row.count("completed")?,
            failed: row.count("failed")?,
        }),
        usage: usage(row)?,
        metadata: row.json("metadata")?,
        status,
    };
    Ok(Served {
        ordinal: row.count("ordinal")?,
        batch,
        output,
        error,
        output_expires_seconds: row.get("output_expires_seconds")?,
    })
}

/// None until the batch runs.
fn usage(row: &Row) -> Result<Option<Usage>, GatewayError> {
    if row.get::<Option<i64>>("in_progress_at")?.is_none() {
        return Ok(None);
    }
    let (input_tokens, output_tokens) = (row.count("input_tokens")?, row.count("output_tokens")?);
    let total_tokens = input_tokens + output_tokens;
    Ok(Some(Usage { input_tokens, output_tokens, total_tokens, ..Usage::default() }))
}
