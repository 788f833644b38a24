//! Where time and fresh ids come from: the one place that asks the machine.
//!
//! Everything else takes them as arguments, so that a test can turn the clock.

use chrono::{DateTime, NaiveDate, SubsecRound, TimeDelta, Utc};
use uuid::{NoContext, Timestamp, Uuid};

/// An instant in UTC, to the microsecond: what both databases keep.
pub type Time = DateTime<Utc>;

/// A day on the calendar of some zone.
pub type Date = NaiveDate;

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

/// An offset that isn't one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an offset; take a number and s, m, h or d, such as +36h or -90m")]
pub struct NotAnOffset(String);

impl std::str::FromStr for Clock {
    type Err = NotAnOffset;

    /// The clock of an offset such as `+36h`, `-90m`, or a number of seconds.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAnOffset(text.to_owned());
        let (number, seconds) = match text.char_indices().last().ok_or_else(wrong)? {
            (at, 's') => (&text[..at], 1),
            (at, 'm') => (&text[..at], 60),
            (at, 'h') => (&text[..at], 3_600),
            (at, 'd') => (&text[..at], 86_400),
            _ => (text, 1),
        };
        let number: i32 = number.parse().map_err(|_| wrong())?;
        let offset = TimeDelta::try_seconds(i64::from(number) * seconds).ok_or_else(wrong)?;
        // A clock that has no time is no clock.
        Self::default().now().checked_add_signed(offset).ok_or_else(wrong)?;
        Ok(Self { offset })
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
    fn an_offset_is_a_number_with_a_unit() {
        let hours = |text: &str| text.parse::<Clock>().map(|clock| clock.offset().num_hours()).ok();
        assert_eq!(
            ["+36h", "-2d", "7200", "90m", "0s"].map(hours),
            [Some(36), Some(-48), Some(2), Some(1), Some(0)]
        );
        assert_eq!(["", "h", "1w", "one", "+-1h", "2000000000d"].map(hours), [None; 6]);
    }

    #[test]
    fn an_offset_moves_time_and_ids() {
        let clock = Clock::with_offset(TimeDelta::days(400));
        assert!(clock.now() > Clock::default().now() + TimeDelta::days(399));
        assert!(clock.new_id() > Clock::default().new_id());
    }
}
