//! Reading the body of a create. Only what the provider refuses at once is refused here; what is wrong with
//! the input file shows later, as a failed batch.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::reply::Refusal;
use crate::id;
use crate::store::NewBatch;

const ENDPOINTS: [&str; 8] = [
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
];
/// Seconds that a file may be asked to live: an hour to 30 days.
pub(super) const EXPIRY_SECONDS: std::ops::RangeInclusive<i64> = 3_600..=2_592_000;
const MAX_PAIRS: usize = 16;
const MAX_KEY_CHARS: usize = 64;
const MAX_VALUE_CHARS: usize = 512;

/// A batch to create.
pub(super) fn read(body: &[u8]) -> Result<NewBatch, Refusal> {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        return Err(Refusal::bad("We could not parse the JSON body of your request."));
    };
    let input_file_id = text(&body, "input_file_id")?;
    let endpoint = one_of(&body, "endpoint", &ENDPOINTS)?;
    one_of(&body, "completion_window", &[wire::COMPLETION_WINDOW])?;
    Ok(NewBatch {
        id: id::batch(),
        input_file_id,
        endpoint,
        metadata: metadata(body.get("metadata"))?,
        output_expires_seconds: output_expiry(body.get("output_expires_after"))?,
        output_file_id: id::file(),
        error_file_id: id::file(),
    })
}

fn text(body: &Map<String, Value>, field: &str) -> Result<String, Refusal> {
    match body.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Null) | None => {
            let message = format!("Missing required parameter: '{field}'.");
            Err(Refusal::invalid("missing_required_parameter", field, message))
        }
        Some(other) => Err(wrong_type(field, "a string", other)),
    }
}

fn one_of(body: &Map<String, Value>, field: &str, known: &[&str]) -> Result<String, Refusal> {
    let word = text(body, field)?;
    if known.contains(&word.as_str()) {
        return Ok(word);
    }
    let known: Vec<String> = known.iter().map(|known| format!("'{known}'")).collect();
    let message = format!("Invalid value: '{word}'. Supported values are: {}.", known.join(", "));
    Err(Refusal::invalid("invalid_value", field, message))
}

fn metadata(value: Option<&Value>) -> Result<Option<BTreeMap<String, String>>, Refusal> {
    let pairs = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(pairs)) => pairs,
        Some(other) => return Err(wrong_type("metadata", "an object", other)),
    };
    if pairs.len() > MAX_PAIRS {
        let message =
            format!("Invalid 'metadata': expected at most {MAX_PAIRS} properties, but got {}.", pairs.len());
        return Err(Refusal::invalid("object_above_max_properties", "metadata", message));
    }
    let mut metadata = BTreeMap::new();
    for (key, value) in pairs {
        let param = format!("metadata.{key}");
        let Value::String(value) = value else { return Err(wrong_type(&param, "a string", value)) };
        within(&param, "key", key, MAX_KEY_CHARS)?;
        within(&param, "value", value, MAX_VALUE_CHARS)?;
        metadata.insert(key.clone(), value.clone());
    }
    Ok(Some(metadata))
}

fn within(param: &str, what: &str, text: &str, most: usize) -> Result<(), Refusal> {
    let chars = text.chars().count();
    if chars <= most {
        return Ok(());
    }
    let message = format!("Invalid '{param}': {what} too long, at most {most} characters, but got {chars}.");
    Err(Refusal::invalid("string_above_max_length", param, message))
}

fn output_expiry(value: Option<&Value>) -> Result<Option<i64>, Refusal> {
    let expiry = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(expiry)) => expiry,
        Some(other) => return Err(wrong_type("output_expires_after", "an object", other)),
    };
    for field in ["anchor", "seconds"] {
        if !expiry.contains_key(field) {
            let param = format!("output_expires_after.{field}");
            let message = format!("Missing required parameter: '{param}'.");
            return Err(Refusal::invalid("missing_required_parameter", &param, message));
        }
    }
    let anchor = expiry["anchor"].as_str().unwrap_or_default();
    expiry_rule("output_expires_after", ".anchor", ".seconds", anchor, expiry["seconds"].as_i64()).map(Some)
}

/// The rule of every `expires_after`: one anchor, an hour to 30 days.
pub(super) fn expiry_rule(
    field: &str,
    anchor_part: &str,
    seconds_part: &str,
    anchor: &str,
    seconds: Option<i64>,
) -> Result<i64, Refusal> {
    if anchor != "created_at" {
        let message = "Invalid anchor. Supported values are: 'created_at'.";
        return Err(Refusal::invalid("invalid_value", &format!("{field}{anchor_part}"), message));
    }
    seconds.filter(|seconds| EXPIRY_SECONDS.contains(seconds)).ok_or_else(|| {
        let message = "Invalid seconds: expected an integer from 3600 to 2592000.";
        Refusal::invalid("invalid_value", &format!("{field}{seconds_part}"), message)
    })
}

fn wrong_type(param: &str, expected: &str, got: &Value) -> Refusal {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let message = format!("Invalid type for '{param}': expected {expected}, but got {got} instead.");
    Refusal::invalid("invalid_type", param, message)
}
