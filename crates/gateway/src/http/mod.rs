//! The HTTP side: routes, who may come in, and what every reply carries. Handlers read and write rows and
//! ring the bell; they never run a batch.

mod batches;
mod create;
mod files;
mod query;
mod reply;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::id;
use reply::Refusal;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const VERSION: HeaderName = HeaderName::from_static("openai-version");

/// Serves until told to stop, then lets requests in hand finish.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, stop: CancellationToken) {
    let served = axum::serve(listener, router(app)).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "gateway can't serve");
    }
}

fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        // Uploads count their own bytes, and may be larger than memory.
        .route("/files", post(upload::upload).layer(DefaultBodyLimit::disable()).get(files::list))
        .route("/files/{id}", get(files::one).delete(files::delete))
        .route("/files/{id}/content", get(files::content))
        .route("/batches", post(batches::create).get(batches::list))
        .route("/batches/{id}", get(batches::one))
        .route("/batches/{id}/cancel", post(batches::cancel))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), authorize));
    Router::new()
        .nest("/v1", api)
        .route("/livez", get(async || "ok"))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(name_request))
        .with_state(app)
}

async fn authorize(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(key) = &app.api_key else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if <[u8; 32]>::from(Sha256::digest(given.trim())) == *key {
        return next.run(request).await;
    }
    Refusal::unauthorized().into_response()
}

async fn name_request(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let id = id::request();
    tracing::debug!(request.id = id, %method, path, status = response.status().as_u16(), "request answered");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.headers_mut().insert(VERSION, HeaderValue::from_static("2020-10-01"));
    response
}

async fn no_such_route(method: Method, uri: Uri) -> Refusal {
    Refusal::not_found(format!("Invalid URL ({method} {})", uri.path()), None)
}

async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    Refusal::wrong_method(format!("Invalid method for URL ({method} {})", uri.path()))
}
