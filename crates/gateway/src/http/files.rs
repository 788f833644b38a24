//! Files: list, look, download, delete.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use tokio_util::io::ReaderStream;
use wire::{File, FileDeleted, List};

use super::query::{self, Query};
use super::reply::Refusal;
use crate::app::App;
use crate::clock;
use crate::store::FilePage;

/// Bytes per chunk of a download.
const CHUNK_BYTES: usize = 64 * 1024;
const MAX_PAGE: u64 = 10_000;

pub(super) async fn list(State(app): State<Arc<App>>, query: Query) -> Result<Json<List<File>>, Refusal> {
    let ascending = match query.get("order").map(String::as_str) {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(other) => {
            let message = format!("Invalid value: '{other}'. Supported values are: 'asc' and 'desc'.");
            return Err(Refusal::invalid("invalid_value", "order", message));
        }
    };
    let page = FilePage {
        purpose: query.get("purpose").cloned(),
        ascending,
        after: query::after(&query),
        limit: query::limit(&query, 1..=MAX_PAGE, MAX_PAGE)?,
    };
    let files = app.store.files(&page, clock::now()).await?;
    let (data, has_more) = files.ok_or_else(|| query::unknown_after(&query))?;
    Ok(Json(List {
        object: "list".to_owned(),
        first_id: data.first().map(|file| file.id.clone()),
        last_id: data.last().map(|file| file.id.clone()),
        data,
        has_more,
    }))
}

pub(super) async fn one(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<File>, Refusal> {
    Ok(Json(find(&app, &id).await?))
}

pub(super) async fn content(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Refusal> {
    let file = find(&app, &id).await?;
    let bytes = app.blobs.read(&file.id).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, file.bytes.to_string()),
    ];
    Ok((headers, Body::from_stream(ReaderStream::with_capacity(bytes, CHUNK_BYTES))))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<FileDeleted>, Refusal> {
    let file = find(&app, &id).await?;
    if !app.delete_file(&file.id, clock::now()).await? {
        return Err(no_such_file(&id));
    }
    Ok(Json(FileDeleted { id, object: "file".to_owned(), deleted: true }))
}

async fn find(app: &App, id: &str) -> Result<File, Refusal> {
    app.store.file(id, clock::now()).await?.ok_or_else(|| no_such_file(id))
}

fn no_such_file(id: &str) -> Refusal {
    Refusal::not_found(format!("No such File object: {id}"), Some("id"))
}
