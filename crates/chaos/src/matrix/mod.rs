//! The matrix: every scenario there is, in an order that is the same every time.

pub mod crashes;
pub mod lies;

use crate::scenario::Scenario;

/// All scenarios.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let mut all = crashes::laptop();
    all.extend(lies::laptop());
    all
}
