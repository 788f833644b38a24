//! Serving: the provider's paths under `/v1`, and the words of a test under `/liar`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::http::{batches, files};
use crate::rule::{Rule, Settings};
use crate::run;
use crate::world::World;

/// What every request is given.
pub(crate) struct App {
    world: Mutex<World>,
    /// Rises when what was put off shall be carried out.
    pub(crate) released: watch::Sender<u32>,
}

impl App {
    /// The world. One request at a time has it, and none of them waits for another machine meanwhile.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        // A connection that is dropped on demand unwinds, and never with the world in its hands.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the stand-in of a folder until the future is dropped.
pub async fn serve(listener: TcpListener, folder: PathBuf) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let world = Mutex::new(World::open(&folder, sender));
    let app = Arc::new(App { world, released: watch::Sender::new(0) });
    tokio::spawn(run::all(Arc::clone(&app), receiver));
    let router = Router::new()
        .route("/v1/files", post(files::upload).get(files::list))
        .route("/v1/files/{id}", get(files::get).delete(files::delete))
        .route("/v1/files/{id}/content", get(files::content))
        .route("/v1/batches", post(batches::create).get(batches::list))
        .route("/v1/batches/{id}", get(batches::get))
        .route("/v1/batches/{id}/cancel", post(batches::cancel))
        .route("/liar/rule", post(rule))
        .route("/liar/forget", post(forget))
        .route("/liar/settings", post(settings))
        .route("/liar/release", post(release))
        .layer(axum::extract::DefaultBodyLimit::max(256 << 20))
        .with_state(app);
    axum::serve(listener, router).await.expect("it serves");
}

type State = axum::extract::State<Arc<App>>;

async fn rule(app: State, Json(rule): Json<Rule>) {
    app.lock().add_rule(rule);
}

async fn forget(app: State) {
    app.lock().forget_rules();
}

async fn settings(app: State, Json(settings): Json<Settings>) {
    app.lock().set(settings);
}

async fn release(app: State) {
    app.released.send_modify(|times| *times += 1);
}
