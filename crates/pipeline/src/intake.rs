//! Intake: records checked, rendered, counted and compared with what is known, then accepted as a job.
//!
//! The check reads every record once and stores nothing; accepting reads them again and stores all or
//! none. In between only a few bytes per record are kept, so that a job of any size passes.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use ::source::{Checker, Record};
use ::store::{Accepted, BacklogTask, Known, NewJob, NewTask, RecordRow, Store, StoreError};
use domain::{HoldReason, JobId, Kind, Limits, PriceTable, TaskId, Time};
use processor::Processor;

use crate::estimate::Estimate;
use crate::line::line;

/// Records read, rendered and stored at a time.
const PART: usize = 100;

/// Where records come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Issue files.
    Files(Arc<[PathBuf]>),
    /// Tasks of the platform's backlog.
    Backlog(Arc<[BacklogTask]>),
}

impl Source {
    fn len(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Backlog(tasks) => tasks.len(),
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
}

/// A record that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Invalid {
    /// The file, or the backlog task.
    pub place: String,
    /// The line in it.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
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
    /// Places in the source, in order.
    selected: Vec<u32>,
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

/// A record, read and rendered.
struct Item {
    place: u32,
    label: String,
    key: String,
    custom_id: String,
    sha256: String,
    payload: String,
    record: Option<RecordRow>,
    backlog: Option<String>,
}

/// An item and what its request weighs.
struct Weighed {
    item: Item,
    bytes: u64,
    input_tokens: u64,
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
            let (part, back) = read_part(request, names, first).await?;
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
            Ok(()) => self.selected.push(weighed.item.place),
            Err(error) => self.invalid.push(Invalid {
                place: weighed.item.label.clone(),
                line: None,
                what: error.to_string(),
                fix: "shorten the record in the processor's template (truncate_chars), or raise BATCH_MAX_FILE_BYTES"
                    .to_owned(),
            }),
        }
    }

    /// Accepts what the check selected as a job, all or none.
    ///
    /// # Errors
    /// A database that fails, or a record that changed since the check: nothing is stored.
    pub async fn accept(&self, store: &Store, request: &Request) -> Result<Outcome, IntakeError> {
        let clock = store.clock();
        let id = JobId(clock.new_id());
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
            priority: request.kind.priority(),
            prices_of: request.prices.date.clone(),
        });
        for places in self.selected.chunks(PART) {
            let items = read_selected(request, places).await?;
            let (mut records, mut tasks, mut texts) = (Vec::new(), Vec::new(), Vec::new());
            for item in items {
                tasks.push(NewTask {
                    id: TaskId(clock.new_id()),
                    custom_id: item.custom_id,
                    record_key: item.key,
                    record_sha256: item.sha256.clone(),
                    task_id: item.backlog,
                });
                match item.record {
                    Some(record) => records.push(record),
                    None => texts.push((item.sha256, item.payload)),
                }
            }
            accept = accept.add(records, tasks, texts).await?;
        }
        let accepted = Accepted {
            estimate_tokens: Some((self.estimate.input_tokens, self.estimate.output_tokens)),
            estimate_cost: self.estimate.cost,
            estimate_normal_cost: self.estimate.normal_cost,
        };
        let tasks = accept.finish(accepted).await?;
        Ok(Outcome { job: id, tasks })
    }
}

/// Which records of a part are known, by key.
struct KnownRecords(BTreeMap<String, Vec<Known>>);

impl KnownRecords {
    fn new(all: Vec<Known>) -> Self {
        let mut by_key: BTreeMap<String, Vec<Known>> = BTreeMap::new();
        for known in all {
            by_key.entry(known.record_key.clone()).or_default().push(known);
        }
        Self(by_key)
    }

    /// The job that has the record on its way, or that has answered this very text with this processor's
    /// version and model.
    fn of(&self, request: &Request, item: &Item) -> Option<(JobId, bool)> {
        let known = self.0.get(&item.key)?;
        if let Some(on_its_way) = known.iter().find(|known| !known.answered) {
            return Some((on_its_way.job, false));
        }
        let same = |known: &&Known| {
            known.record_sha256 == item.sha256
                && known.processor_version == request.processor.definition().version
                && known.model == request.processor.model()
        };
        let answered = known.iter().find(same).filter(|_| !request.again)?;
        Some((answered.job, true))
    }
}

/// Names taken so far: two records may not share one.
#[derive(Default)]
struct Names {
    files: Checker,
    backlog: HashSet<String>,
}

