//! The batch object, its status, and the request that creates one.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lenient::{empty_is_none, null_is_default, texts, unreadable_is_none};

/// A batch as the provider reports it. Times are Unix seconds. The list shows all of an account's batches, whoever made them: errors,
/// counts and usage that can't be read are not known, so that no stranger's batch hides ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// `batch_…`
    pub id: String,
    /// Always `batch`.
    pub object: String,
    /// The endpoint that every line targets, such as `/v1/responses`. Some compatible servers send null.
    #[serde(default, deserialize_with = "null_is_default")]
    pub endpoint: String,
    /// The model of the lines, once known.
    #[serde(default)]
    pub model: Option<String>,
    /// Why validation failed; only set with status `failed`.
    #[serde(default, deserialize_with = "unreadable_is_none")]
    pub errors: Option<BatchErrors>,
    /// The file that was uploaded.
    #[serde(default, deserialize_with = "null_is_default")]
    pub input_file_id: String,
    /// How long the provider may take.
    #[serde(default, deserialize_with = "null_is_default")]
    pub completion_window: String,
    /// Where it stands.
    pub status: BatchStatus,
    /// Lines that succeeded, once at least one did.
    #[serde(default, deserialize_with = "empty_is_none")]
    pub output_file_id: Option<String>,
    /// Lines that did not succeed, once at least one didn't.
    #[serde(default, deserialize_with = "empty_is_none")]
    pub error_file_id: Option<String>,
    /// Creation time.
    pub created_at: i64,
    /// Validation passed.
    #[serde(default)]
    pub in_progress_at: Option<i64>,
    /// End of the completion window.
    #[serde(default)]
    pub expires_at: Option<i64>,
    /// All lines ran.
    #[serde(default)]
    pub finalizing_at: Option<i64>,
    /// Files are ready.
    #[serde(default)]
    pub completed_at: Option<i64>,
    /// Validation failed.
    #[serde(default)]
    pub failed_at: Option<i64>,
    /// The window closed.
    #[serde(default)]
    pub expired_at: Option<i64>,
    /// Cancel was asked for.
    #[serde(default)]
    pub cancelling_at: Option<i64>,
    /// Cancel took effect.
    #[serde(default)]
    pub cancelled_at: Option<i64>,
    /// Lines by outcome; zeros while validating.
    #[serde(default, deserialize_with = "unreadable_is_none")]
    pub request_counts: Option<RequestCounts>,
    /// Tokens of the whole batch, where reported.
    #[serde(default, deserialize_with = "unreadable_is_none", skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What the creator attached, as far as it is text: a server may add what it likes, and ours tells whose a batch is.
    #[serde(default, deserialize_with = "texts")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// The provider's eight statuses, and room for a ninth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum BatchStatus {
    /// The file is being checked.
    Validating,
    /// The file was refused: nothing ran.
    Failed,
    /// Lines are running.
    InProgress,
    /// Result files are being written.
    Finalizing,
    /// Done, even if every line failed.
    Completed,
    /// The window closed; finished lines are kept.
    Expired,
    /// A cancel is draining.
    Cancelling,
    /// Cancelled; finished lines are kept.
    Cancelled,
    /// A status this version doesn't know: treated as not finished.
    Unknown(String),
}

impl BatchStatus {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Validating => "validating",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Unknown(word) => word,
        }
    }

    /// Whether the provider will do nothing more with the batch.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }
}

impl From<String> for BatchStatus {
    fn from(word: String) -> Self {
        // Some compatible servers shout.
        match word.to_ascii_lowercase().as_str() {
            "validating" => Self::Validating,
            "failed" => Self::Failed,
            "in_progress" => Self::InProgress,
            "finalizing" => Self::Finalizing,
            "completed" => Self::Completed,
            "expired" => Self::Expired,
            "cancelling" => Self::Cancelling,
            "cancelled" => Self::Cancelled,
            _ => Self::Unknown(word),
        }
    }
}

impl From<BatchStatus> for String {
    fn from(status: BatchStatus) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for BatchStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Lines by outcome. `completed` counts successes, not lines that were processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCounts {
    /// Lines in the input.
    #[serde(default, deserialize_with = "null_is_default")]
    pub total: u64,
    /// Lines that succeeded.
    #[serde(default, deserialize_with = "null_is_default")]
    pub completed: u64,
    /// Lines that failed. Expired lines may be left out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub failed: u64,
}

/// What validation found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchErrors {
    /// Always `list`.
    #[serde(default)]
    pub object: Option<String>,
    /// In line order.
    #[serde(default, deserialize_with = "null_is_default")]
    pub data: Vec<BatchError>,
}

