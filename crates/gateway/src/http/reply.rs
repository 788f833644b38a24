//! Error answers: always the provider's envelope.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use wire::{ErrorBody, ErrorEnvelope};

use crate::error::GatewayError;
use crate::run::chain;

const INVALID: &str = "invalid_request_error";
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    body: ErrorBody,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let body =
            ErrorBody { message: message.into(), kind: Some(INVALID.to_owned()), param: None, code: None };
        Self { status, body }
    }

    /// 400 without a code.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400 about a field.
    pub(super) fn invalid(code: &str, param: &str, message: impl Into<String>) -> Self {
        let mut refusal = Self::bad(message);
        refusal.body.code = Some(code.to_owned());
        refusal.body.param = Some(param.to_owned());
        refusal
    }

    /// 401.
    pub(super) fn unauthorized() -> Self {
        let mut refusal = Self::new(StatusCode::UNAUTHORIZED, "Incorrect API key provided.");
        refusal.body.code = Some("invalid_api_key".to_owned());
        refusal
    }

    /// 404.
    pub(super) fn not_found(message: impl Into<String>, param: Option<&str>) -> Self {
        let mut refusal = Self::new(StatusCode::NOT_FOUND, message);
        refusal.body.param = param.map(str::to_owned);
        refusal
    }

    /// 405.
    pub(super) fn wrong_method(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, message)
    }

    /// 409.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }
}

/// Ours: the client learns that it wasn't its fault, the log learns the rest.
impl From<GatewayError> for Refusal {
    fn from(error: GatewayError) -> Self {
        tracing::error!(error = chain(&error), "request failed");
        let message = "The server had an error while processing your request.";
        let mut refusal = Self::new(StatusCode::INTERNAL_SERVER_ERROR, message);
        refusal.body.kind = Some("server_error".to_owned());
        refusal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorEnvelope { error: self.body })).into_response();
        if self.status == StatusCode::CONFLICT {
            // The official clients repeat a 409 twice unless they are told not to.
            response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response
    }
}
