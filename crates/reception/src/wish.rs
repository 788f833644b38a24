//! A wish for a job, whoever brings it: the API, the command line or a message. It names tasks, records or
//! another job, never a file.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use domain::{JobId, Kind, TaskTally};
use processor::{Definition, Processor, ProcessorError, known, resolve};
use serde::Serialize;
use source::Invalid;
use store::{JobRow, Origin, RetryFilter, Store};

use crate::{House, InlineRecord, Intake, Refusal, Request, Source};

/// Tasks or records that one wish may name: what it brings is held in memory.
pub const MOST_NAMED: usize = 10_000;
/// Tasks taken from the backlog where nobody says how many.
pub const FILTER_DEFAULT: u64 = 1_000;

/// A wish for a job.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What the job does.
    pub kind: Kind,
    /// The processor's name. None: the agent of the filter, or the processor of the job that is retried.
    pub processor: Option<String>,
    /// Another model than the processor's.
    pub model: Option<String>,
    /// What is to be worked on.
    pub work: Work,
    /// Hold it until the night.
    pub tonight: bool,
    /// Take records that are answered already.
    pub again: bool,
    /// Another priority than the kind's.
    pub priority: Option<i32>,
    /// How it was asked for; the parent is filled in here.
    pub origin: Origin,
}

/// What is to be worked on.
#[derive(Clone, Debug)]
pub enum Work {
    /// These tasks of the backlog; all must be pending.
    Tasks(Vec<String>),
    /// Records that come along.
    Records(Vec<InlineRecord>),
    /// Pending tasks of the backlog, most urgent first.
    Backlog {
        /// Only of this repository.
        repo: Option<String>,
        /// Only for this agent.
        agent: Option<String>,
        /// This many, at most.
        limit: u64,
    },
    /// Tasks of a job that failed, expired or went missing.
    Failed {
        /// The job.
        job: JobId,
        /// Which of them.
        filter: RetryFilter,
    },
}

impl Work {
    /// Whether it is work that has failed before.
    pub(crate) fn is_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

/// Tasks of a retried job that are not taken up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Answered.
    pub succeeded: u64,
    /// Still at work.
    pub live: u64,
    /// Cancelled by a person.
    pub cancelled: u64,
    /// Ended badly, and the filter or the platform excludes them.
    pub excluded: u64,
}

impl LeftOut {
    fn of(tally: &TaskTally, taken: usize) -> Self {
        let ended_badly = tally.failed + tally.expired + tally.missing;
        Self {
            succeeded: tally.succeeded,
            live: tally.pending + tally.submitted,
            cancelled: tally.cancelled,
            excluded: ended_badly.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX)),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} succeeded, {} at work, {} cancelled, {} not asked for or taken by the platform",
            self.succeeded, self.live, self.cancelled, self.excluded
        )
    }
}

/// A wish that was read and weighed; nothing is stored.
#[derive(Clone)]
pub struct Prepared {
    /// What is asked for.
    pub request: Request,
    /// What was found.
    pub intake: Intake,
    /// Tasks of a retried job that are not taken up.
    pub left_out: Option<LeftOut>,
}

impl Wish {
    /// Reads and weighs everything that it names; stores nothing.
    ///
    /// # Errors
    /// A wish that contradicts itself or names what isn't there; a database that fails.
    pub async fn prepare(&self, store: &Store, house: &House) -> Result<Prepared, Refusal> {
        self.check()?;
        let (source, label, processor, left_out) = match &self.work {
            Work::Failed { job, filter } => {
                let parent = store.job(*job).await?;
                let seqs = store.retry_seqs(*job, *filter).await?;
                let left_out = LeftOut::of(&store.task_tally(*job).await?, seqs.len());
                if seqs.is_empty() {
                    return Err(Refusal::NothingToRetry { job: *job, left_out });
                }
                let source = Source::Kept { job: *job, seqs: seqs.into() };
                (source, format!("failed tasks of job {job}"), as_it_was(&parent)?, Some(left_out))
            }
            Work::Tasks(ids) => {
                let source = Source::Backlog(pending(store, ids).await?.into());
                (source, "backlog tasks by id".to_owned(), self.processor(house)?, None)
            }
            Work::Records(records) => {
                let source = Source::Inline(records.clone().into());
                (source, "records of a request".to_owned(), self.processor(house)?, None)
            }
            Work::Backlog { repo, agent, limit } => {
                let (repo, agent) =
                    (repo.as_deref().unwrap_or_default(), agent.as_deref().unwrap_or_default());
                let source = Source::Backlog(store.backlog_of(repo, agent, *limit).await?.into());
                let all = |word: &str| if word.is_empty() { "all".to_owned() } else { word.to_owned() };
                let label = format!("backlog of repository {}, agent {}", all(repo), all(agent));
                (source, label, self.processor(house)?, None)
            }
        };
        let request = self.request(store, house, processor, source, label)?;
        let intake = Intake::check(store, &request).await?;
        Ok(Prepared { request, intake, left_out })
    }

