//! A scenario: what is done to a night, and what came of it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::evidence::{Evidence, Finding};
use crate::oracle;
use crate::site::Site;

/// What is done to a night.
pub struct Scenario {
    /// What belongs together in the table.
    pub group: &'static str,
    /// Its name, which tells what is done.
    pub name: String,
    run: Box<dyn Fn(&Site) -> Outcome + Send + Sync>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Processes that were killed, or killed themselves.
    pub kills: u32,
    /// Requests that the provider has seen.
    pub requests: usize,
    /// Events that came more than once, and could be told apart by their ids.
    pub duplicates: usize,
    /// Crash points at which a process ended.
    pub hit: Vec<String>,
    /// What broke.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub took: Duration,
    /// What the processes said, where something broke.
    pub log: String,
}

impl Scenario {
    /// A scenario.
    #[must_use]
    pub fn new(
        group: &'static str,
        name: impl Into<String>,
        run: impl Fn(&Site) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self { group, name: name.into(), run: Box::new(run) }
    }

    /// Runs it. One that can't go on has a finding.
    #[must_use]
    pub fn run(&self, site: &Site) -> Outcome {
        let started = Instant::now();
        let ran = catch_unwind(AssertUnwindSafe(|| (self.run)(site)));
        let mut outcome = ran.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let what = format!("the scenario could not go on: {}", text.unwrap_or_default());
            Outcome { findings: vec![Finding::new("I3", what)], ..Outcome::default() }
        });
        outcome.took = started.elapsed();
        outcome
    }
}

/// Runs scenarios, so many at once, and tells of each as it ends. Those whose turn has not come by `deadline` are
/// not run.
pub fn run_all<'a>(
    site: &Site,
    scenarios: &'a [Scenario],
    jobs: usize,
    deadline: Instant,
    tell: impl Fn(&Scenario, &Outcome) + Sync,
) -> Vec<(&'a Scenario, Outcome)> {
    let (left, ran) = (Mutex::new(scenarios.iter().collect::<VecDeque<_>>()), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while Instant::now() < deadline
                    && let Some(scenario) = next()
                {
                    let outcome = scenario.run(site);
                    tell(scenario, &outcome);
                    ran.lock().unwrap_or_else(PoisonError::into_inner).push((scenario, outcome));
                }
            });
        }
    });
    ran.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Outcome {
    /// Judges what is left; `log` is asked for where something broke.
    #[must_use]
    pub fn of(evidence: &Evidence, kills: u32, hit: Vec<String>, log: impl FnOnce() -> String) -> Self {
        let findings = oracle::check(evidence);
        let requests =
            evidence.ledger.iter().filter(|entry| matches!(entry, liar::Entry::Request { .. })).count();
        let heard = evidence.heard.iter().flatten();
        let distinct: std::collections::BTreeSet<_> = heard.clone().map(|event| &event.id).collect();
        let duplicates = heard.count() - distinct.len();
        let log = if findings.is_empty() { String::new() } else { log() };
        Self { kills, requests, duplicates, hit, findings, took: Duration::ZERO, log }
    }
}
