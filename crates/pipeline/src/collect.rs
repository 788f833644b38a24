//! Collect: fetches both result files of a finished batch, matches every line to its request and settles
//! it; what no line answers is missing. Only then is the batch collected.
//!
//! Files go through the disk and lines through memory a chunk at a time; each chunk may be repeated.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crash::Step;
use domain::{Batch, BatchId, BatchState, Claimed, Fact, Remote};
use openai::{Line, Lines};
use store::{BatchRow, CHUNK, ChunkTally, JobRow, SettledLine};
use telemetry::metrics::DISCREPANCIES;

use crate::context::Context;
use crate::failure::Failure;
use crate::outcome::Reader;
use crate::outside;
use crate::plan::compile;
use crate::seen::{conclude, seen};
use crate::worker::Handled;

/// Bytes of lines in memory at a time, the last line apart.
const CHUNK_BYTES: usize = 512 << 10;
/// Longest result line. Larger than any answer; a line beyond it is not an answer.
const MAX_LINE_BYTES: usize = 64 << 20;
/// Downloads in a row that must find nothing before the files count as gone.
const LOOKS: u32 = 5;

pub(crate) async fn handle(context: &Context, claimed: Claimed, id: BatchId) -> Result<Handled, Failure> {
    let row = context.store.batch(id).await?;
    let batch = &row.batch;
    let BatchState::Collecting { provider_id, .. } = &batch.state else { return Ok(Handled::Nothing) };
    let patient = claimed.failures + 1 < LOOKS;
    let Some(remote) = ended(context, &row, provider_id, patient).await? else {
        return Ok(Handled::Later(context.clock().now() + context.config.poll_interval));
    };
    let Download { files, gone } = download(context, batch.id, &remote, patient).await?;
    let job = context.store.job(batch.job).await?;
    let reader = Arc::new(Reader::new(compile(&job)?, &job, &context.config.prices));
    let settler = Settler { context, job: &job, batch, reader, patient };
    let mut tally = ChunkTally::default();
    let mut torn = 0;
    for file in &files {
        torn += settler.file(file, &mut tally).await?;
    }
    let (read, counted) = (tally.lines(), remote.completed + remote.failed);
    if patient && !gone && (torn > 0 || read < counted) {
        // What came may be less than the files, or no result file at all, such as the page of a proxy.
        let text = format!(
            "the result files hold {read} results and {torn} torn lines, and the provider counts {counted}"
        );
        return Err(Failure::Fault(text));
    }
    // A file of which nothing could be read is none.
    if gone || (read == 0 && counted > 0 && !files.is_empty()) {
        // What the other file says is settled; what this one said waits for a person.
        let changed = conclude(context, id, &Fact::FilesGone, Some(claimed), Step::Collect).await?;
        return Ok(Handled::if_changed(changed));
    }
    let mut missing = 0;
    while let Some(part) = context.store.settle_missing(id, batch.job, context.config.rules).await? {
        missing += part.settled + part.again;
    }
    report(batch, &row, tally, missing);
    let changed = conclude(context, id, &Fact::Collected, Some(claimed), Step::Collect).await?;
    for file in &files {
        remove(file).await;
    }
    Ok(Handled::if_changed(changed))
}

/// Removes what a process that died has left in the spool. What is still to be collected is fetched anew in
/// any case, over what may be there.
///
/// # Errors
/// A database that fails.
pub async fn tidy_spool(context: &Context) -> Result<(), Failure> {
    let Ok(mut folder) = tokio::fs::read_dir(&context.config.spool).await else { return Ok(()) };
    while let Ok(Some(entry)) = folder.next_entry().await {
        let name = entry.file_name();
        let Some(batch) = name.to_str().and_then(batch_of) else { continue };
        let row = context.store.try_batch(batch).await?;
        if !row.is_some_and(|row| matches!(row.batch.state, BatchState::Collecting { .. })) {
            remove(&entry.path()).await;
        }
    }
    Ok(())
}

async fn remove(file: &Path) {
    if let Err(error) = outside::remove(file).await {
        tracing::warn!(file = %file.display(), error = %error, "spooled result file stays");
    }
}

/// The name in the spool of a result file.
fn spooled(batch: BatchId, kind: &str) -> String {
    format!("{batch}-{kind}.jsonl")
}

/// The batch whose result file has this name in the spool.
fn batch_of(name: &str) -> Option<BatchId> {
    // The rest of a half download's name is the download's own.
    let name = name.find(".jsonl").map_or(name, |end| &name[..end + ".jsonl".len()]);
    let id = name.strip_suffix("-output.jsonl").or_else(|| name.strip_suffix("-error.jsonl"))?;
    id.parse().ok().map(BatchId)
}

/// What could be had of a batch's result files.
struct Download {
    files: Vec<PathBuf>,
    /// A file that the provider names, and doesn't have.
    gone: bool,
}

/// What the provider says of a batch that has ended; none: it runs after all. An end may be told before the files are named
/// that its counts promise: then it is asked again, and believed in the end.
async fn ended(
    context: &Context,
    row: &BatchRow,
    provider_id: &str,
    patient: bool,
) -> Result<Option<Remote>, Failure> {
    let (batch, requests) = (&row.batch, u64::from(row.requests));
    if adds_up(&batch.remote, requests) {
        return Ok(Some(batch.remote.clone()));
    }
    let now = seen(&outside::batch(context, provider_id).await?);
    if now.end.is_none() && now.refusal.is_none() {
        tracing::warn!(batch.id = %batch.id, "the provider had said that the batch has ended, and it runs");
        return Ok(None);
    }
    if patient && !adds_up(&now.remote, requests) {
        let Remote { completed, failed, .. } = now.remote;
        let text = format!(
            "the provider counts {completed} answers and {failed} errors of {requests} requests, and doesn't name all their files"
        );
        return Err(Failure::Fault(text));
    }
    Ok(Some(now.remote))
}

