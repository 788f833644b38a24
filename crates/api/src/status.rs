//! `GET /api/batch/{id}`: where a job stands, and when to look again.

use std::sync::Arc;

use api_types::Job;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use web::Problem;

use crate::find::find;
use crate::refusal::store_problem;
use crate::{Api, job_with_batches};

/// Characters of the hash that names a version of an answer.
const TAG_BYTES: usize = 16;

pub(crate) async fn status(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = find(&api.store, &id).await?;
    let job = job_with_batches(&api.store, id).await.map_err(|error| store_problem(&error))?;
    let body = serde_json::to_vec(&job).map_err(|_| Problem::internal())?;
    let tag = tag(&body);
    let same = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if same.is_some_and(|known| names(known, &tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    look_again(&api, &job, &mut response);
    Ok(response)
}

/// Says when to come back, while there is something to come back for.
pub(crate) fn look_again(api: &Api, job: &Job, response: &mut Response) {
    if job.outcome.is_none() {
        let seconds = api.look_again.as_secs().max(1);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}

fn tag(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    let hex: String = hash[..TAG_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// Whether an `If-None-Match` names this version.
fn names(known: &str, tag: &str) -> bool {
    known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}
