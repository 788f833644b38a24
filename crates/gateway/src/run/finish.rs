//! The end of a batch: lines for the rows that never ran, then the result files become visible together with
//! the final status. May be repeated from the start after a crash at any point.

use tokio::io::{AsyncWriteExt, BufWriter};
use wire::{BatchStatus, File, LineError, PURPOSE_BATCH_OUTPUT, ResponseLine};

use crate::app::App;
use crate::clock;
use crate::error::GatewayError;
use crate::id;
use crate::lines::Lines;
use crate::store::Served;

/// Result files go 30 days after the end, where nobody says otherwise.
const OUTPUT_EXPIRES_SECONDS: i64 = 2_592_000;

/// How a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Completed,
    Expired,
    Cancelled,
}

impl Ending {
    fn statuses(self) -> (BatchStatus, BatchStatus) {
        match self {
            Self::Completed => (BatchStatus::Finalizing, BatchStatus::Completed),
            Self::Expired => (BatchStatus::InProgress, BatchStatus::Expired),
            Self::Cancelled => (BatchStatus::Cancelling, BatchStatus::Cancelled),
        }
    }

    /// What is said of a row that never ran.
    fn error(self) -> Option<LineError> {
        let (code, message) = match self {
            Self::Completed => return None,
            Self::Expired => {
                ("batch_expired", "This request could not be executed before the completion window expired.")
            }
            Self::Cancelled => {
                ("batch_cancelled", "This request was not executed because the batch was cancelled.")
            }
        };
        Some(LineError { code: code.to_owned(), message: message.to_owned() })
    }
}

/// Ends a batch.
pub(super) async fn finish(app: &App, batch_id: &str, ending: Ending) -> Result<(), GatewayError> {
    let Some(served) = app.store.batch(batch_id).await? else { return Ok(()) };
    let (output_id, output_bytes) = &served.output;
    let (error_id, _) = &served.error;
    drop(app.blobs.append(output_id, *output_bytes).await?);
    let error_bytes = write_unfinished(app, &served, ending.error()).await?;

    let now = clock::now();
    let mut files = Vec::new();
    for (id, bytes, kind) in [(output_id, *output_bytes, "output"), (error_id, error_bytes, "error")] {
        if bytes == 0 {
            app.blobs.remove(id).await?;
        } else {
            files.push(result_file(&served, id, bytes, kind, now));
        }
    }
    app.store.end_batch(batch_id, ending.statuses(), files, error_bytes, now).await?;
    Ok(())
}

/// Writes a line for each row that never ran behind the error lines; answers the file's length.
async fn write_unfinished(app: &App, served: &Served, error: Option<LineError>) -> Result<u64, GatewayError> {
    let (error_id, mut bytes) = served.error.clone();
    let failed = |source| GatewayError::File { what: "write", path: (&error_id).into(), source };
    let mut file = BufWriter::new(app.blobs.append(&error_id, bytes).await?);
    if let (Some(error), true) = (error, served.total() > 0) {
        let finished = app.store.finished_rows(&served.batch.id, served.total()).await?;
        let mut input = Lines::new(app.blobs.read(&served.batch.input_file_id).await?);
        let mut line = Vec::new();
        for (row, finished) in (0..).zip(finished) {
            if input.next(&mut line).await.map_err(failed)?.is_none() {
                break;
            }
            if !finished {
                let text = unfinished(&served.batch.id, row, &line, &error)?;
                file.write_all(&text).await.map_err(failed)?;
                bytes += u64::try_from(text.len()).unwrap_or_default();
            }
        }
    }
    file.flush().await.map_err(failed)?;
    file.get_ref().sync_all().await.map_err(failed)?;
    Ok(bytes)
}

fn unfinished(batch_id: &str, row: u32, line: &[u8], error: &LineError) -> Result<Vec<u8>, GatewayError> {
    let damaged = |_| GatewayError::Damaged { what: "input file", id: batch_id.to_owned() };
    let request: wire::RequestLine<'_> = serde_json::from_slice(line).map_err(damaged)?;
    let line = ResponseLine {
        id: id::line(batch_id, row).0.into(),
        custom_id: request.custom_id,
        response: None,
        error: Some(error.clone()),
    };
    let mut text = serde_json::to_vec(&line).map_err(damaged)?;
    text.push(b'\n');
    Ok(text)
}

fn result_file(served: &Served, id: &str, bytes: u64, kind: &str, now: i64) -> File {
    File {
        id: id.to_owned(),
        object: "file".to_owned(),
        bytes,
        created_at: now,
        expires_at: Some(now + served.output_expires_seconds.unwrap_or(OUTPUT_EXPIRES_SECONDS)),
        filename: format!("{}_{kind}.jsonl", served.batch.id),
        purpose: PURPOSE_BATCH_OUTPUT.to_owned(),
        status: wire::FileStatus::Processed,
        status_details: None,
    }
}
