//! `overnight serve api`: the REST API in a process of its own. It writes wishes and shows rows; whoever
//! runs the stages, on the same database, carries them out.

use std::net::SocketAddr;

use api::{Api, router};
use store::Store;
use telemetry::metrics::Metrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use web::ServeError;

use crate::admin::{Admin, Database};
use crate::cli::Role;
use crate::commands::serve::open_store;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::world::{Desk, house};

/// The API at work.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    store: Store,
    http: JoinHandle<Result<(), ServeError>>,
}

impl Serving {
    /// Starts it; beyond loopback only where there is a token.
    pub(crate) async fn start(
        config: &Config,
        metrics: Metrics,
        stop: &CancellationToken,
    ) -> Result<Self, Trouble> {
        let store = open(config).await?;
        let has_token = !store.tokens().await?.is_empty();
        let (listener, door) = web::listen(config.http_addr, has_token).await?;
        let address = listener.local_addr().map_err(Trouble::other)?;
        let api = Api {
            store: store.clone(),
            house: house(config)?,
            door,
            look_again: config.poll_interval,
            night_tasks: config.overnight_max_tasks,
            hook_secret: config.hook_secret.clone(),
            checks: Vec::new(),
            version: env!("CARGO_PKG_VERSION"),
        };
        let token = config.admin_token.clone();
        let database = Database::Shared(store.clone());
        let admin = Admin { role: Role::Api, database, queue: None, metrics, gauges: None, token };
        let admin_addr = config.admin_addr.unwrap_or_else(|| Role::Api.admin_addr());
        let admin = admin.serve(admin_addr, stop.clone()).await?;
        let http = tokio::spawn(web::serve(listener, router(api), stop.clone()));
        Ok(Self { address, admin, store, http })
    }

    /// How it ended, should it end by itself.
    pub(crate) async fn ended(&mut self) -> Result<Exit, Trouble> {
        match (&mut self.http).await {
            Ok(served) => served.map(|()| Exit::Success).map_err(Trouble::from),
            Err(_) => Err(Trouble::other("the API panicked; this is a bug")),
        }
    }

    /// Waits for the requests in hand, once it was told to stop.
    pub(crate) async fn stop(mut self) {
        if let Err(trouble) = self.ended().await {
            tracing::warn!(error = trouble.what, "the API did not stop in order");
        }
        if let Err(error) = self.store.close().await {
            tracing::warn!(error = %error, "the database was not closed in order");
        }
    }
}

/// Opens the database. On one machine the schema is brought up where nobody owns the data folder, which is
/// then left to whoever runs the stages.
async fn open(config: &Config) -> Result<Store, Trouble> {
    if config.is_fleet() {
        return open_store(config).await;
    }
    Ok(Desk::open(config, "serve api").await?.store)
}
