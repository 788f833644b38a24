//! Facts: what a stage saw, or what a person said.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CreateKey, End};
use crate::{ErrorClass, Lane, Time};

/// What a stage saw, or what a person said.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Fact {
    /// The input file is at the provider, under the name of this upload.
    Uploaded {
        /// The provider's id of the file.
        file_id: String,
    },
    /// The create request of this upload never left.
    CreateNotSent {
        /// The upload's number.
        upload: u32,
    },
    /// The provider refused the file: nothing of this upload is there. Where somebody else has gone further meanwhile,
    /// that changes nothing.
    UploadRefused(Refusal),
    /// The provider refused the create.
    CreateRefused(Refusal),
    /// The create request of this upload left, and what became of it is unknown.
    CreateAmbiguous {
        /// The upload's number.
        upload: u32,
    },
    /// A command found the state; where a create's deadline is behind us, its outcome is unknown.
    Looked,
    /// The provider shows the batch: in the answer to a create or a look, or in its list.
    Observed(Seen),
    /// A complete walk of the provider's list didn't show a batch of this upload.
    Absent {
        /// The upload's number.
        upload: u32,
    },
    /// The input file of this upload is deleted.
    FenceSet {
        /// The upload's number.
        upload: u32,
    },
    /// The provider won't delete the input file of this upload.
    FenceRefused {
        /// The upload's number.
        upload: u32,
    },
    /// Every line is matched and stored.
    Collected,
    /// The provider doesn't know the batch, look after look.
    Vanished,
    /// A result file can't be had, try after try.
    FilesGone,
    /// A handler failed too often.
    GaveUp {
        /// The lane of the handler.
        lane: Lane,
        /// How it failed last.
        why: String,
    },
    /// The provider has a second batch of the same requests.
    SpareFound {
        /// The provider's id of the second one.
        provider_id: String,
        /// Whether it had ended, and was billed; else it was asked to stop.
        ended: bool,
    },
    /// Somebody wants it cancelled.
    CancelRequested,
    /// A person decided what only a person can.
    Resolved {
        /// What is decided.
        resolution: Resolution,
        /// Which upload the person has looked at.
        upload: u32,
    },
}

/// What a person decides about a batch that waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// What was in the way is mended: try again.
    TryAgain,
    /// It was never created: submit it as a new upload. Where it was created after all, it is paid twice.
    NotCreated,
    /// Its results are not coming: its requests end as missing, at unknown cost.
    GiveUp,
}

impl Resolution {
    /// The word in events and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TryAgain => "try-again",
            Self::NotCreated => "not-created",
            Self::GiveUp => "give-up",
        }
    }
}

/// Why the provider took none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which upload was refused.
    pub upload: u32,
    /// Its class.
    pub class: ErrorClass,
    /// The provider's words.
    pub message: String,
    /// How long the provider asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// A batch as the provider showed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The provider's id.
    pub provider_id: String,
    /// The input file that it names.
    pub input_file_id: Box<str>,
    /// The tag of the installation that created it, where its metadata came back.
    pub instance: Option<Box<str>>,
    /// Which upload it is of, where its metadata came back.
    pub upload: Option<u32>,
    /// How it ended, if it did and has results.
    pub end: Option<End>,
    /// Why validation failed, if it did.
    pub refusal: Option<ValidationFailure>,
    /// The rest.
    pub remote: Remote,
}

impl Seen {
    /// Whether it is what this create has made or may have made.
    #[must_use]
    pub fn is_of(&self, key: &CreateKey) -> bool {
        *self.input_file_id == *key.file_id || self.upload == Some(key.upload)
    }

    /// Whether the provider has not yet said whether it takes the input file.
    #[must_use]
    pub fn is_validating(&self) -> bool {
        self.remote.status.as_deref() == Some("validating")
    }

    /// Whether it is of a later upload than this create's, as in a database that was restored from an older backup:
    /// what became of this create was settled before that one.
    #[must_use]
    pub fn is_later_than(&self, key: &CreateKey) -> bool {
        self.upload.is_some_and(|upload| upload > key.upload)
    }
}

/// Why the provider's validation failed: nothing ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidationFailure {
    /// The class of the whole, where no line is to blame.
    pub class: Option<ErrorClass>,
    /// The provider's words.
    pub message: String,
    /// The lines to blame.
    pub lines: Vec<BadLine>,
}

impl ValidationFailure {
    /// Whether the account is to blame, and not the input file.
    #[must_use]
    pub fn is_of_the_account(&self) -> bool {
        matches!(self.class, Some(ErrorClass::TokenBudget | ErrorClass::Quota | ErrorClass::Auth))
    }
}

/// A line that validation refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadLine {
    /// From 1.
    pub line: u64,
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// What the provider says of a batch: facts to show and to collect by, never a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// Its status, in the provider's word.
    pub status: Option<String>,
    /// Lines in the input.
    pub total: u64,
    /// Lines that succeeded so far.
    pub completed: u64,
    /// Lines that failed so far.
    pub failed: u64,
    /// Results of lines that succeeded.
    pub output_file_id: Option<String>,
    /// Results of the rest.
    pub error_file_id: Option<String>,
    /// When it was created.
    pub created_at: Option<Time>,
    /// When its window closes.
    pub expires_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
}
