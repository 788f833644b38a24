//! The audit: all of the provider's batches that carry our tag, against our rows, before the first batch is created
//! after a start or in a database that has come back, and once a day from then on. It adopts what no row owns, so
//! that an old backup never pays twice, and a create that lands late is found.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use crash::Step;
use domain::{BatchId, BatchState, Time};
use store::BatchRow;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::failure::Failure;
use crate::input_file;
use crate::outside;
use crate::reconcile;
use crate::seen::seen;
use crate::submit::{BATCH, INSTANCE, SHA256};
use crate::worker::chain;

/// How long a closed gate stays closed before somebody looks again.
pub(crate) const PAUSE: TimeDelta = TimeDelta::seconds(60);

/// How often it is seen whether an audit is due, and how long a start is left in peace.
const WAKE: Duration = Duration::from_secs(5);

/// How long one rests that failed.
const FAILED: Duration = Duration::from_secs(60);

/// What the last audit of this process has found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    /// Why no batch may be created: the provider has one that we have never heard of, and a person must look.
    closed: Option<String>,
    /// When the next audit is due; none where there was none yet.
    due: Option<Time>,
    /// Which database was audited.
    incarnation: String,
}

/// Audits in time, whether or not anything is to be created, until `stop`: soon after the start, and as often as the
/// configuration says.
pub(crate) async fn run(context: Context, stop: CancellationToken) {
    let mut pause = WAKE;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        // What an audit takes in is committed batch by batch: it may be left at any point.
        let answer = tokio::select! {
            () = stop.cancelled() => return,
            answer = closed(&context) => answer,
        };
        pause = match answer {
            Ok(_) => WAKE,
            Err(failure) => {
                tracing::warn!(error = %chain(&failure), "the audit failed, and is tried again");
                FAILED
            }
        };
    }
}

/// Why no batch may be created now, if that is so; after an audit, where one is due.
pub(crate) async fn closed(context: &Context) -> Result<Option<String>, Failure> {
    let now = context.clock().now();
    if !context.config.enabled {
        return Ok(Some("ENABLE_BATCH_API is off".to_owned()));
    }
    let mut gate = context.gate.lock().await;
    let incarnation = context.store.incarnation().await?;
    // Another one may have lost its last commits.
    if gate.incarnation != incarnation || gate.due.is_none_or(|due| due <= now) {
        let Audit { stranger, unsettled } = audit(context).await?;
        // A person may mend what has closed it.
        let pause = if stranger.is_some() || unsettled {
            PAUSE
        } else {
            TimeDelta::from_std(context.config.audit_interval).unwrap_or(TimeDelta::MAX)
        };
        *gate = Gate { closed: stranger, due: Some(now + pause), incarnation };
    }
    Ok(gate.closed.clone())
}

/// What an audit has found.
#[derive(Default)]
struct Audit {
    /// Why a person must look: a batch of ours that we have never heard of.
    stranger: Option<String>,
    /// Whether something that it found is not settled yet.
    unsettled: bool,
}

/// What becomes of a batch of ours that an audit sees.
enum Adoption {
    /// Its row knows it now, or needs not.
    Settled,
    /// Its row must see first what became of the one that it knows.
    Later,
    /// Its row has other requests, or not all of them yet.
    Strange,
}

