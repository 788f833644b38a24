//! What a request says, read: its JSON body and its query, each refusal naming the field.

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A JSON body, read, and as it came.
///
/// # Errors
/// A body that is too large, isn't sent as JSON, isn't a JSON object, or isn't what is asked for.
pub fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(T, Bytes), Problem> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        let given = if media.is_empty() { "nothing".to_owned() } else { media.to_owned() };
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "the body must be JSON",
        )
        .detail(format!("Content-Type says {given}"))
        .hint("send Content-Type: application/json"));
    }
    let body = body.map_err(unreadable)?;
    Ok((parse_json(&body)?, body))
}

/// JSON that came by another way than as a body.
///
/// # Errors
/// Text that isn't a JSON object, or isn't what is asked for.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A list would be taken for an object's fields in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "not-json", "the body isn't a JSON object")
            .hint("send one object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| wrong_field(&error))?;
    reader.end().map_err(|error| not_json(&error))?;
    Ok(read)
}

fn unreadable(rejection: BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the body is too large")
            .hint("send fewer records at a time");
    }
    Problem::new(StatusCode::BAD_REQUEST, "unreadable-body", "the body could not be read to its end")
        .hint("send it again")
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "not-json", "the body isn't JSON")
        .detail(error.to_string())
        .hint("correct it at the line and column that are named")
}

fn wrong_field(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    if inner.is_syntax() || inner.is_eof() {
        return not_json(inner);
    }
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", "the request can't be understood")
        .hint("correct the fields that are named")
        .fault(Some(pointer(error.path())), said(&inner.to_string()))
}

/// Without the place in the text: the pointer says it better.
fn said(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = "#".to_owned();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    pointer
}

/// The parameters behind the `?`.
///
/// # Errors
/// A parameter that is unknown, or not what is asked for.
pub fn read_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let query = axum::extract::Query::<T>::try_from_uri(uri);
    query.map(|query| query.0).map_err(|rejection| {
        let why = rejection.body_text();
        let why = why.split_once(": ").map_or(why.as_str(), |(_, why)| why).to_owned();
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", "the request can't be understood")
            .hint("correct the parameters that are named")
            .fault(None, why)
    })
}
