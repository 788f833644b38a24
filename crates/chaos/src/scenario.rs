//! A scenario: what is done to a night, and what came of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use liar::{Entry, Op};
use sha2::{Digest as _, Sha256};

use crate::evidence::{Evidence, Finding};
use crate::ground::Pair;
use crate::oracle;
use crate::site::Site;

/// What is done to a night.
pub struct Scenario {
    /// The pair of backends that it runs on.
    pub pair: Pair,
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
    /// Requests that the provider has seen, of each kind.
    pub requests: BTreeMap<Op, usize>,
    /// Events that came more than once, and could be told apart by their ids.
    pub duplicates: usize,
    /// Crash points at which a process ended.
    pub hit: Vec<String>,
    /// Whether nothing has come of what was to be done to this night, which is rightful, and shows nothing.
    pub missed: bool,
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
        pair: Pair,
        group: &'static str,
        name: impl Into<String>,
        run: impl Fn(&Site) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self { pair, group, name: name.into(), run: Box::new(run) }
    }

    /// Its part of so many, which follows from its name: whatever else comes and goes, it stays there.
    #[must_use]
    pub fn part(&self, of: u64) -> u64 {
        let hash = Sha256::digest(self.to_string());
        hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)) % of
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
            let findings = vec![Finding::new("I3", what)];
            Outcome { findings, log: LEFT.take(), ..Outcome::default() }
        });
        outcome.took = started.elapsed();
        outcome
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pair, group, name, .. } = self;
        write!(f, "{group}, {pair}: {name}")
    }
}

thread_local! {
    /// The log of a night whose scenario could not go on.
    static LEFT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Leaves the log of a night that is given up in a panic, to whoever catches it.
pub(crate) fn leave_log(log: String) {
    LEFT.set(log);
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

/// How often each thing was asked for.
pub(crate) fn requests(ledger: &[Entry]) -> BTreeMap<Op, usize> {
    let mut requests = BTreeMap::new();
    for entry in ledger {
        if let Entry::Request { op, .. } = entry {
            *requests.entry(*op).or_default() += 1;
        }
    }
    requests
}

impl Outcome {
    /// Judges what is left; `log` is asked for where something broke.
    #[must_use]
    pub fn of(evidence: &Evidence, kills: u32, hit: Vec<String>, log: impl FnOnce() -> String) -> Self {
        let findings = oracle::check(evidence);
        let requests = requests(&evidence.ledger);
        let heard = evidence.heard.iter().flatten();
        let distinct: std::collections::BTreeSet<_> = heard.clone().map(|event| &event.id).collect();
        let duplicates = heard.count() - distinct.len();
        let log = if findings.is_empty() { String::new() } else { log() };
        let (took, missed) = (Duration::ZERO, false);
        Self { kills, requests, duplicates, hit, missed, findings, took, log }
    }

    /// Demands what the scenario is named for: a night that nobody disturbed has shown nothing.
    #[must_use]
    pub fn demand(mut self, came: bool, what: impl std::fmt::Display) -> Self {
        if !came {
            self.findings.push(Finding::new("I0", format!("nobody came by {what}")));
        }
        self
    }

    /// Says whether it came, where it doesn't come in every night.
    #[must_use]
    pub fn hope(self, came: bool) -> Self {
        Self { missed: !came, ..self }
    }

    /// A night comes by its points for the first time every time; again, it may not.
    #[must_use]
    pub fn came_by(self, came: bool, wish: &str) -> Self {
        if wish.ends_with(":1") { self.demand(came, wish) } else { self.hope(came) }
    }

    /// The same, where a process was to end there.
    #[must_use]
    pub fn died_at(self, wish: &str) -> Self {
        let died = self.has_died_at(wish);
        self.came_by(died, wish)
    }

    /// The same of a point that a night may come by or not.
    #[must_use]
    pub fn may_have_died_at(self, wish: &str) -> Self {
        let died = self.has_died_at(wish);
        self.hope(died)
    }

    fn has_died_at(&self, wish: &str) -> bool {
        self.hit.iter().any(|hit| hit.ends_with(wish))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_spread_over_all_parts_by_their_names() {
        let of = |name: String| Scenario::new(Pair::Sqlite, "lie", name, |_| Outcome::default());
        let parts: Vec<_> = (0..400).map(|number| of(format!("lie {number}")).part(4)).collect();
        for part in 0..4 {
            let share = parts.iter().filter(|of| **of == part).count();
            assert!((70..130).contains(&share), "part {part} has {share} of 400");
        }
        assert_eq!(of("lie 7".to_owned()).part(4), parts[7], "its place in the list is of no matter");
    }

    #[test]
    fn a_first_pass_is_demanded_and_a_later_one_is_only_told_of() {
        let died = Outcome {
            hit: vec!["store.plan.before:1:error,store.plan.after:1".to_owned()],
            ..Outcome::default()
        };
        let fine = died.clone().died_at("store.plan.after:1");
        assert!(fine.findings.is_empty() && !fine.missed);
        let first = died.clone().died_at("store.plan.before:1");
        assert_eq!(first.findings, [Finding::new("I0", "nobody came by store.plan.before:1")]);
        let later = died.died_at("store.plan.after:2");
        assert!(later.findings.is_empty() && later.missed);
    }
}
