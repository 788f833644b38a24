//! Collect: fetches both result files of a finished batch, matches every line to its request and settles
//! it; what no line answers is missing. Only then is the batch collected.
//!
//! Files go through the disk and lines through memory a chunk at a time; each chunk may be repeated.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crash::Step;
use domain::{Batch, BatchId, BatchState, Claimed, Fact, Remote};
use openai::{Line, Lines};
use store::{BatchRow, CHUNK, ChunkTally, JobRow};
use telemetry::metrics::DISCREPANCIES;

use crate::context::Context;
use crate::failure::Failure;
use crate::outcome::{Read, Reader};
use crate::outside;
use crate::plan::compile;
use crate::seen::{conclude, seen};
use crate::worker::Handled;

/// Bytes of lines in memory at a time, the last line apart.
const CHUNK_BYTES: usize = 512 << 10;
/// Longest result line. Larger than any answer; a line beyond it is not an answer.
const MAX_LINE_BYTES: usize = 64 << 20;
/// Looks in a row at an end that doesn't add up, until it is believed; and downloads in a row of files that don't.
const LOOKS: u32 = 5;
/// Downloads that are left for the files where believing the end has used up all looks.
const LEFT: u32 = 3;

pub(crate) async fn handle(context: &Context, claimed: Claimed, id: BatchId) -> Result<Handled, Failure> {
    let row = context.store.batch(id).await?;
    let batch = &row.batch;
    let BatchState::Collecting { provider_id, .. } = &batch.state else { return Ok(Handled::Nothing) };
    let look = claimed.failures + 1;
    let Some(remote) = ended(context, &row, provider_id, look < LOOKS).await? else {
        return Ok(Handled::Later(context.clock().now() + context.config.poll_interval));
    };
    let requests = u64::from(row.requests);
    let looks = if adds_up(&batch.remote, requests) { LOOKS } else { LOOKS + LEFT - 1 };
    let patient = look < looks;
    let files = download(context, batch.id, &remote, patient).await?;
    let job = context.store.job(batch.job).await?;
    let reader = Arc::new(Reader::new(compile(&job)?, &job, &context.config.prices));
    let settler = Settler { context, job: &job, batch, reader, patient };
    let (mut tally, mut torn, mut contents) = (ChunkTally::default(), 0, Vec::new());
    for file in &files {
        let content = match &file.fetched {
            Fetched::Whole(path) => settler.file(path).await?,
            Fetched::Unnamed | Fetched::Gone => Content::default(),
        };
        tally.add(content.tally);
        torn += content.torn;
        contents.push(content);
    }
    let (read, promised) = (tally.results(), promised(&remote, requests));
    let is_gone = (read == 0 && promised > 0)
        || files.iter().zip(&contents).any(|(file, content)| file.is_gone(content, read < promised));
    if patient && (torn > 0 || read < promised || is_gone) {
        // What came may be less than the files, or no result file at all, such as the page of a proxy.
        let text = format!(
            "the result files hold {read} results and {torn} torn lines, and the provider promises {promised}"
        );
        return Err(Failure::Fault(text));
    }
    if is_gone {
        // What the other file says is settled; what this one said waits for a person.
        let changed = conclude(context, id, &Fact::FilesGone, Some(claimed), Step::Collect).await?;
        return Ok(Handled::if_changed(changed));
    }
    let mut missing = 0;
    while let Some(part) = context.store.settle_missing(id, batch.job, context.config.rules).await? {
        missing += part.settled + part.again;
    }
    report(batch.id, &remote, requests, tally, missing);
    let changed = conclude(context, id, &Fact::Collected, Some(claimed), Step::Collect).await?;
    for file in &files {
        if let Fetched::Whole(path) = &file.fetched {
            remove(path).await;
        }
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

/// One of a batch's two result files.
struct ResultFile {
    /// Results that the provider counts for it.
    counted: u64,
    fetched: Fetched,
}

/// What could be had of a result file.
enum Fetched {
    /// All of it, here.
    Whole(PathBuf),
    /// The provider names none.
    Unnamed,
    /// The provider names it, and doesn't have it.
    Gone,
}

impl ResultFile {
    /// Whether it was to be had and wasn't: what came in its place holds no result of ours, or nothing came and `too_few` results
    /// were read in all.
    fn is_gone(&self, content: &Content, too_few: bool) -> bool {
        match self.fetched {
            Fetched::Gone => true,
            Fetched::Whole(_) | Fetched::Unnamed => {
                content.tally.results() == 0 && (content.is_foreign() || (self.counted > 0 && too_few))
            }
        }
    }
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
/// stands in the error file. Without counts nobody knows whether there is an output file, until it is named.
fn adds_up(remote: &Remote, requests: u64) -> bool {
    let is_named = |count, file: &Option<String>| count == 0 || file.is_some();
    let is_partial = remote.status.as_deref() != Some("completed");
    is_named(remote.completed, &remote.output_file_id)
        && is_named(remote.failed, &remote.error_file_id)
        && (counted(remote) >= requests
            || (is_partial
                && remote.error_file_id.is_some()
                && (remote.total > 0 || remote.output_file_id.is_some())))
}

fn counted(remote: &Remote) -> u64 {
    remote.completed + remote.failed
}

/// Results that the files must hold: those that are counted, and of a completed batch all.
fn promised(remote: &Remote, requests: u64) -> u64 {
    if remote.status.as_deref() == Some("completed") { requests } else { counted(remote).min(requests) }
}

/// Fetches the files that the provider names; each is whole or not there. While we are `patient`, one that
/// the provider doesn't have is a failure like others.
async fn download(
    context: &Context,
    batch: BatchId,
    remote: &Remote,
    patient: bool,
) -> Result<[ResultFile; 2], Failure> {
    let spool = &context.config.spool;
    tokio::fs::create_dir_all(spool)
        .await
        .map_err(|source| Failure::File { what: format!("can't make {}", spool.display()), source })?;
    let fetch = async |kind: &str, file_id: &Option<String>| {
        let Some(file_id) = file_id else { return Ok(Fetched::Unnamed) };
        let path = spool.join(spooled(batch, kind));
        match outside::download(context, file_id, &path).await {
            Ok(_) => Ok(Fetched::Whole(path)),
            Err(error) if error.is_not_found() && !patient => {
                tracing::error!(batch.id = %batch, file.id = file_id, "the provider doesn't have the {kind} file any more");
                Ok(Fetched::Gone)
            }
            Err(error) => Err(Failure::from(error)),
        }
    };
    Ok([
        ResultFile { counted: remote.completed, fetched: fetch("output", &remote.output_file_id).await? },
        ResultFile { counted: remote.failed, fetched: fetch("error", &remote.error_file_id).await? },
    ])
}

/// What a result file holds.
#[derive(Default)]
struct Content {
    tally: ChunkTally,
    /// Lines that break off, or are no JSON.
    torn: u64,
    /// Lines that name no request.
    nameless: u64,
}

impl Content {
    /// Whether it holds what is no result of the batch.
    fn is_foreign(&self) -> bool {
        self.torn + self.nameless + self.tally.unexpected > 0
    }
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
    async fn file(&self, path: &Path) -> Result<Content, Failure> {
        let unreadable = |source| Failure::File { what: format!("can't read {}", path.display()), source };
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let mut lines = Lines::new(tokio::io::BufReader::new(file), MAX_LINE_BYTES);
        let (mut content, mut chunk, mut bytes) = (Content::default(), Vec::new(), 0);
        while let Some(line) = lines.next().await.map_err(unreadable)? {
            match line {
                Line::Text { bytes: text, .. } => {
                    bytes += text.len();
                    chunk.push(text.to_vec());
                }
                Line::TooLong { number, length } => {
                    content.nameless += 1;
                    tracing::warn!(batch.id = %self.batch.id, line = number, bytes = length, "result line is too long to be an answer");
                }
            }
            if chunk.len() == CHUNK || bytes >= CHUNK_BYTES {
                self.chunk(std::mem::take(&mut chunk), &mut content).await?;
                bytes = 0;
            }
        }
        self.chunk(chunk, &mut content).await?;
        let Content { torn, nameless, .. } = content;
        if torn + nameless > 0 {
            tracing::warn!(batch.id = %self.batch.id, file = %path.display(), torn, nameless, "result file holds lines that are no results");
        }
        Ok(content)
    }

    async fn chunk(&self, chunk: Vec<Vec<u8>>, content: &mut Content) -> Result<(), Failure> {
        let reader = Arc::clone(&self.reader);
        // Parsing and schema checks are work for the processor, not for the reactor.
        let read = move || chunk.iter().map(|line| reader.read(line)).collect::<Vec<_>>();
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.map_err(|_| Failure::Fault("reading results panicked; this is a bug".to_owned()))?;
        let mut lines = Vec::with_capacity(read.len());
        for Read { line, torn } in read {
            content.torn += u64::from(torn);
            content.nameless += u64::from(!torn && line.is_none());
            // A torn one may be whole in the next download.
            lines.extend(line.filter(|_| !(torn && self.patient)));
        }
        let (store, rules) = (&self.context.store, self.context.config.rules);
        content.tally.add(store.settle_lines(self.batch.id, self.job.job.id, lines, rules).await?);
        Ok(())
    }
}

/// Says what doesn't add up. Nothing of it is lost: every request has its one outcome by now.
fn report(batch: BatchId, remote: &Remote, requests: u64, tally: ChunkTally, missing: u64) {
    if remote.total != requests {
        let reported = remote.total;
        tracing::warn!(batch.id = %batch, reported, sent = requests, "the provider counts other requests than were sent");
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
        tracing::warn!(batch.id = %batch, missing, unexpected, repeated, late, "result files don't add up");
    }
    tracing::info!(batch.id = %batch, settled = tally.settled, again = tally.again, missing, "batch read");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: &str, counts: [u64; 3], output: bool, error: bool) -> Remote {
        let [total, completed, failed] = counts;
        let file = |named: bool| named.then(|| "file-1".to_owned());
        let (status, output_file_id, error_file_id) = (Some(status.to_owned()), file(output), file(error));
        Remote { status, total, completed, failed, output_file_id, error_file_id, ..Remote::default() }
    }

    #[test]
    fn an_end_adds_up_when_every_file_that_must_be_there_is_named() {
        for (adds, remote) in [
            (true, told("completed", [3, 3, 0], true, false)),
            (true, told("completed", [3, 2, 1], true, true)),
            (true, told("completed", [3, 0, 3], false, true)),
            (false, told("completed", [3, 3, 0], false, false)),
            (false, told("completed", [3, 2, 1], true, false)),
            (false, told("completed", [3, 2, 0], true, false)),
            (false, told("completed", [0, 0, 0], true, false)),
            // What wasn't done may be left out of the counts.
            (true, told("expired", [3, 1, 0], true, true)),
            (true, told("cancelled", [3, 0, 0], false, true)),
            (false, told("expired", [3, 0, 0], false, false)),
            // Without counts an output file may still be named.
            (false, told("expired", [0, 0, 0], false, true)),
            (true, told("expired", [0, 0, 0], true, true)),
        ] {
            assert_eq!(adds_up(&remote, 3), adds, "{remote:?}");
        }
    }

    #[test]
    fn a_completed_batch_promises_all_results_and_others_what_they_count() {
        assert_eq!(promised(&told("completed", [0, 0, 0], true, false), 3), 3);
        assert_eq!(promised(&told("expired", [3, 1, 1], true, true), 3), 2);
        assert_eq!(promised(&told("expired", [9, 9, 0], true, true), 3), 3);
    }

    #[test]
    fn a_file_is_gone_where_what_came_is_not_its_own() {
        let settled = |settled| ChunkTally { settled, ..ChunkTally::default() };
        let file = |counted| ResultFile { counted, fetched: Fetched::Unnamed };
        let page = || Content { torn: 1, ..Content::default() };
        let strangers = ChunkTally { unexpected: 2, ..ChunkTally::default() };
        for (gone, counted, content, too_few) in [
            (false, 0, Content::default(), true),
            (false, 2, Content::default(), false),
            (true, 2, Content::default(), true),
            (true, 0, page(), false),
            (true, 0, Content { nameless: 1, ..Content::default() }, false),
            (true, 0, Content { tally: strangers, ..Content::default() }, false),
            (false, 2, Content { tally: settled(1), ..page() }, true),
        ] {
            assert_eq!(file(counted).is_gone(&content, too_few), gone, "{counted} {too_few}");
        }
        let gone = ResultFile { counted: 0, fetched: Fetched::Gone };
        assert!(gone.is_gone(&Content { tally: settled(1), ..Content::default() }, false));
    }
}
