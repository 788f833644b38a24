//! A wish for a job, whoever brings it: the API, the command line or a message. It names tasks, records or
//! another job, never a file.

use std::collections::HashSet;
use std::sync::Arc;

use domain::{JobId, Kind};
use processor::{Processor, ProcessorError, known, resolve};
use source::Invalid;
use store::{LeftOut, Origin, Store};

use crate::failed::whole;
use crate::{Failed, House, InlineRecord, Intake, Refusal, Request, Source};

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
    /// How it was asked for; the parent and what is left out are filled in here.
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
        /// For this agent; the processor's own where unset.
        agent: Option<String>,
        /// This many, at most.
        limit: u64,
    },
    /// Tasks that failed, expired or went missing.
    Failed(Failed),
}

impl Work {
    /// Whether it is work that has failed before.
    pub(crate) fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Whether the caller names each task or record, and doesn't leave it to us to find some.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self, Self::Tasks(_) | Self::Records(_))
    }
}

/// A wish that was read and weighed; nothing is stored.
#[derive(Clone)]
pub struct Prepared {
    /// What is asked for.
    pub request: Request,
    /// What was found.
    pub intake: Intake,
}

impl Wish {
    /// Reads and weighs everything that it names; stores nothing.
    ///
    /// # Errors
    /// A wish that contradicts itself or names what isn't there; a database that fails.
    pub async fn prepare(&self, store: &Store, house: &House) -> Result<Prepared, Refusal> {
        self.check()?;
        let found = match &self.work {
            Work::Failed(failed) => failed.find(store, house, self).await?,
            Work::Tasks(ids) => {
                let processor = self.processor(house)?;
                let source = Source::Backlog(pending(store, &processor.definition().name, ids).await?.into());
                Found::new(source, "backlog tasks by id".to_owned(), processor)
            }
            Work::Records(records) => {
                let source = Source::Inline(records.clone().into());
                Found::new(source, "records of a request".to_owned(), self.processor(house)?)
            }
            Work::Backlog { repo, agent, limit } => {
                let processor = self.processor(house)?;
                let name = own_agent(&processor, agent.as_deref(), "filter/agent_type")?;
                let of = repo.as_deref().unwrap_or_default();
                let (tasks, all) = store.backlog_of(of, &name, *limit).await?;
                let left_out = Some(LeftOut::beyond(all, tasks.len()));
                let label = format!("backlog of {}", whose(repo, &Some(name)));
                Found { left_out, ..Found::new(Source::Backlog(tasks.into()), label, processor) }
            }
        };
        let left_out = found.left_out;
        let mut request = self.request(store, house, found).await?;
        let intake = Intake::check(store, &request).await?;
        let invalid = whole(intake.invalid.len());
        request.origin.left_out = left_out.map(|left_out| LeftOut { invalid, ..left_out });
        Ok(Prepared { request, intake })
    }

    async fn request(&self, store: &Store, house: &House, found: Found) -> Result<Request, Refusal> {
        // A backlog task that is pending or failed is wanted, whatever was answered before.
        let again = self.again || matches!(found.source, Source::Backlog(_) | Source::Failed(_));
        let night = house.night_of(store, self.tonight).await?;
        Ok(Request {
            processor: Arc::new(found.processor),
            source: found.source,
            label: found.label,
            kind: self.kind,
            hold: house.hold(night, store.clock().now())?,
            provider: house.provider.clone(),
            again,
            limits: house.limits,
            prices: house.prices.clone(),
            priority: self.priority.unwrap_or_else(|| self.kind.priority()),
            origin: Origin { parent: found.parent, ..self.origin.clone() },
        })
    }

    /// What can be said without looking anything up.
    fn check(&self) -> Result<(), Refusal> {
        let retries = self.work.is_failed();
        match self.kind {
            Kind::ReprocessFailed if !retries => {
                return Err(Refusal::kind(self.kind, "names work that has failed"));
            }
            kind if retries && kind != Kind::ReprocessFailed => {
                return Err(Refusal::kind(kind, "can't take up what has failed; take reprocess_failed"));
            }
            _ => {}
        }
        if let Work::Failed(failed) = &self.work {
            return failed.check(self);
        }
        let (field, named) = match &self.work {
            Work::Tasks(ids) => ("task_ids", ids.len()),
            Work::Records(records) => ("records", records.len()),
            Work::Backlog { limit, .. } => ("filter/limit", usize::try_from(*limit).unwrap_or(usize::MAX)),
            Work::Failed(_) => return Ok(()),
        };
        if (1..=MOST_NAMED).contains(&named) {
            return Ok(());
        }
        Err(Refusal::field(field, named.to_string(), format!("take 1 to {MOST_NAMED}")))
    }

    pub(crate) fn processor(&self, house: &House) -> Result<Processor, Refusal> {
        let agent = match &self.work {
            Work::Backlog { agent, .. } | Work::Failed(Failed::Backlog { agent, .. }) => agent.as_deref(),
            Work::Tasks(_) | Work::Records(_) | Work::Failed(_) => None,
        };
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

/// What a wish is about, found.
pub(crate) struct Found {
    pub(crate) source: Source,
    pub(crate) label: String,
    pub(crate) processor: Processor,
    pub(crate) left_out: Option<LeftOut>,
    pub(crate) parent: Option<JobId>,
}

impl Found {
    pub(crate) fn new(source: Source, label: String, processor: Processor) -> Self {
        Self { source, label, processor, left_out: None, parent: None }
    }
}

/// The agent whose tasks a processor works on: its own, since its answer completes them.
pub(crate) fn own_agent(processor: &Processor, agent: Option<&str>, field: &str) -> Result<String, Refusal> {
    let name = processor.definition().name.clone();
    match agent {
        Some(agent) if agent != name => {
            let what = format!("{agent}, and the processor is {name}");
            Err(Refusal::field(field, what, "leave one of the two out"))
        }
        _ => Ok(name),
    }
}

/// The repository and the agent of a selection, in words.
pub(crate) fn whose(repo: &Option<String>, agent: &Option<String>) -> String {
    let all = |word: &Option<String>| word.clone().unwrap_or_else(|| "all".to_owned());
    format!("repository {}, agent {}", all(repo), all(agent))
}

/// The tasks of these ids, all of them pending and for this processor: its answer would complete a task of
/// another agent.
async fn pending(store: &Store, processor: &str, ids: &[String]) -> Result<Vec<store::BacklogTask>, Refusal> {
    let found = store.backlog_by_id(ids).await?;
    let (mut seen, mut invalid) = (HashSet::new(), Vec::new());
    for (at, id) in ids.iter().enumerate() {
        let task = found.iter().find(|(task, _)| task.id == *id);
        let (what, fix) = match task.map(|(task, status)| (status.as_str(), task.agent_type.as_str())) {
            _ if !seen.insert(id) => (format!("{id} is named twice"), "name each task once"),
            Some(("pending", agent)) if agent == processor => continue,
            Some(("pending", agent)) => {
                let what = format!("{id} is for {agent}, and not for {processor}");
                (what, "take the processor that the task is for, or leave it out")
            }
            Some((status, _)) => {
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
