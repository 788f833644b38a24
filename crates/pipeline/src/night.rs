//! What the clock goes by, as the configuration says it.

use std::path::PathBuf;
use std::time::Duration;

use domain::{Limits, NightError, PriceTable, Priority, Rule, ScheduleTerms};
use store::StoreError;

use crate::Provider;

/// What the clock goes by.
#[derive(Clone, Debug)]
pub struct Night {
    /// When.
    pub rule: Rule,
    /// Whether the backlog is collected by itself.
    pub auto: bool,
    /// Tasks that one run of the schedule `overnight` takes, at most.
    pub max_tasks: u64,
    /// How late a night may still run.
    pub catchup: Duration,
    /// The folder of one's own processors.
    pub processors: PathBuf,
    /// Who runs the jobs.
    pub provider: Provider,
    /// Whether they may be sent; else they are held.
    pub enabled: bool,
    /// What a batch may hold.
    pub limits: Limits,
    /// Prices.
    pub prices: PriceTable,
}

impl Night {
    /// What the schedule `overnight` asks for.
    #[must_use]
    pub fn terms(&self) -> ScheduleTerms {
        ScheduleTerms { rule: self.rule, max_tasks: self.max_tasks, priority: Priority::High }
    }
}

/// Why a schedule can't be told something.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such schedule.
    #[error("no schedule {0:?}; `schedule list` shows them")]
    Unknown(String),
    /// A repository's name can't be one.
    #[error("{0:?} is not a repository; take ORG/REPO")]
    Repo(String),
    /// The rule has no next night.
    #[error(transparent)]
    Night(#[from] NightError),
}
