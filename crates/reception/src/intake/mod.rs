//! Intake: records checked, rendered, counted and compared with what is known, then accepted as a job.
//!
//! The check reads every record once and stores nothing; accepting reads them again and stores all or
//! none. In between only a few bytes per record are kept, so that a job of any size passes.

mod item;
mod known;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ::source::Invalid;
use ::store::{BacklogTask, NewJob, NewTask, Origin, RunPart, Store, StoreError};
use domain::{HoldReason, JobId, Kind, Limits, PriceTable, TaskId, Time, Trace};
use processor::Processor;
use tracing::Instrument as _;

use crate::InlineRecord;
use crate::estimate::{self, Estimate};
use crate::trace::place;
pub(crate) use item::Item;
pub use item::record_row;
use item::{Names, Weighed, read_part, read_selected};
use known::KnownRecords;

/// Records read, rendered and stored at a time.
const PART: usize = 100;

/// Where records come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Issue files.
    Files(Arc<[PathBuf]>),
    /// Tasks of the platform's backlog.
    Backlog(Arc<[BacklogTask]>),
    /// Records that came with the wish.
    Inline(Arc<[InlineRecord]>),
    /// Tasks of the backlog that the platform has down as failed, with who had them before.
    Failed(Arc<[(BacklogTask, Option<String>)]>),
    /// Tasks of other jobs, with the texts that they were given then.
    Kept(Arc<[TaskId]>),
}

impl Source {
    fn len(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Backlog(tasks) => tasks.len(),
            Self::Inline(records) => records.len(),
            Self::Failed(tasks) => tasks.len(),
            Self::Kept(tasks) => tasks.len(),
        }
    }
}

/// What somebody asks for.
#[derive(Clone)]
pub struct Request {
    /// The processor, its model settled.
    pub processor: Arc<Processor>,
    /// Where the records come from.
    pub source: Source,
    /// The same in words, kept with the job.
    pub label: String,
    /// What the job does.
    pub kind: Kind,
    /// Why it waits, and until when; none: it starts at once.
    pub hold: Option<(HoldReason, Option<Time>)>,
    /// `sim` or `openai`.
    pub provider: String,
    /// Take records that are answered already.
    pub again: bool,
    /// What a batch may hold.
    pub limits: Limits,
    /// Prices.
    pub prices: PriceTable,
    /// Its priority; higher goes first.
    pub priority: i32,
    /// How it was asked for.
    pub origin: Origin,
}

/// Records left out because they are known, by job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Answered already.
    pub answered: BTreeMap<JobId, u64>,
    /// On their way.
    pub on_their_way: BTreeMap<JobId, u64>,
}

impl Skipped {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.answered.values().chain(self.on_their_way.values()).sum()
    }
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Intake {
    /// What would be submitted, and what it would cost.
    pub estimate: Estimate,
    /// Records left out because they are known.
    pub skipped: Skipped,
    /// Records that can't be used.
    pub invalid: Vec<Invalid>,
    /// What would be submitted, in order.
    selected: Vec<Selected>,
}

/// A record that would be submitted.
#[derive(Clone, Copy, Debug)]
struct Selected {
    /// Its place in the source.
    place: u32,
    /// Tokens of its prompt.
    input_tokens: u64,
}

/// What an accepted job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its id.
    pub job: JobId,
    /// Its tasks.
    pub tasks: u64,
}

/// Why nothing was accepted.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record changed between the check and now.
    #[error("{0} changed while it was being read; run the command again")]
    Changed(String),
    /// Reading panicked: a bug of ours.
    #[error("reading the records was interrupted; this is a bug")]
    Interrupted,
}

