//! Listening, serving, and stopping: nothing new is taken, what is in hand is finished.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::auth::Door;

/// How long requests in hand may take once a stop began. Whoever reads results for longer begins again.
const DRAIN: Duration = Duration::from_secs(30);

/// Why nobody is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Anyone on the network could use it.
    #[error(
        "refusing to listen on {address} without a token; make one with overnight token add, or listen on 127.0.0.1"
    )]
    NeedsToken {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The address can't be had.
    #[error("can't listen on {address}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The listener failed.
    #[error("can't serve")]
    Serve(#[source] io::Error),
}

impl Door {
    /// The door of an address.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        if address.ip().is_loopback() { Self::Loopback } else { Self::Network }
    }
}

/// Listens on an address; beyond loopback only where there is a token.
///
/// # Errors
/// An address that can't be had, or one that anybody could reach while there is no token.
pub async fn listen(address: SocketAddr, has_token: bool) -> Result<(TcpListener, Door), ServeError> {
    let door = Door::of(address);
    if door == Door::Network && !has_token {
        return Err(ServeError::NeedsToken { address });
    }
    let listener = TcpListener::bind(address).await;
    Ok((listener.map_err(|source| ServeError::Listen { address, source })?, door))
}

/// Serves until `stop`, then finishes what is in hand, for 30 s at most.
///
/// # Errors
/// A listener that fails.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) -> Result<(), ServeError> {
    let stopped = stop.clone();
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned());
    let drained = async {
        stopped.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = served => served.map_err(ServeError::Serve),
        () = drained => {
            tracing::warn!("requests in hand take too long, not waiting for them");
            Ok(())
        }
    }
}
