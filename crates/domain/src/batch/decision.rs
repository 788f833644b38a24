//! What goes into a decision about a batch besides its state, and what comes out.

use std::time::Duration;

use super::{Batch, Refusal, ValidationFailure};
use crate::{Event, Lane, NextOrder};

/// What the rules of a batch may be told.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Time between two looks at an open batch.
    pub poll_interval: Duration,
    /// How long a create may take before its outcome counts as unknown.
    pub create_within: Duration,
    /// How long a batch must be missing before that counts.
    pub settle: SettleWindow,
    /// What to do with a create whose outcome stays unknown.
    pub unknown: UnknownCreate,
    /// How long an account rests that is out of credit, refuses the key or is out of enqueued tokens.
    pub account_rest: Duration,
    /// How long a create rests that never left, or that the provider was too busy for.
    pub create_rest: Duration,
}

/// How often and how long a batch must be missing from complete walks.
#[derive(Clone, Copy, Debug)]
pub struct SettleWindow {
    /// Complete walks.
    pub looks: u32,
    /// From the first to the last.
    pub over: Duration,
}

/// What to do with a create whose outcome stays unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownCreate {
    /// Wait for a person.
    Park,
    /// Delete the input file, so that a late create can't run; look again; then try anew.
    Fence,
}

/// The next state of a batch and all that goes with it. Committed whole or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchDecision {
    /// The batch as it will be, with the version that was read.
    pub batch: Batch,
    /// What it waits for.
    pub order: NextOrder,
    /// What becomes of its live attempts.
    pub attempts: AttemptEffect,
    /// Whether its job should look whether it has ended.
    pub nudge_job: bool,
    /// Why, for people; stored as the batch's last error.
    pub note: Option<String>,
    /// What outsiders hear.
    pub events: Vec<Event>,
}

impl BatchDecision {
    /// Whether all that it says of `batch`, which it was made for, is when to look again.
    #[must_use]
    pub fn only_looks_again(&self, batch: &Batch) -> bool {
        let NextOrder::Due(Lane::Poll, _) = self.order else { return false };
        self.batch == *batch
            && self.attempts == AttemptEffect::None
            && self.events.is_empty()
            && self.note.is_none()
            && !self.nudge_job
    }
}

/// What becomes of a batch's live attempts when it ends without results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEffect {
    /// Nothing.
    None,
    /// All fail, and their tasks with them.
    Fail(Refusal),
    /// The named lines fail; the rest were innocent, never ran, and go out again.
    FailLines(ValidationFailure),
    /// All are cancelled, and their tasks with them.
    Cancel,
    /// All are missing: whether they ran and what they cost is unknown.
    Lose,
}
