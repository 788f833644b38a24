//! Whether the process lives, and whether it can work: for whoever runs it, without a token.

use std::sync::Arc;

use api_types::Version;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::Api;

/// Ready where everything that it needs is there; with `?verbose`, a line for each.
pub(crate) async fn ready(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    let mut checks = vec![("database", api.store.check_schema().await.map_err(|error| error.to_string()))];
    for check in &api.checks {
        checks.push((check.name, (check.ask)().await));
    }
    let all = checks.iter().all(|(_, found)| found.is_ok());
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let lines: String = if uri.query().is_some_and(|query| query.starts_with("verbose")) {
        let line = |(name, found): &(&str, Result<(), String>)| match found {
            Ok(()) => format!("ok {name}\n"),
            Err(why) => format!("failed {name}: {why}\n"),
        };
        checks.iter().map(line).collect()
    } else {
        if all { "ok\n" } else { "not ready\n" }.to_owned()
    };
    (status, lines).into_response()
}

pub(crate) async fn version(State(api): State<Arc<Api>>) -> Json<Version> {
    Json(Version { name: "overnight".to_owned(), version: api.version.to_owned() })
}
