//! `POST /api/batch/create`: a wish for a job, as JSON or as a form, taken whole or refused whole, and safe to send twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::{CreateJob, Created, Hold, Known, LeftOut, Weighed};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{JobId, Money};
use reception::{Prepared, Received, Skipped, Wish};
use sha2::{Digest as _, Sha256};
use store::Idempotency;
use web::{Problem, read_json};

use crate::form::{self, Form};
use crate::refusal::{refused, store_problem};
use crate::status::look_again;
use crate::{Api, job};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the job was there already.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key, in characters.
const MOST_KEY: usize = 255;

pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let Form { asked, lines, hash } = if form::is_form(&headers) {
        Form::read(request).await?
    } else {
        let (asked, body) = read_json::<CreateJob>(&headers, Bytes::from_request(request, &()).await)?;
        Form { asked, lines: Vec::new(), hash: Sha256::digest(&body).to_vec() }
    };
    let dry_run = asked.dry_run;
    let wish = Wish::of(&asked, api.store.clock().now()).map_err(|refusal| refused(&refusal))?;
    let mut wish = wish.on_lines(&lines);
    // What was brought is held once from here on.
    drop(asked);
    wish.origin.idempotency = idempotency(&headers, &hash)?;
    wish.origin.trace = headers.get("traceparent").and_then(|place| place.to_str().ok()?.parse().ok());
    if dry_run {
        let prepared = reception::weigh(&api.store, &api.house, &wish).await;
        return Ok(Json(weighed(&prepared.map_err(|refusal| refused(&refusal))?)).into_response());
    }
    match reception::receive(&api.store, &api.house, &wish).await.map_err(|refusal| refused(&refusal))? {
        Received::Accepted(id, prepared) => accepted(&api, id, Some(&prepared)).await,
        Received::Replayed(id) => {
            let mut response = accepted(&api, id, None).await?;
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Received::Nothing(prepared) => Ok(Json(created(&prepared)).into_response()),
    }
}

/// The key of the request, with the hash of what it brought.
fn idempotency(headers: &HeaderMap, hash: &[u8]) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = headers.get(KEY) else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=MOST_KEY).contains(&key.len()));
    let key = key.ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid-idempotency-key", "the Idempotency-Key can't be used")
            .hint(format!("take 1 to {MOST_KEY} visible ASCII characters, such as a UUID"))
    })?;
    let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Idempotency { key: key.to_owned(), hash }))
}

async fn accepted(api: &Api, id: JobId, prepared: Option<&Prepared>) -> Result<Response, Problem> {
    let job = job(&api.store, id).await.map_err(|error| store_problem(&error))?;
    let nothing = Created {
        job_id: None,
        job: None,
        submitted: 0,
        answered: Vec::new(),
        on_their_way: Vec::new(),
        left_out: None,
    };
    let found = prepared.map_or(nothing, created);
    let document =
        Created { job_id: Some(job.job_id.clone()), submitted: job.total, job: Some(job.clone()), ..found };
    let location = [(header::LOCATION, format!("/api/batch/{id}"))];
    let mut response = (StatusCode::ACCEPTED, location, Json(document)).into_response();
    look_again(api, &job, &mut response);
    Ok(response)
}

/// What was found, as long as there is no job.
fn created(prepared: &Prepared) -> Created {
    let Skipped { answered, on_their_way } = &prepared.intake.skipped;
    Created {
        job_id: None,
        job: None,
        submitted: 0,
        answered: known(answered),
        on_their_way: known(on_their_way),
        left_out: left_out(prepared),
    }
}

fn weighed(prepared: &Prepared) -> Weighed {
    let (estimate, request) = (&prepared.intake.estimate, &prepared.request);
    let found = created(prepared);
    Weighed {
        records: estimate.requests,
        model: request.processor.model().to_owned(),
        batches: estimate.batches.clone(),
        bytes: estimate.bytes,
        estimate: api_types::Estimate {
            input_tokens: estimate.input_tokens,
            output_tokens_at_most: estimate.output_tokens,
            cost_usd_at_most: estimate.cost.map(Money::dollars),
            normal_cost_usd_at_most: estimate.normal_cost.map(Money::dollars),
        },
        prices_of: request.prices.date.clone(),
        hold: request.hold.map(|(reason, until)| Hold { reason: reason.as_str().to_owned(), until }),
        answered: found.answered,
        on_their_way: found.on_their_way,
        left_out: found.left_out,
    }
}

fn known(jobs: &BTreeMap<JobId, u64>) -> Vec<Known> {
    jobs.iter().map(|(job, count)| Known { job_id: job.to_string(), count: *count }).collect()
}

fn left_out(prepared: &Prepared) -> Option<LeftOut> {
    let left_out = prepared.request.origin.left_out?;
    Some(LeftOut {
        succeeded: left_out.succeeded,
        live: left_out.live,
        cancelled: left_out.cancelled,
        excluded: left_out.excluded,
        beyond_limit: left_out.beyond_limit,
        invalid: left_out.invalid,
    })
}
