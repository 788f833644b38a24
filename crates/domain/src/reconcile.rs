//! Counting outcomes: nothing is done until every request is matched to its end.

use serde::{Deserialize, Serialize};

/// Tasks of a job by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTally {
    /// Waiting to be planned.
    pub pending: u64,
    /// In a batch.
    pub submitted: u64,
    /// Answered.
    pub succeeded: u64,
    /// Refused or answered badly, for good.
    pub failed: u64,
    /// The provider's window ran out, for good.
    pub expired: u64,
    /// A person stopped them.
    pub cancelled: u64,
    /// In neither result file, for good.
    pub missing: u64,
}

impl TaskTally {
    /// Tasks with an end.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.expired + self.cancelled + self.missing
    }

    /// Tasks without one.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.pending + self.submitted
    }

    /// The invariant that a job must hold before it may end.
    ///
    /// # Errors
    /// The sums, where they don't agree.
    pub fn check(&self, total: u64) -> Result<(), Discrepancy> {
        let counted = self.ended() + self.left();
        if counted == total { Ok(()) } else { Err(Discrepancy { counted, total }) }
    }
}

/// Outcomes that don't add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{counted} outcomes for {total} requests")]
pub struct Discrepancy {
    /// Outcomes found.
    pub counted: u64,
    /// Requests sent.
    pub total: u64,
}

/// Batches of a job by what they wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchTally {
    /// Not yet created at the provider, a create of unknown outcome included.
    pub unsent: u64,
    /// At the provider.
    pub open: u64,
    /// Being collected.
    pub collecting: u64,
    /// Waiting for a person.
    pub parked: u64,
    /// The ones among them that a cancel has reached: it could not end them.
    #[serde(skip)]
    pub stuck: u64,
    /// Ended.
    pub ended: u64,
    /// Lines that the provider says are answered, in open batches.
    pub answered: u64,
}

impl BatchTally {
    /// Batches that may still bring an answer, parked ones included.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.unsent + self.open + self.collecting + self.parked
    }

    /// All batches.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.left() + self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_task_shows() {
        let tally = TaskTally { succeeded: 7, failed: 1, missing: 1, ..TaskTally::default() };
        assert!(tally.check(9).is_ok());
        assert_eq!(tally.check(10).unwrap_err().to_string(), "9 outcomes for 10 requests");
    }
}
