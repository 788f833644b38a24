//! Tasks and attempts: what the end of one trip means for the task.

use crate::words::words;
use crate::{ErrorClass, Retry};

words! {
    /// Where a task stands.
    TaskState {
        /// Waits to be planned; plan moves it on.
        Pending = "pending",
        /// In a live attempt; collect moves it on.
        Submitted = "submitted",
        /// Answered, and the answer was accepted. An end.
        Succeeded = "succeeded",
        /// Refused, or answered badly. An end.
        Failed = "failed",
        /// The provider's window ran out too often. An end.
        Expired = "expired",
        /// A person stopped it. An end.
        Cancelled = "cancelled",
        /// In neither result file. An end.
        Missing = "missing",
    }
}

impl TaskState {
    /// Whether nothing more will happen to it.
    #[must_use]
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Pending | Self::Submitted)
    }
}

words! {
    /// Where an attempt stands. All but `live` are ends.
    AttemptState {
        /// On its way through a batch.
        Live = "live",
        /// Answered, and the answer was accepted.
        Succeeded = "succeeded",
        /// Refused, or answered badly.
        Failed = "failed",
        /// The provider's window ran out.
        Expired = "expired",
        /// Cancelled before it ran.
        Cancelled = "cancelled",
        /// In neither result file.
        Missing = "missing",
        /// Its batch never ran; another attempt takes its place.
        Superseded = "superseded",
    }
}

impl AttemptState {
    /// Whether it may have ended without an answer, so that one that comes later may be news.
    #[must_use]
    pub fn may_be_answered_late(self) -> bool {
        !matches!(self, Self::Live | Self::Succeeded)
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// Answered, and the answer was accepted.
    Succeeded,
    /// Refused, or answered badly.
    Failed(ErrorClass),
    /// The provider's window ran out.
    Expired,
    /// Cancelled before it ran.
    Cancelled,
    /// In neither result file.
    Missing,
}

impl AttemptEnd {
    /// The attempt's state.
    #[must_use]
    pub fn state(self) -> AttemptState {
        match self {
            Self::Succeeded => AttemptState::Succeeded,
            Self::Failed(_) => AttemptState::Failed,
            Self::Expired => AttemptState::Expired,
            Self::Cancelled => AttemptState::Cancelled,
            Self::Missing => AttemptState::Missing,
        }
    }

    /// Why, unless it succeeded.
    #[must_use]
    pub fn class(self) -> Option<ErrorClass> {
        match self {
            Self::Succeeded => None,
            Self::Failed(class) => Some(class),
            Self::Expired => Some(ErrorClass::BatchExpired),
            Self::Cancelled => Some(ErrorClass::CancelledByUser),
            Self::Missing => Some(ErrorClass::NoResponse),
        }
    }
}

/// What becomes of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskNext {
    /// It has its one outcome.
    Ends(TaskState),
    /// It goes out again.
    Again,
}

/// What the end of the task's `attempts`-th attempt (from 1) means for the task. `retry_paid` is the
/// user's word that lines which may have been billed go out again.
#[must_use]
pub fn settle(end: AttemptEnd, attempts: u32, max_attempts: u32, retry_paid: bool) -> TaskNext {
    let again = match end.class().map(ErrorClass::retry) {
        None | Some(Retry::Never) => false,
        Some(Retry::Free) => true,
        Some(Retry::Paid) => retry_paid,
        Some(Retry::PaidOnce) => retry_paid && attempts < 2,
    };
    if again && attempts < max_attempts {
        return TaskNext::Again;
    }
    TaskNext::Ends(match end {
        AttemptEnd::Succeeded => TaskState::Succeeded,
        AttemptEnd::Failed(_) => TaskState::Failed,
        AttemptEnd::Expired => TaskState::Expired,
        AttemptEnd::Cancelled => TaskState::Cancelled,
        AttemptEnd::Missing => TaskState::Missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_billed_goes_out_again_while_attempts_are_left() {
        for end in [AttemptEnd::Failed(ErrorClass::RateLimited), AttemptEnd::Expired] {
            assert_eq!(settle(end, 2, 3, false), TaskNext::Again);
            assert!(matches!(settle(end, 3, 3, false), TaskNext::Ends(_)));
        }
    }

    #[test]
    fn what_may_have_been_billed_goes_out_again_only_on_the_users_word() {
        let broken = AttemptEnd::Failed(ErrorClass::TransientParse);
        assert_eq!(settle(broken, 1, 3, false), TaskNext::Ends(TaskState::Failed));
        assert_eq!(settle(broken, 1, 3, true), TaskNext::Again);
        assert_eq!(settle(AttemptEnd::Missing, 1, 3, false), TaskNext::Ends(TaskState::Missing));
        assert_eq!(settle(AttemptEnd::Missing, 1, 3, true), TaskNext::Again);
        assert_eq!(settle(AttemptEnd::Missing, 2, 3, true), TaskNext::Ends(TaskState::Missing));
    }

    #[test]
    fn a_person_who_cancels_is_obeyed() {
        assert_eq!(settle(AttemptEnd::Cancelled, 1, 9, true), TaskNext::Ends(TaskState::Cancelled));
    }
}
