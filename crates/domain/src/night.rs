//! When the night is: the next instant of `BATCH_OVERNIGHT_HOUR` in a time zone.

use chrono::{TimeZone, Utc};
use chrono_tz::Tz;
use croner::parser::CronParser;

use crate::Time;

/// Why there is no next night.
#[derive(Debug, thiserror::Error)]
pub enum NightError {
    /// The hour isn't one.
    #[error("{0} is not an hour; take 0 to 23")]
    Hour(u8),
    /// The rule has no next instant.
    #[error("no next {hour}:00 in {zone}: {detail}")]
    NoNext {
        /// The hour.
        hour: u8,
        /// The zone.
        zone: Tz,
        /// croner's words.
        detail: String,
    },
}

/// The next instant strictly after `after` at which the local clock of `zone` strikes `hour`. Where the
/// clocks go forward over it: the first instant that exists. Where they go back: the first of the two.
///
/// # Errors
/// An hour outside 0 to 23.
pub fn next_night(hour: u8, zone: Tz, after: Time) -> Result<Time, NightError> {
    if hour > 23 {
        return Err(NightError::Hour(hour));
    }
    let no_next = |detail: String| NightError::NoNext { hour, zone, detail };
    let rule =
        CronParser::new().parse(&format!("0 {hour} * * *")).map_err(|error| no_next(error.to_string()))?;
    let local = zone.from_utc_datetime(&after.naive_utc());
    let next = rule.find_next_occurrence(&local, false).map_err(|error| no_next(error.to_string()))?;
    Ok(next.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(hour: u8, zone: &str, text: &str) -> String {
        next_night(hour, zone.parse().unwrap(), text.parse().unwrap()).unwrap().to_rfc3339()
    }

    #[test]
    fn the_night_is_local() {
        assert_eq!(after(2, "Europe/Berlin", "2026-11-23T15:48:00Z"), "2026-11-24T01:00:00+00:00");
        assert_eq!(after(2, "Europe/Berlin", "2026-11-24T01:00:00Z"), "2026-11-25T01:00:00+00:00");
        assert_eq!(after(2, "America/New_York", "2026-11-23T15:48:00Z"), "2026-11-24T07:00:00+00:00");
    }

    #[test]
    fn a_night_that_does_not_exist_runs_at_the_first_instant_that_does() {
        assert_eq!(after(2, "Europe/Berlin", "2027-03-27T12:00:00Z"), "2027-03-28T01:00:00+00:00");
    }

    #[test]
    fn a_night_that_exists_twice_runs_once_and_first() {
        assert_eq!(after(2, "Europe/Berlin", "2027-10-30T12:00:00Z"), "2027-10-31T00:00:00+00:00");
        assert_eq!(after(2, "Europe/Berlin", "2027-10-31T00:00:00Z"), "2027-11-01T01:00:00+00:00");
    }

    #[test]
    fn there_is_no_hour_24() {
        assert_eq!(
            next_night(24, Tz::UTC, Time::UNIX_EPOCH).unwrap_err().to_string(),
            "24 is not an hour; take 0 to 23"
        );
    }
}