/// Looks at every batch of the account that says it is ours. What we know is adopted, whatever else is there;
/// what we don't know is why the gate closes.
async fn audit(context: &Context) -> Result<Audit, Failure> {
    let tag = context.store.instance_tag().await?;
    let mut found = Vec::new();
    outside::each_batch(context, |batch| {
        let said = |key| batch.metadata.as_ref().and_then(|metadata| metadata.get(key)).cloned();
        if let Some((there, id)) = said(INSTANCE).zip(said(BATCH)) {
            found.push((there == tag, id.parse().ok().map(BatchId), batch));
        }
    })
    .await?;
    let ids: Vec<BatchId> = found.iter().filter_map(|(_, id, _)| *id).collect();
    let rows = context.store.batches_by_id(&ids).await?;
    let rows: HashMap<BatchId, BatchRow> = rows.into_iter().map(|row| (row.batch.id, row)).collect();
    // Of two, ours is ours, and the one of a copy isn't.
    found.sort_by_key(|(tagged, ..)| !tagged);
    let mut audit = Audit::default();
    for (tagged, id, batch) in &found {
        match id.and_then(|id| rows.get(&id)) {
            Some(row) => match adopt(context, row, batch, &tag).await {
                Err(Failure::Provider(error)) => {
                    let why = chain(&error);
                    tracing::warn!(batch.id = %row.batch.id, provider.id = batch.id, error = %why, "not settled; the next audit tries again");
                    audit.unsettled = true;
                }
                adopted => match adopted? {
                    Adoption::Settled => {}
                    Adoption::Later => audit.unsettled = true,
                    Adoption::Strange => {
                        audit.stranger = audit.stranger.or_else(|| Some(strange(&batch.id)));
                    }
                },
            },
            None if *tagged => audit.stranger = audit.stranger.or_else(|| Some(strange(&batch.id))),
            None => {}
        }
    }
    tracing::debug!(batches = found.len(), "audited");
    Ok(audit)
}

/// Takes in what the provider has of a row of ours, where the row doesn't know it.
async fn adopt(
    context: &Context,
    row: &BatchRow,
    batch: &wire::Batch,
    tag: &str,
) -> Result<Adoption, Failure> {
    let (id, seen) = (row.batch.id, seen(batch));
    // Polls look at what a row knows; a batch that failed its validation never ran.
    let known = row.batch.state.provider_id() == Some(&batch.id)
        && !matches!(row.batch.state, BatchState::Abandoned { .. });
    if known || seen.refusal.is_some() {
        return Ok(Adoption::Settled);
    }
    let ours = reconcile::is_ours(row, &seen, tag);
    // This database had that tag once, or has a living copy: what is submitted shall not be submitted again, and
    // whatever else becomes of it is not for us to say.
    let is_wanted = matches!(row.batch.state, BatchState::Filling | BatchState::Planned) && !row.batch.cancel;
    if !ours && !is_wanted {
        return Ok(Adoption::Settled);
    }
    if row.batch.state == BatchState::Filling {
        return Ok(Adoption::Strange);
    }
    if is_wanted && !is_the_same(context, row, batch, tag).await? {
        return Ok(if ours { Adoption::Strange } else { Adoption::Settled });
    }
    if row.batch.is_second(&seen) {
        reconcile::deal_with_second(context, id, &seen, ours).await?;
        return Ok(Adoption::Settled);
    }
    let waits = matches!(row.batch.state, BatchState::Open { .. });
    if reconcile::take_in(context, id, seen, None, Step::Audit).await? {
        tracing::info!(batch.id = %id, provider.id = batch.id, "adopted a batch that its row didn't know");
    }
    Ok(if waits { Adoption::Later } else { Adoption::Settled })
}

/// Whether what the provider has was made of the requests that the row would be submitted with. Planned again, in a
/// database that was restored from an older backup, it may have others.
async fn is_the_same(
    context: &Context,
    row: &BatchRow,
    batch: &wire::Batch,
    tag: &str,
) -> Result<bool, Failure> {
    let Some(sha256) = batch.metadata.as_ref().and_then(|metadata| metadata.get(SHA256)) else {
        return Ok(true);
    };
    match input_file::identify(context, row, tag).await {
        Ok(file) => Ok(file.sha256 == *sha256),
        Err(failure) if failure.is_outage() => Err(failure),
        Err(failure) => {
            tracing::error!(batch.id = %row.batch.id, error = %chain(&failure), "its requests can't be read");
            Ok(false)
        }
    }
}

fn strange(provider_id: &str) -> String {
    format!(
        "the provider has batch {provider_id} of this installation, and the database has never heard of it, or of all its \
         requests: is it an older backup, or a copy? Restore the newer database. Where this is a copy beside its living original, give it \
         a tag of its own: overnight instance rotate"
    )
}
