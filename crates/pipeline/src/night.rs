//! What the clock goes by, as the configuration says it.

use std::path::PathBuf;
use std::time::Duration;

use domain::{Limits, PriceTable, Priority, Rule, ScheduleTerms};

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
