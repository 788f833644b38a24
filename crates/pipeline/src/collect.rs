//! Collect: fetches both result files of a finished batch, matches every line to its request and settles
//! it; what no line answers is missing. Only then is the batch collected.
//!
//! Files go through the disk and lines through memory a chunk at a time; each chunk may be repeated.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crash::Step;
use domain::{Batch, BatchId, BatchState, Claimed, Fact, Remote};
use openai::{Line, Lines};
use store::{BatchRow, CHUNK, ChunkTally, JobRow};
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
/// Failed looks after which an end that doesn't add up is believed, and so are files that don't.
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
    let looks = if adds_up(&batch.remote, u64::from(row.requests)) { LOOKS } else { LOOKS + LEFT - 1 };
    let job = context.store.job(batch.job).await?;
    let reader = Arc::new(Reader::new(compile(&job)?, &job, &context.config.prices));
    let settler = Settler { context, job: &job, batch, reader };
    let patient = look < looks;
    // Answers first: what the error file says of a request ends its attempt, too.
    let mut output =
        settler.fetched("output", remote.output_file_id.as_deref(), output_is_due(&remote)).await?;
    if let Some(failure) = output.failure() {
        return Err(failure);
    }
    if patient && output.is_short(remote.completed.min(u64::from(row.requests))) {
        // What came may be less than the file, or no result file at all, such as the page of a proxy.
        let (content, completed) = (&output.content, remote.completed);
        let text = format!("the output file holds {content}, and the provider counts {completed} answers");
        return Err(Failure::Fault(text));
    }
    let mut error = settler.fetched("error", remote.error_file_id.as_deref(), false).await?;
    let lacking = context.store.live_attempts(id).await?;
    let failure = error.failure().filter(|_| lacking > 0);
    if let Some(failure) = failure {
        return Err(failure);
    }
    let files = [output, error];
    let mut tally = ChunkTally::default();
    files.iter().for_each(|file| tally.add(file.content.tally));
    if lacking > 0 {
        if patient && files.iter().any(ResultFile::is_named) {
            let [output, error] = [&files[0].content, &files[1].content];
            let text = format!(
                "{lacking} of {} results are lacking: the output file holds {output}, the error file {error}",
                row.requests
            );
            return Err(Failure::Fault(text));
        }
        if files.iter().any(ResultFile::is_none) {
            // What the other file says is settled; what this one said waits for a person.
            let changed = conclude(context, id, &Fact::FilesGone, Some(claimed), Step::Collect).await?;
            clear_spool(context, id).await;
            return Ok(Handled::if_changed(changed));
        }
        for file in files.iter().filter(|file| file.content.torn > 0) {
            if let Fetched::Whole(path) = &file.fetched {
                let failed = settler.file(path, Torn::Failed).await?.tally;
                (tally.settled, tally.again) = (tally.settled + failed.settled, tally.again + failed.again);
            }
        }
    }
    let mut missing = 0;
    while let Some(part) = context.store.settle_missing(id, batch.job, context.config.rules).await? {
        missing += part.settled + part.again;
    }
    report(id, &remote, row.requests, tally, missing);
    let changed = conclude(context, id, &Fact::Collected, Some(claimed), Step::Collect).await?;
    clear_spool(context, id).await;
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

/// Removes what was fetched for a batch, now or at an earlier look.
async fn clear_spool(context: &Context, batch: BatchId) {
    for kind in ["output", "error"] {
        let path = context.config.spool.join(spooled(batch, kind));
        if tokio::fs::try_exists(&path).await.unwrap_or(true) {
            remove(&path).await;
        }
    }
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
    fetched: Fetched,
    content: Content,
    /// It must hold results, if it is named.
    is_due: bool,
}

/// What could be had of a result file.
enum Fetched {
    /// All of it, here, as far as can be seen.
    Whole(PathBuf),
    /// The provider names none.
    Unnamed,
    /// The provider names it, and doesn't have it.
    Gone,
    /// It can't be had now.
    Failed(Option<Failure>),
}

impl ResultFile {
    fn is_named(&self) -> bool {
        !matches!(self.fetched, Fetched::Unnamed)
    }

    /// Why it can't be had now.
    fn failure(&mut self) -> Option<Failure> {
        if let Fetched::Failed(failure) = &mut self.fetched { failure.take() } else { None }
    }

    /// Whether it is named, and may hold more than what came: so many results are `counted` for it.
    fn is_short(&self, counted: u64) -> bool {
        let Content { tally, torn, .. } = &self.content;
        self.is_named() && (self.is_none() || *torn > 0 || tally.results() < counted)
    }

    /// Whether it is named and not to be had: it is gone, what came in its place is not of this batch, or nothing came where
    /// something must have.
    fn is_none(&self) -> bool {
        let Content { tally, torn, foreign } = &self.content;
        let is_empty = tally.results() == 0 && *torn == 0;
        match self.fetched {
            Fetched::Gone => true,
            Fetched::Whole(_) => is_empty && (self.is_due || foreign + tally.unexpected > 0),
            Fetched::Unnamed | Fetched::Failed(_) => false,
        }
    }
}

/// What a result file holds.
#[derive(Default)]
struct Content {
    tally: ChunkTally,
    /// Lines that name a request, and break off or are no JSON.
    torn: u64,
    /// Lines that name no request.
    foreign: u64,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, torn, foreign } = self;
        write!(f, "{} results, {torn} torn lines and {} others", tally.results(), foreign + tally.unexpected)
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

/// Whether an output file that is named must have results in it: where answers are counted, or nothing is.
fn output_is_due(remote: &Remote) -> bool {
    remote.completed > 0 || remote.total == 0
}