impl Intake {
    /// Reads, renders and counts every record; stores nothing.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn check(store: &Store, request: &Request) -> Result<Self, IntakeError> {
        let mut intake = Self {
            estimate: Estimate::default(),
            skipped: Skipped::default(),
            invalid: Vec::new(),
            selected: Vec::new(),
        };
        let mut names = Names::default();
        for first in (0..request.source.len()).step_by(PART) {
            let (part, back) = read_part(store, request, names, first).await?;
            names = back;
            intake.invalid.extend(part.invalid);
            let keys: Vec<String> = part.items.iter().map(|weighed| weighed.item.key.clone()).collect();
            let known = KnownRecords::new(store.known(&request.processor.definition().name, &keys).await?);
            for weighed in part.items {
                intake.select(request, &known, &weighed);
            }
        }
        intake.estimate.price(request.processor.model(), &request.prices);
        Ok(intake)
    }

    fn select(&mut self, request: &Request, known: &KnownRecords, weighed: &Weighed) {
        if let Some((job, answered)) = known.of(request, &weighed.item) {
            let of = if answered { &mut self.skipped.answered } else { &mut self.skipped.on_their_way };
            *of.entry(job).or_default() += 1;
            return;
        }
        let output = u64::from(request.processor.definition().max_output_tokens);
        match self.estimate.add(weighed.bytes, weighed.input_tokens, output, request.limits) {
            Ok(()) => self.selected.push(Selected {
                place: weighed.item.place,
                input_tokens: weighed.input_tokens,
            }),
            Err(error) => self.invalid.push(Invalid {
                path: weighed.item.label.clone(),
                line: None,
                what: error.to_string(),
                fix: "shorten the record in the processor's template (truncate_chars), or raise BATCH_MAX_FILE_BYTES"
                    .to_owned(),
            }),
        }
    }

    /// Whether a record is left that can be used, be it known or new.
    #[must_use]
    pub fn has_usable(&self) -> bool {
        self.estimate.requests + self.skipped.total() > 0
    }

    /// Places in the source that would be submitted, in order.
    pub fn selected(&self) -> impl Iterator<Item = usize> {
        self.selected.iter().map(|selected| usize::try_from(selected.place).unwrap_or(usize::MAX))
    }

    /// Accepts what the check selected as a job, all or none.
    ///
    /// # Errors
    /// A database that fails, or a record that changed since the check: nothing is stored.
    pub async fn accept(&self, store: &Store, request: &Request) -> Result<Outcome, IntakeError> {
        self.accept_as(store, request, None).await
    }

    /// The same as a job of a run of a schedule, counted there in the same transaction. It gets those of
    /// its tasks that are still pending then.
    ///
    /// # Errors
    /// As [`Intake::accept`].
    pub async fn accept_as(
        &self,
        store: &Store,
        request: &Request,
        run: Option<RunPart>,
    ) -> Result<Outcome, IntakeError> {
        let id = JobId(store.clock().new_id());
        let span = tracing::error_span!("accept", job.id = %id, trace_id = tracing::field::Empty);
        let trace = place(&span, request.origin.trace, Trace::of(id.0));
        let origin = Origin { trace: Some(trace), ..request.origin.clone() };
        self.write(store, request, (id, origin), run).instrument(span).await
    }

    async fn write(
        &self,
        store: &Store,
        request: &Request,
        (id, origin): (JobId, Origin),
        run: Option<RunPart>,
    ) -> Result<Outcome, IntakeError> {
        let clock = store.clock();
        let definition = request.processor.definition();
        let mut accept = store.accept(NewJob {
            id,
            kind: request.kind,
            hold: request.hold,
            provider: request.provider.clone(),
            processor: definition.name.clone(),
            processor_version: definition.version,
            definition: definition.to_json(),
            model: request.processor.model().to_owned(),
            endpoint: request.processor.endpoint().to_owned(),
            source: request.label.clone(),
            priority: request.priority,
            prices_of: request.prices.date.clone(),
            run,
            origin,
        });
        for part in self.selected.chunks(PART) {
            let places: Vec<u32> = part.iter().map(|selected| selected.place).collect();
            let items = read_selected(store, request, &places).await?;
            let (mut records, mut tasks, mut texts) = (Vec::new(), Vec::new(), Vec::new());
            for (item, selected) in items.into_iter().zip(part) {
                tasks.push(NewTask {
                    id: TaskId(clock.new_id()),
                    custom_id: item.custom_id,
                    record_key: item.key,
                    record_sha256: item.sha256.clone(),
                    backlog: item.backlog,
                    input_tokens: selected.input_tokens,
                });
                match item.record {
                    Some(record) => records.push(record),
                    None => texts.push((item.sha256, item.payload)),
                }
            }
            accept = accept.add(records, tasks, texts).await?;
        }
        let price = request.prices.of(request.processor.model());
        let answer = u64::from(definition.max_output_tokens);
        let tasks = accept.finish(move |taken| estimate::of(taken, answer, price)).await?;
        Ok(Outcome { job: id, tasks })
    }
}
