//! What a wish has looked for and its job does not take, counted. It is told with the job and not kept.

use std::fmt;

use domain::TaskTally;
use serde::Serialize;

/// Tasks that were looked for and are not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Answered.
    pub succeeded: u64,
    /// Still at work.
    pub live: u64,
    /// Cancelled by a person.
    pub cancelled: u64,
    /// Ended badly, and the filter or the platform excludes them.
    pub excluded: u64,
    /// Asked for, and beyond the limit.
    pub beyond_limit: u64,
    /// Found, and can't be used.
    pub invalid: u64,
}

impl LeftOut {
    /// Of a job with these tasks, of which so many are taken.
    #[must_use]
    pub fn of(tally: &TaskTally, taken: usize) -> Self {
        let ended_badly = tally.failed + tally.expired + tally.missing;
        Self {
            succeeded: tally.succeeded,
            live: tally.pending + tally.submitted,
            cancelled: tally.cancelled,
            excluded: ended_badly.saturating_sub(whole(taken)),
            ..Self::default()
        }
    }

    /// Of all that were found, of which so many are taken.
    #[must_use]
    pub fn beyond(all: u64, taken: usize) -> Self {
        Self { beyond_limit: all.saturating_sub(whole(taken)), ..Self::default() }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.beyond_limit > 0 {
            write!(f, "{} beyond the limit", self.beyond_limit)?;
        } else {
            write!(
                f,
                "{} succeeded, {} at work, {} cancelled, {} not asked for or taken by the platform",
                self.succeeded, self.live, self.cancelled, self.excluded
            )?;
        }
        if self.invalid > 0 { write!(f, ", {} unusable", self.invalid) } else { Ok(()) }
    }
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
