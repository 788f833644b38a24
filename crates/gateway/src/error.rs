//! Why the gateway can't start, or can't go on with a batch. What a client did wrong is in `http::reply`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use sea_orm::DbErr;
use sqlx::migrate::MigrateError;

use crate::sim::SimConfigError;

/// Why the gateway can't start, or can't go on.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Anyone on the network could use it.
    #[error("refusing to listen on {listen} without an API key; set one, or listen on 127.0.0.1")]
    NeedsKey {
        /// Where it was to listen.
        listen: SocketAddr,
    },
    /// The address can't be had.
    #[error("can't listen on {listen}")]
    Listen {
        /// Where it was to listen.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The fault rates of the simulated upstream make no sense.
    #[error(transparent)]
    Sim(#[from] SimConfigError),
    /// Two gateways on one folder would run every row twice.
    #[error("another gateway is using {}; stop it, or choose another folder", .folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The database was migrated by a newer build.
    #[error(
        "served.db has schema version {found}, which this build doesn't know; use the newer build that made it"
    )]
    NewerSchema {
        /// What is there.
        found: i64,
    },
    /// The schema can't be applied.
    #[error("served.db refuses the schema")]
    Schema(#[source] Box<MigrateError>),
    /// The database refused a statement.
    #[error("served.db failed in {what}")]
    Database {
        /// The question or the write.
        what: &'static str,
        /// Why.
        #[source]
        source: DbErr,
    },
    /// A file or folder can't be read or written.
    #[error("can't {what} {}", .path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was stored isn't what was validated, or shorter than what was recorded: the disk lost bytes.
    #[error("{what} of {id} is damaged; restore the data folder, or delete the file")]
    Damaged {
        /// What is.
        what: &'static str,
        /// Of which batch or file.
        id: String,
    },
    /// A task died: a bug of ours, nothing was written.
    #[error("{what} was interrupted")]
    Interrupted {
        /// The work.
        what: &'static str,
    },
}

impl GatewayError {
    /// For `map_err` of file operations.
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
