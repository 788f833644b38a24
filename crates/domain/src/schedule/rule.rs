//! When the night is: the instants at which the local clock of a zone strikes an hour, one for each date.
//!
//! croner finds the next instant; where clocks leap so far that it gives up, the zone's table says where the
//! leap ends. The date that an instant is for is worked out here, since the two can differ: where clocks
//! leap over midnight, the first instant that exists is on the next date already.

use chrono::{DateTime, NaiveDateTime, NaiveTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{GapInfo, Tz};
use croner::parser::CronParser;

use crate::{Date, Time};

/// Dates among which a gap is looked for that croner gives up at: the longest gaps swallow one.
const GAP_DAYS: usize = 3;

/// Why there is no night.
#[derive(Debug, thiserror::Error)]
pub enum NightError {
    /// The hour isn't one.
    #[error("{0} is not an hour; take 0 to 23")]
    Hour(u8),
    /// The rule has no next instant.
    #[error("no next {rule}: {detail}")]
    NoNext {
        /// The rule.
        rule: Rule,
        /// croner's words.
        detail: String,
    },
}

/// What the clocks do to a night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChange {
    /// They go forward over the hour: the slot is the first instant that exists.
    Gap,
    /// They go back over the hour: the slot is the first of the two.
    Overlap,
}

/// One night: the date it is for, and its instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The local date. A schedule runs once for each.
    pub date: Date,
    /// The instant.
    pub at: Time,
}

/// An hour in a zone, every day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    hour: u8,
    zone: Tz,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:00 {}", self.hour, self.zone)
    }
}

impl Rule {
    /// The rule of an hour, 0 to 23.
    ///
    /// # Errors
    /// An hour that isn't one.
    pub fn new(hour: u8, zone: Tz) -> Result<Self, NightError> {
        if hour > 23 { Err(NightError::Hour(hour)) } else { Ok(Self { hour, zone }) }
    }

    /// The local hour.
    #[must_use]
    pub fn hour(self) -> u8 {
        self.hour
    }

    /// The zone.
    #[must_use]
    pub fn zone(self) -> Tz {
        self.zone
    }

    /// The next slot strictly after `after`. A date that its zone skips altogether has none.
    ///
    /// # Errors
    /// A rule that croner finds no instant for: a bug of ours or of its.
    pub fn next(self, after: Time) -> Result<Slot, NightError> {
        let no_next = |detail: String| NightError::NoNext { rule: self, detail };
        let text = format!("0 {} * * *", self.hour);
        let cron = CronParser::new().parse(&text).map_err(|error| no_next(error.to_string()))?;
        let mut from = self.zone.from_utc_datetime(&after.naive_utc());
        loop {
            from = match cron.find_next_occurrence(&from, false) {
                Ok(found) => found,
                // It searches an hour or two behind a gap; Casey has leapt by three, Apia by a whole day.
                Err(error) => self.behind_gap(from).ok_or_else(|| no_next(error.to_string()))?,
            };
            let at = from.with_timezone(&Utc);
            if let Some(date) = self.date_of(at) {
                return Ok(Slot { date, at });
            }
        }
    }

    /// The next slot of another, later date than `slot`'s: where the rule was changed meanwhile, the same
    /// date may have a second hour.
    ///
    /// # Errors
    /// As [`Rule::next`].
    pub fn following(self, slot: Slot) -> Result<Slot, NightError> {
        self.next_beyond(slot.at, Some(slot.date))
    }

    /// The next slot after `after`, of a later date than `date`.
    ///
    /// # Errors
    /// As [`Rule::next`].
    pub fn next_beyond(self, after: Time, date: Option<Date>) -> Result<Slot, NightError> {
        let mut slot = self.next(after)?;
        while date.is_some_and(|date| slot.date <= date) {
            slot = self.next(slot.at)?;
        }
        Ok(slot)
    }

    /// The local date of an instant.
    #[must_use]
    pub fn local_date(self, at: Time) -> Date {
        self.local(at).date()
    }

    /// What the clocks do to a slot of this rule, if they do anything.
    #[must_use]
    pub fn change(self, slot: Slot) -> Option<ClockChange> {
        if self.local(slot.at).time() != self.strike() {
            return Some(ClockChange::Gap);
        }
        let ambiguous = self.zone.from_local_datetime(&slot.date.and_time(self.strike()));
        matches!(ambiguous, chrono::LocalResult::Ambiguous(..)).then_some(ClockChange::Overlap)
    }

    /// The date that an instant is the slot of; none where that whole date was skipped.
    fn date_of(self, at: Time) -> Option<Date> {
        let local = self.local(at);
        if local.time() == self.strike() {
            return Some(local.date());
        }
        // The first instant behind a gap: the hour it stands for is the one on the clock that was left.
        let before = self.zone.offset_from_utc_datetime(&(at - TimeDelta::seconds(1)).naive_utc()).fix();
        let left = at.naive_utc() + before;
        let date = if left.time() <= self.strike() { left.date() } else { left.date().succ_opt()? };
        let skipped = local.date() > date && left <= date.and_time(NaiveTime::MIN);
        (!skipped).then_some(date)
    }

    /// The end of the first gap behind `from` that swallows the hour.
    fn behind_gap(self, from: DateTime<Tz>) -> Option<DateTime<Tz>> {
        let strikes = from.date_naive().iter_days().take(GAP_DAYS).map(|date| date.and_time(self.strike()));
        let gaps = strikes.filter_map(|strike| GapInfo::new(&strike, &self.zone));
        gaps.filter_map(|gap| gap.end).find(|end| *end > from)
    }

    fn local(self, at: Time) -> NaiveDateTime {
        at.with_timezone(&self.zone).naive_local()
    }

    fn strike(self) -> NaiveTime {
        // The hour was checked; midnight is never taken for another.
        NaiveTime::from_hms_opt(u32::from(self.hour), 0, 0).unwrap_or(NaiveTime::MIN)
    }
}
