//! One batch, its workers, and the provider: every step of the protocol by itself, so that any two of them may be
//! interleaved and a worker may stop between any two. The order of the steps is that of `pipeline/src/submit.rs`,
//! `reconcile.rs`, `poll.rs` and `audit.rs`; every decision is `domain::decide_batch`.

use std::time::Duration;

use chrono::TimeDelta;
use domain::{
    AttemptEffect, Batch, BatchDecision, BatchState, CreateKey, EventType, Fact, Policy, Refusal, Resolution,
    Seen, SettleWindow, Time, UnknownCreate, decide_batch,
};

use super::provider::{self, File, Manners, Provider, Status};

/// Seconds that a batch must be missing.
pub(crate) const SETTLE: i64 = 900;
const CREATE_WITHIN: Duration = Duration::from_secs(90);
pub(crate) const WORKERS: usize = 3;

/// Where the batch is kept.
pub(crate) trait Shelf {
    fn load(&self) -> Batch;
    /// Whether it was written: not where somebody was faster.
    fn commit(&mut self, decision: &BatchDecision) -> bool;
}

/// What becomes of a request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// No connection.
    NotSent,
    /// It never arrives, and nobody knows.
    RequestLost,
    /// The provider acts, and the answer is lost.
    ReplyLost,
    /// It arrives some time after its sender gave up.
    Delayed,
    /// 429 with an error body.
    TooBusy,
    /// Something on the way sends it twice.
    Doubled,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A worker takes its next step.
    Work(usize, Fate),
    /// It does all of what the batch waits for now, undisturbed.
    WorkThrough(usize, Fate),
    /// It dies.
    Kill(usize),
    Pass(i64),
    /// A delayed create arrives.
    Deliver(usize),
    /// The provider goes on with a batch.
    Advance {
        batch: usize,
        out_of_tokens: bool,
    },
    /// A person cancels.
    Cancel,
    Resolve(Resolution),
    /// A word of before arrives, late or once more: about the upload that stood there when it was said.
    SayAgain(usize),
    /// A process starts, and audits.
    Audit,
}

/// What a worker does next.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are three of them")]
enum Next {
    Load,
    Upload(Batch),
    Find {
        batch: Batch,
        file: usize,
    },
    Intend {
        batch: Batch,
        file: usize,
    },
    Create {
        upload: u32,
        file: usize,
        sent_by: Time,
    },
    Look(CreateKey),
    Fence(CreateKey),
    Poll {
        provider_id: String,
        cancel: bool,
    },
    /// A fact is known; `read` is the batch that it is decided on.
    Conclude {
        fact: Fact,
        read: Option<Batch>,
        then: Then,
    },
}

