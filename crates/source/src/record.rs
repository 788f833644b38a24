//! What a source yields: an issue with its identity, its text and the text's hash.
//!
//! The payload is the file's JSON, only without its white space: nothing is added, dropped or reordered,
//! so that a template can read whatever a collector wrote.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::Invalid;
use crate::fields::Fields;

/// Longest `custom_id`, in characters (ASCII, so bytes too). The provider documents none; others stop here.
pub const MAX_CUSTOM_ID_CHARS: usize = 64;

/// Hexadecimal digits of the hash that ends a `custom_id` which was cut.
const HASH_DIGITS: usize = 12;

/// An issue that can become a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its identity wherever and whenever it is read: `org/repo#number`.
    pub key: String,
    /// Its name in a job: `org_repo_issue_number`, cut and ended with a hash of the key where it is long.
    pub custom_id: String,
    /// The repository's owner.
    pub org: String,
    /// The repository.
    pub repo: String,
    /// The number in it.
    pub number: i64,
    /// The title.
    pub title: String,
    /// Such as `open`.
    pub state: Option<String>,
    /// Where it was read.
    pub path: String,
    /// The whole JSON, compact.
    pub payload: String,
    /// SHA-256 of the payload, lower-case hexadecimal.
    pub sha256: String,
}

impl Record {
    /// A record from the JSON text of an issue; `label` names the place in messages and becomes `path`.
    /// A byte order mark is passed over.
    ///
    /// # Errors
    /// Text that is empty, isn't JSON, or isn't an issue.
    pub fn from_text(label: &str, text: &str) -> Result<Self, Invalid> {
        let text = text.trim_start_matches('\u{feff}');
        if text.trim().is_empty() {
            return Err(Invalid::new(
                label,
                "empty",
                "write the issue's JSON into it, or leave the file out",
            ));
        }
        let root: Value = serde_json::from_str(text).map_err(|error| not_json(label, &error))?;
        Self::from_value(label, &root)
    }

    /// A record from the JSON of an issue that is parsed already.
    ///
    /// # Errors
    /// JSON that isn't an issue.
    pub fn from_value(label: &str, root: &Value) -> Result<Self, Invalid> {
        let fields = Fields { label, root };
        let (org, repo) = (fields.name("/org")?, fields.name("/repo")?);
        let number = fields.positive("/issue/number")?;
        let title = fields.text("/issue/title")?;
        fields.optional_text("/issue/body")?;
        let state = fields.optional_text("/issue/state")?;
        fields.labels("/issue/labels")?;
        fields.without_nul()?;
        let (key, payload) = (format!("{org}/{repo}#{number}"), root.to_string());
        Ok(Self {
            custom_id: custom_id(org, repo, number, &key),
            key,
            org: org.to_owned(),
            repo: repo.to_owned(),
            number,
            title: title.to_owned(),
            state: state.map(str::to_owned),
            path: label.to_owned(),
            sha256: hex(&payload),
            payload,
        })
    }
}

fn not_json(label: &str, error: &serde_json::Error) -> Invalid {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&place).unwrap_or(&message);
    Invalid {
        path: label.to_owned(),
        line: Some(error.line()),
        what: format!("not JSON: {message} (column {})", error.column()),
        fix: "correct the file, or collect the issue again".to_owned(),
    }
}

/// The hash is of the key, so a cut name is as stable and as unique as a whole one.
fn custom_id(org: &str, repo: &str, number: i64, key: &str) -> String {
    cut(&format!("{org}_{repo}_issue_{number}"), MAX_CUSTOM_ID_CHARS, key)
}

/// A name of at most so many bytes: one that is longer ends in a hash of what it stands for.
#[must_use]
pub fn cut(name: &str, most: usize, of: &str) -> String {
    if name.len() <= most { name.to_owned() } else { hashed(name, most, of) }
}

/// A name of at most so many bytes that ends in a hash of what it stands for, so that it is nobody else's.
#[must_use]
pub fn hashed(name: &str, most: usize, of: &str) -> String {
    let room = most.saturating_sub(HASH_DIGITS + 1);
    format!("{}_{}", &name[..name.floor_char_boundary(room)], &hex(of)[..HASH_DIGITS])
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
