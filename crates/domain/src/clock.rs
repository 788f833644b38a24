//! Where time and fresh ids come from: the one place that asks the machine.
//!
//! Everything else takes them as arguments, so that a test can turn the clock.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::{NoContext, Timestamp, Uuid};

/// An instant in UTC, to the microsecond: what both databases keep.
pub type Time = DateTime<Utc>;

/// The clock of a process, possibly set off against the machine's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    offset: TimeDelta,
}

impl Clock {
    /// A clock that runs `offset` ahead of the machine's.
    #[must_use]
    pub fn with_offset(offset: TimeDelta) -> Self {
        Self { offset }
    }

    /// How far it runs ahead.
    #[must_use]
    pub fn offset(&self) -> TimeDelta {
        self.offset
    }

    /// Now, cut to the microsecond: PostgreSQL keeps no more, and a time that was written must be equal
    /// to the one that is read back.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn now(&self) -> Time {
        (Utc::now() + self.offset).trunc_subsecs(6)
    }

    /// A fresh UUIDv7.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()))
    }
}

/// The instant of a Unix time in seconds; none outside the years that can be written.
#[must_use]
pub fn from_unix(seconds: i64) -> Option<Time> {
    DateTime::from_timestamp(seconds, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_has_no_more_than_microseconds() {
        let now = Clock::default().now();
        assert_eq!(now.timestamp_subsec_nanos() % 1_000, 0);
    }

    #[test]
    fn an_offset_moves_time_and_ids() {
        let clock = Clock::with_offset(TimeDelta::days(400));
        assert!(clock.now() > Clock::default().now() + TimeDelta::days(399));
        assert!(clock.new_id() > Clock::default().new_id());
    }
}
