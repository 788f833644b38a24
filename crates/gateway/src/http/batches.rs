//! Batches: create, list, look, cancel.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use bytes::Bytes;
use wire::{Batch, BatchStatus, List, RequestCounts};

use super::create;
use super::query::{self, Query};
use super::reply::Refusal;
use crate::app::App;
use crate::clock;

const PAGE: u64 = 20;
const MAX_PAGE: u64 = 100;

pub(super) async fn create(
    State(app): State<Arc<App>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Batch>, Refusal> {
    let body = body.map_err(|error| Refusal::bad(error.body_text()))?;
    let new = create::read(&body)?;
    app.store.add_batch(&new, clock::now()).await?;
    // The runner may have begun by now; the answer is the batch as it was created.
    let batch = Batch {
        status: BatchStatus::Validating,
        model: None,
        errors: None,
        output_file_id: None,
        error_file_id: None,
        in_progress_at: None,
        finalizing_at: None,
        completed_at: None,
        failed_at: None,
        request_counts: Some(RequestCounts::default()),
        usage: None,
        ..find(&app, &new.id).await?
    };
    app.ring_created();
    tracing::info!(batch.id = batch.id, endpoint = batch.endpoint, "batch created");
    Ok(Json(batch))
}

pub(super) async fn list(State(app): State<Arc<App>>, query: Query) -> Result<Json<List<Batch>>, Refusal> {
    let limit = query::limit(&query, 1..=MAX_PAGE, PAGE)?;
    let batches = app.store.batches(query::after(&query).as_deref(), limit).await?;
    let (data, has_more) = batches.ok_or_else(|| query::unknown_after(&query))?;
    Ok(Json(List {
        object: "list".to_owned(),
        first_id: data.first().map(|batch| batch.id.clone()),
        last_id: data.last().map(|batch| batch.id.clone()),
        data,
        has_more,
    }))
}

pub(super) async fn one(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Batch>, Refusal> {
    Ok(Json(find(&app, &id).await?))
}

pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Batch>, Refusal> {
    let moved = app.store.cancel_batch(&id, clock::now()).await?;
    let batch = find(&app, &id).await?;
    if moved {
        app.ring_cancelled();
        tracing::info!(batch.id = id, "batch is being cancelled");
    }
    match batch.status {
        BatchStatus::Failed | BatchStatus::Completed | BatchStatus::Expired => {
            Err(Refusal::conflict(format!("Cannot cancel a batch with status '{}'.", batch.status)))
        }
        _ => Ok(Json(batch)),
    }
}

async fn find(app: &App, id: &str) -> Result<Batch, Refusal> {
    let served = app.store.batch(id).await?;
    let served = served
        .ok_or_else(|| Refusal::not_found(format!("No batch found with id '{id}'."), Some("batch_id")))?;
    Ok(served.batch)
}
