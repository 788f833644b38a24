//! A job: its phases, the facts that reach it, what it becomes, and what people are shown.
//!
//! ```text
//! held ─▶ queued ─▶ active ─▶ ended
//!           ▲          │
//!           └──────────┘ tasks that go out again
//! ```
//! A cancel leads through `cancelling` to the same end.

use std::fmt;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use crate::words::words;
use crate::{BatchTally, Discrepancy, Event, EventType, JobId, Lane, NextOrder, TaskTally, Time};

words! {
    /// What a job does.
    Kind {
        /// Works on issues, rows or backlog tasks.
        TaskProcessing = "task_processing",
        /// Runs an evaluation.
        EvalRun = "eval_run",
        /// Computes embeddings.
        EmbeddingCompute = "embedding_compute",
        /// Retries what failed.
        ReprocessFailed = "reprocess_failed",
    }
}

impl Kind {
    /// How urgent it is where a lane is tight; higher goes first. A job can say otherwise.
    #[must_use]
    pub fn priority(self) -> i32 {
        match self {
            Self::TaskProcessing => 30,
            Self::EvalRun | Self::EmbeddingCompute => 20,
            Self::ReprocessFailed => 10,
        }
    }
}

words! {
    /// Why a job waits.
    HoldReason {
        /// For the night.
        Overnight = "overnight",
        /// `ENABLE_BATCH_API` is off.
        BatchApiDisabled = "batch_api_disabled",
    }
}

words! {
    /// How a job ended.
    JobOutcome {
        /// Every task succeeded.
        Completed = "completed",
        /// Some did.
        CompletedWithErrors = "completed_with_errors",
        /// None did, whatever the provider's status says.
        Failed = "failed",
        /// The provider's window ran out on some; finished work is kept.
        Expired = "expired",
        /// A person stopped it; finished work is kept.
        Cancelled = "cancelled",
    }
}

impl JobOutcome {
    /// The one outcome of a job whose tasks have all ended.
    #[must_use]
    pub fn of(tasks: &TaskTally) -> Self {
        let refused = tasks.failed + tasks.missing;
        match tasks {
            TaskTally { cancelled: 1.., .. } => Self::Cancelled,
            TaskTally { expired: 1.., .. } if refused == 0 => Self::Expired,
            TaskTally { succeeded: 0, .. } => Self::Failed,
            TaskTally { expired: 0, .. } if refused == 0 => Self::Completed,
            _ => Self::CompletedWithErrors,
        }
    }
}

/// A job as the rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: Kind,
    /// Rises with every change of state.
    pub version: i64,
    /// Tasks.
    pub total: u64,
    /// Where it stands.
    pub state: JobState,
}

/// The phase of a job. What people are shown is finer: [`ShownState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Waits for a time or a person; plan releases it.
    Held(HoldReason),
    /// Has tasks to plan; plan moves it on.
    Queued,
    /// Its batches work; settle looks whether it has ended.
    Active,
    /// A person wants it stopped; settle ends it once its batches have.
    Cancelling,
    /// An end.
    Ended(JobOutcome),
}

impl JobState {
    /// The word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held(_) => "held",
            Self::Queued => "queued",
            Self::Active => "active",
            Self::Cancelling => "cancelling",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }

    /// The state of a word and, for `held`, its reason.
    #[must_use]
    pub fn parse(word: &str, hold: Option<&str>) -> Option<Self> {
        match word {
            "held" => HoldReason::parse(hold?).map(Self::Held),
            "queued" => Some(Self::Queued),
            "active" => Some(Self::Active),
            "cancelling" => Some(Self::Cancelling),
            word => JobOutcome::parse(word).map(Self::Ended),
        }
    }

    /// Its one end, if it has ended.
    #[must_use]
    pub fn outcome(self) -> Option<JobOutcome> {
        if let Self::Ended(outcome) = self { Some(outcome) } else { None }
    }
}

/// What a stage saw, or what a person said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobFact {
    /// A part of the job was planned.
    Planned {
        /// Whether tasks are left to plan.
        more: bool,
        /// Whether this round of planning made any attempt at all.
        attempted: bool,
    },
    /// Tasks and batches were counted.
    Counted {
        /// The tasks.
        tasks: TaskTally,
        /// The batches.
        batches: BatchTally,
    },
    /// A person wants it stopped.
    CancelRequested,
    /// `ENABLE_BATCH_API` is on again.
    SwitchedOn {
        /// The night that the job was meant for, if it was.
        until: Option<Time>,
    },
}

/// What the rules of a job may be told.
#[derive(Clone, Copy, Debug)]
pub struct JobPolicy {
    /// How often an active job is looked at though no batch says anything.
    pub watchdog: Duration,
    /// How long tasks rest whose records are on their way in another job.
    pub busy_rest: Duration,
    /// When tasks that go out again do so; none: at once.
    pub retry_at: Option<Time>,
}

impl Default for JobPolicy {
    fn default() -> Self {
        Self { watchdog: Duration::from_secs(600), busy_rest: Duration::from_secs(30), retry_at: None }
    }
}

/// The next state of a job and all that goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDecision {
    /// The job as it will be, with the version that was read.
    pub job: Job,
    /// What it waits for.
    pub order: NextOrder,
    /// Whether planning starts over with the tasks that go out again.
    pub new_round: bool,
    /// What outsiders hear.
    pub events: Vec<Event>,
}

