//! What a batch becomes: a state and a fact in, the next state, order, effects and events out.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use super::{
    Absence, AttemptEffect, Batch, BatchDecision, BatchState, CreateDoubt, CreateKey, Fact, Loss, Parked,
    Policy, Refusal, Remote, Resolution, Seen, UnknownCreate, ValidationFailure,
};
use crate::{ErrorClass, Event, EventType, Lane, NextOrder, Time, rest_asked};

/// Decides what `batch` becomes when `fact` is known at `now`. Every state accepts every fact; where a
/// fact changes nothing, the answer is `None` and the claim may be given back.
#[must_use]
pub fn decide(batch: &Batch, fact: &Fact, now: Time, policy: &Policy) -> Option<BatchDecision> {
    let rules = Rules { batch, now, policy };
    match fact {
        Fact::Uploaded { file_id } => rules.uploaded(file_id),
        Fact::CreateNotSent { upload } => rules.not_sent(*upload),
        Fact::UploadRefused(refusal) => match batch.state {
            BatchState::Planned => rules.refused(refusal),
            _ => None,
        },
        Fact::CreateRefused(refusal) => match batch.state {
            BatchState::Creating { .. } => rules.refused(refusal),
            _ => None,
        },
        Fact::CreateAmbiguous { upload } if *upload == batch.upload => rules.ambiguous(),
        Fact::CreateAmbiguous { .. } => None,
        Fact::Looked => rules.looked(),
        Fact::Observed(seen) => rules.observed(seen),
        // Word of an upload that is over changes nothing: a newer one may be on its way.
        Fact::Absent { upload }
        | Fact::FenceSet { upload }
        | Fact::FenceRefused { upload }
        | Fact::Resolved { upload, .. }
            if *upload != batch.upload =>
        {
            None
        }
        Fact::Absent { .. } => rules.absent(),
        Fact::FenceSet { .. } => rules.fence(true),
        Fact::FenceRefused { .. } => rules.fence(false),
        Fact::Collected => rules.collected(),
        Fact::Vanished => rules.lost(Loss::Vanished, "the provider doesn't know it any more"),
        Fact::FilesGone => rules.lost(
            Loss::FilesGone,
            "the provider doesn't have a result file, or what comes in its place holds no result of the batch",
        ),
        Fact::GaveUp { lane, why } => rules.gave_up(*lane, why),
        Fact::SpareFound { provider_id, ended } => Some(rules.spare(provider_id, *ended)),
        Fact::CancelRequested => rules.cancel(),
        Fact::Resolved { resolution, .. } => rules.resolved(*resolution),
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

    /// Word of an upload that is over changes nothing: a newer one may be on its way.
    fn not_sent(&self, upload: u32) -> Option<BatchDecision> {
        let BatchState::Creating { .. } = self.batch.state else { return None };
        (upload == self.batch.upload).then(|| self.plans(self.policy.create_rest))
    }

    /// A refusal of the account or of the hour rests and tries again; a refusal of the batch ends it.
    fn refused(&self, refusal: &Refusal) -> Option<BatchDecision> {
        if refusal.upload != self.batch.upload {
            return None;
        }
        let rest = match refusal.class {
            ErrorClass::Auth | ErrorClass::Quota | ErrorClass::TokenBudget => Some(self.policy.account_rest),
            ErrorClass::RateLimited | ErrorClass::ServerError => Some(self.policy.create_rest),
            _ => None,
        };
        let mut decision = match rest {
            Some(rest) => self.plans(rest.max(rest_asked(refusal.retry_after))),
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
        Some(self.doubts(key))
    }

    /// Whether it exists is asked of the provider from here on.
    fn doubts(&self, key: &CreateKey) -> BatchDecision {
        let state = BatchState::Unknown { key: key.clone(), absence: Absence::default() };
        let mut decision = self.becomes(state, NextOrder::Due(Lane::Submit, self.now));
        let mut data = decision.batch.question(Some(self.now));
        data.extend([
            ("batch_id".to_owned(), json!(self.batch.id)),
            ("job_id".to_owned(), json!(self.batch.job)),
            ("upload".to_owned(), json!(key.upload)),
            ("input_file_id".to_owned(), json!(key.file_id)),
            ("from".to_owned(), json!(self.batch.state.as_str())),
        ]);
        let subject = format!("batch/{}", self.batch.id);
        // Every upload has a create, and a person may have it looked for again.
        let occurrence = self.batch.version.to_string();
        decision.events.push(Event::new(
            EventType::BatchUnknown,
            self.batch.job,
            subject,
            &occurrence,
            data.into(),
        ));
        decision
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
            // The provider has had more of it than is planned here: a database that was restored from an older backup.
            BatchState::Filling => None,
            // What was planned as this upload was created, and failed: no other create may name its file.
            BatchState::Planned if seen.refusal.is_some() && seen.upload == Some(self.batch.upload) => {
                seen.refusal.as_ref().map(|failure| self.validation_failed(failure))
            }
            // It never ran and never will: nothing to adopt, and a newer upload may be on its way.
            BatchState::Planned
            | BatchState::Refused
            | BatchState::Cancelled
            | BatchState::Parked(Parked::Submit)
                if seen.refusal.is_some() =>
            {
                None
            }
            // An older upload's, while what became of a newer one's create is open: adopting it would forget that
            // one, which may run. It is a second one, unless it failed.
            state if state.key().is_some_and(|key| !seen.is_of(key) && !seen.is_later_than(key)) => None,
            // Ours already, under another id: the list shows a second batch. Whoever found it deals with it.
            BatchState::Open { .. }
            | BatchState::Collecting { .. }
            | BatchState::Collected { .. }
            | BatchState::Parked(Parked::Provider { .. }) => None,
            // It ended as we knew: its results were gone then, and are gone now.
            BatchState::Abandoned { .. }
                if seen.end.is_some() && seen.remote.status == self.batch.remote.status =>
            {
                None
            }
            BatchState::Fencing { key } | BatchState::Fenced { key, .. } => {
                Some(self.behind_the_fence(key, seen))
            }
            BatchState::Planned
            | BatchState::Creating { .. }
            | BatchState::Unknown { .. }
            | BatchState::Parked(_) => Some(self.opened(seen, self.batch.cancel)),
            // Its lines have gone elsewhere or were called off: what still runs shall stop.
            BatchState::Refused | BatchState::Cancelled | BatchState::Abandoned { .. } => {
                Some(self.opened(seen, true))
            }
        }
    }

    /// It turns up when its file is deleted, or about to be. Where it fails for that, nobody is to blame: the same lines go
    /// out as a new file.
    fn behind_the_fence(&self, key: &CreateKey, seen: &Seen) -> BatchDecision {
        let is_fenced = matches!(self.batch.state, BatchState::Fenced { .. });
        match &seen.refusal {
            Some(failure) if failure.lines.is_empty() => {
                let rest =
                    if failure.is_of_the_account() { self.policy.account_rest } else { Duration::ZERO };
                BatchDecision { note: Some(failure.message.clone()), ..self.plans_anew(rest) }
            }
            // It is about to miss its file, or has read it before. Who wants it cancelled needn't know.
            None if is_fenced && seen.is_validating() && !self.batch.cancel => {
                let state = BatchState::Fenced { key: key.clone(), absence: Absence::default() };
                let note =
                    format!("the provider has it as {}, and looks for its input file", seen.provider_id);
                let again = NextOrder::Due(Lane::Submit, self.after(self.look_interval()));
                BatchDecision { note: Some(note), ..self.becomes(state, again) }
            }
            _ => self.opened(seen, self.batch.cancel),
        }
    }

    fn opened(&self, seen: &Seen, cancel: bool) -> BatchDecision {
        let state = BatchState::Open { provider_id: seen.provider_id.clone() };
        let pause = if cancel { Duration::ZERO } else { self.policy.poll_interval };
        let mut decision = self.becomes(state, NextOrder::Due(Lane::Poll, self.after(pause)));
        decision.batch.cancel = cancel;
        decision.batch.upload = seen.upload.unwrap_or_default().max(self.batch.upload);
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
        let mut decision = if failure.is_of_the_account() {
            self.plans_anew(self.policy.account_rest)
        } else {
            self.ends(BatchState::Refused, AttemptEffect::FailLines(failure.clone()))
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
                Missing::Settled => self.plans_anew(Duration::ZERO),
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
                let looks = self.policy.settle.looks;
                let why = format!(
                    "{looks} complete walks of the provider's list don't show it, and repeating it may pay twice"
                );
                self.parks(Parked::Create { key: key.clone(), doubt: CreateDoubt::Absent }, why)
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
            let why = format!(
                "the provider's list doesn't show it, and the provider won't delete its input file {}",
                key.file_id
            );
            self.parks(Parked::Create { key, doubt: CreateDoubt::FenceRefused }, why)
        })
    }

    fn collected(&self) -> Option<BatchDecision> {
        let BatchState::Collecting { provider_id, .. } = &self.batch.state else { return None };
        let state = BatchState::Collected { provider_id: provider_id.clone() };
        Some(self.ends(state, AttemptEffect::None))
    }

    /// What a person has called off needs no other person.
    fn lost(&self, loss: Loss, why: &str) -> Option<BatchDecision> {
        let (BatchState::Open { provider_id } | BatchState::Collecting { provider_id, .. }) =
            &self.batch.state
        else {
            return None;
        };
        if self.batch.cancel && loss != Loss::Failing {
            return Some(self.abandons(Some(provider_id.clone())));
        }
        Some(self.parks(Parked::Provider { provider_id: provider_id.clone(), loss }, why.to_owned()))
    }

    /// Only a state in which waiting changes nothing is parked; a create of unknown outcome keeps looking. A
    /// handler of another lane failed at what is past.
    fn gave_up(&self, lane: Lane, why: &str) -> Option<BatchDecision> {
        match (&self.batch.state, lane) {
            (BatchState::Planned, Lane::Submit) => Some(self.parks(Parked::Submit, why.to_owned())),
            (BatchState::Open { .. }, Lane::Poll) | (BatchState::Collecting { .. }, Lane::Collect) => {
                self.lost(Loss::Failing, why)
            }
            _ => None,
        }
    }

    fn spare(&self, provider_id: &str, ended: bool) -> BatchDecision {
        let mut decision = self.becomes(self.batch.state.clone(), NextOrder::Keep);
        let what = if ended { "it had ended, and was billed" } else { "it was asked to stop" };
        decision.note = Some(format!(
            "the provider had a second batch of the same requests, {provider_id}: {what}; its cost is not in the sums"
        ));
        let data = json!({
            "job_id": self.batch.job,
            "batch_id": self.batch.id,
            "provider_batch_id": provider_id,
            "ended": ended,
        });
        let subject = format!("batch/{provider_id}");
        decision.events.push(Event::new(EventType::BatchSpareFound, self.batch.job, subject, "", data));
        decision
    }

    fn cancel(&self) -> Option<BatchDecision> {
        let mut decision = match &self.batch.state {
            BatchState::Filling | BatchState::Planned | BatchState::Parked(Parked::Submit) => {
                self.ends(BatchState::Cancelled, AttemptEffect::Cancel)
            }
            BatchState::Open { .. } => {
                self.becomes(self.batch.state.clone(), NextOrder::Due(Lane::Poll, self.now))
            }
            BatchState::Parked(Parked::Provider { provider_id, loss: Loss::Failing }) => {
                self.reopens(provider_id)
            }
            BatchState::Parked(Parked::Provider { provider_id, .. }) => {
                self.abandons(Some(provider_id.clone()))
            }
            BatchState::Creating { .. }
            | BatchState::Unknown { .. }
            | BatchState::Fencing { .. }
            | BatchState::Fenced { .. }
            | BatchState::Parked(Parked::Create { .. }) => {
                self.becomes(self.batch.state.clone(), NextOrder::Keep)
            }
            BatchState::Collecting { .. }
            | BatchState::Collected { .. }
            | BatchState::Refused
            | BatchState::Cancelled
            | BatchState::Abandoned { .. } => return None,
        };
        decision.batch.cancel = true;
        Some(decision)
    }

    /// A person's word counts where the rules have none of their own, and nowhere else.
    fn resolved(&self, resolution: Resolution) -> Option<BatchDecision> {
        use Resolution::{GiveUp, NotCreated, TryAgain};
        let mut decision = match (&self.batch.state, resolution) {
            (BatchState::Parked(Parked::Provider { provider_id, .. }), TryAgain) => self.reopens(provider_id),
            (BatchState::Parked(Parked::Provider { provider_id, .. }), GiveUp) => {
                self.abandons(Some(provider_id.clone()))
            }
            (BatchState::Parked(Parked::Create { key, .. }), TryAgain) => self.doubts(key),
            (state, NotCreated) if self.is_doubtful(state) => self.plans_anew(Duration::ZERO),
            (state, GiveUp) if self.is_doubtful(state) => self.abandons(None),
            (BatchState::Parked(Parked::Submit), TryAgain) => self.plans(Duration::ZERO),
            (BatchState::Parked(Parked::Submit), GiveUp) => {
                self.ends(BatchState::Cancelled, AttemptEffect::Cancel)
            }
            _ => return None,
        };
        let data = json!({
            "batch_id": self.batch.id,
            "job_id": self.batch.job,
            "from": self.batch.state.as_str(),
            "resolution": resolution.as_str(),
        });
        let subject = format!("batch/{}", self.batch.id);
        // A batch may be parked and resolved more than once.
        let occurrence = format!("{}/{}", resolution.as_str(), self.batch.version);
        decision.events.push(Event::new(
            EventType::BatchResolved,
            self.batch.job,
            subject,
            &occurrence,
            data,
        ));
        Some(decision)
    }

    fn is_doubtful(&self, state: &BatchState) -> bool {
        matches!(
            state,
            BatchState::Unknown { .. }
                | BatchState::Fencing { .. }
                | BatchState::Fenced { .. }
                | BatchState::Parked(Parked::Create { .. })
        )
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

    fn abandons(&self, provider_id: Option<String>) -> BatchDecision {
        self.ends(BatchState::Abandoned { provider_id }, AttemptEffect::Lose)
    }

    fn reopens(&self, provider_id: &str) -> BatchDecision {
        let state = BatchState::Open { provider_id: provider_id.to_owned() };
        self.becomes(state, NextOrder::Due(Lane::Poll, self.now))
    }

    fn parks(&self, parked: Parked, why: String) -> BatchDecision {
        let reason = parked.as_str();
        let mut decision = self.becomes(BatchState::Parked(parked), NextOrder::Nothing);
        let mut data = decision.batch.question(None);
        data.extend([
            ("batch_id".to_owned(), json!(self.batch.id)),
            ("job_id".to_owned(), json!(self.batch.job)),
            ("reason".to_owned(), json!(reason)),
            ("detail".to_owned(), json!(why)),
        ]);
        let subject = format!("batch/{}", self.batch.id);
        // A batch may be parked again after a person let it go on.
        let occurrence = format!("{reason}/{}", self.batch.version);
        let event = Event::new(EventType::BatchParked, self.batch.job, subject, &occurrence, data.into());
        decision.note = Some(why);
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

    /// The same lines as a new file: what the old one may have started is settled.
    fn plans_anew(&self, pause: Duration) -> BatchDecision {
        let mut decision = self.plans(pause);
        decision.batch.upload += 1;
        decision
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
