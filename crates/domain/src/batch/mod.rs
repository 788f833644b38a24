//! One provider batch: its states, the facts that reach it, and what it becomes.
//!
//! ```text
//! filling ─▶ planned ─▶ creating ─▶ open ─▶ collecting ─▶ collected
//!               ▲           │         ▲ └────▶ refused
//!               │           ▼         │
//!               │        unknown ─────┤ found in the provider's list
//!               │           │         │
//!               │           ▼         │
//!               └─ fenced ◀ fencing   │      parked ◀ whatever needs a person
//! ```
//! Every state accepts every fact: a batch id that comes back after a cancel is never dropped.

mod decide;
mod decision;
mod fact;
mod story;
#[cfg(test)]
mod tests;

pub use decide::decide;
pub use decision::{AttemptEffect, BatchDecision, Policy, SettleWindow, UnknownCreate};
pub use fact::{BadLine, Fact, Refusal, Remote, Resolution, Seen, ValidationFailure};

use crate::{BatchId, JobId, Time};

/// A batch as the rules see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Ours.
    pub id: BatchId,
    /// The job it works for.
    pub job: JobId,
    /// Rises with every change; a write states which one it believed.
    pub version: i64,
    /// Which upload of the input file this is, from 1. A new number means a new file name.
    pub upload: u32,
    /// Whether somebody asked for a cancel.
    pub cancel: bool,
    /// Where it stands.
    pub state: BatchState,
    /// What the provider said last.
    pub remote: Remote,
}

impl Batch {
    /// Whether `seen` is a second batch of the same requests: another one is ours, or the create of another
    /// upload is in doubt. While ours is open, one of a later upload is none: ours must have failed, as a look at
    /// it will show, and the database is one that was restored from an older backup.
    #[must_use]
    pub fn is_second(&self, seen: &Seen) -> bool {
        match (&self.state, self.state.provider_id(), self.state.key()) {
            (BatchState::Open { .. }, Some(ours), _) => {
                ours != seen.provider_id && seen.upload.is_none_or(|upload| upload <= self.upload)
            }
            (_, Some(ours), _) => ours != seen.provider_id,
            (_, None, Some(key)) => !seen.is_of(key) && !seen.is_later_than(key),
            (_, None, None) => false,
        }
    }
}

/// Where a batch stands, with just the facts that are true there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchState {
    /// Plan is still adding lines; plan seals it.
    Filling,
    /// Its bytes are frozen; submit uploads them.
    Planned,
    /// The intent to create is on record, and at most one request is on its way until the deadline.
    Creating {
        /// What would be created.
        key: CreateKey,
        /// When the outcome counts as unknown.
        deadline: Time,
    },
    /// Nobody knows whether the create happened; submit looks in the provider's list.
    Unknown {
        /// What may have been created.
        key: CreateKey,
        /// How long it has been missing from the list.
        absence: Absence,
    },
    /// Missing long enough; submit deletes the input file, so that a late create can't run.
    Fencing {
        /// What may have been created.
        key: CreateKey,
    },
    /// The input file is gone; submit looks in the list once more.
    Fenced {
        /// What may have been created.
        key: CreateKey,
        /// How long it has been missing since the fence.
        absence: Absence,
    },
    /// The provider has it; poll looks at it.
    Open {
        /// The provider's id.
        provider_id: String,
    },
    /// The provider is done; collect fetches the files.
    Collecting {
        /// The provider's id.
        provider_id: String,
        /// How it ended there.
        end: End,
    },
    /// Every line is matched to its outcome. An end.
    Collected {
        /// The provider's id.
        provider_id: String,
    },
    /// The provider took none of it. An end.
    Refused,
    /// Cancelled before anything was sent. An end.
    Cancelled,
    /// A person gave up on it: what it answered or cost is unknown. An end.
    Abandoned {
        /// The provider's id, where one was known.
        provider_id: Option<String>,
    },
    /// Waits for a person.
    Parked(Parked),
}

