//! A line of a batch's input file, byte for byte the same whenever it is written.

use serde_json::value::RawValue;
use wire::RequestLine;

/// A request body that isn't JSON: it was damaged after it was rendered.
#[derive(Debug, thiserror::Error)]
#[error("request of {custom_id} isn't JSON: {source}")]
pub struct LineError {
    custom_id: String,
    source: serde_json::Error,
}

/// The line, its newline included.
///
/// # Errors
/// A body that isn't JSON.
pub fn line(custom_id: &str, endpoint: &str, body: &str) -> Result<Vec<u8>, LineError> {
    let unreadable = |source| LineError { custom_id: custom_id.to_owned(), source };
    let body: &RawValue = serde_json::from_str(body).map_err(unreadable)?;
    let line = RequestLine { custom_id: custom_id.into(), method: "POST".into(), url: endpoint.into(), body };
    let mut bytes = serde_json::to_vec(&line).map_err(unreadable)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_the_provider_reads() {
        let bytes = line("a \"b\"", "/v1/responses", r#"{"model":"m"}"#).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(
            text,
            "{\"custom_id\":\"a \\\"b\\\"\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":{\"model\":\"m\"}}\n"
        );
    }
}
