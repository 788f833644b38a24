//! The quick part of the matrix: every crash point at its first pass, and every lie of the provider; `make chaos` runs
//! all of it.

use std::time::{Duration, Instant};

use chaos::scenario::{Scenario, run_all};
use chaos::site::Site;

/// Longest a part may take; one that takes longer has not run whole, and fails.
const PATIENCE: Duration = Duration::from_secs(400);

/// Runs the scenarios of the matrix that are chosen, several at once since each mostly waits, and demands that the
/// oracle finds nothing.
fn holds(chosen: impl Fn(&Scenario) -> bool) {
    let site = Site::new(env!("CARGO_BIN_EXE_overnight"));
    let mut all = chaos::matrix::laptop(&site);
    all.retain(chosen);
    assert!(!all.is_empty(), "there are such scenarios");
    let ran = run_all(&site, &all, 8, Instant::now() + PATIENCE, |_, _| {});
    assert_eq!(ran.len(), all.len(), "all of them ran in time");
    let broken = ran.iter().filter(|(_, outcome)| !outcome.findings.is_empty());
    let said: Vec<_> = broken.map(|(scenario, outcome)| (&scenario.name, &outcome.findings)).collect();
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn every_crash_point_is_survived_against_a_provider_with_a_ledger() {
    holds(|scenario| scenario.group == "crash point, sqlite" && scenario.name.ends_with(":1"));
}

#[test]
fn no_lie_of_the_provider_loses_or_doubles_anything() {
    holds(|scenario| scenario.group == "lie, sqlite");
}
