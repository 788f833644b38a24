//! Facts: what a stage saw, or what a person said.

use serde::{Deserialize, Serialize};

use super::End;
use crate::{ErrorClass, Time};

/// What a stage saw, or what a person said.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// The input file is at the provider, under the name of this upload.
    Uploaded {
        /// The provider's id of the file.
        file_id: String,
    },
    /// The create request never left.
    CreateNotSent,
    /// The provider refused the upload or the create.
    Refused(Refusal),
    /// The create request left, and what became of it is unknown.
    CreateAmbiguous,
    /// A command found the state; where a create's deadline is behind us, its outcome is unknown.
    Looked,
    /// The provider shows the batch: in the answer to a create or a look, or in its list.
    Observed(Seen),
    /// A complete walk of the provider's list didn't show it.
    Absent,
    /// The input file is deleted.
    FenceSet,
    /// The provider won't delete the input file.
    FenceRefused,
    /// Every line is matched and stored.
    Collected,
    /// The provider doesn't know the batch, look after look.
    Vanished,
    /// The result files can't be had, try after try.
    FilesGone,
    /// A handler failed too often.
    GaveUp,
    /// Somebody wants it cancelled.
    CancelRequested,
}

/// Why the provider took none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its class.
    pub class: ErrorClass,
    /// The provider's words.
    pub message: String,
}

/// A batch as the provider showed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The provider's id.
    pub provider_id: String,
    /// How it ended, if it did and has results.
    pub end: Option<End>,
    /// Why validation failed, if it did.
    pub refusal: Option<ValidationFailure>,
    /// The rest.
    pub remote: Remote,
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
