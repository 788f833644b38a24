//! The oracle: whether what must never happen has happened. It looks at the evidence and asks nobody.
//!
//! Each invariant is a function of its own, and each has a test that shows it a violation.

mod answers;
mod care;
mod events;
mod money;
mod patience;
mod progress;
#[cfg(test)]
mod tests;

use crate::evidence::{Evidence, Finding};

pub use answers::no_lost_result;
pub use care::{doubt_has_a_cause, one_at_a_time};
pub use events::{events_once, poison_is_kept, published_was_heard};
pub use money::no_double_pay;
pub use patience::{drains, ends_are_final, outages_use_up_nothing};
pub use progress::{everything_ends, looks_are_bounded, one_run_a_night};

/// What input files are uploaded for.
pub(crate) const INPUT: &str = "batch";

/// What judges evidence.
pub type Invariant = fn(&Evidence) -> Vec<Finding>;

/// All invariants, by name.
pub const INVARIANTS: &[(&str, Invariant)] = &[
    ("I1", no_double_pay),
    ("I2", no_lost_result),
    ("I3", everything_ends),
    ("I4", looks_are_bounded),
    ("I5", one_run_a_night),
    ("I6", events_once),
    ("I7", poison_is_kept),
    ("I8", published_was_heard),
    ("I9", outages_use_up_nothing),
    ("I10", drains),
    ("I11", ends_are_final),
    ("I12", doubt_has_a_cause),
    ("I13", one_at_a_time),
];

/// Everything that is wrong.
#[must_use]
pub fn check(evidence: &Evidence) -> Vec<Finding> {
    INVARIANTS.iter().flat_map(|(_, invariant)| invariant(evidence)).collect()
}

/// Whether nothing more will happen to a task.
pub(crate) fn task_has_ended(status: &str) -> bool {
    !matches!(status, "pending" | "submitted")
}

/// Whether nothing more will happen to a job.
pub(crate) fn job_has_ended(state: &str) -> bool {
    !matches!(state, "held" | "queued" | "active" | "cancelling")
}

/// Whether nothing more will happen to a batch by itself.
pub(crate) fn batch_has_ended(state: &str) -> bool {
    matches!(state, "collected" | "refused" | "cancelled" | "abandoned")
}
