//! `POST /api/batch/{id}/cancel`: the wish is written down; what the provider has finished is kept.

use std::sync::Arc;

use api_types::Cancelled;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use web::Problem;

use crate::find::find;
use crate::refusal::{store_problem, word_problem};
use crate::status::look_again;
use crate::{Api, job};

pub(crate) async fn cancel(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = find(&api.store, &id).await?;
    let asked = reception::cancel_job(&api.store, id).await.map_err(|error| word_problem(&error))?;
    let job = job(&api.store, id).await.map_err(|error| store_problem(&error))?;
    if !asked && job.outcome.is_some() {
        return Err(Problem::new(StatusCode::CONFLICT, "already-ended", "the job has ended")
            .detail(format!("job {id} is {}", job.state))
            .hint(format!("GET /api/batch/{id}/results has what there is")));
    }
    let location = [(header::LOCATION, format!("/api/batch/{id}"))];
    let mut response =
        (StatusCode::ACCEPTED, location, Json(Cancelled { asked, job: job.clone() })).into_response();
    look_again(&api, &job, &mut response);
    Ok(response)
}
