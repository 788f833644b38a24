//! Histories that nobody would write by hand: the submission protocol, the poll chain and the orders under loss,
//! delay, doubling and death, each step chosen by proptest. The rules and the store are the real ones; what is
//! modelled is the provider, the broker, and workers that may stop at any point.
//!
//! `PROPTEST_CASES` sets how many histories each test tries.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod orders;
mod polls;
mod rig;
mod submission;

use proptest::test_runner::Config;

/// So many cases, unless the environment says how many. A case that failed is printed whole, with the seed
/// that brings it back; no file of them is kept.
fn cases(cases: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    Config { cases: asked.unwrap_or(cases), failure_persistence: None, ..Config::default() }
}
