//! The envelope of every error answer.

use serde::{Deserialize, Serialize};

/// `{"error": {…}}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEnvelope {
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// For people.
    #[serde(default)]
    pub message: String,
    /// Such as `invalid_request_error`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// The field.
    #[serde(default)]
    pub param: Option<String>,
    /// Such as `rate_limit_exceeded`. Some compatible servers send a number.
    #[serde(default, deserialize_with = "text_or_number")]
    pub code: Option<String>,
}

fn text_or_number<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<serde_json::Value>::deserialize(reader)? {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_may_be_a_number_or_absent() {
        let envelope: ErrorEnvelope =
            serde_json::from_str(r#"{"error":{"message":"no","code":429}}"#).unwrap();
        assert_eq!(envelope.error.code.as_deref(), Some("429"));
        let envelope: ErrorEnvelope = serde_json::from_str(r#"{"error":{"message":"no"}}"#).unwrap();
        assert_eq!(envelope.error.code, None);
    }
}