/// Whether all files are named that the counts promise, and all requests are counted; what wasn't done and isn't counted
/// stands in the error file.
fn adds_up(remote: &Remote, requests: u64) -> bool {
    let is_named = |count, file: &Option<String>| count == 0 || file.is_some();
    let is_partial = remote.status.as_deref() != Some("completed");
    is_named(remote.completed, &remote.output_file_id)
        && is_named(remote.failed, &remote.error_file_id)
        && (remote.completed + remote.failed >= requests || (is_partial && remote.error_file_id.is_some()))
}

/// Fetches the files that the provider names; each is whole or not there. While we are `patient`, one that
/// the provider doesn't have is a failure like others.
async fn download(
    context: &Context,
    batch: BatchId,
    remote: &Remote,
    patient: bool,
) -> Result<Download, Failure> {
    let spool = &context.config.spool;
    tokio::fs::create_dir_all(spool)
        .await
        .map_err(|source| Failure::File { what: format!("can't make {}", spool.display()), source })?;
    let mut download = Download { files: Vec::new(), gone: false };
    let named = [("output", &remote.output_file_id), ("error", &remote.error_file_id)];
    for (kind, file_id) in named {
        let Some(file_id) = file_id else { continue };
        let path = spool.join(spooled(batch, kind));
        match outside::download(context, file_id, &path).await {
            Ok(_) => download.files.push(path),
            Err(error) if error.is_not_found() && !patient => {
                tracing::error!(batch.id = %batch, file.id = file_id, "the provider doesn't have the {kind} file any more");
                download.gone = true;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(download)
}

/// Settles the lines of a batch's result files.
struct Settler<'a> {
    context: &'a Context,
    job: &'a JobRow,
    batch: &'a Batch,
    reader: Arc<Reader>,
    /// Torn lines are left for another download.
    patient: bool,
}

impl Settler<'_> {
    /// Settles a file, adds what came of it to `tally`, and counts its torn lines.
    async fn file(&self, path: &Path, tally: &mut ChunkTally) -> Result<u64, Failure> {
        let unreadable = |source| Failure::File { what: format!("can't read {}", path.display()), source };
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let mut lines = Lines::new(tokio::io::BufReader::new(file), MAX_LINE_BYTES);
        let (mut torn, mut chunk, mut bytes) = (0, Vec::new(), 0);
        while let Some(line) = lines.next().await.map_err(unreadable)? {
            match line {
                Line::Text { bytes: text, .. } => {
                    bytes += text.len();
                    chunk.push(text.to_vec());
                }
                Line::TooLong { number, length } => {
                    tracing::warn!(batch.id = %self.batch.id, line = number, bytes = length, "result line is too long to be an answer");
                }
            }
            if chunk.len() == CHUNK || bytes >= CHUNK_BYTES {
                torn += self.chunk(std::mem::take(&mut chunk), tally).await?;
                bytes = 0;
            }
        }
        Ok(torn + self.chunk(chunk, tally).await?)
    }

    async fn chunk(&self, chunk: Vec<Vec<u8>>, tally: &mut ChunkTally) -> Result<u64, Failure> {
        let (reader, patient) = (Arc::clone(&self.reader), self.patient);
        // Parsing and schema checks are work for the processor, not for the reactor.
        let parsed = tokio::task::spawn_blocking(move || {
            let (mut torn, mut nameless) = (0_u64, 0_u64);
            let mut lines: Vec<SettledLine> = Vec::with_capacity(chunk.len());
            for line in &chunk {
                let read = reader.read(line);
                torn += u64::from(read.torn);
                match read.line {
                    Some(_) if read.torn && patient => {}
                    Some(line) => lines.push(line),
                    None => nameless += 1,
                }
            }
            (lines, torn, nameless)
        });
        let (lines, torn, nameless) =
            parsed.await.map_err(|_| Failure::Fault("reading results panicked; this is a bug".to_owned()))?;
        if nameless > 0 {
            tracing::warn!(batch.id = %self.batch.id, lines = nameless, "result lines name no request; what they answer is missing");
        }
        let store = &self.context.store;
        tally
            .add(store.settle_lines(self.batch.id, self.job.job.id, lines, self.context.config.rules).await?);
        Ok(torn)
    }
}

/// Says what doesn't add up. Nothing of it is lost: every request has its one outcome by now.
fn report(batch: &Batch, row: &store::BatchRow, tally: ChunkTally, missing: u64) {
    let total = u64::from(row.requests);
    if batch.remote.total != total {
        let reported = batch.remote.total;
        tracing::warn!(batch.id = %batch.id, reported, sent = total, "the provider counts other requests than were sent");
    }
    let kinds = [
        ("missing", missing),
        ("unexpected", tally.unexpected),
        ("repeated", tally.repeated),
        ("late", tally.late),
    ];
    for (kind, count) in kinds {
        metrics::counter!(DISCREPANCIES, "type" => kind).increment(count);
    }
    if kinds.iter().any(|(_, count)| *count > 0) {
        let ChunkTally { unexpected, repeated, late, .. } = tally;
        tracing::warn!(batch.id = %batch.id, missing, unexpected, repeated, late, "result files don't add up");
    }
    tracing::info!(batch.id = %batch.id, settled = tally.settled, again = tally.again, missing, "batch read");
}
