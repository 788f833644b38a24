//! What was asked for, understood as a wish: words become values, and what can't be one is refused with its
//! place. The API, a command from outside and the command line ask in the same words.

use api_types::{CreateJob, Filter, Reprocess};
use chrono::TimeDelta;
use domain::{ErrorClass, Kind, Priority, Time};
use serde_json::Value;
use store::{Origin, RetryFilter};

use crate::named::{older_than, plain, priority, word};
use crate::{FILTER_DEFAULT, Failed, InlineRecord, Refusal, Wish, Work};

/// Bytes of labels, and of metadata, at most: they travel with every status.
const MOST_BYTES: usize = 16 * 1024;

impl Wish {
    /// The wish that somebody's words are, said `now`. Nothing is looked up: whether it was brought before must
    /// be asked first, since the job that it became may have made a name in it mean two.
    ///
    /// # Errors
    /// Words that are no wish.
    pub fn of(asked: &CreateJob, now: Time) -> Result<Self, Refusal> {
        let work = work(asked, now)?;
        let kind = match &asked.kind {
            Some(kind) => word("kind", kind, Kind::ALL, Kind::as_str)?,
            None if work.is_failed() => Kind::ReprocessFailed,
            None => Kind::TaskProcessing,
        };
        named("processor", asked.processor.as_deref())?;
        named("model", asked.model.as_deref())?;
        Ok(Self {
            kind,
            processor: asked.processor.clone(),
            model: asked.model.clone(),
            work,
            tonight: asked.tonight,
            again: asked.again,
            priority: asked.priority.as_deref().map(priority).transpose()?.map(Priority::rank),
            origin: Origin {
                labels: kept("labels", asked.labels.as_ref())?,
                metadata: kept("metadata", asked.metadata.as_ref())?,
                ..Origin::default()
            },
        })
    }
}

impl Wish {
    /// Tells on which lines its records came, so that what is wrong with one can be found.
    #[must_use]
    pub fn on_lines(mut self, lines: &[usize]) -> Self {
        if let Work::Records(records) = &mut self.work {
            records.iter_mut().zip(lines).for_each(|(record, line)| record.line = Some(*line));
        }
        self
    }
}

fn named(pointer: &str, name: Option<&str>) -> Result<(), Refusal> {
    name.map_or(Ok(()), |name| plain(pointer, name))
}

fn work(asked: &CreateJob, now: Time) -> Result<Work, Refusal> {
    match (&asked.task_ids, &asked.records, &asked.filter, &asked.reprocess_failed) {
        (Some(ids), None, None, None) => {
            for (at, id) in ids.iter().enumerate() {
                plain(&format!("task_ids/{at}"), id)?;
            }
            Ok(Work::Tasks(ids.clone()))
        }
        (None, Some(records), None, None) => {
            let inline = |record: &api_types::Record| InlineRecord {
                key: record.key.clone(),
                data: record.data.clone(),
                line: None,
            };
            Ok(Work::Records(records.iter().map(inline).collect()))
        }
        (None, None, Some(filter), None) => backlog(filter),
        (None, None, None, Some(reprocess)) => failed(reprocess, now),
        _ => Err(Refusal::Work),
    }
}

fn backlog(filter: &Filter) -> Result<Work, Refusal> {
    named("filter/repo", filter.repo.as_deref())?;
    named("filter/agent_type", filter.agent_type.as_deref())?;
    Ok(Work::Backlog {
        repo: filter.repo.clone(),
        agent: filter.agent_type.clone(),
        limit: filter.limit.unwrap_or(FILTER_DEFAULT),
    })
}

fn failed(asked: &Reprocess, now: Time) -> Result<Work, Refusal> {
    let class = asked.error_class.as_deref();
    let class = class
        .map(|class| word("reprocess_failed/error_class", class, ErrorClass::ALL, ErrorClass::label))
        .transpose()?;
    let before = asked.older_than.as_deref().map(|age| ago(now, age)).transpose()?;
    let filter = RetryFilter { class, before };
    Ok(Work::Failed(match (&asked.job, &asked.backlog) {
        (Some(job), None) => {
            unless(
                asked.limit.is_some(),
                "limit",
                "a job is taken up whole",
                "narrow it by error_class or older_than",
            )?;
            Failed::Of { job: job.clone(), filter }
        }
        (None, Some(backlog)) => {
            unless(asked.limit.is_some(), "limit", "of the backlog", "give it within backlog")?;
            let reason = "the platform's own tasks have no error class of ours";
            unless(class.is_some(), "error_class", reason, "leave it out")?;
            named("reprocess_failed/backlog/repo", backlog.repo.as_deref())?;
            named("reprocess_failed/backlog/agent_type", backlog.agent_type.as_deref())?;
            let (repo, agent) = (backlog.repo.clone(), backlog.agent_type.clone());
            Failed::Backlog { repo, agent, before, limit: backlog.limit.unwrap_or(FILTER_DEFAULT) }
        }
        (Some(_), Some(_)) => {
            let what = "a job's tasks or the platform's own, not both";
            return Err(Refusal::field("reprocess_failed/backlog", what, "leave one out"));
        }
        (None, None) => {
            let says_nothing = class.is_none() && before.is_none();
            unless(
                says_nothing,
                "job",
                "nothing says which tasks",
                "give a job, an error_class, older_than or backlog",
            )?;
            Failed::Anywhere { filter, limit: asked.limit.unwrap_or(FILTER_DEFAULT) }
        }
    }))
}

/// A field of `reprocess_failed` that doesn't go with the rest is refused.
fn unless(wrong: bool, field: &str, what: &str, fix: &str) -> Result<(), Refusal> {
    if wrong { Err(Refusal::field(&format!("reprocess_failed/{field}"), what, fix)) } else { Ok(()) }
}

fn ago(now: Time, age: &str) -> Result<Time, Refusal> {
    let age = older_than(age).and_then(|age| TimeDelta::from_std(age).ok());
    age.and_then(|age| now.checked_sub_signed(age)).ok_or_else(|| {
        let fix = "take a number and s, m, h or d, such as 7d";
        Refusal::field("reprocess_failed/older_than", "not a time", fix)
    })
}

/// An object that is kept with the job, if both databases can keep it.
fn kept<T: serde::Serialize>(pointer: &str, given: Option<&T>) -> Result<Option<Value>, Refusal> {
    let Some(given) = given else { return Ok(None) };
    let unfit = |what: String, fix: String| Err(Refusal::field(pointer, what, fix));
    let value = match serde_json::to_value(given) {
        Ok(value) => value,
        Err(error) => return unfit(error.to_string(), "give a JSON object".to_owned()),
    };
    let text = value.to_string();
    if text.len() > MOST_BYTES {
        return unfit(format!("{} bytes", text.len()), format!("take at most {MOST_BYTES}"));
    }
    if text.contains("\\u0000") {
        let fix = "remove it; no database keeps it";
        return unfit("a text holds a NUL character".to_owned(), fix.to_owned());
    }
    Ok(Some(value))
}