/// Decides what `job` becomes when `fact` is known at `now`; `None` where it changes nothing.
///
/// # Errors
/// Outcomes that don't add up to the job's tasks: it may not end like that.
pub fn decide(
    job: &Job,
    fact: &JobFact,
    now: Time,
    policy: &JobPolicy,
) -> Result<Option<JobDecision>, Discrepancy> {
    let after = |pause: Duration| now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX);
    let becomes = |state: JobState, order: NextOrder| JobDecision {
        job: Job { state, ..job.clone() },
        order,
        new_round: false,
        events: Vec::new(),
    };
    let settle_in = |pause: Duration| NextOrder::Due(Lane::Settle, after(pause));
    Ok(match (job.state, fact) {
        (JobState::Held(_) | JobState::Queued, JobFact::Planned { more: true, .. }) => {
            Some(becomes(JobState::Queued, NextOrder::Due(Lane::Plan, now)))
        }
        (JobState::Held(_) | JobState::Queued, JobFact::Planned { attempted, .. }) => {
            // At once: its batches may all have ended while the last part was planned.
            let pause = if *attempted { Duration::ZERO } else { policy.busy_rest };
            Some(becomes(JobState::Active, settle_in(pause)))
        }
        (JobState::Held(HoldReason::BatchApiDisabled), JobFact::SwitchedOn { until: Some(night) })
            if *night > now =>
        {
            let order = NextOrder::Due(Lane::Plan, *night);
            Some(becomes(JobState::Held(HoldReason::Overnight), order))
        }
        (JobState::Held(HoldReason::BatchApiDisabled), JobFact::SwitchedOn { .. }) => {
            Some(becomes(JobState::Queued, NextOrder::Due(Lane::Plan, now)))
        }
        (JobState::Active | JobState::Cancelling, JobFact::Counted { tasks, batches }) => {
            tasks.check(job.total)?;
            Some(if batches.left() > 0 {
                becomes(job.state, settle_in(policy.watchdog))
            } else if tasks.left() > 0 && job.state == JobState::Cancelling {
                becomes(job.state, settle_in(Duration::ZERO))
            } else if tasks.left() > 0 {
                let order = NextOrder::Due(Lane::Plan, policy.retry_at.unwrap_or(now));
                JobDecision { new_round: true, ..becomes(JobState::Queued, order) }
            } else {
                end(job, tasks)
            })
        }
        (JobState::Held(_) | JobState::Queued | JobState::Active, JobFact::CancelRequested) => {
            Some(becomes(JobState::Cancelling, NextOrder::Due(Lane::Settle, now)))
        }
        (JobState::Cancelling, JobFact::CancelRequested) | (JobState::Ended(_), _) => None,
        (JobState::Queued | JobState::Held(_), JobFact::Counted { .. })
        | (JobState::Active | JobState::Cancelling, JobFact::Planned { .. })
        | (
            JobState::Held(HoldReason::Overnight)
            | JobState::Queued
            | JobState::Active
            | JobState::Cancelling,
            JobFact::SwitchedOn { .. },
        ) => None,
    })
}

fn end(job: &Job, tasks: &TaskTally) -> JobDecision {
    let outcome = JobOutcome::of(tasks);
    let data = json!({ "job_id": job.id, "kind": job.kind, "outcome": outcome, "tasks": tasks });
    let event = Event::new(EventType::JobCompleted, job.id, format!("job/{}", job.id), "", data);
    JobDecision {
        job: Job { state: JobState::Ended(outcome), ..job.clone() },
        order: NextOrder::Nothing,
        new_round: false,
        events: vec![event],
    }
}

/// What people are shown: the phase, refined by where the batches stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownState {
    /// Waits for a time or a person.
    Held(HoldReason),
    /// Accepted; waits to be planned.
    Queued,
    /// Batches are on their way to the provider.
    Submitting,
    /// All batches are at the provider, and none has an answer.
    Waiting,
    /// Answers are coming.
    Running,
    /// Results are being fetched.
    Collecting,
    /// A person must decide about what is left.
    Parked,
    /// Being stopped.
    Cancelling,
    /// Ended.
    Ended(JobOutcome),
}

impl ShownState {
    /// The state to show.
    #[must_use]
    pub fn of(state: JobState, batches: &BatchTally) -> Self {
        match state {
            JobState::Held(reason) => Self::Held(reason),
            JobState::Queued => Self::Queued,
            JobState::Ended(outcome) => Self::Ended(outcome),
            JobState::Cancelling if batches.stuck > 0 && batches.stuck == batches.left() => Self::Parked,
            JobState::Cancelling => Self::Cancelling,
            JobState::Active if batches.unsent > 0 => Self::Submitting,
            JobState::Active
                if batches.open > 0 && batches.answered + batches.ended + batches.collecting == 0 =>
            {
                Self::Waiting
            }
            JobState::Active if batches.open > 0 => Self::Running,
            JobState::Active if batches.collecting > 0 => Self::Collecting,
            JobState::Active if batches.parked > 0 => Self::Parked,
            JobState::Active => Self::Collecting,
        }
    }

    /// The word in the CLI, the API and the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held(_) => "held",
            Self::Queued => "queued",
            Self::Submitting => "submitting",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Collecting => "collecting",
            Self::Parked => "parked",
            Self::Cancelling => "cancelling",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }
}

impl fmt::Display for ShownState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
