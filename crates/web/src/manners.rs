//! What every request and every answer has: a name, bounds on size and time, and a problem where there is
//! no route.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Names the request in the answer and in the logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
/// Hexadecimal digits of a trace id.
const TRACE_DIGITS: usize = 32;

/// Methods that are told apart in metrics; the labels come from a closed list, whatever callers send.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// What a request may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Largest body, in bytes.
    pub body: usize,
    /// Longest time until an answer begins. A body that streams may take longer.
    pub time: Duration,
}

/// What a request is called: the caller's trace id where it sent one, else a fresh one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

/// Puts the manners around routes.
pub fn with_manners(routes: Router, bounds: Bounds) -> Router {
    routes
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(bounds.body))
        .layer(middleware::from_fn_with_state(bounds.time, in_time))
        .layer(middleware::from_fn(named))
}

async fn in_time(State(time): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::unavailable(format!("there was no answer within {} s", time.as_secs())).into_response()
        }
    }
}

async fn named(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let started = Instant::now();
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let mut told = problem.about(&path, &id).into_response();
        // What a handler put beside the problem stays.
        for (name, value) in response.headers() {
            if name != header::CONTENT_LENGTH {
                told.headers_mut().insert(name, value.clone());
            }
        }
        response = told;
    }
    count(&method, route.as_ref(), response.status(), started.elapsed());
    tracing::info!(request.id = id, %method, path, status = response.status().as_u16(), "request answered");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.headers_mut().insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    response
}

/// Counts a request and the time until its answer began, where the process has somebody who listens.
fn count(method: &Method, route: Option<&MatchedPath>, status: StatusCode, took: Duration) {
    let method = METHODS.iter().find(|known| *known == method).map_or("_OTHER", Method::as_str);
    // The route as it is written, not the path, which has ids; empty where there is none.
    let route = route.map_or("", MatchedPath::as_str).to_owned();
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => method.to_owned(),
        "http_route" => route,
        "http_response_status_code" => status.as_u16().to_string()
    )
    .record(took);
}

/// The trace id of `traceparent`, or chance.
fn request_id(headers: &HeaderMap) -> String {
    let parent = headers.get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let trace = parent.split('-').nth(1).unwrap_or_default();
    let is_hex = trace.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if trace.len() == TRACE_DIGITS && is_hex && trace.bytes().any(|byte| byte != b'0') {
        return trace.to_owned();
    }
    let mut bytes = [0_u8; TRACE_DIGITS / 2];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::warn!(%error, "the system gives no random numbers; requests are not told apart");
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn no_such_route(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing here")
        .detail(format!("{method} {}", uri.path()))
        .hint("check the path")
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this can't be done here")
        .detail(format!("{method} {}", uri.path()))
        .hint("the header Allow says what can")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_s_trace_is_kept_and_a_broken_one_is_not() {
        let with = |value: &str| {
            request_id(&[("traceparent".parse().unwrap(), value.parse().unwrap())].into_iter().collect())
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(with(&format!("00-{trace}-b7ad6b7169203331-01")), trace);
        for broken in ["", "00", "00-xyz-1-01", "00-00000000000000000000000000000000-1-01"] {
            let fresh = with(broken);
            assert_eq!(fresh.len(), TRACE_DIGITS);
            assert_ne!(fresh, with(broken), "{broken}");
        }
    }
}
