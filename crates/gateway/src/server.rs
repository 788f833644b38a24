//! Starting and stopping, in order.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use crate::app::{App, FLIGHT_KIB};
use crate::blob::Blobs;
use crate::config::Config;
use crate::error::GatewayError;
use crate::store::Store;
use crate::{http, run};

/// How long requests in hand may take to finish once a shutdown began.
const DRAIN: Duration = Duration::from_secs(30);

/// A gateway at work. Dropping it stops the batches where they are, as a crash would.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    app: Arc<App>,
    http: AbortOnDropHandle<()>,
    batches: AbortOnDropHandle<()>,
    stop: DropGuard,
}

/// Starts a gateway: takes its folder, brings its schema up, resumes unfinished batches, listens.
///
/// # Errors
/// A configuration that makes no sense, a folder or address that is taken, a database that is newer.
pub async fn start(config: Config) -> Result<Running, GatewayError> {
    config.check()?;
    let blobs = Blobs::open(&config.data_dir).await?;
    let store = Store::open(&config.data_dir.join("served.db")).await?;
    blobs.sweep(&store.wanted_files().await?).await?;
    let listen = config.listen;
    let listener =
        TcpListener::bind(listen).await.map_err(|source| GatewayError::Listen { listen, source })?;
    let address = listener.local_addr().map_err(|source| GatewayError::Listen { listen, source })?;

    let app = Arc::new(App {
        store,
        blobs,
        sim: config.sim,
        concurrency: config.concurrency.max(1),
        max_file_bytes: config.max_file_bytes,
        api_key: config.api_key.filter(|key| !key.is_empty()).map(Sha256::digest).map(Into::into),
        created: watch::Sender::new(0),
        cancelled: watch::Sender::new(0),
        flight: Arc::new(Semaphore::new(usize::try_from(FLIGHT_KIB).unwrap_or(usize::MAX))),
    });
    let stop = CancellationToken::new();
    let batches = tokio::spawn(run::supervise(Arc::clone(&app), stop.clone()));
    let http = tokio::spawn(http::serve(Arc::clone(&app), listener, stop.clone()));
    tracing::info!(listen = %address, "gateway is listening");
    Ok(Running {
        address,
        app,
        http: AbortOnDropHandle::new(http),
        batches: AbortOnDropHandle::new(batches),
        stop: stop.drop_guard(),
    })
}

/// Tells whether a gateway can work. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health {
    app: Arc<App>,
}

impl Health {
    /// Asks the gateway's database.
    ///
    /// # Errors
    /// Why it can't be used.
    pub async fn check(&self) -> Result<(), GatewayError> {
        self.app.store.check().await
    }
}

impl Running {
    /// Whether it can work, to ask for as long as it runs.
    #[must_use]
    pub fn health(&self) -> Health {
        Health { app: Arc::clone(&self.app) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client is given, such as `http://127.0.0.1:8080/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        format!("http://{address}/v1")
    }

    /// Takes nothing new, lets requests and rows in hand finish, and flushes them. A request that takes
    /// longer than 30 s is not waited for.
    pub async fn shutdown(self) {
        drop(self.stop);
        if tokio::time::timeout(DRAIN, self.http).await.is_err() {
            tracing::warn!("requests in hand take too long, not waiting for them");
        }
        if let Err(error) = self.batches.await {
            tracing::error!(%error, "batches ended badly");
        }
        if let Err(error) = self.app.store.close().await {
            tracing::warn!(%error, "database didn't close");
        }
    }
}
