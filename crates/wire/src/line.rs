//! The lines of a batch's input file and of its two result files.
//!
//! Bodies stay raw: a line is split without being understood, so that a 200 MB file streams at the
//! speed of its bytes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lenient::{null_is_default, null_is_empty, unreadable_is_none};

/// A line of the input file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequestLine<'a> {
    /// Names the line; unique in the file.
    #[serde(borrow)]
    pub custom_id: Cow<'a, str>,
    /// Must be `POST`.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Must equal the batch's endpoint.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// The body of the synchronous endpoint.
    #[serde(borrow)]
    pub body: &'a RawValue,
}

/// A line of the output or error file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResponseLine<'a> {
    /// `batch_req_…`
    #[serde(borrow, default, deserialize_with = "null_is_empty")]
    pub id: Cow<'a, str>,
    /// The request line that this answers. Required: a line without one can't be matched.
    #[serde(borrow)]
    pub custom_id: Cow<'a, str>,
    /// The HTTP answer, whatever its status; null if the request never got one.
    #[serde(borrow, default)]
    pub response: Option<LineResponse<'a>>,
    /// Why there was no HTTP answer, such as `batch_expired`.
    #[serde(default, deserialize_with = "unreadable_is_none")]
    pub error: Option<LineError>,
}

/// The HTTP answer inside a result line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LineResponse<'a> {
    /// The HTTP status. 0 has been seen, and means that there was no answer.
    #[serde(default, deserialize_with = "null_is_default")]
    pub status_code: u16,
    /// The provider's id of the request.
    #[serde(borrow, default, deserialize_with = "null_is_empty")]
    pub request_id: Cow<'a, str>,
    /// The body, raw. Absent where a compatible server leaves it out.
    #[serde(borrow, default)]
    pub body: Option<&'a RawValue>,
}

/// Why a request never got an HTTP answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineError {
    /// Such as `batch_expired`, `batch_cancelled`, `request_timeout`; others may come.
    #[serde(default, deserialize_with = "null_is_default")]
    pub code: String,
    /// For people.
    #[serde(default, deserialize_with = "null_is_default")]
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_body_byte_for_byte() {
        let text = r#"{"id":"batch_req_1","custom_id":"a\"b","response":{"status_code":200,"request_id":"r","body":{"x" : 1.50}},"error":null}"#;
        let line: ResponseLine<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(line.custom_id, "a\"b");
        assert_eq!(line.response.unwrap().body.unwrap().get(), r#"{"x" : 1.50}"#);
    }

    #[test]
    fn neither_nulls_nor_an_odd_error_beside_an_answer_hide_it() {
        for beside in
            [r#""error":{"code":null,"message":null}"#, r#""error":"none""#, r#""error":{"code":7}"#]
        {
            let text = format!(
                r#"{{"id":null,"custom_id":"a","response":{{"status_code":200,"request_id":null,"body":{{"x":1}}}},{beside}}}"#
            );
            let line: ResponseLine<'_> = serde_json::from_str(&text).unwrap();
            let response = line.response.unwrap();
            assert_eq!((response.status_code, response.request_id.as_ref()), (200, ""), "{beside}");
            assert_eq!(response.body.unwrap().get(), r#"{"x":1}"#);
        }
        let line: ResponseLine<'_> =
            serde_json::from_str(r#"{"custom_id":"a","response":{"status_code":null}}"#).unwrap();
        assert_eq!(line.response.unwrap().status_code, 0);
    }

    #[test]
    fn an_expired_line_has_no_response() {
        let text = r#"{"id":"batch_req_1","custom_id":"a","response":null,"error":{"code":"batch_expired","message":"…"}}"#;
        let line: ResponseLine<'_> = serde_json::from_str(text).unwrap();
        assert!(line.response.is_none());
        assert_eq!(line.error.unwrap().code, "batch_expired");
    }

    #[test]
    fn a_line_without_custom_id_is_refused() {
        assert!(serde_json::from_str::<ResponseLine<'_>>(r#"{"id":"x"}"#).is_err());
    }
}
