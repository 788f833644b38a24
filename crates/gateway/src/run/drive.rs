//! One batch, from wherever it stands to its end: load, act, move on. A move that somebody else was faster
//! with is not an error; the batch is loaded again.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wire::BatchStatus;

use super::check;
use super::execute::{Paused, execute};
use super::finish::{Ending, finish};
use crate::app::App;
use crate::clock;
use crate::error::GatewayError;

/// Brings a batch to its end, or to where it was when told to stop.
pub(super) async fn drive(app: Arc<App>, id: String, stop: CancellationToken) -> Result<(), GatewayError> {
    let mut bell = app.cancelled.subscribe();
    while !stop.is_cancelled() {
        // Heard before the load, so that a ring during the work is heard again.
        bell.mark_unchanged();
        let Some(served) = app.store.batch(&id).await? else { return Ok(()) };
        match served.batch.status {
            BatchStatus::Validating => check::check(&app, &served.batch).await?,
            BatchStatus::InProgress => match execute(&app, &served, &mut bell, &stop).await? {
                Paused::AllDone => drop(app.store.finalize_batch(&id, clock::now()).await?),
                Paused::Expired => finish(&app, &id, Ending::Expired).await?,
                Paused::Interrupted => {}
            },
            BatchStatus::Finalizing => finish(&app, &id, Ending::Completed).await?,
            BatchStatus::Cancelling => finish(&app, &id, Ending::Cancelled).await?,
            BatchStatus::Failed
            | BatchStatus::Completed
            | BatchStatus::Expired
            | BatchStatus::Cancelled
            | BatchStatus::Unknown(_) => {
                let (batch, counts) = (&served.batch, served.batch.request_counts.unwrap_or_default());
                tracing::info!(
                    batch.id = id,
                    status = batch.status.as_str(),
                    rows.total = counts.total,
                    rows.completed = counts.completed,
                    rows.failed = counts.failed,
                    "batch ended"
                );
                return app.free_bytes(&batch.input_file_id).await;
            }
        }
    }
    Ok(())
}
