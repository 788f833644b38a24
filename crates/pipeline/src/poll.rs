//! Poll: looks at open batches, and asks for the cancel that somebody wants.
//!
//! Due polls come together. Where that is cheaper than looking one by one, the provider's list shows them.

use std::collections::{HashMap, HashSet};

use crash::Step;
use domain::{BatchId, BatchState, Claimed, Command, Fact};
use store::BatchRow;

use crate::context::Context;
use crate::failure::Failure;
use crate::outside;
use crate::reconcile::ask_to_stop;
use crate::seen::{conclude, seen};
use crate::worker::Handled;

/// Looks in a row that must find nothing before a batch counts as vanished.
const LOOKS: u32 = 5;
/// From so many batches on the list is read first.
const FEW: usize = 3;

/// What the provider's list showed, of the batches that are due together.
pub(crate) type Listed = HashMap<String, wire::Batch>;

/// Reads the list for batches that are due together, from the newest of them on: the list shows newer ones
/// first, as a rule, and batches that were created together stand together. What it doesn't show is looked at
/// by itself.
pub(crate) async fn list(context: &Context, claimed: &[Claimed]) -> Result<Listed, Failure> {
    let poll =
        |claimed: &Claimed| if let Command::Poll(batch) = claimed.command { Some(batch) } else { None };
    let ids: Vec<BatchId> = claimed.iter().filter_map(poll).collect();
    if ids.len() < FEW {
        return Ok(Listed::new());
    }
    let rows = context.store.batches_by_id(&ids).await?;
    let open = |row: &BatchRow| match &row.batch.state {
        // A cancel is asked for, and what became of it is looked at by itself.
        BatchState::Open { provider_id } if !row.batch.cancel => Some(provider_id.clone()),
        _ => None,
    };
    let newest = rows.iter().filter(|row| open(row).is_some()).max_by_key(|row| row.batch.id);
    let Some(newest) = newest.and_then(open) else { return Ok(Listed::new()) };
    let wanted: HashSet<String> = rows.iter().filter_map(open).filter(|id| *id != newest).collect();
    let found = outside::find_batches(context, wanted, newest).await?;
    Ok(found.into_iter().map(|batch| (batch.id.clone(), batch)).collect())
}

pub(crate) async fn handle(
    context: &Context,
    claimed: Claimed,
    id: BatchId,
    listed: &Listed,
) -> Result<Handled, Failure> {
    let row = context.store.batch(id).await?;
    let BatchState::Open { provider_id } = &row.batch.state else { return Ok(Handled::Nothing) };
    if row.batch.cancel && !matches!(row.batch.remote.status.as_deref(), Some("cancelling" | "cancelled")) {
        ask_to_stop(context, provider_id).await?;
    }
    let fact = match listed.get(provider_id).filter(|_| !row.batch.cancel) {
        Some(batch) => Fact::Observed(seen(batch)),
        None => match outside::batch(context, provider_id).await {
            Ok(batch) => Fact::Observed(seen(&batch)),
            Err(error) if error.is_not_found() && claimed.failures + 1 >= LOOKS => Fact::Vanished,
            Err(error) => return Err(error.into()),
        },
    };
    let changed = conclude(context, id, &fact, Some(claimed), Step::Poll).await?;
    Ok(Handled::if_changed(changed))
}
