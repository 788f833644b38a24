//! What a batch becomes: a state and a fact in, the next state, order, effects and events out.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use super::{
    Absence, Batch, BatchState, CreateDoubt, CreateKey, Fact, Loss, Parked, Refusal, Remote, Seen,
    ValidationFailure,
};
use crate::{BadLine, ErrorClass, Event, EventType, Lane, NextOrder, Time};

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

/// What becomes of a batch's live attempts when it ends without results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEffect {
    /// Nothing.
    None,
    /// All fail, and their tasks with them.
    Fail(Refusal),
    /// These lines fail; the rest were innocent, never ran, and go out again.
    FailLines(Vec<BadLine>),
    /// All are cancelled, and their tasks with them.
    Cancel,
}

/// Decides what `batch` becomes when `fact` is known at `now`. Every state accepts every fact; where a
/// fact changes nothing, the answer is `None` and the claim may be given back.
#[must_use]
pub fn decide(batch: &Batch, fact: &Fact, now: Time, policy: &Policy) -> Option<BatchDecision> {
    let rules = Rules { batch, now, policy };
    match fact {
        Fact::Uploaded { file_id } => rules.uploaded(file_id),
        Fact::CreateNotSent => rules.not_sent(),
        Fact::Refused(refusal) => rules.refused(refusal),
        Fact::CreateAmbiguous => rules.ambiguous(),
        Fact::Looked => rules.looked(),
        Fact::Observed(seen) => rules.observed(seen),
        Fact::Absent => rules.absent(),
        Fact::FenceSet => rules.fence(true),
        Fact::FenceRefused => rules.fence(false),
        Fact::Collected => rules.collected(),
        Fact::Vanished => rules.lost(Loss::Vanished),
        Fact::FilesGone => rules.lost(Loss::FilesGone),
        Fact::GaveUp => rules.gave_up(),
        Fact::CancelRequested => rules.cancel(),
    }
}

struct Rules<'a> {
    batch: &'a Batch,
    now: Time,
    policy: &'a Policy,
}

