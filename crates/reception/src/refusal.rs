//! Why a wish was not taken: whoever brought it is told what is wrong with it, and nothing was stored.

use domain::{JobId, Kind, NightError};
use processor::ProcessorError;
use source::Invalid;
use store::{LeftOut, RetryGroup, StoreError};

use crate::IntakeError;

/// Why a wish was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The records could not be read.
    #[error(transparent)]
    Intake(IntakeError),
    /// The night has no next instant.
    #[error(transparent)]
    Night(#[from] NightError),
    /// Something is missing, or two things don't go together.
    #[error("{field}: {what}; {fix}")]
    Field {
        /// The field, as a JSON pointer without its beginning.
        field: String,
        /// What is wrong with it.
        what: String,
        /// What to do.
        fix: String,
    },
    /// Nothing to work on, or more than one thing.
    #[error("it must say what to work on, in one way")]
    Work,
    /// No job is called so.
    #[error("no job has an id that begins with {prefix}")]
    NoJob {
        /// As it was given.
        prefix: String,
        /// The ids that begin most like it.
        nearest: Vec<JobId>,
    },
    /// Several jobs are called so.
    #[error("{prefix} is the beginning of several ids")]
    ManyJobs {
        /// As it was given.
        prefix: String,
        /// Some of them.
        found: Vec<JobId>,
    },
    /// No processor has the name.
    #[error("no processor is called {name:?}; there are {}", .known.join(", "))]
    NoProcessor {
        /// As it was given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The processor's own file is wrong: whoever runs the installation must mend it.
    #[error("the processor {name:?} can't be used: its definition is wrong where the server runs")]
    Processor {
        /// Its name.
        name: String,
        /// What is wrong.
        #[source]
        source: Box<ProcessorError>,
    },
    /// Records or tasks that can't be used.
    #[error("{} of the records can't be used", .0.len())]
    Invalid(Vec<Invalid>),
    /// No task of the job is left to take up.
    #[error("job {job} has no task to take up again: {left_out}")]
    NothingToRetry {
        /// The job.
        job: JobId,
        /// What its tasks are instead.
        left_out: LeftOut,
    },
    /// No failed task matches.
    #[error("no task that failed is to be taken up again: none matches, or all were taken up since")]
    NothingFailed,
    /// What matches is of several processors or models, and a job has one.
    #[error("the tasks are of several processors or models, and a job has one: {}", shown(.groups))]
    SeveralProcessors {
        /// Which.
        groups: Vec<RetryGroup>,
    },
    /// Between the look and the claim the platform took a task.
    #[error("a task was taken by somebody else meanwhile")]
    Overtaken,
    /// The key was used for another wish.
    #[error("the idempotency key was used for another request, which became job {job}")]
    KeyTaken {
        /// The job that has the key.
        job: JobId,
    },
}

fn shown(groups: &[RetryGroup]) -> String {
    let group = |group: &RetryGroup| format!("{} with {} ({})", group.processor, group.model, group.count);
    groups.iter().map(group).collect::<Vec<_>>().join(", ")
}

impl From<IntakeError> for Refusal {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Store(error) => Self::Store(error),
            other => Self::Intake(other),
        }
    }
}

impl Refusal {
    /// Whether the wish may be fine, and something here is not: bringing it again may help.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Intake(_) | Self::Night(_) | Self::Overtaken)
    }

    /// A field that is missing or doesn't fit.
    pub(crate) fn field(field: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Field { field: field.to_owned(), what: what.into(), fix: fix.into() }
    }

    /// A kind that doesn't go with the work.
    pub(crate) fn kind(kind: Kind, what: &str) -> Self {
        Self::field("kind", format!("{} {what}", kind.as_str()), "take another kind, or leave it out")
    }
}
