//! The file object.

use serde::{Deserialize, Serialize};

/// Purpose of a batch's input.
pub const PURPOSE_BATCH: &str = "batch";
/// Purpose of a batch's output and error files.
pub const PURPOSE_BATCH_OUTPUT: &str = "batch_output";

/// A stored file. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// `file-…`
    pub id: String,
    /// Always `file`.
    pub object: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Creation time.
    pub created_at: i64,
    /// When it goes, if ever.
    #[serde(default)]
    pub expires_at: Option<i64>,
    /// The name it was uploaded under.
    pub filename: String,
    /// Such as `batch` or `batch_output`.
    pub purpose: String,
    /// Whether it can be used; the provider calls this deprecated and still requires it.
    #[serde(default)]
    pub status: FileStatus,
    /// Why it can't.
    #[serde(default)]
    pub status_details: Option<String>,
}

/// Whether a file can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    /// Received.
    Uploaded,
    /// Usable.
    #[default]
    Processed,
    /// Not usable.
    Error,
}

/// The answer to a delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDeleted {
    /// The file.
    pub id: String,
    /// Always `file`.
    pub object: String,
    /// Whether it is gone.
    pub deleted: bool,
}
