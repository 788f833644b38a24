//! The quick part of the matrix: the promises on both pairs of backends, every crash point of a laptop at its first
//! pass, and every lie of the provider; `make chaos` runs all of it.

use std::time::{Duration, Instant};

use chaos::ground::Pair;
use chaos::matrix;
use chaos::scenario::{Scenario, run_all};
use chaos::site::Site;

/// Longest one of the four parts may take, on a machine that has other things to do; one that takes longer has not run
/// whole, and fails. By itself each takes one to three minutes of two cores.
const PATIENCE: Duration = Duration::from_secs(480);
/// Scenarios at once: each mostly waits.
const AT_ONCE: usize = 8;

/// Runs scenarios and demands that the oracle finds nothing.
fn hold(site: &Site, all: &[Scenario]) {
    assert!(!all.is_empty(), "there are such scenarios");
    let ran = run_all(site, all, AT_ONCE, Instant::now() + PATIENCE, |_, _| {});
    assert_eq!(ran.len(), all.len(), "all of them ran in time");
    let broken = ran.iter().filter(|(_, outcome)| !outcome.findings.is_empty());
    let said: Vec<_> = broken.map(|(scenario, outcome)| (&scenario.name, &outcome.findings)).collect();
    assert!(said.is_empty(), "{said:#?}");
}

fn site() -> Site {
    Site::new(env!("CARGO_BIN_EXE_overnight"))
}

#[test]
fn every_promise_holds_on_sqlite() {
    hold(&site(), &matrix::promises::on(Pair::Sqlite));
}

#[test]
fn every_promise_holds_on_postgres_and_rabbitmq() {
    hold(&site(), &matrix::promises::on(Pair::Fleet));
}

#[test]
fn every_crash_point_is_survived_against_a_provider_with_a_ledger() {
    let site = site();
    let mut all = matrix::crashes::laptop(&matrix::passes::laptop(&site));
    all.retain(|scenario| scenario.group == "crash point" && scenario.name.ends_with(":1"));
    hold(&site, &all);
}

#[test]
fn no_lie_of_the_provider_loses_or_doubles_anything() {
    let mut all = matrix::lies::laptop();
    all.retain(|scenario| scenario.group == "lie");
    hold(&site(), &all);
}