/// One finding of validation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchError {
    /// Such as `invalid_json_line` or `token_limit_exceeded`.
    #[serde(default)]
    pub code: Option<String>,
    /// For people.
    #[serde(default)]
    pub message: Option<String>,
    /// The field.
    #[serde(default)]
    pub param: Option<String>,
    /// The line, from 1.
    #[serde(default)]
    pub line: Option<u64>,
}

/// Tokens of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input_tokens: u64,
    /// Parts of `input_tokens`.
    #[serde(default)]
    pub input_tokens_details: UsageInputDetails,
    /// Answer tokens, reasoning included.
    pub output_tokens: u64,
    /// Parts of `output_tokens`.
    #[serde(default)]
    pub output_tokens_details: UsageOutputDetails,
    /// The sum.
    pub total_tokens: u64,
}

/// Parts of the input tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageInputDetails {
    /// Read from the prompt cache.
    #[serde(default)]
    pub cached_tokens: u64,
}

/// Parts of the output tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageOutputDetails {
    /// Spent on reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
}

/// The body of `POST /batches`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateBatch {
    /// A file of purpose `batch`.
    pub input_file_id: String,
    /// The endpoint that every line targets.
    pub endpoint: String,
    /// Must be `24h`.
    pub completion_window: String,
    /// At most 16 pairs, keys up to 64 and values up to 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// When the result files go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_expires_after: Option<OutputExpiry>,
}

/// When a file goes, counted from its creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputExpiry {
    /// Must be `created_at`.
    pub anchor: String,
    /// 3,600 to 2,592,000.
    pub seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_id_is_no_file() {
        let text =
            r#"{"id":"batch_1","object":"batch","status":"completed","created_at":1,"error_file_id":""}"#;
        let batch: Batch = serde_json::from_str(text).unwrap();
        assert_eq!(batch.error_file_id, None);
        assert_eq!(batch.endpoint, "");
    }

    #[test]
    fn what_is_odd_about_a_batch_is_not_known_and_the_batch_is() {
        let read = |field: &str| {
            let text =
                format!(r#"{{"id":"batch_1","object":"batch","status":"completed","created_at":1,{field}}}"#);
            serde_json::from_str::<Batch>(&text)
        };
        for usage in
            ["null", "{}", "[]", r#"{"input_tokens":1}"#, r#"{"input_tokens":null,"output_tokens":-1}"#]
        {
            assert_eq!(read(&format!(r#""usage":{usage}"#)).unwrap().usage, None, "{usage}");
        }
        let counts = |text: &str| read(&format!(r#""request_counts":{text}"#)).unwrap().request_counts;
        for odd in ["null", "7", r#"{"total":"three"}"#] {
            assert_eq!(counts(odd), None, "{odd}");
        }
        let known = RequestCounts { total: 3, ..RequestCounts::default() };
        assert_eq!(counts(r#"{"total":3,"completed":null}"#), Some(known));
        let errors = |text: &str| read(&format!(r#""errors":{text}"#)).unwrap().errors;
        assert_eq!(errors(r#"{"data":null}"#), Some(BatchErrors::default()));
        assert_eq!(errors(r#""none""#), None);
        let metadata = |text: &str| read(&format!(r#""metadata":{text}"#)).unwrap().metadata;
        for odd in ["null", "[]", "7"] {
            assert_eq!(metadata(odd), None, "{odd}");
        }
        let ours = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert_eq!(metadata(r#"{"team":null,"a":"b","priority":1}"#), Some(ours));
        // What names it and says where it stands is demanded.
        for field in [r#""id":null"#, r#""status":null"#] {
            let (name, _) = field.split_once(':').unwrap();
            let text = r#"{"id":"batch_1","status":"completed","object":"batch","created_at":1}"#;
            let broken = text.replace(&format!(r#"{name}:"batch_1""#), field);
            let broken = broken.replace(&format!(r#"{name}:"completed""#), field);
            assert!(serde_json::from_str::<Batch>(&broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn an_unheard_of_status_is_kept_and_is_not_the_end() {
        let status: BatchStatus = serde_json::from_str("\"paused\"").unwrap();
        assert!(!status.is_terminal());
        assert_eq!(serde_json::to_string(&status).unwrap(), "\"paused\"");
    }

    #[test]
    fn every_known_status_survives_the_wire() {
        for word in [
            "validating",
            "failed",
            "in_progress",
            "finalizing",
            "completed",
            "expired",
            "cancelling",
            "cancelled",
        ] {
            let status = BatchStatus::from(word.to_owned());
            assert!(!matches!(status, BatchStatus::Unknown(_)), "{word}");
            assert_eq!(status.as_str(), word);
        }
    }
}
