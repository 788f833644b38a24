//! What a gateway is told at its start.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::error::GatewayError;
use crate::sim::SimConfig;

/// Rows in flight per batch, where nobody says otherwise.
const CONCURRENCY: usize = 64;

/// What a gateway is told at its start.
#[derive(Clone)]
pub struct Config {
    /// Where its database and its files live. One gateway at a time.
    pub data_dir: PathBuf,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The bearer token that every request under `/v1` must carry. Required beyond loopback.
    pub api_key: Option<String>,
    /// The simulated upstream.
    pub sim: SimConfig,
    /// Rows in flight per batch. Default 64; 0 counts as 1.
    pub concurrency: usize,
    /// Largest upload, in bytes. Default 200,000,000.
    pub max_file_bytes: u64,
}

/// Without the key.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("listen", &self.listen)
            .field("api_key", &self.api_key.as_ref().map(|_| "…"))
            .field("sim", &self.sim)
            .field("concurrency", &self.concurrency)
            .field("max_file_bytes", &self.max_file_bytes)
            .finish()
    }
}

impl Config {
    /// The defaults: a free port on loopback, no key, no faults.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api_key: None,
            sim: SimConfig::default(),
            concurrency: CONCURRENCY,
            max_file_bytes: wire::MAX_INPUT_BYTES,
        }
    }

    pub(crate) fn check(&self) -> Result<(), GatewayError> {
        if !self.listen.ip().is_loopback() && self.api_key.as_deref().is_none_or(str::is_empty) {
            return Err(GatewayError::NeedsKey { listen: self.listen });
        }
        Ok(self.sim.check()?)
    }
}
