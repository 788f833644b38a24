//! A provider of files and batches, as far as a create goes. It keeps what it did, which is what counts: a batch
//! that `ran` was billed.

use std::fmt;

use chrono::TimeDelta;
use domain::{End, ErrorClass, Remote, Seen, Time, UnknownCreate, ValidationFailure};

/// What may be assumed of a provider, and of the network to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manners {
    /// A batch whose input file is gone doesn't run.
    pub(crate) fence_holds: bool,
    /// A create that names a deleted file is refused; else it makes a batch that fails.
    pub(crate) refuses_deleted: bool,
    /// An input file can't be deleted while a batch that names it is not at its end.
    pub(crate) keeps_used: bool,
    /// Longest time, in seconds, until the list shows a new batch.
    pub(crate) lag: i64,
    /// One request acts once. (Else: a proxy on the way may send it again.)
    pub(crate) acts_once: bool,
}

impl Manners {
    /// The stated assumptions, for a settle window of `over` seconds. Whoever parks a create in doubt relies on no fence.
    pub(crate) fn as_assumed(self, over: i64, unknown: UnknownCreate) -> bool {
        let fence = self.fence_holds || unknown == UnknownCreate::Park;
        fence && self.acts_once && self.lag < over
    }
}

/// Where a batch stands at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Validating,
    Running,
    Cancelling,
    Completed,
    Cancelled,
    Failed,
}

#[derive(Clone, Debug)]
pub(crate) struct TheirBatch {
    pub(crate) file: usize,
    pub(crate) upload: u32,
    pub(crate) created: Time,
    pub(crate) status: Status,
    /// It passed validation: its lines were billed, or will be.
    pub(crate) ran: bool,
    /// It failed for want of enqueued tokens.
    pub(crate) out_of_tokens: bool,
}

impl TheirBatch {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.status, Status::Completed | Status::Cancelled | Status::Failed)
    }
}

/// An input file; its number is its id.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) upload: u32,
    pub(crate) deleted: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) manners: Manners,
    pub(crate) files: Vec<File>,
    pub(crate) batches: Vec<TheirBatch>,
    /// Creates that are on their way: of this file, for this upload.
    pub(crate) flights: Vec<(usize, u32)>,
}

/// The provider's id of a batch.
pub(crate) fn name(batch: usize) -> String {
    format!("batch_{batch}")
}

impl Provider {
    pub(crate) fn new(manners: Manners) -> Self {
        Self { manners, files: Vec::new(), batches: Vec::new(), flights: Vec::new() }
    }

    /// A create arrives; none where it is refused.
    pub(crate) fn create(&mut self, file: usize, upload: u32, now: Time) -> Option<Seen> {
        if self.files[file].deleted && self.manners.fence_holds && self.manners.refuses_deleted {
            return None;
        }
        let status = Status::Validating;
        self.batches.push(TheirBatch {
            file,
            upload,
            created: now,
            status,
            ran: false,
            out_of_tokens: false,
        });
        Some(self.seen(self.batches.len() - 1))
    }

    /// A batch goes on by a step.
    pub(crate) fn advance(&mut self, batch: usize, out_of_tokens: bool) {
        let gone = self.manners.fence_holds && self.files[self.batches[batch].file].deleted;
        let batch = &mut self.batches[batch];
        match batch.status {
            Status::Validating if gone => batch.status = Status::Failed,
            Status::Validating if out_of_tokens => {
                (batch.status, batch.out_of_tokens) = (Status::Failed, true);
            }
            Status::Validating => (batch.status, batch.ran) = (Status::Running, true),
            Status::Running => batch.status = Status::Completed,
            Status::Cancelling => batch.status = Status::Cancelled,
            Status::Completed | Status::Cancelled | Status::Failed => {}
        }
    }

    pub(crate) fn cancel(&mut self, batch: usize) {
        let batch = &mut self.batches[batch];
        if matches!(batch.status, Status::Validating | Status::Running) {
            batch.status = Status::Cancelling;
        }
    }

    /// Whether the file is gone after being asked to go.
    pub(crate) fn delete(&mut self, file: usize) -> bool {
        let used = self.batches.iter().any(|batch| batch.file == file && !batch.is_over());
        if self.manners.keeps_used && used {
            return false;
        }
        self.files[file].deleted = true;
        true
    }

    /// A complete walk of the list: of what it shows at `now`.
    pub(crate) fn list(&self, now: Time) -> Vec<usize> {
        let lag = TimeDelta::seconds(self.manners.lag);
        let shown = |batch: &usize| self.batches[*batch].created + lag <= now;
        (0..self.batches.len()).filter(shown).collect()
    }

    pub(crate) fn seen(&self, batch: usize) -> Seen {
        let theirs = &self.batches[batch];
        let end = match theirs.status {
            Status::Completed => Some(End::Completed),
            Status::Cancelled => Some(End::Cancelled),
            _ => None,
        };
        let refusal = (theirs.status == Status::Failed).then(|| ValidationFailure {
            class: theirs.out_of_tokens.then_some(ErrorClass::TokenBudget),
            ..ValidationFailure::default()
        });
        let remote = Remote { status: Some(theirs.status.to_string()), ..Remote::default() };
        let input_file_id = format!("file_{}", theirs.file).into();
        Seen {
            provider_id: name(batch),
            input_file_id,
            instance: None,
            upload: Some(theirs.upload),
            end,
            refusal,
            remote,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
