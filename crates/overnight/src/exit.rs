//! Exit codes, and trouble told to a person: what, why, what to do.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use domain::JobOutcome;

/// How the process ends; documented in `--help` and tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    Other = 1,
    Usage = 2,
    Timeout = 3,
    Auth = 4,
    JobFailed = 5,
    JobWithErrors = 6,
    NotFinished = 8,
    Unreachable = 69,
    Config = 78,
    Interrupted = 130,
}

impl Exit {
    /// How a command ends that waited for a job.
    pub(crate) fn of(outcome: JobOutcome) -> Self {
        match outcome {
            JobOutcome::Completed => Self::Success,
            JobOutcome::CompletedWithErrors => Self::JobWithErrors,
            JobOutcome::Failed | JobOutcome::Expired | JobOutcome::Cancelled => Self::JobFailed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        // The discriminants are the codes; all fit a byte.
        Self::from(exit as u8)
    }
}

/// What went wrong, for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) exit: Exit,
    pub(crate) what: String,
    pub(crate) why: Vec<String>,
    pub(crate) fix: Option<String>,
}

impl Trouble {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: Vec::new(), fix: None }
    }

    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why.push(why.into());
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(crate) fn other(what: impl fmt::Display) -> Self {
        Self::new(Exit::Other, what.to_string())
    }

    pub(crate) fn usage(what: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, what.to_string())
    }

    pub(crate) fn config(what: impl fmt::Display) -> Self {
        Self::new(Exit::Config, what.to_string())
    }

    /// An error with its causes.
    pub(crate) fn caused(exit: Exit, error: &dyn Error) -> Self {
        let mut trouble = Self::new(exit, error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !trouble.what.contains(&text) && !trouble.why.contains(&text) {
                trouble.why.push(text);
            }
            cause = error.source();
        }
        trouble
    }
}

impl From<store::StoreError> for Trouble {
    fn from(error: store::StoreError) -> Self {
        use store::StoreError::{Open, Schema, Tasks};
        match &error {
            Open { .. } => Self::caused(Exit::Unreachable, &error)
                .fix("check DATABASE_URL and the folder --data-dir names"),
            Schema(_) => Self::caused(Exit::Config, &error),
            Tasks { .. } => Self::caused(Exit::Config, &error)
                .fix("docs/integration.md says what its columns must be, and how a view maps another table"),
            _ => Self::caused(Exit::Other, &error),
        }
    }
}

impl From<pipeline::Failure> for Trouble {
    fn from(failure: pipeline::Failure) -> Self {
        match failure {
            pipeline::Failure::Store(error) => error.into(),
            other => Self::caused(Exit::Other, &other),
        }
    }
}

impl From<reception::WordError> for Trouble {
    fn from(error: reception::WordError) -> Self {
        match error {
            reception::WordError::Store(error) => error.into(),
            reception::WordError::Discrepancy { .. } => Self::caused(Exit::Other, &error),
        }
    }
}

impl From<reception::Refusal> for Trouble {
    fn from(refusal: reception::Refusal) -> Self {
        use reception::Refusal::{Field, Intake, NothingFailed, NothingToRetry, SeveralProcessors, Store};
        match refusal {
            Store(error) => error.into(),
            Intake(error) => error.into(),
            Field { field, what, fix } => Self::usage(format!("{field}: {what}")).fix(fix),
            NothingToRetry { .. } | NothingFailed => {
                Self::usage(refusal).fix("widen --class or --older-than, or leave it as it is")
            }
            SeveralProcessors { .. } => {
                Self::usage(refusal).fix("choose one with --processor and --model, or name a JOB")
            }
            other => Self::caused(Exit::Usage, &other),
        }
    }
}

impl From<web::ServeError> for Trouble {
    fn from(error: web::ServeError) -> Self {
        let fix = match &error {
            web::ServeError::NeedsToken { .. } => "make one: overnight token add NAME --role operator",
            web::ServeError::Listen { .. } => "choose another HTTP_ADDR; port 0 takes any",
            web::ServeError::Serve(_) => "start it again",
        };
        Self::caused(Exit::Config, &error).fix(fix)
    }
}

impl From<reception::IntakeError> for Trouble {
    fn from(error: reception::IntakeError) -> Self {
        match error {
            reception::IntakeError::Store(error) => error.into(),
            reception::IntakeError::Changed(_) => Self::usage(error),
            reception::IntakeError::Interrupted => Self::other(error),
        }
    }
}

impl From<reception::ScheduleError> for Trouble {
    fn from(error: reception::ScheduleError) -> Self {
        use reception::ScheduleError::{LongRepo, Night, Repo, Store, Unknown};
        match error {
            Store(error) => error.into(),
            Repo(_) | LongRepo(_) => Self::usage(error),
            Unknown(name) => {
                Self::other(format!("no schedule {name}")).fix("overnight schedule list shows them all")
            }
            Night(_) => Self::other(error),
        }
    }
}

impl From<pipeline::RunNowError> for Trouble {
    fn from(error: pipeline::RunNowError) -> Self {
        match error {
            pipeline::RunNowError::Schedule(error) => error.into(),
            pipeline::RunNowError::Run(failure) => {
                Self::from(failure).fix("the run is on record and goes on: overnight schedule run, or up")
            }
        }
    }
}

impl From<pipeline::TickerError> for Trouble {
    fn from(error: pipeline::TickerError) -> Self {
        match error {
            pipeline::TickerError::Schedule(error) => error.into(),
            pipeline::TickerError::Start(_) => Self::caused(Exit::Other, &error),
        }
    }
}

impl From<processor::ProcessorError> for Trouble {
    fn from(error: processor::ProcessorError) -> Self {
        Self::caused(Exit::Usage, &error)
    }
}

impl From<source::SourceError> for Trouble {
    fn from(error: source::SourceError) -> Self {
        Self::caused(Exit::Usage, &error)
            .fix("check the pattern and quote it, so that the shell leaves it alone")
    }
}