/// What follows a fact that changed nothing.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are three of them")]
enum Then {
    Rest,
    /// It was the batch that an earlier try may have left: where it changes nothing, the create goes out.
    Intend {
        batch: Batch,
        file: usize,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct World<S> {
    pub(crate) shelf: S,
    pub(crate) provider: Provider,
    pub(crate) now: Time,
    pub(crate) policy: Policy,
    workers: Vec<Next>,
    /// Second batches that were told of.
    pub(crate) spares: Vec<String>,
    /// Its lines went back: they go out in other batches, or may be submitted anew.
    pub(crate) released: bool,
    /// What a person has said, and of which upload.
    pub(crate) said: Vec<(Resolution, u32)>,
    /// Whether a person said what nobody could know.
    pub(crate) given_up: bool,
    /// What was promised and did not hold.
    pub(crate) broken: Vec<String>,
}

impl<S: Shelf> World<S> {
    pub(crate) fn new(shelf: S, unknown: UnknownCreate, manners: Manners) -> Self {
        let policy = Policy {
            poll_interval: Duration::from_secs(60),
            create_within: CREATE_WITHIN,
            settle: SettleWindow { looks: 3, over: Duration::from_secs(SETTLE.unsigned_abs()) },
            unknown,
            account_rest: Duration::from_secs(300),
            create_rest: Duration::from_secs(10),
        };
        Self {
            shelf,
            provider: Provider::new(manners),
            now: Time::UNIX_EPOCH,
            policy,
            workers: vec![Next::Load; WORKERS],
            spares: Vec::new(),
            released: false,
            said: Vec::new(),
            given_up: false,
            broken: Vec::new(),
        }
    }

    /// The beginning of the same history over another shelf.
    pub(crate) fn on<T: Shelf>(&self, shelf: T) -> World<T> {
        World::new(shelf, self.policy.unknown, self.provider.manners)
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Work(worker, fate) => {
                let next = std::mem::replace(&mut self.workers[*worker], Next::Load);
                self.workers[*worker] = self.work(next, *fate);
            }
            Step::WorkThrough(worker, fate) => {
                self.step(&Step::Work(*worker, *fate));
                while !matches!(self.workers[*worker], Next::Load) {
                    self.step(&Step::Work(*worker, *fate));
                }
            }
            Step::Kill(worker) => self.workers[*worker] = Next::Load,
            Step::Pass(seconds) => self.now += TimeDelta::seconds(*seconds),
            Step::Deliver(flight) => {
                let (file, upload) = self.provider.flights.remove(*flight);
                let _ = self.provider.create(file, upload, self.now);
            }
            Step::Advance { batch, out_of_tokens } => self.provider.advance(*batch, *out_of_tokens),
            Step::Cancel => self.say(&Fact::CancelRequested),
            Step::Resolve(resolution) => {
                let upload = self.shelf.load().upload;
                self.said.push((*resolution, upload));
                self.resolve(*resolution, upload);
            }
            Step::SayAgain(word) => {
                let (resolution, upload) = self.said[*word];
                self.resolve(resolution, upload);
            }
            Step::Audit => self.audit(),
        }
    }

    /// As `pipeline/src/resolve.rs`.
    fn resolve(&mut self, resolution: Resolution, upload: u32) {
        let before = self.shelf.load().version;
        self.say(&Fact::Resolved { resolution, upload });
        self.given_up |= resolution == Resolution::GiveUp && self.shelf.load().version > before;
        if let BatchState::Abandoned { provider_id: Some(id) } = self.shelf.load().state {
            self.ask_to_stop(&id);
        }
    }

    fn work(&mut self, next: Next, fate: Fate) -> Next {
        match next {
            Next::Load => self.begin(),
            Next::Upload(batch) => self.upload(batch, fate),
            Next::Find { batch, file } => match self.find(batch.upload, file) {
                Some(seen) => {
                    let then = Then::Intend { batch, file };
                    Next::Conclude { fact: Fact::Observed(seen), read: None, then }
                }
                None => Next::Intend { batch, file },
            },
            Next::Intend { batch, file } => self.intend(&batch, file),
            Next::Create { upload, file, sent_by } => conclude(self.create(upload, file, sent_by, fate)),
            Next::Look(key) => {
                let found = self.find(key.upload, number(&key.file_id));
                conclude(found.map_or(Fact::Absent { upload: key.upload }, Fact::Observed))
            }
            Next::Fence(CreateKey { upload, file_id }) => match fate {
                Fate::RequestLost | Fate::NotSent => Next::Load,
                _ if self.provider.delete(number(&file_id)) => conclude(Fact::FenceSet { upload }),
                _ => conclude(Fact::FenceRefused { upload }),
            },
            Next::Poll { provider_id, cancel } => {
                if cancel {
                    self.ask_to_stop(&provider_id);
                }
                conclude(Fact::Observed(self.provider.seen(number(&provider_id))))
            }
            Next::Conclude { fact, read: None, then } => {
                Next::Conclude { fact, read: Some(self.shelf.load()), then }
            }
            Next::Conclude { fact, read: Some(read), then } => self.conclude(fact, &read, then),
        }
    }

    /// Loads the row, and begins what its state waits for.
    fn begin(&self) -> Next {
        let batch = self.shelf.load();
        match &batch.state {
            BatchState::Planned => Next::Upload(batch),
            BatchState::Creating { .. } => conclude(Fact::Looked),
            BatchState::Unknown { key, .. } | BatchState::Fenced { key, .. } => Next::Look(key.clone()),
            BatchState::Fencing { key } => Next::Fence(key.clone()),
            BatchState::Open { provider_id } => {
                Next::Poll { provider_id: provider_id.clone(), cancel: batch.cancel }
            }
            BatchState::Collecting { .. } => conclude(Fact::Collected),
            _ => Next::Load,
        }
    }

    fn upload(&mut self, batch: Batch, fate: Fate) -> Next {
        // Whatever another worker has done since this one looked for the file.
        if fate == Fate::TooBusy {
            return conclude(Fact::UploadRefused(refusal(batch.upload, domain::ErrorClass::RateLimited)));
        }
        let there = |file: &File| file.upload == batch.upload && !file.deleted;
        if let Some(file) = self.provider.files.iter().position(there) {
            return Next::Find { batch, file };
        }
        if matches!(fate, Fate::NotSent | Fate::RequestLost) {
            return Next::Load;
        }
        self.provider.files.push(File { upload: batch.upload, deleted: false });
        let file = self.provider.files.len() - 1;
        if matches!(fate, Fate::ReplyLost | Fate::Delayed) {
            Next::Load
        } else {
            Next::Intend { batch, file }
        }
    }

    /// The commit that permits one create.
    fn intend(&mut self, batch: &Batch, file: usize) -> Next {
        let sent_by = self.now + TimeDelta::from_std(self.policy.create_within / 2).unwrap();
        let fact = Fact::Uploaded { file_id: format!("file_{file}") };
        match decide_batch(batch, &fact, self.now, &self.policy) {
            Some(decision) if self.commit(&decision) => Next::Create { upload: batch.upload, file, sent_by },
            _ => Next::Load,
        }
    }

    fn create(&mut self, upload: u32, file: usize, sent_by: Time, fate: Fate) -> Fact {
        if self.now > sent_by {
            return Fact::CreateNotSent { upload };
        }
        let refused = |class| Fact::CreateRefused(refusal(upload, class));
        match fate {
            Fate::NotSent => Fact::CreateNotSent { upload },
            Fate::TooBusy => refused(domain::ErrorClass::RateLimited),
            Fate::RequestLost => Fact::CreateAmbiguous { upload },
            Fate::ReplyLost => {
                let _ = self.provider.create(file, upload, self.now);
                Fact::CreateAmbiguous { upload }
            }
            Fate::Delayed => {
                self.provider.flights.push((file, upload));
                Fact::CreateAmbiguous { upload }
            }
            Fate::Answered | Fate::Doubled => {
                if fate == Fate::Doubled && !self.provider.manners.acts_once {
                    self.provider.flights.push((file, upload));
                }
                match self.provider.create(file, upload, self.now) {
                    Some(seen) => Fact::Observed(seen),
                    None => refused(domain::ErrorClass::InvalidRequest),
                }
            }
        }
    }

    /// As `reconcile::find`: the oldest that has not failed is kept, the others are asked to stop.
    fn find(&mut self, upload: u32, file: usize) -> Option<Seen> {
        let mut found = self.provider.list(self.now);
        found.retain(|batch| {
            let theirs = &self.provider.batches[*batch];
            theirs.file == file || theirs.upload == upload
        });
        let rank = |batch: &usize| {
            let theirs = &self.provider.batches[*batch];
            (theirs.status == Status::Failed, theirs.created)
        };
        found.sort_by_key(rank);
        let mut found = found.into_iter();
        let kept = found.next();
        for spare in found {
            if self.provider.batches[spare].status != Status::Failed {
                self.deal_with_spare(&self.provider.seen(spare));
            }
        }
        kept.map(|batch| self.provider.seen(batch))
    }

    fn conclude(&mut self, fact: Fact, read: &Batch, then: Then) -> Next {
        match decide_batch(read, &fact, self.now, &self.policy) {
            Some(decision) if self.commit(&decision) => Next::Load,
            Some(_) => Next::Conclude { fact, read: None, then },
            None => {
                self.changed_nothing(&fact, read);
                match then {
                    Then::Rest => Next::Load,
                    Then::Intend { batch, file } => Next::Intend { batch, file },
                }
            }
        }
    }

    fn deal_with_spare(&mut self, seen: &Seen) {
        let ended = seen.end.is_some();
        if !ended {
            self.ask_to_stop(&seen.provider_id);
        }
        self.say(&Fact::SpareFound { provider_id: seen.provider_id.clone(), ended });
    }

    /// As `audit::adopt`, for every batch that the list shows.
    fn audit(&mut self) {
        for theirs in self.provider.list(self.now) {
            let (seen, batch) = (self.provider.seen(theirs), self.shelf.load());
            let state = &batch.state;
            let known = state.provider_id() == Some(&seen.provider_id)
                && !matches!(state, BatchState::Abandoned { .. });
            if known || seen.refusal.is_some() {
                continue;
            }
            if batch.is_second(&seen) {
                self.deal_with_spare(&seen);
            } else {
                self.say(&Fact::Observed(seen));
            }
        }
    }

    fn ask_to_stop(&mut self, provider_id: &str) {
        self.provider.cancel(number(provider_id));
    }

    /// Loads, decides and commits in one go.
    fn say(&mut self, fact: &Fact) {
        let read = self.shelf.load();
        match decide_batch(&read, fact, self.now, &self.policy) {
            Some(decision) => assert!(self.commit(&decision), "nobody else is at work"),
            None => self.changed_nothing(fact, &read),
        }
    }

    /// As the end of `reconcile::take_in`. A batch that was seen and changes nothing never ran, or is ours
    /// already, or is a second one.
    fn changed_nothing(&mut self, fact: &Fact, read: &Batch) {
        let Fact::Observed(seen) = fact else { return };
        if self.shelf.load().is_second(seen) && seen.refusal.is_none() {
            self.deal_with_spare(seen);
        } else if seen.refusal.is_none() && read.state.provider_id().is_none() {
            self.broken.push(format!("{} was seen, and is dropped: {:?}", seen.provider_id, read.state));
        }
    }

    fn commit(&mut self, decision: &BatchDecision) -> bool {
        if !self.shelf.commit(decision) {
            return false;
        }
        self.released |= match decision.attempts {
            AttemptEffect::None | AttemptEffect::Lose => false,
            AttemptEffect::Fail(_) | AttemptEffect::FailLines(_) | AttemptEffect::Cancel => true,
        };
        for event in &decision.events {
            if event.event_type == EventType::BatchSpareFound {
                self.spares.push(event.data["provider_batch_id"].as_str().unwrap_or_default().to_owned());
            }
        }
        let state = &decision.batch.state;
        let said = |kind| decision.events.iter().any(|event| event.event_type == kind);
        let kept = matches!(decision.order, domain::NextOrder::Keep);
        if state.parked().is_some() && !kept && !said(EventType::BatchParked) {
            self.broken.push(format!("parked in silence: {state:?}"));
        }
        let fresh = matches!(state, BatchState::Unknown { absence, .. } if absence.looks == 0);
        if fresh && !kept && !said(EventType::BatchUnknown) {
            self.broken.push(format!("in doubt, in silence: {state:?}"));
        }
        let waits = matches!(decision.order, domain::NextOrder::Due(..) | domain::NextOrder::Keep);
        if !state.is_end() && state.parked().is_none() && !waits {
            self.broken.push(format!("waits for nobody: {state:?}"));
        }
        true
    }

    /// What a person sees who looks at the provider's pages: whether anything of an upload is there, or on its way.
    pub(crate) fn anything_of(&self, key: &CreateKey) -> bool {
        let provider = &self.provider;
        let file = number(&key.file_id);
        provider.batches.iter().any(|batch| batch.file == file && batch.status != Status::Failed)
            || provider.flights.iter().any(|(there, _)| *there == file)
            || self
                .workers
                .iter()
                .any(|next| matches!(next, Next::Create { file: there, .. } if *there == file))
    }

    /// Batches that ran.
    pub(crate) fn ran(&self) -> Vec<String> {
        let ran = self.provider.batches.iter().enumerate().filter(|(_, batch)| batch.ran);
        ran.map(|(batch, _)| provider::name(batch)).collect()
    }
}

fn conclude(fact: Fact) -> Next {
    Next::Conclude { fact, read: None, then: Then::Rest }
}

fn refusal(upload: u32, class: domain::ErrorClass) -> Refusal {
    Refusal { upload, class, message: String::new(), retry_after: None }
}

/// The number in an id of the provider's.
fn number(id: &str) -> usize {
    id.rsplit('_').next().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX)
}