struct Part {
    items: Vec<Weighed>,
    invalid: Vec<Invalid>,
}

/// Reads and renders a part on a thread for blocking work.
async fn read_part(request: &Request, mut names: Names, first: usize) -> Result<(Part, Names), IntakeError> {
    let request = request.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut part = Part { items: Vec::new(), invalid: Vec::new() };
        for place in first..request.source.len().min(first + PART) {
            match read_item(&request.source, place)
                .and_then(|item| names.check(&request.source, item))
                .and_then(|item| weigh(&request.processor, item))
            {
                Ok(weighed) => part.items.push(weighed),
                Err(invalid) => part.invalid.push(invalid),
            }
        }
        (part, names)
    });
    read.await.map_err(|_| IntakeError::Interrupted)
}

/// Reads records again that the check has seen.
async fn read_selected(request: &Request, places: &[u32]) -> Result<Vec<Item>, IntakeError> {
    let (source, places) = (request.source.clone(), places.to_vec());
    let read = tokio::task::spawn_blocking(move || {
        places
            .iter()
            .map(|place| {
                let place = usize::try_from(*place).unwrap_or(usize::MAX);
                read_item(&source, place).map_err(|invalid| IntakeError::Changed(invalid.place))
            })
            .collect()
    });
    read.await.map_err(|_| IntakeError::Interrupted)?
}

fn read_item(source: &Source, at: usize) -> Result<Item, Invalid> {
    let place = u32::try_from(at).unwrap_or(u32::MAX);
    match source {
        Source::Files(files) => {
            let record = ::source::read(&files[at]).map_err(invalid)?;
            Ok(Item {
                place,
                label: record.path.clone(),
                key: record.key.clone(),
                custom_id: record.custom_id.clone(),
                sha256: record.sha256.clone(),
                payload: String::new(),
                record: Some(record_row(record)),
                backlog: None,
            })
        }
        Source::Backlog(tasks) => {
            let task = &tasks[at];
            let label = format!("backlog task {}", task.id);
            let record = Record::from_text(&label, &task.payload).map_err(invalid)?;
            Ok(Item {
                place,
                label,
                // The platform's id is the identity: two tasks about one issue are two tasks.
                key: format!("task:{}", task.id),
                custom_id: format!("task-{}", task.id),
                sha256: record.sha256,
                payload: record.payload,
                record: None,
                backlog: Some(task.id.clone()),
            })
        }
    }
}

impl Names {
    fn check(&mut self, source: &Source, item: Item) -> Result<Item, Invalid> {
        let place = usize::try_from(item.place).unwrap_or(usize::MAX);
        match (source, &item.record) {
            (Source::Files(files), Some(record)) => {
                self.files.check(&record.custom_id, &record.path, place, files).map_err(invalid)?;
            }
            _ => {
                if !self.backlog.insert(item.custom_id.clone()) {
                    let what = format!("the same custom_id as another task: {}", item.custom_id);
                    let fix = "name each task once".to_owned();
                    return Err(Invalid { place: item.label, line: None, what, fix });
                }
            }
        }
        Ok(item)
    }
}

fn weigh(processor: &Processor, item: Item) -> Result<Weighed, Invalid> {
    let payload = item.record.as_ref().map_or(&item.payload, |record| &record.payload);
    let wrong = |what: String, fix: &str| Invalid {
        place: item.label.clone(),
        line: None,
        what,
        fix: fix.to_owned(),
    };
    let rendered = processor.request(payload);
    let request = rendered.map_err(|error| {
        wrong(error.to_string(), "give the record what the template reads, or change the template")
    })?;
    let bytes = line(&item.custom_id, processor.endpoint(), &request.body)
        .map_err(|error| wrong(error.to_string(), "this is a bug; please report it"))?
        .len();
    let input: usize = request.counted().iter().map(|text| tokens::count(processor.model(), text)).sum();
    let whole = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Ok(Weighed { item, bytes: whole(bytes), input_tokens: whole(input) })
}

fn invalid(invalid: ::source::Invalid) -> Invalid {
    Invalid { place: invalid.path, line: invalid.line, what: invalid.what, fix: invalid.fix }
}

/// A record as the database keeps it.
#[must_use]
pub fn record_row(record: Record) -> RecordRow {
    RecordRow {
        key: record.key,
        custom_id: record.custom_id,
        org: record.org,
        repo: record.repo,
        number: record.number,
        title: record.title,
        state: record.state,
        path: record.path,
        payload: record.payload,
        sha256: record.sha256,
    }
}
