//! The input file of a batch: streamed from the database, the same bytes every time, under a name that is
//! unique to the upload.

use std::time::Duration;

use bytes::Bytes;
use domain::BatchId;
use futures_util::stream::{self, Stream};
use openai::CallError;
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

/// Brings the input file to the provider, where no earlier try has left it there.
pub(crate) async fn upload(context: &Context, row: &BatchRow, file: &InputFile) -> Result<Upload, Failure> {
    if let Some(there) = find(context, file).await? {
        return Ok(Upload::There(there));
    }
    let body = stream(context.clone(), row.batch.id, row.endpoint.clone());
    let uploaded = tokio::select! {
        // It may take an hour, and who is asked to stop has seconds. What is there of it costs nothing.
        biased;
        () = context.stop.cancelled() => return Ok(Upload::Stopped),
        uploaded = outside::upload(context, &file.name, file.bytes, body, KEPT.as_secs()) => uploaded,
    };
    let uploaded = match uploaded {
        // What the provider has refused isn't there; anything else may be.
        Err(error) if error.class() == openai::Class::Refused => return Ok(Upload::Refused(error)),
        uploaded => uploaded,
    };
    context.uploads.lock().await.remember(&file.name);
    let uploaded = uploaded?;
    if uploaded.bytes != file.bytes {
        outside::delete_file(context, &uploaded.id).await?;
        let text = format!("the provider stored {} of {} bytes of {}", uploaded.bytes, file.bytes, file.name);
        return Err(Failure::Fault(text));
    }
    Ok(Upload::There(Uploaded { file_id: uploaded.id, found: false, spares: Vec::new() }))
}

/// What became of an upload.
#[derive(Clone, Debug)]
pub(crate) enum Upload {
    /// The file is at the provider.
    There(Uploaded),
    /// The provider doesn't take it.
    Refused(CallError),
    /// The process is asked to stop.
    Stopped,
}

/// An input file at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uploaded {
    pub(crate) file_id: String,
    /// Left there by an earlier try, which may have gone further.
    pub(crate) found: bool,
    /// Others of the same name and size, one of which an earlier try may have named in a create.
    pub(crate) spares: Vec<String>,
}

/// Deletes files that no create has named. Somebody else may have done so.
pub(crate) async fn delete(context: &Context, spares: &[String]) -> Result<(), Failure> {
    for spare in spares {
        match outside::delete_file(context, spare).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A file of the same name and size; the oldest of several is taken.
async fn find(context: &Context, file: &InputFile) -> Result<Option<Uploaded>, Failure> {
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
    Ok(oldest.map(|file_id| Uploaded { file_id, found: true, spares: ids.collect() }))
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
