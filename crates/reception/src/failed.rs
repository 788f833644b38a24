//! Work that has failed before: of one job, of all jobs by reason and age, or the platform's own.
//!
//! One job has one processor and one model. What is taken up of a job keeps its own; of all jobs it must be of
//! one, and a wish may name which.

use domain::{JobId, Time};
use processor::{Definition, Processor};
use store::{JobRow, LeftOut, RetryFilter, RetryScope, Store};

use crate::wish::{Found, own_agent, whose};
use crate::{House, MOST_NAMED, Refusal, Source, Wish, find_job};

/// Which tasks that failed, expired or went missing.
#[derive(Clone, Debug)]
pub enum Failed {
    /// Of a job.
    Of {
        /// The job, by the beginning of its id.
        job: String,
        /// Which of them.
        filter: RetryFilter,
    },
    /// Of all jobs, the oldest first; none that a later job has taken up.
    Anywhere {
        /// Which of them.
        filter: RetryFilter,
        /// This many, at most.
        limit: u64,
    },
    /// Tasks of the backlog that the platform has down as failed, and no job of ours has failed.
    Backlog {
        /// Only of this repository.
        repo: Option<String>,
        /// Only for this agent.
        agent: Option<String>,
        /// Only those that were written last before this.
        before: Option<Time>,
        /// This many, at most.
        limit: u64,
    },
}

impl Failed {
    /// What can be said without looking anything up.
    pub(crate) fn check(&self, wish: &Wish) -> Result<(), Refusal> {
        let (field, limit) = match self {
            Self::Of { .. } => {
                for (field, given) in [("processor", &wish.processor), ("model", &wish.model)] {
                    if given.is_some() {
                        let what = format!("a retry keeps the {field} of its job");
                        return Err(Refusal::field(field, what, "leave it out"));
                    }
                }
                return Ok(());
            }
            Self::Anywhere { limit, .. } => ("reprocess_failed/limit", *limit),
            Self::Backlog { limit, .. } => ("reprocess_failed/backlog/limit", *limit),
        };
        if (1..=whole(MOST_NAMED)).contains(&limit) {
            return Ok(());
        }
        Err(Refusal::field(field, limit.to_string(), format!("take 1 to {MOST_NAMED}")))
    }

    pub(crate) async fn find(&self, store: &Store, house: &House, wish: &Wish) -> Result<Found, Refusal> {
        match self {
            Self::Of { job, filter } => of_job(store, find_job(store, job).await?, *filter).await,
            Self::Anywhere { filter, limit } => anywhere(store, house, wish, *filter, *limit).await,
            Self::Backlog { repo, agent, before, limit } => {
                let before = before.unwrap_or_else(|| store.clock().now());
                let processor = wish.processor(house)?;
                let field = "reprocess_failed/backlog/agent_type";
                let agent = own_agent(&processor, agent.as_deref(), field)?;
                let of = repo.as_deref().unwrap_or_default();
                let (tasks, all) = store.failed_backlog(of, &agent, before, *limit).await?;
                if tasks.is_empty() {
                    return Err(Refusal::NothingFailed);
                }
                let left_out = Some(LeftOut::beyond(all, tasks.len()));
                let label = format!("failed backlog of {}", whose(repo, &Some(agent)));
                let found = Found::new(Source::Failed(tasks.into()), label, processor);
                Ok(Found { left_out, ..found })
            }
        }
    }
}

pub(crate) fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

async fn of_job(store: &Store, job: JobId, filter: RetryFilter) -> Result<Found, Refusal> {
    let parent = store.job(job).await?;
    let tasks = store.retry_tasks(job, filter).await?;
    let left_out = LeftOut::of(&store.task_tally(job).await?, tasks.len());
    if tasks.is_empty() {
        return Err(Refusal::NothingToRetry { job, left_out });
    }
    let label = format!("failed tasks of job {job}");
    let found = Found::new(Source::Kept(tasks.into()), label, as_it_was(&parent)?);
    Ok(Found { left_out: Some(left_out), parent: Some(job), ..found })
}

async fn anywhere(
    store: &Store,
    house: &House,
    wish: &Wish,
    filter: RetryFilter,
    limit: u64,
) -> Result<Found, Refusal> {
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let (processor, model) = (word(&wish.processor), word(&wish.model));
    let scope = RetryScope { provider: &house.provider, processor: &processor, model: &model };
    let groups = store.retry_groups(scope, filter).await?;
    if groups.len() > 1 {
        return Err(Refusal::SeveralProcessors { groups });
    }
    let all = groups.first().map_or(0, |group| group.count);
    let (tasks, mut jobs): (Vec<_>, Vec<_>) =
        store.retry_anywhere(scope, filter, limit).await?.into_iter().unzip();
    // Ids rise with time: of several versions of the processor the newest job's is taken.
    jobs.sort_unstable();
    jobs.dedup();
    let Some(newest) = jobs.last() else { return Err(Refusal::NothingFailed) };
    let processor = as_it_was(&store.job(*newest).await?)?;
    let left_out = Some(LeftOut::beyond(all, tasks.len()));
    let label = format!("failed tasks of {} jobs", jobs.len());
    let parent = (jobs.len() == 1).then_some(*newest);
    Ok(Found { left_out, parent, ..Found::new(Source::Kept(tasks.into()), label, processor) })
}

/// The processor of a job as it was when the job was accepted.
fn as_it_was(parent: &JobRow) -> Result<Processor, Refusal> {
    let wrong = |source| Refusal::Processor { name: parent.processor.clone(), source: Box::new(source) };
    let definition = Definition::from_json(&parent.definition, &parent.processor).map_err(wrong)?;
    Processor::new(definition, Some(&parent.model)).map_err(wrong)
}
