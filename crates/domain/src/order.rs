//! Orders: what an entity waits for next, and when it is due.
//!
//! Each state that is not an end waits for exactly one command. The relay sends what is due and puts it
//! off; it is sent again until the commit that answers it replaces or removes the row.

use std::fmt;
use std::time::Duration;

use crate::{BatchId, JobId, Time, Trace};

/// A queue of commands of one kind; each has workers of its own, so that a long one delays no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Turn records into request lines and pack them into batches.
    Plan,
    /// Bring a batch to the provider.
    Submit,
    /// Look at an open batch.
    Poll,
    /// Fetch a finished batch's results.
    Collect,
    /// Decide whether a job has ended.
    Settle,
}

impl Lane {
    /// All of them, in the order of a night.
    pub const ALL: [Self; 5] = [Self::Plan, Self::Submit, Self::Poll, Self::Collect, Self::Settle];

    /// The word in the database, the broker and the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Submit => "submit",
            Self::Poll => "poll",
            Self::Collect => "collect",
            Self::Settle => "settle",
        }
    }

    /// The lane of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == word)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a worker is asked to do. It names an entity and nothing else: the row is the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Plan the next part of a job.
    Plan(JobId),
    /// Bring a batch to the provider.
    Submit(BatchId),
    /// Look at an open batch.
    Poll(BatchId),
    /// Fetch a finished batch's results.
    Collect(BatchId),
    /// Decide whether a job has ended.
    Settle(JobId),
}

impl Command {
    /// The command of a lane for an entity.
    #[must_use]
    pub fn new(lane: Lane, entity: uuid::Uuid) -> Self {
        match lane {
            Lane::Plan => Self::Plan(JobId(entity)),
            Lane::Submit => Self::Submit(BatchId(entity)),
            Lane::Poll => Self::Poll(BatchId(entity)),
            Lane::Collect => Self::Collect(BatchId(entity)),
            Lane::Settle => Self::Settle(JobId(entity)),
        }
    }

    /// Its lane.
    #[must_use]
    pub fn lane(self) -> Lane {
        match self {
            Self::Plan(_) => Lane::Plan,
            Self::Submit(_) => Lane::Submit,
            Self::Poll(_) => Lane::Poll,
            Self::Collect(_) => Lane::Collect,
            Self::Settle(_) => Lane::Settle,
        }
    }

    /// What it is about.
    #[must_use]
    pub fn entity(self) -> uuid::Uuid {
        match self {
            Self::Plan(job) | Self::Settle(job) => job.0,
            Self::Submit(batch) | Self::Poll(batch) | Self::Collect(batch) => batch.0,
        }
    }
}

/// A claim on an order: the right to act on it until the lease runs out, and to be told apart from
/// everyone who claimed it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// What to do.
    pub command: Command,
    /// The job that it belongs to.
    pub job: JobId,
    /// The job's place in its trace.
    pub trace: Trace,
    /// The order's sequence number when it was claimed. A nudge raises it, so that an answer to the
    /// older order can't bury the newer one.
    pub seq: i64,
    /// Rises with every claim.
    pub fence: i64,
    /// How often a handler failed on it, apart from how often it was started.
    pub failures: u32,
    /// How often in a row something outside was to blame: such failures use up nobody's patience, and rest
    /// longer and longer.
    pub outages: u32,
}

/// What the entity waits for after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextOrder {
    /// This command, due at this time.
    Due(Lane, Time),
    /// What it waited for already; the claim is given back.
    Keep,
    /// Nothing: the state is an end, or waits for a person.
    Nothing,
}

/// First pause before an order that nobody answered is sent again.
const RESEND_FIRST: Duration = Duration::from_secs(5);
/// Longest pause between two sendings: what a lost message costs at most.
const RESEND_MOST: Duration = Duration::from_secs(300);

/// How long to wait for an answer to the `sends`-th sending (from 1) before sending again: doubling, so
/// that a long outage makes no avalanche.
#[must_use]
pub fn resend_after(sends: u32) -> Duration {
    doubled(RESEND_FIRST, sends, RESEND_MOST)
}

/// First pause after a handler failed.
const FAILURE_FIRST: Duration = Duration::from_millis(500);
/// Longest pause after a handler failed.
const FAILURE_MOST: Duration = Duration::from_secs(300);

/// How long an order rests after its `failures`-th failure (from 1).
#[must_use]
pub fn failure_backoff(failures: u32) -> Duration {
    doubled(FAILURE_FIRST, failures, FAILURE_MOST)
}

/// Longest rest that a provider may ask for. A wrong `Retry-After` is not told from a right one, and a look an hour
/// costs nothing: without the bound one bad answer would stop an account for days.
pub const LONGEST_REST: Duration = Duration::from_secs(3_600);

/// How long to rest where the provider `asked` for it.
#[must_use]
pub fn rest_asked(asked: Option<Duration>) -> Duration {
    asked.unwrap_or_default().min(LONGEST_REST)
}

fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1).min(16))).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_bounded() {
        let pauses: Vec<u64> = [0, 1, 2, 3, 7, 8, u32::MAX].map(|n| resend_after(n).as_secs()).to_vec();
        assert_eq!(pauses, [5, 5, 10, 20, 300, 300, 300]);
    }

    #[test]
    fn a_provider_is_left_alone_for_an_hour_at_most() {
        for (asked, rests) in
            [(0, 0), (30, 30), (86_400, 3_600), (9_000_000_000_000, 3_600), (u64::MAX, 3_600)]
        {
            assert_eq!(rest_asked(Some(Duration::from_secs(asked))).as_secs(), rests);
        }
        assert_eq!(rest_asked(None), Duration::ZERO);
    }

    #[test]
    fn a_command_is_its_lane_and_its_entity() {
        for lane in Lane::ALL {
            let entity = uuid::Uuid::from_u128(7);
            let command = Command::new(lane, entity);
            assert_eq!((command.lane(), command.entity()), (lane, entity));
            assert_eq!(Lane::parse(lane.as_str()), Some(lane));
        }
    }
}
