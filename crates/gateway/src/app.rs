//! What every request and every batch shares.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::blob::Blobs;
use crate::error::GatewayError;
use crate::sim::SimConfig;
use crate::store::Store;

/// Request lines in flight over all batches, in KiB: what bounds memory where lines are large.
pub(crate) const FLIGHT_KIB: u32 = 64 * 1024;

/// What every request and every batch shares.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) sim: SimConfig,
    pub(crate) concurrency: usize,
    pub(crate) max_file_bytes: u64,
    /// SHA-256 of the key, so that a comparison takes the same time whatever was given.
    pub(crate) api_key: Option<[u8; 32]>,
    /// Rung when a batch was created. The row is the truth: a lost ring costs a second.
    pub(crate) created: watch::Sender<u64>,
    /// Rung when a batch was cancelled. Each batch at work hears it; of new batches it hears nothing.
    pub(crate) cancelled: watch::Sender<u64>,
    /// Permits of [`FLIGHT_KIB`].
    pub(crate) flight: Arc<Semaphore>,
}

impl App {
    pub(crate) fn ring_created(&self) {
        self.created.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    pub(crate) fn ring_cancelled(&self) {
        self.cancelled.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// Takes a file out of sight, and its bytes as soon as no unfinished batch reads them.
    /// Answers false where there is no such file.
    pub(crate) async fn delete_file(&self, id: &str, now: i64) -> Result<bool, GatewayError> {
        let was_there = self.store.delete_file(id, now).await?;
        if was_there {
            self.free_bytes(id).await?;
        }
        Ok(was_there)
    }

    /// Removes the bytes of a file that was deleted and that no unfinished batch reads.
    pub(crate) async fn free_bytes(&self, id: &str) -> Result<(), GatewayError> {
        if self.store.is_file_unused(id).await? {
            self.blobs.remove(id).await?;
        }
        Ok(())
    }
}