    fn request(
        &self,
        store: &Store,
        house: &House,
        processor: Processor,
        source: Source,
        label: String,
    ) -> Result<Request, Refusal> {
        let parent = if let Work::Failed { job, .. } = self.work { Some(job) } else { None };
        Ok(Request {
            processor: Arc::new(processor),
            source,
            label,
            kind: self.kind,
            hold: house.hold(self.tonight, store.clock().now())?,
            provider: house.provider.clone(),
            // A backlog task that is pending is wanted, whatever was answered before.
            again: self.again || matches!(self.work, Work::Tasks(_) | Work::Backlog { .. }),
            limits: house.limits,
            prices: house.prices.clone(),
            priority: self.priority.unwrap_or_else(|| self.kind.priority()),
            origin: Origin { parent, ..self.origin.clone() },
        })
    }

    /// What can be said without looking anything up.
    fn check(&self) -> Result<(), Refusal> {
        let retries = self.work.is_failed();
        match self.kind {
            Kind::ReprocessFailed if !retries => {
                return Err(Refusal::kind(self.kind, "names a job to retry"));
            }
            kind if retries && kind != Kind::ReprocessFailed => {
                return Err(Refusal::kind(kind, "can't retry a job; take reprocess_failed"));
            }
            _ => {}
        }
        if retries && self.processor.is_some() {
            return Err(Refusal::field(
                "processor",
                "a retry keeps the processor of its job",
                "leave it out",
            ));
        }
        if retries && self.model.is_some() {
            return Err(Refusal::field("model", "a retry keeps the model of its job", "leave it out"));
        }
        let (field, named) = match &self.work {
            Work::Tasks(ids) => ("task_ids", ids.len()),
            Work::Records(records) => ("records", records.len()),
            Work::Backlog { limit, .. } => ("filter/limit", usize::try_from(*limit).unwrap_or(usize::MAX)),
            Work::Failed { .. } => return Ok(()),
        };
        if (1..=MOST_NAMED).contains(&named) {
            return Ok(());
        }
        Err(Refusal::field(field, named.to_string(), format!("take 1 to {MOST_NAMED}")))
    }

    fn processor(&self, house: &House) -> Result<Processor, Refusal> {
        let agent = if let Work::Backlog { agent, .. } = &self.work { agent.as_deref() } else { None };
        let Some(name) = self.processor.as_deref().or(agent) else {
            return Err(Refusal::field("processor", "missing", "name the processor"));
        };
        // A name, and not a path: a stranger reads no files of ours.
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        {
            return Err(no_processor(name, house));
        }
        let definition = resolve(name, Some(&house.processors)).map_err(|error| match error {
            ProcessorError::Unknown { .. } => no_processor(name, house),
            source => Refusal::Processor { name: name.to_owned(), source: Box::new(source) },
        })?;
        Processor::new(definition, self.model.as_deref())
            .map_err(|_| Refusal::field("model", "empty", "name the model, or leave it out"))
    }
}

fn no_processor(name: &str, house: &House) -> Refusal {
    Refusal::NoProcessor { name: name.to_owned(), known: known(Some(&house.processors)) }
}

/// The processor of a job as it was when the job was accepted.
fn as_it_was(parent: &JobRow) -> Result<Processor, Refusal> {
    let wrong = |source| Refusal::Processor { name: parent.processor.clone(), source: Box::new(source) };
    let definition = Definition::from_json(&parent.definition, &parent.processor).map_err(wrong)?;
    Processor::new(definition, Some(&parent.model)).map_err(wrong)
}

/// The tasks of these ids, all of them pending.
async fn pending(store: &Store, ids: &[String]) -> Result<Vec<store::BacklogTask>, Refusal> {
    let found = store.backlog_by_id(ids).await?;
    let (mut seen, mut invalid) = (HashSet::new(), Vec::new());
    for (at, id) in ids.iter().enumerate() {
        let status = found.iter().find(|(task, _)| task.id == *id).map(|(_, status)| status.as_str());
        let (what, fix) = match status {
            _ if !seen.insert(id) => (format!("{id} is named twice"), "name each task once"),
            Some("pending") => continue,
            Some(status) => {
                (format!("{id} is {status}, not pending"), "leave it out: only pending tasks can be claimed")
            }
            None => (format!("no backlog task {id}"), "check the id, or add the task to the backlog first"),
        };
        let path = format!("#/task_ids/{at}");
        invalid.push(Invalid { path, line: None, what, fix: fix.to_owned() });
    }
    if invalid.is_empty() {
        return Ok(found.into_iter().map(|(task, _)| task).collect());
    }
    Err(Refusal::Invalid(invalid))
}
