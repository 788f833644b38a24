//! A refusal as a document, RFC 9457: what, why, and what to do. It never holds a body, a token or the text
//! of an error of ours.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// The media type.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Names our problems; a URN, since there is no page behind it.
const TYPE: &str = "urn:overnight:problem:";

/// Why a request is refused. It travels as an error, so it is one pointer wide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(pub(crate) Box<Document>);

/// A problem as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Which problem, for programs.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Each thing that is wrong, with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// The request's trace, to be found in the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Where in the request, as a JSON pointer fragment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What is wrong there.
    pub detail: String,
}

impl Problem {
    /// A problem; `slug` is its name behind `urn:overnight:problem:`.
    #[must_use]
    pub fn new(status: StatusCode, slug: &str, title: &str) -> Self {
        Self(Box::new(Document {
            kind: format!("{TYPE}{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: None,
            instance: None,
            hint: None,
            errors: Vec::new(),
            trace_id: None,
        }))
    }

    /// With this occurrence in words.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// With one more thing that is wrong.
    #[must_use]
    pub fn fault(mut self, pointer: Option<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(Fault { pointer, detail: detail.into() });
        self
    }

    /// Something of ours failed; what is in the logs under the trace, and not here.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something failed here")
            .hint("the logs say what, under the trace_id; the request may be repeated with the same Idempotency-Key")
    }

    /// Something that we need is away.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "not available just now")
            .detail(detail)
            .hint("try again in a moment")
    }

    /// The problem as it is written.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.0
    }

    /// Says which request it is about.
    #[must_use]
    pub(crate) fn about(mut self, path: &str, request: &str) -> Self {
        self.0.instance = Some(format!("{path}#{request}"));
        self.0.trace_id = Some(request.to_owned());
        self
    }

    pub(crate) fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status_code();
        // A problem is texts and numbers; there is nothing in it that can't be written.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        // Whoever knows the request writes it in.
        response.extensions_mut().insert(self);
        response
    }
}
