//! The input file of a batch: streamed from the database, the same bytes every time, under a name that is
//! unique to the upload.

use std::time::Duration;

use bytes::Bytes;
use domain::BatchId;
use futures_util::stream::{self, Stream};
use sha2::{Digest as _, Sha256};
use store::BatchRow;

use crate::context::Context;
use crate::failure::Failure;
use crate::outside;
use crate::uploads::PREFIX;

/// Lines read from the database at a time.
const PAGE: u32 = 50;
/// How long an upload may stay at the provider: longer than any batch, so that it never goes while it is
/// needed, and gone a month later even if nobody deletes it.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What identifies an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputFile {
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

/// Names the input file of a batch, by a walk through its bytes.
pub(crate) async fn identify(context: &Context, row: &BatchRow, tag: &str) -> Result<InputFile, Failure> {
    let (mut hash, mut bytes, mut after) = (Sha256::new(), 0_u64, 0);
    while let Some((page, last)) = page(context, row.batch.id, &row.endpoint, after).await? {
        bytes += u64::try_from(page.len()).unwrap_or(u64::MAX);
        hash.update(&page);
        after = last;
    }
    if bytes != row.bytes {
        return Err(Failure::Fault(format!(
            "batch {} was packed as {} bytes and reads as {bytes}",
            row.batch.id, row.bytes
        )));
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let name = format!("{PREFIX}{tag}-{}-{}-{}.jsonl", row.batch.id, row.batch.upload, &sha256[..12]);
    Ok(InputFile { name, sha256, bytes })
}

/// The provider's id of the input file: of one that an earlier try has left there, or of a new upload.
pub(crate) async fn upload(context: &Context, row: &BatchRow, file: &InputFile) -> Result<Uploaded, Failure> {
    if let Some(file_id) = find(context, file).await? {
        return Ok(Uploaded { file_id, found: true });
    }
    let body = stream(context.clone(), row.batch.id, row.endpoint.clone());
    let uploaded = outside::upload(context, &file.name, file.bytes, body, KEPT.as_secs()).await;
    // What the provider has refused isn't there; anything else may be.
    if !uploaded.as_ref().is_err_and(|error| error.status().is_some_and(|status| status < 500)) {
        context.uploads.lock().await.remember(&file.name);
    }
    let uploaded = uploaded?;
    if uploaded.bytes != file.bytes {
        outside::delete_file(context, &uploaded.id).await?;
        let text = format!("the provider stored {} of {} bytes of {}", uploaded.bytes, file.bytes, file.name);
        return Err(Failure::Fault(text));
    }
    Ok(Uploaded { file_id: uploaded.id, found: false })
}

/// An input file at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uploaded {
    pub(crate) file_id: String,
    /// Left there by an earlier try, which may have gone further.
    pub(crate) found: bool,
}

/// A file of the same name and size. The oldest of several is taken; the others were never named in a
/// create, and go.
async fn find(context: &Context, file: &InputFile) -> Result<Option<String>, Failure> {
    if !context.uploads.lock().await.may_have(context, &file.name).await? {
        return Ok(None);
    }
    let mut found: Vec<(i64, String)> = Vec::new();
    outside::each_file(context, |there| {
        if there.filename == file.name && there.bytes == file.bytes {
            found.push((there.created_at, there.id));
        }
    })
    .await?;
    found.sort();
    let mut ids = found.into_iter().map(|(_, id)| id);
    let oldest = ids.next();
    for spare in ids {
        outside::delete_file(context, &spare).await?;
    }
    Ok(oldest)
}

fn stream(
    context: Context,
    batch: BatchId,
    endpoint: String,
) -> impl Stream<Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static {
    stream::try_unfold(0, move |after| {
        let (context, endpoint) = (context.clone(), endpoint.clone());
        async move {
            let page = page(&context, batch, &endpoint, after).await?;
            Ok(page.map(|(bytes, last)| (Bytes::from(bytes), last)))
        }
    })
}

/// The next lines as bytes, and the number of the last one.
async fn page(
    context: &Context,
    batch: BatchId,
    endpoint: &str,
    after: i64,
) -> Result<Option<(Vec<u8>, i64)>, Failure> {
    let rows = context.store.request_rows(batch, after, PAGE).await?;
    let Some(last) = rows.last().map(|row| row.line) else { return Ok(None) };
    let mut bytes = Vec::new();
    for row in &rows {
        bytes.extend(reception::line(&row.custom_id, endpoint, &row.body)?);
    }
    Ok(Some((bytes, last)))
}
