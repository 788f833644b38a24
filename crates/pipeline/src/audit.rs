//! The audit: all of the provider's batches that carry our tag, against our rows, before the first batch
//! is created after a start. It adopts what no row owns, so that an old backup never pays twice.

use domain::{BatchId, Fact};
use wire::BatchStatus;

use crate::context::Context;
use crate::failure::Failure;
use crate::reconcile;
use crate::seen::{conclude, seen};
use crate::submit::{BATCH, INSTANCE};

/// Whether batches may be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Nobody has looked yet.
    Unchecked,
    /// The provider has nothing that we don't know.
    Open,
    /// It has; a person must look.
    Closed(String),
}

/// The gate, after the audit if it is the first time.
pub(crate) async fn gate(context: &Context) -> Result<Gate, Failure> {
    if !context.config.enabled {
        return Ok(Gate::Closed("ENABLE_BATCH_API is off".to_owned()));
    }
    let mut gate = context.gate.lock().await;
    // A closed gate is looked at again: a person may have mended what closed it.
    if *gate != Gate::Open {
        *gate = audit(context).await?;
    }
    Ok(gate.clone())
}

async fn audit(context: &Context) -> Result<Gate, Failure> {
    let tag = context.store.instance_tag().await?;
    let mut ours = Vec::new();
    context
        .openai
        .each_batch(|batch| {
            let metadata = batch.metadata.as_ref();
            if metadata.and_then(|metadata| metadata.get(INSTANCE)).is_some_and(|there| *there == tag) {
                ours.push(batch);
            }
        })
        .await?;
    for batch in &ours {
        if !known(context, batch).await? {
            return Ok(Gate::Closed(stranger(batch)));
        }
    }
    tracing::debug!(batches = ours.len(), "audit found nothing unknown");
    Ok(Gate::Open)
}

/// Whether a row owns the batch, after adopting it where its row has no batch yet.
async fn known(context: &Context, batch: &wire::Batch) -> Result<bool, Failure> {
    let id = batch.metadata.as_ref().and_then(|metadata| metadata.get(BATCH)).and_then(|id| id.parse().ok());
    let Some(id) = id.map(BatchId) else { return Ok(false) };
    let Some(row) = context.store.try_batch(id).await? else { return Ok(false) };
    match row.batch.state.provider_id() {
        Some(provider_id) if provider_id == batch.id => {}
        // An upload before the one that is open: what it was, it has been settled.
        Some(_) if batch.status.is_terminal() => {}
        Some(_) => reconcile::deal_with_second(context, id, &seen(batch)).await?,
        None if batch.status == BatchStatus::Failed => {}
        None => {
            if conclude(context, id, &Fact::Observed(seen(batch)), None, "audit").await? {
                tracing::warn!(batch.id = %id, provider.id = batch.id, "adopted a batch that no row owned");
            }
        }
    }
    Ok(true)
}

fn stranger(batch: &wire::Batch) -> String {
    format!(
        "the provider has batch {} of this installation, and the database has never heard of it: is it an older \
         backup, or a copy? Restore the newer database, or give this one a tag of its own: overnight instance rotate",
        batch.id
    )
}
