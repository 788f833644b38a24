//! The audit: all of the provider's batches that carry our tag, against our rows, before the first batch
//! is created after a start. It adopts what no row owns, so that an old backup never pays twice.

use std::collections::HashMap;

use chrono::TimeDelta;
use crash::Step;
use domain::{BatchId, BatchState, Time};
use store::BatchRow;
use wire::BatchStatus;

use crate::context::Context;
use crate::failure::Failure;
use crate::outside;
use crate::reconcile;
use crate::seen::seen;
use crate::submit::{BATCH, INSTANCE};

/// How long a closed gate stays closed before somebody looks again.
pub(crate) const PAUSE: TimeDelta = TimeDelta::seconds(60);

/// Whether batches may be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Nobody has looked yet.
    Unchecked,
    /// The provider has nothing that we don't know.
    Open,
    /// It has; a person must look.
    Closed {
        /// Why.
        reason: String,
        /// When somebody may have mended it.
        until: Time,
    },
}

/// Why no batch may be created now, if that is so; after the audit, if it is the first time.
pub(crate) async fn closed(context: &Context) -> Result<Option<String>, Failure> {
    let now = context.clock().now();
    if !context.config.enabled {
        return Ok(Some("ENABLE_BATCH_API is off".to_owned()));
    }
    let mut gate = context.gate.lock().await;
    let stands = match &*gate {
        Gate::Open => true,
        Gate::Closed { until, .. } => now < *until,
        Gate::Unchecked => false,
    };
    if !stands {
        *gate = match audit(context).await? {
            None => Gate::Open,
            Some(reason) => Gate::Closed { reason, until: now + PAUSE },
        };
    }
    Ok(if let Gate::Closed { reason, .. } = &*gate { Some(reason.clone()) } else { None })
}

/// Looks at every batch of the account that says it is ours. What we know is adopted, whatever else is there;
/// what we don't know is why the gate closes.
async fn audit(context: &Context) -> Result<Option<String>, Failure> {
    let tag = context.store.instance_tag().await?;
    let mut ours = Vec::new();
    outside::each_batch(context, |batch| {
        let said = |key| batch.metadata.as_ref().and_then(|metadata| metadata.get(key)).cloned();
        if let Some((there, id)) = said(INSTANCE).zip(said(BATCH)) {
            ours.push((there == tag, id.parse().ok().map(BatchId), batch));
        }
    })
    .await?;
    let ids: Vec<BatchId> = ours.iter().filter_map(|(_, id, _)| *id).collect();
    let rows = context.store.batches_by_id(&ids).await?;
    let rows: HashMap<BatchId, BatchRow> = rows.into_iter().map(|row| (row.batch.id, row)).collect();
    let mut stranger = None;
    for (tagged, id, batch) in &ours {
        // A batch under another tag is ours where a row of ours has its id: this database had that tag once,
        // or is a copy, and what the other one has submitted shall not be submitted again.
        match id.and_then(|id| rows.get(&id)) {
            Some(row) => adopt(context, row, batch).await?,
            None if *tagged => stranger = stranger.or(Some(batch)),
            None => {}
        }
    }
    tracing::debug!(batches = ours.len(), "audited");
    Ok(stranger.map(|batch| strange(&batch.id)))
}

/// Takes in what the provider has of a row of ours, where the row doesn't know it.
async fn adopt(context: &Context, row: &BatchRow, batch: &wire::Batch) -> Result<(), Failure> {
    let (id, seen) = (row.batch.id, seen(batch));
    // Polls look at what a row knows; a batch that failed its validation never ran.
    let known = row.batch.state.provider_id() == Some(&batch.id)
        && !matches!(row.batch.state, BatchState::Abandoned { .. });
    if known || batch.status == BatchStatus::Failed {
        return Ok(());
    }
    if row.batch.state.is_second(&seen) {
        return reconcile::deal_with_second(context, id, &seen).await;
    }
    if reconcile::take_in(context, id, seen, None, Step::Audit).await? {
        tracing::warn!(batch.id = %id, provider.id = batch.id, "adopted a batch that no row owned");
    }
    Ok(())
}

fn strange(provider_id: &str) -> String {
    format!(
        "the provider has batch {provider_id} of this installation, and the database has never heard of it: is it an \
         older backup, or a copy? Restore the newer database. Where this is a copy beside its living original, give it \
         a tag of its own: overnight instance rotate"
    )
}