impl BatchState {
    /// The word in the database, the API and the metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Filling => "filling",
            Self::Planned => "planned",
            Self::Creating { .. } => "creating",
            Self::Unknown { .. } => "unknown",
            Self::Fencing { .. } => "fencing",
            Self::Fenced { .. } => "fenced",
            Self::Open { .. } => "open",
            Self::Collecting { .. } => "collecting",
            Self::Collected { .. } => "collected",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Abandoned { .. } => "abandoned",
            Self::Parked(_) => "parked",
        }
    }

    /// The provider's id, where there is one.
    #[must_use]
    pub fn provider_id(&self) -> Option<&str> {
        match self {
            Self::Open { provider_id }
            | Self::Collecting { provider_id, .. }
            | Self::Collected { provider_id }
            | Self::Parked(Parked::Provider { provider_id, .. }) => Some(provider_id),
            Self::Abandoned { provider_id } => provider_id.as_deref(),
            _ => None,
        }
    }

    /// What was or may have been created, while that is open.
    #[must_use]
    pub fn key(&self) -> Option<&CreateKey> {
        match self {
            Self::Creating { key, .. }
            | Self::Unknown { key, .. }
            | Self::Fencing { key }
            | Self::Fenced { key, .. }
            | Self::Parked(Parked::Create { key, .. }) => Some(key),
            _ => None,
        }
    }

    /// Why it waits for a person, if it does.
    #[must_use]
    pub fn parked(&self) -> Option<&Parked> {
        if let Self::Parked(parked) = self { Some(parked) } else { None }
    }

    /// Whether nothing more will happen to it by itself or by a person.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Collected { .. } | Self::Refused | Self::Cancelled | Self::Abandoned { .. })
    }
}

/// What identifies a create: the file is unique to the upload, so a batch that names it is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateKey {
    /// The upload's number.
    pub upload: u32,
    /// The provider's id of the input file.
    pub file_id: String,
}

/// How often and since when a complete walk of the provider's list didn't show the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Absence {
    /// Complete walks without it.
    pub looks: u32,
    /// Time of the first.
    pub since: Option<Time>,
}

/// How the provider ended a batch that has results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Ran to the end.
    Completed,
    /// The window closed.
    Expired,
    /// Cancelled.
    Cancelled,
}

impl End {
    /// The provider's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// The end of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Completed, Self::Expired, Self::Cancelled].into_iter().find(|end| end.as_str() == word)
    }
}

/// Why a batch waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parked {
    /// It may exist at the provider, and repeating it may pay twice.
    Create {
        /// What may have been created.
        key: CreateKey,
        /// What could not be settled.
        doubt: CreateDoubt,
    },
    /// It exists at the provider, and its results can't be had.
    Provider {
        /// The provider's id.
        provider_id: String,
        /// What is in the way.
        loss: Loss,
    },
    /// Nothing was created, and submitting keeps failing.
    Submit,
}

/// What could not be settled about a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateDoubt {
    /// It is missing from the list, and the policy is not to try again.
    Absent,
    /// It is missing from the list, and the provider won't delete the input file.
    FenceRefused,
}

/// Why a batch's results can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The provider doesn't know the batch any more.
    Vanished,
    /// The result files are gone.
    FilesGone,
    /// Looking or collecting keeps failing.
    Failing,
}

impl Parked {
    /// The words of all reasons.
    pub const REASONS: &[&str] =
        &["create_unknown", "fence_refused", "vanished", "files_gone", "failing", "submit_failing"];

    /// The word in the database and the API.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Create { doubt: CreateDoubt::Absent, .. } => "create_unknown",
            Self::Create { doubt: CreateDoubt::FenceRefused, .. } => "fence_refused",
            Self::Provider { loss: Loss::Vanished, .. } => "vanished",
            Self::Provider { loss: Loss::FilesGone, .. } => "files_gone",
            Self::Provider { loss: Loss::Failing, .. } => "failing",
            Self::Submit => "submit_failing",
        }
    }

    /// What a person can decide about it.
    #[must_use]
    pub fn resolutions(&self) -> &'static [Resolution] {
        match self {
            Self::Create { .. } => &[Resolution::TryAgain, Resolution::NotCreated, Resolution::GiveUp],
            Self::Provider { .. } | Self::Submit => &[Resolution::TryAgain, Resolution::GiveUp],
        }
    }

    /// What waits for a person, and what the person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Create { .. } => {
                "nobody knows whether it exists: look at the provider's batches, then resolve it as try-again \
                 (look once more), not-created or give-up"
            }
            Self::Provider { loss: Loss::Failing, .. } | Self::Submit => {
                "mend what fails, then resolve it as try-again; or give-up"
            }
            Self::Provider { .. } => {
                "resolve it as try-again where the provider has it again, else as give-up"
            }
        }
    }
}
