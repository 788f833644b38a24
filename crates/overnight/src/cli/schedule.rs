//! What can be said to schedules.

use clap::{Args, Subcommand, ValueEnum};

/// The schedule that is meant where none is named.
const OVERNIGHT: &str = domain::Schedule::OVERNIGHT;

#[derive(Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List the schedules
    List,
    /// Show a schedule
    Show {
        /// Its name, or its repository
        #[arg(default_value = OVERNIGHT)]
        name: String,
    },
    /// Print the nights to come, and what the clocks do to them
    Next {
        /// A schedule's name, or its repository
        #[arg(default_value = OVERNIGHT)]
        name: String,
        /// How many
        #[arg(short, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        number: u16,
        /// From this local date on, such as 2027-03-27
        #[arg(long, value_name = "DATE")]
        from: Option<domain::Date>,
    },
    /// Show what the next run would take and cost; store and send nothing
    Preview {
        /// A schedule's name, or its repository; left out: all of them
        name: Option<String>,
    },
    /// Run a schedule now, as its night does, and wait for the jobs
    Run {
        /// A schedule's name, or its repository
        #[arg(default_value = OVERNIGHT)]
        name: String,
    },
    /// Skip the nights of a schedule until it is resumed
    Pause {
        /// A schedule's name, or its repository
        #[arg(default_value = OVERNIGHT)]
        name: String,
        /// Why; everybody who looks is told
        #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
        reason: String,
    },
    /// Let a paused schedule go on
    Resume {
        /// A schedule's name, or its repository
        #[arg(default_value = OVERNIGHT)]
        name: String,
    },
    /// List runs, and nights that passed without one, newest first
    History {
        /// A schedule's name, or its repository; left out: all of them
        name: Option<String>,
        /// How many, at most
        #[arg(short, default_value_t = 20, value_name = "N")]
        number: u64,
    },
    /// Give a repository a schedule of its own, or change it
    Add(AddArgs),
    /// Remove a repository's schedule
    Remove {
        /// Its name, or its repository
        name: String,
    },
}

#[derive(Args)]
pub(crate) struct AddArgs {
    /// The repository, ORG/REPO
    #[arg(long)]
    pub(crate) repo: String,
    /// Tasks that one night takes, at most; left out: `BATCH_OVERNIGHT_MAX_TASKS`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) max_tasks: Option<u64>,
    /// How urgent its jobs are
    #[arg(long, value_enum, default_value_t)]
    pub(crate) priority: JobPriority,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum JobPriority {
    /// Before the others
    #[default]
    High,
    /// As evaluations and embeddings
    Medium,
    /// After the others
    Low,
}

impl From<JobPriority> for domain::Priority {
    fn from(priority: JobPriority) -> Self {
        match priority {
            JobPriority::High => Self::High,
            JobPriority::Medium => Self::Medium,
            JobPriority::Low => Self::Low,
        }
    }
}