/// Fetches a result file, if the provider names it.
async fn fetch(
    context: &Context,
    batch: BatchId,
    kind: &str,
    file_id: Option<&str>,
) -> Result<Fetched, Failure> {
    let Some(file_id) = file_id else { return Ok(Fetched::Unnamed) };
    let spool = &context.config.spool;
    tokio::fs::create_dir_all(spool)
        .await
        .map_err(|source| Failure::File { what: format!("can't make {}", spool.display()), source })?;
    let path = spool.join(spooled(batch, kind));
    Ok(match outside::download(context, file_id, &path).await {
        Ok(_) => Fetched::Whole(path),
        Err(error) if error.is_not_found() => {
            tracing::warn!(batch.id = %batch, file.id = file_id, "the provider doesn't have the {kind} file");
            Fetched::Gone
        }
        Err(error) => Fetched::Failed(Some(error.into())),
    })
}

/// Settles the lines of a batch's result files.
struct Settler<'a> {
    context: &'a Context,
    job: &'a JobRow,
    batch: &'a Batch,
    reader: Arc<Reader>,
}

/// What becomes of a line that names a request, and breaks off or is no JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Torn {
    /// It is counted, and left: it may be whole in another download.
    Left,
    /// Its attempt has failed.
    Failed,
}

impl Settler<'_> {
    /// Fetches a file, and settles what stands whole in it.
    async fn fetched(&self, kind: &str, file_id: Option<&str>, is_due: bool) -> Result<ResultFile, Failure> {
        let fetched = fetch(self.context, self.batch.id, kind, file_id).await?;
        let content = match &fetched {
            Fetched::Whole(path) => self.file(path, Torn::Left).await?,
            Fetched::Unnamed | Fetched::Gone | Fetched::Failed(_) => Content::default(),
        };
        Ok(ResultFile { fetched, content, is_due })
    }

    /// Settles a file, which may be done again.
    async fn file(&self, path: &Path, torn: Torn) -> Result<Content, Failure> {
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
                    content.foreign += 1;
                    tracing::warn!(batch.id = %self.batch.id, line = number, bytes = length, "result line is too long to be an answer");
                }
            }
            if chunk.len() == CHUNK || bytes >= CHUNK_BYTES {
                self.chunk(std::mem::take(&mut chunk), torn, &mut content).await?;
                bytes = 0;
            }
        }
        self.chunk(chunk, torn, &mut content).await?;
        if content.torn + content.foreign > 0 {
            tracing::warn!(batch.id = %self.batch.id, file = %path.display(), torn = content.torn, foreign = content.foreign, "result file holds lines that are no results");
        }
        Ok(content)
    }

    async fn chunk(&self, chunk: Vec<Vec<u8>>, torn: Torn, content: &mut Content) -> Result<(), Failure> {
        let reader = Arc::clone(&self.reader);
        // Parsing and schema checks are work for the processor, not for the reactor.
        let read = move || chunk.iter().map(|line| reader.read(line)).collect::<Vec<_>>();
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.map_err(|_| Failure::Fault("reading results panicked; this is a bug".to_owned()))?;
        let mut lines = Vec::with_capacity(read.len());
        for read in read {
            let Some(line) = read.line else {
                content.foreign += 1;
                continue;
            };
            content.torn += u64::from(read.torn);
            if !read.torn || torn == Torn::Failed {
                lines.push(line);
            }
        }
        let (store, rules) = (&self.context.store, self.context.config.rules);
        content.tally.add(store.settle_lines(self.batch.id, self.job.job.id, lines, rules).await?);
        Ok(())
    }
}

/// Says what doesn't add up. Nothing of it is lost: every request has its one outcome by now.
fn report(batch: BatchId, remote: &Remote, requests: u32, tally: ChunkTally, missing: u64) {
    if remote.total != u64::from(requests) {
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
    fn an_output_file_is_due_where_answers_are_counted_or_nothing_is() {
        assert!(output_is_due(&told("expired", [3, 1, 0], true, true)));
        assert!(output_is_due(&told("completed", [0, 0, 0], true, false)));
        assert!(!output_is_due(&told("cancelled", [3, 0, 0], true, true)));
    }

    #[test]
    fn a_file_is_none_where_what_came_is_not_of_the_batch() {
        let tally = |settled, unexpected| ChunkTally { settled, unexpected, ..ChunkTally::default() };
        let content = |tally, torn, foreign| Content { tally, torn, foreign };
        for (is_none, is_due, content) in [
            (false, false, content(tally(0, 0), 0, 0)),
            (true, true, content(tally(0, 0), 0, 0)),
            (true, false, content(tally(0, 0), 0, 1)),
            (true, false, content(tally(0, 2), 0, 0)),
            // A line that is torn names its request: the file is the batch's own.
            (false, true, content(tally(0, 0), 1, 1)),
            (false, true, content(tally(1, 2), 0, 1)),
        ] {
            let fetched = Fetched::Whole(PathBuf::new());
            let file = ResultFile { fetched, content, is_due };
            assert_eq!(file.is_none(), is_none, "{is_due}: {}", file.content);
        }
        let of = |fetched| ResultFile { fetched, content: Content::default(), is_due: true };
        assert!(of(Fetched::Gone).is_none() && of(Fetched::Gone).is_short(0));
        let whole = || Fetched::Whole(PathBuf::new());
        let holding = |content| ResultFile { fetched: whole(), content, is_due: true };
        assert!(holding(content(tally(2, 0), 0, 0)).is_short(3));
        assert!(holding(content(tally(3, 0), 1, 0)).is_short(3));
        assert!(!holding(content(tally(3, 0), 0, 1)).is_short(3));
        assert!(!of(Fetched::Unnamed).is_none(), "who names no file has promised none");
    }
}
