//! An upload: fields in any order, chunked or not. The file's part goes to disk as it arrives, because the
//! purpose that decides about it may come last.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::multipart::{Field, MultipartError, MultipartRejection};
use axum::extract::{Multipart, State};
use tokio::io::AsyncWriteExt;
use wire::{File, FileStatus, PURPOSE_BATCH};

use super::create::expiry_rule;
use super::reply::Refusal;
use crate::app::App;
use crate::blob::Incoming;
use crate::clock;
use crate::error::GatewayError;
use crate::id;
use crate::lines::Lines;

const PURPOSES: [&str; 6] = ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"];
/// Input files of batches go 30 days after their upload.
const BATCH_EXPIRES_SECONDS: i64 = 2_592_000;
/// No field beside the file needs more.
const MAX_FIELD_BYTES: usize = 4096;
const MAX_FIELDS: usize = 16;

pub(super) async fn upload(
    State(app): State<Arc<App>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<File>, Refusal> {
    let mut form = form.map_err(|error| Refusal::bad(error.body_text()))?;
    let arrived = Arrived::read(&app, &mut form).await?;
    let file = arrived.describe()?;
    let (_, incoming) = arrived.file.ok_or_else(|| missing("file"))?;
    check_content(&app, &file, &incoming).await?;

    // In a task of its own: a client that hangs up now leaves a file or none, but no bytes without a row.
    let kept = tokio::spawn(async move {
        app.blobs.keep(incoming, &file.id).await?;
        app.store.add_file(&file).await?;
        Ok::<_, GatewayError>(file)
    });
    let file = kept.await.map_err(|_| GatewayError::Interrupted { what: "upload" })??;
    tracing::info!(file.id = file.id, file.bytes = file.bytes, purpose = file.purpose, "file stored");
    Ok(Json(file))
}

/// What a form brought.
struct Arrived {
    file: Option<(String, Incoming)>,
    fields: HashMap<String, String>,
}

impl Arrived {
    async fn read(app: &App, form: &mut Multipart) -> Result<Self, Refusal> {
        let mut arrived = Self { file: None, fields: HashMap::new() };
        while let Some(field) = form.next_field().await.map_err(broken)? {
            let name = field.name().unwrap_or_default().to_owned();
            if arrived.fields.len() >= MAX_FIELDS || (name == "file" && arrived.file.is_some()) {
                return Err(Refusal::bad(format!("Too many form fields, at '{name}'.")));
            }
            if name == "file" {
                let file_name = field.file_name().unwrap_or_default().to_owned();
                arrived.file = Some((file_name, spool(app, field).await?));
            } else {
                arrived.fields.insert(name, small(field).await?);
            }
        }
        Ok(arrived)
    }

    fn describe(&self) -> Result<File, Refusal> {
        let (filename, incoming) = self.file.as_ref().ok_or_else(|| missing("file"))?;
        let purpose = self.fields.get("purpose").ok_or_else(|| missing("purpose"))?;
        if !PURPOSES.contains(&purpose.as_str()) {
            let message = format!("'{purpose}' is not one of {PURPOSES:?} - 'purpose'");
            return Err(Refusal::invalid("invalid_value", "purpose", message));
        }
        if purpose == PURPOSE_BATCH && !filename.ends_with(".jsonl") {
            return Err(Refusal::bad("Invalid file format for Batch API. Must be .jsonl"));
        }
        let created_at = clock::now();
        Ok(File {
            id: id::file(),
            object: "file".to_owned(),
            bytes: incoming.bytes,
            created_at,
            expires_at: self.lives_for(purpose)?.map(|seconds| created_at + seconds),
            filename: filename.clone(),
            purpose: purpose.clone(),
            status: FileStatus::Processed,
            status_details: None,
        })
    }

    fn lives_for(&self, purpose: &str) -> Result<Option<i64>, Refusal> {
        let (anchor, seconds) =
            (self.fields.get("expires_after[anchor]"), self.fields.get("expires_after[seconds]"));
        match (anchor, seconds) {
            (None, None) => Ok((purpose == PURPOSE_BATCH).then_some(BATCH_EXPIRES_SECONDS)),
            (None, _) => Err(missing("expires_after[anchor]")),
            (_, None) => Err(missing("expires_after[seconds]")),
            (Some(anchor), Some(seconds)) => {
                expiry_rule("expires_after", "[anchor]", "[seconds]", anchor, seconds.parse().ok()).map(Some)
            }
        }
    }
}

/// Writes the file's part to disk. One that is too large is read to twice the limit before it is refused:
/// a client that is still sending wouldn't see the answer.
async fn spool(app: &App, mut field: Field<'_>) -> Result<Incoming, Refusal> {
    let mut incoming = app.blobs.incoming().await?;
    let failed = |source| GatewayError::File { what: "write", path: "upload".into(), source };
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        incoming.bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if incoming.bytes <= app.max_file_bytes {
            incoming.file.write_all(&chunk).await.map_err(failed)?;
        } else if incoming.bytes > app.max_file_bytes.saturating_mul(2) {
            break;
        }
    }
    if incoming.bytes > app.max_file_bytes {
        return Err(Refusal::bad("File is too large."));
    }
    incoming.file.flush().await.map_err(failed)?;
    Ok(incoming)
}

async fn small(mut field: Field<'_>) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_FIELD_BYTES {
            return Err(Refusal::bad("A form field is too long."));
        }
    }
    String::from_utf8(bytes).map_err(|_| Refusal::bad("A form field is not text."))
}

/// An empty file is refused, and for batches one whose first line isn't JSON; later lines are the batch's.
async fn check_content(app: &App, file: &File, incoming: &Incoming) -> Result<(), Refusal> {
    if file.bytes == 0 {
        return Err(Refusal::bad("Invalid file format: the file is empty, expected jsonl."));
    }
    if file.purpose != PURPOSE_BATCH {
        return Ok(());
    }
    let mut line = Vec::new();
    let spooled = app.blobs.reread(incoming).await?;
    let first = Lines::new(spooled).next(&mut line).await;
    let first = first.map_err(|source| GatewayError::File { what: "read", path: "upload".into(), source })?;
    if first.is_some() && serde_json::from_slice::<serde::de::IgnoredAny>(&line).is_ok() {
        return Ok(());
    }
    Err(Refusal::bad("Invalid file format: the first line is not JSON, expected jsonl."))
}

fn missing(field: &str) -> Refusal {
    let message = format!("Missing required parameter: '{field}'.");
    Refusal::invalid("missing_required_parameter", field, message)
}

fn broken(error: MultipartError) -> Refusal {
    Refusal::bad(format!("Invalid multipart form: {}", error.body_text()))
}
