//! The night as rules: when a schedule is due, what becomes of nights that nobody was up for, and what
//! outsiders hear of it.
//!
//! [`Rule`] finds the instants, `decide` judges them. Nothing here reads a clock or a row.

mod decide;
mod rule;
mod words;

pub use decide::{NewRun, Pause, Schedule, ScheduleDecision, ScheduleFact, ScheduleTerms, Ticking, decide};
pub use rule::{ClockChange, NightError, Rule, Slot};
pub use words::{Priority, RunState, Trigger};

#[cfg(test)]
mod tests;