impl Rules<'_> {
    fn uploaded(&self, file_id: &str) -> Option<BatchDecision> {
        let BatchState::Planned = self.batch.state else { return None };
        let key = CreateKey { upload: self.batch.upload, file_id: file_id.to_owned() };
        let deadline = self.after(self.policy.create_within);
        Some(self.becomes(BatchState::Creating { key, deadline }, NextOrder::Due(Lane::Submit, deadline)))
    }

    fn not_sent(&self) -> Option<BatchDecision> {
        let BatchState::Creating { .. } = self.batch.state else { return None };
        Some(self.plans(self.policy.create_rest))
    }

    /// A refusal of the account or of the hour rests and tries again; a refusal of the batch ends it.
    fn refused(&self, refusal: &Refusal) -> Option<BatchDecision> {
        let (BatchState::Planned | BatchState::Creating { .. }) = self.batch.state else { return None };
        let rest = match refusal.class {
            ErrorClass::Auth | ErrorClass::Quota | ErrorClass::TokenBudget => Some(self.policy.account_rest),
            ErrorClass::RateLimited | ErrorClass::ServerError => Some(self.policy.create_rest),
            _ => None,
        };
        let mut decision = match rest {
            Some(rest) => self.plans(rest),
            None => {
                let effect = AttemptEffect::Fail(refusal.clone());
                self.ends(BatchState::Refused, effect)
            }
        };
        decision.note = Some(refusal.message.clone());
        Some(decision)
    }

    fn ambiguous(&self) -> Option<BatchDecision> {
        let BatchState::Creating { key, .. } = &self.batch.state else { return None };
        let state = BatchState::Unknown { key: key.clone(), absence: Absence::default() };
        Some(self.becomes(state, NextOrder::Due(Lane::Submit, self.now)))
    }

    /// A create whose deadline is behind us has no living sender: what became of it is unknown.
    fn looked(&self) -> Option<BatchDecision> {
        match &self.batch.state {
            BatchState::Creating { deadline, .. } if *deadline <= self.now => self.ambiguous(),
            _ => None,
        }
    }

    fn observed(&self, seen: &Seen) -> Option<BatchDecision> {
        match &self.batch.state {
            BatchState::Open { provider_id } if *provider_id == seen.provider_id => Some(self.advanced(seen)),
            // It never ran and never will: nothing to adopt, and a newer upload may be on its way.
            BatchState::Filling | BatchState::Planned | BatchState::Refused | BatchState::Cancelled
                if seen.refusal.is_some() =>
            {
                None
            }
            // Ours already, under another id: the list shows a second batch. Whoever found it deals with it.
            BatchState::Open { .. }
            | BatchState::Collecting { .. }
            | BatchState::Collected { .. }
            | BatchState::Parked(Parked::Provider { .. }) => None,
            BatchState::Filling
            | BatchState::Planned
            | BatchState::Creating { .. }
            | BatchState::Unknown { .. }
            | BatchState::Fencing { .. }
            | BatchState::Fenced { .. }
            | BatchState::Parked(_) => Some(self.opened(seen, self.batch.cancel)),
            // Its lines have gone elsewhere or were called off: what still runs shall stop.
            BatchState::Refused | BatchState::Cancelled => Some(self.opened(seen, true)),
        }
    }

    fn opened(&self, seen: &Seen, cancel: bool) -> BatchDecision {
        let state = BatchState::Open { provider_id: seen.provider_id.clone() };
        let pause = if cancel { Duration::ZERO } else { self.policy.poll_interval };
        let mut decision = self.becomes(state, NextOrder::Due(Lane::Poll, self.after(pause)));
        decision.batch.cancel = cancel;
        decision.batch.remote = seen.remote.clone();
        decision.events.push(self.event(EventType::BatchCreated, &seen.provider_id, "", &seen.remote));
        decision
    }

    fn advanced(&self, seen: &Seen) -> BatchDecision {
        let mut decision = match (&seen.refusal, seen.end) {
            (Some(failure), _) => self.validation_failed(failure),
            (None, Some(end)) => {
                let state = BatchState::Collecting { provider_id: seen.provider_id.clone(), end };
                self.becomes(state, NextOrder::Due(Lane::Collect, self.now))
            }
            (None, None) => {
                let due = NextOrder::Due(Lane::Poll, self.after(self.policy.poll_interval));
                self.becomes(self.batch.state.clone(), due)
            }
        };
        decision.batch.remote = seen.remote.clone();
        if self.batch.remote.status != seen.remote.status {
            let status = seen.remote.status.as_deref().unwrap_or_default();
            decision.events.push(self.event(
                EventType::BatchStatusChanged,
                &seen.provider_id,
                status,
                &seen.remote,
            ));
        }
        decision
    }

    /// Nothing ran and nothing was billed. Out of enqueued tokens: the same lines, later, as a new file.
    /// Bad lines: they fail, the others go out again.
    fn validation_failed(&self, failure: &ValidationFailure) -> BatchDecision {
        let mut decision = match failure.class {
            Some(ErrorClass::TokenBudget | ErrorClass::Quota | ErrorClass::Auth) => {
                let mut again = self.plans(self.policy.account_rest);
                again.batch.upload += 1;
                again
            }
            _ => self.ends(BatchState::Refused, AttemptEffect::FailLines(failure.lines.clone())),
        };
        decision.note = Some(failure.message.clone());
        decision
    }

    fn absent(&self) -> Option<BatchDecision> {
        let again = NextOrder::Due(Lane::Submit, self.after(self.look_interval()));
        match &self.batch.state {
            BatchState::Unknown { key, absence } => Some(match self.missed_again(*absence) {
                Missing::Yet(absence) => {
                    self.becomes(BatchState::Unknown { key: key.clone(), absence }, again)
                }
                Missing::Settled => self.unknown_settled(key),
            }),
            BatchState::Fenced { key, absence } => Some(match self.missed_again(*absence) {
                Missing::Yet(absence) => {
                    self.becomes(BatchState::Fenced { key: key.clone(), absence }, again)
                }
                Missing::Settled => {
                    let mut anew = self.plans(Duration::ZERO);
                    anew.batch.upload += 1;
                    anew
                }
            }),
            _ => None,
        }
    }

    fn unknown_settled(&self, key: &CreateKey) -> BatchDecision {
        match self.policy.unknown {
            UnknownCreate::Fence => {
                let state = BatchState::Fencing { key: key.clone() };
                self.becomes(state, NextOrder::Due(Lane::Submit, self.now))
            }
            UnknownCreate::Park => {
                self.parks(Parked::Create { key: key.clone(), doubt: CreateDoubt::Absent })
            }
        }
    }

    fn fence(&self, set: bool) -> Option<BatchDecision> {
        let BatchState::Fencing { key } = &self.batch.state else { return None };
        let key = key.clone();
        Some(if set {
            let state = BatchState::Fenced { key, absence: Absence::default() };
            self.becomes(state, NextOrder::Due(Lane::Submit, self.after(self.look_interval())))
        } else {
            self.parks(Parked::Create { key, doubt: CreateDoubt::FenceRefused })
        })
    }

    fn collected(&self) -> Option<BatchDecision> {
        let BatchState::Collecting { provider_id, .. } = &self.batch.state else { return None };
        let state = BatchState::Collected { provider_id: provider_id.clone() };
        Some(self.ends(state, AttemptEffect::None))
    }

    fn lost(&self, loss: Loss) -> Option<BatchDecision> {
        match &self.batch.state {
            BatchState::Open { provider_id } | BatchState::Collecting { provider_id, .. } => {
                Some(self.parks(Parked::Provider { provider_id: provider_id.clone(), loss }))
            }
            _ => None,
        }
    }

    /// Only a state in which waiting changes nothing is parked; a create of unknown outcome keeps looking.
    fn gave_up(&self) -> Option<BatchDecision> {
        match &self.batch.state {
            BatchState::Planned => Some(self.parks(Parked::Submit)),
            _ => self.lost(Loss::Failing),
        }
    }

    fn cancel(&self) -> Option<BatchDecision> {
        let mut decision = match &self.batch.state {
            BatchState::Filling | BatchState::Planned | BatchState::Parked(Parked::Submit) => {
                self.ends(BatchState::Cancelled, AttemptEffect::Cancel)
            }
            BatchState::Open { .. } => {
                self.becomes(self.batch.state.clone(), NextOrder::Due(Lane::Poll, self.now))
            }
            BatchState::Creating { .. }
            | BatchState::Unknown { .. }
            | BatchState::Fencing { .. }
            | BatchState::Fenced { .. }
            | BatchState::Parked(_) => self.becomes(self.batch.state.clone(), NextOrder::Keep),
            BatchState::Collecting { .. }
            | BatchState::Collected { .. }
            | BatchState::Refused
            | BatchState::Cancelled => return None,
        };
        decision.batch.cancel = true;
        Some(decision)
    }

    // What the rules above are made of.

    fn becomes(&self, state: BatchState, order: NextOrder) -> BatchDecision {
        let batch = Batch { state, ..self.batch.clone() };
        let (attempts, note, events) = (AttemptEffect::None, None, Vec::new());
        BatchDecision { batch, order, attempts, nudge_job: false, note, events }
    }

    fn ends(&self, state: BatchState, attempts: AttemptEffect) -> BatchDecision {
        BatchDecision { attempts, nudge_job: true, ..self.becomes(state, NextOrder::Nothing) }
    }

    fn parks(&self, parked: Parked) -> BatchDecision {
        let reason = parked.as_str();
        let data = json!({ "batch_id": self.batch.id, "job_id": self.batch.job, "reason": reason });
        let subject = format!("batch/{}", self.batch.id);
        let event = Event::new(EventType::BatchParked, self.batch.job, subject, reason, data);
        let mut decision = self.becomes(BatchState::Parked(parked), NextOrder::Nothing);
        decision.events.push(event);
        decision.nudge_job = true;
        decision
    }

    fn event(&self, event_type: EventType, provider_id: &str, occurrence: &str, remote: &Remote) -> Event {
        let data = json!({
            "job_id": self.batch.job,
            "batch_id": self.batch.id,
            "provider_batch_id": provider_id,
            "status": { "from": self.batch.remote.status, "to": remote.status },
            "counts": { "total": remote.total, "completed": remote.completed, "failed": remote.failed },
        });
        Event::new(event_type, self.batch.job, format!("batch/{provider_id}"), occurrence, data)
    }

    fn missed_again(&self, absence: Absence) -> Missing {
        let since = absence.since.unwrap_or(self.now);
        let looks = absence.looks + 1;
        let long_enough = self.now - since >= to_delta(self.policy.settle.over);
        if looks >= self.policy.settle.looks && long_enough {
            Missing::Settled
        } else {
            Missing::Yet(Absence { looks, since: Some(since) })
        }
    }

    /// The looks are spread over the window, so that the last of them closes it.
    fn look_interval(&self) -> Duration {
        self.policy.settle.over / self.policy.settle.looks.saturating_sub(1).max(1)
    }

    /// Nothing exists at the provider: it goes there (again), unless somebody wants it cancelled.
    fn plans(&self, pause: Duration) -> BatchDecision {
        if self.batch.cancel {
            return self.ends(BatchState::Cancelled, AttemptEffect::Cancel);
        }
        self.becomes(BatchState::Planned, NextOrder::Due(Lane::Submit, self.after(pause)))
    }

    fn after(&self, pause: Duration) -> Time {
        self.now + to_delta(pause)
    }
}

enum Missing {
    Yet(Absence),
    Settled,
}

fn to_delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
