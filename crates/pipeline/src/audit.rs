//! The audit: all of the provider's batches that carry our tag, against our rows, before the first batch
//! is created after a start, and each night from then on. It adopts what no row owns, so that an old backup never pays
//! twice, and a create that lands late is found.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use crash::Step;
use domain::{BatchId, BatchState, Time};
use store::BatchRow;
use tokio_util::sync::CancellationToken;
use wire::BatchStatus;

use crate::context::Context;
use crate::failure::Failure;
use crate::outside;
use crate::reconcile;
use crate::seen::seen;
use crate::submit::{BATCH, INSTANCE};
use crate::worker::chain;

/// How long a closed gate stays closed before somebody looks again.
pub(crate) const PAUSE: TimeDelta = TimeDelta::seconds(60);

/// How often it is seen whether an audit is due, and how long a start is left in peace.
const WAKE: Duration = Duration::from_secs(5);

/// What the last audit of this process has found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    /// Why no batch may be created: the provider has one that we have never heard of, and a person must look.
    closed: Option<String>,
    /// When the next audit is due; none where there was none yet.
    due: Option<Time>,
}

/// Audits in time, whether or not anything is to be created, until `stop`: soon after the start, and as often as the
/// configuration says.
pub(crate) async fn run(context: Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WAKE) => {}
        }
        // What an audit takes in is committed batch by batch: it may be left at any point.
        tokio::select! {
            () = stop.cancelled() => return,
            answer = closed(&context) => match answer {
                Ok(None) => {}
                Ok(Some(reason)) => tracing::debug!(reason, "no batch may be created"),
                Err(failure) => tracing::warn!(error = %chain(&failure), "the audit failed, and is tried again"),
            }
        }
    }
}

/// Why no batch may be created now, if that is so; after an audit, where one is due.
pub(crate) async fn closed(context: &Context) -> Result<Option<String>, Failure> {
    let now = context.clock().now();
    if !context.config.enabled {
        return Ok(Some("ENABLE_BATCH_API is off".to_owned()));
    }
    let mut gate = context.gate.lock().await;
    if gate.due.is_none_or(|due| due <= now) {
        let closed = audit(context).await?;
        // A person may mend what has closed it.
        let pause = if closed.is_some() {
            PAUSE
        } else {
            TimeDelta::from_std(context.config.audit_interval).unwrap_or(TimeDelta::MAX)
        };
        *gate = Gate { closed, due: Some(now + pause) };
    }
    Ok(gate.closed.clone())
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
    // Of two, ours is ours, and the one of a copy isn't.
    ours.sort_by_key(|(tagged, ..)| !tagged);
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
