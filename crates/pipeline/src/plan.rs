//! Plan: turns the next part of a job's tasks into request lines and packs them into batches.
//!
//! A part is small, and the job goes back into the queue behind it, so that a job of any size leaves
//! other work room. Request bodies are frozen here: a task that goes out again sends the same bytes.

use std::sync::Arc;

use domain::{
    AttemptId, BatchId, Claimed, Clock, JobFact, JobId, JobState, Limits, Packer, Place, decide_job,
};
use processor::{Definition, Processor};
use store::{Commit, JobRow, PlanChunk, PlannedBatch, PlannedLine, Unplanned};

use crate::context::Context;
use crate::failure::Failure;
use crate::worker::Handled;

/// Tasks per part: a fraction of a second of work, and about a megabyte of text. Every thread that handles a
/// part keeps memory of its size.
const PART: u32 = 100;

pub(crate) async fn handle(context: &Context, claimed: Claimed, id: JobId) -> Result<Handled, Failure> {
    let row = context.store.job(id).await?;
    let (JobState::Held(_) | JobState::Queued) = row.job.state else { return Ok(Handled::Nothing) };
    let tasks = context.store.unplanned(id, row.plan_cursor, PART).await?;
    let (filling, highest) = context.store.filling(id).await?;
    let (clock, limits) = (context.clock(), context.config.limits);
    // Rendering and packing are work for the processor, not for the reactor.
    let built = tokio::task::spawn_blocking(move || {
        let processor = Arc::new(compile(&row)?);
        let more = tasks.len() == usize::try_from(PART).unwrap_or(usize::MAX);
        let cursor = tasks.last().map_or(row.plan_cursor, |task| task.seq);
        let mut part = Part {
            row: &row,
            clock,
            limits,
            highest,
            filling,
            batches: vec![],
            lines: vec![],
            unusable: vec![],
        };
        for task in tasks {
            part.place(&processor, task)?;
        }
        part.seal(more);
        let (batches, lines, unusable) = (part.batches, part.lines, part.unusable);
        Ok::<_, Failure>((row, more, cursor, batches, lines, unusable))
    });
    let built = built.await.map_err(|_| Failure::Fault("planning panicked; this is a bug".to_owned()))??;
    let (row, more, cursor, batches, lines, unusable) = built;
    let attempted = row.round_attempts > 0 || !lines.is_empty();
    let fact = JobFact::Planned { more, attempted };
    let decided = decide_job(&row.job, &fact, clock.now(), &context.job_policy().await?);
    let Some(job) = decided.map_err(|error| Failure::Fault(error.to_string()))? else {
        return Ok(Handled::Nothing);
    };
    tracing::info!(job.id = %id, tasks = lines.len(), batches = batches.len(), more, "planned");
    let chunk = PlanChunk { job, processor: row.processor, cursor, batches, lines, unusable };
    let commit = context.store.commit_plan(chunk, claimed).await?;
    Ok(if commit == Commit::Done { Handled::Answered } else { Handled::Later(clock.now()) })
}

/// The processor as it was when the job was accepted.
pub(crate) fn compile(row: &JobRow) -> Result<Processor, Failure> {
    let unusable = |error: processor::ProcessorError| {
        Failure::Fault(format!("the processor kept with job {} can't be used: {error}", row.job.id))
    };
    let definition =
        Definition::from_json(&row.definition, &format!("job {}", row.job.id)).map_err(unusable)?;
    Processor::new(definition, Some(&row.model)).map_err(unusable)
}

/// A part being planned.
struct Part<'a> {
    row: &'a JobRow,
    clock: Clock,
    limits: Limits,
    highest: u32,
    filling: Option<PlannedBatch>,
    batches: Vec<PlannedBatch>,
    lines: Vec<PlannedLine>,
    unusable: Vec<(domain::TaskId, String)>,
}

impl Part<'_> {
    /// Renders a task, unless its bytes are frozen already, and gives it a line.
    fn place(&mut self, processor: &Processor, task: Unplanned) -> Result<(), Failure> {
        let rendered = match (&task.request, &task.payload) {
            (Some(_), _) => None,
            (None, Some(payload)) => match processor.request(payload) {
                Ok(request) => Some(request.body),
                Err(error) => {
                    self.unusable.push((task.id, error.to_string()));
                    return Ok(());
                }
            },
            (None, None) => return Err(Failure::Fault(format!("task {} has no record", task.id))),
        };
        let body = rendered.as_ref().or(task.request.as_ref()).map_or("", String::as_str);
        let bytes = u64::try_from(reception::line(&task.custom_id, &self.row.endpoint, body)?.len())
            .unwrap_or(u64::MAX);
        match self.batch_for(bytes) {
            Ok((batch, number)) => {
                let attempt = AttemptId(self.clock.new_id());
                let (custom_id, record_key) = (task.custom_id, task.record_key);
                self.lines.push(PlannedLine {
                    attempt,
                    task: task.id,
                    batch,
                    line: number,
                    number: task.attempts + 1,
                    custom_id,
                    record_key,
                    request: rendered,
                });
            }
            Err(error) => self.unusable.push((task.id, error.to_string())),
        }
        Ok(())
    }

    /// The batch and line number for a line of `bytes`.
    fn batch_for(&mut self, bytes: u64) -> Result<(BatchId, u32), domain::PackError> {
        let current =
            self.filling.as_ref().map(|batch| Packer { requests: batch.requests, bytes: batch.bytes });
        let mut packer = current.unwrap_or_default();
        let place = packer.place(bytes, self.limits)?;
        if place == Place::Next {
            self.seal_filling();
        }
        let mut batch = self.filling.take().unwrap_or_else(|| self.begin());
        (batch.requests, batch.bytes) = (packer.requests, packer.bytes);
        let place = (batch.id, batch.requests);
        self.filling = Some(batch);
        Ok(place)
    }

    fn begin(&mut self) -> PlannedBatch {
        self.highest += 1;
        PlannedBatch {
            id: BatchId(self.clock.new_id()),
            number: self.highest,
            model: self.row.model.clone(),
            endpoint: self.row.endpoint.clone(),
            requests: 0,
            bytes: 0,
            new: true,
            sealed: false,
        }
    }

    fn seal_filling(&mut self) {
        if let Some(batch) = self.filling.take() {
            self.batches.push(PlannedBatch { sealed: true, ..batch });
        }
    }

    /// The end of the part: a full batch goes to submit, a batch with room waits for the next part, and
    /// the last part leaves none waiting.
    fn seal(&mut self, more: bool) {
        let full = self.filling.as_ref().is_some_and(|batch| {
            Packer { requests: batch.requests, bytes: batch.bytes }.is_full(self.limits)
        });
        if full || !more {
            self.seal_filling();
        } else if let Some(batch) = self.filling.take() {
            self.batches.push(batch);
        }
    }
}
