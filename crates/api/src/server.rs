//! The routes, and what their handlers are given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use reception::House;
use store::Store;
use web::{Bounds, Door, Role, with_manners};

use crate::hook::{self, HookSecret};
use crate::{cancel, create, gate, list, probe, results, schedule, status};

/// What a request may cost. A job of ten thousand records comes in one body.
const BOUNDS: Bounds = Bounds { body: 64 * 1024 * 1024, time: Duration::from_secs(60) };

/// Asks whether something that the process needs is there; else why not.
type Ask = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// Something that the process needs, by its name.
#[derive(Clone)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether it is there.
    pub ask: Arc<Ask>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({})", self.name)
    }
}

/// What the handlers are given.
#[derive(Clone, Debug)]
pub struct Api {
    /// The database.
    pub store: Store,
    /// What the installation says about every wish.
    pub house: House,
    /// Whether others than this machine can reach it.
    pub door: Door,
    /// How long a caller waits before it looks again.
    pub look_again: Duration,
    /// Tasks that one night of a schedule takes, where nobody says how many.
    pub night_tasks: u64,
    /// What the provider signs its webhooks with; none: it sends none.
    pub hook_secret: Option<HookSecret>,
    /// What else must be there for the process to be ready.
    pub checks: Vec<Check>,
    /// The version of the process.
    pub version: &'static str,
}

/// All routes.
pub fn router(api: Api) -> Router {
    let api = Arc::new(api);
    let demanding = |role: Role, routes: Router<Arc<Api>>| {
        routes.route_layer(middleware::from_fn_with_state((Arc::clone(&api), role), gate::admit))
    };
    let reading = Router::new()
        .route("/api/batch", get(list::list))
        .route("/api/batch/{id}", get(status::status))
        .route("/api/batch/{id}/results", get(results::results))
        .route("/version", get(probe::version));
    let writing = Router::new()
        .route("/api/batch/create", post(create::create))
        .route("/api/batch/{id}/cancel", post(cancel::cancel));
    let ruling = Router::new().route("/api/batch/schedule", post(schedule::schedule));
    let routes = Router::new()
        .merge(demanding(Role::Viewer, reading))
        .merge(demanding(Role::Operator, writing))
        .merge(demanding(Role::Admin, ruling))
        // Its own signature opens it.
        .route("/hooks/openai", post(hook::openai).layer(DefaultBodyLimit::max(hook::MOST_BYTES)))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(probe::ready))
        .with_state(Arc::clone(&api));
    with_manners(routes, BOUNDS)
}
