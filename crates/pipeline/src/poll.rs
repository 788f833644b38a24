//! Poll: looks at open batches, and asks for the cancel that somebody wants.
//!
//! Due polls come together. Where that is cheaper than looking one by one, the provider's list shows them; and those
//! with nothing new are due again with one statement.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use crash::Step;
use domain::{BatchId, BatchState, Claimed, Command, Fact, Lane, decide_batch};
use store::BatchRow;
use telemetry::metrics::ORDERS_HANDLED;

use crate::context::Context;
use crate::failure::Failure;
use crate::outside;
use crate::reconcile::ask_to_stop;
use crate::seen::{conclude, seen};
use crate::worker::{Handled, chain};

/// Looks in a row that must find nothing before a batch counts as vanished.
const LOOKS: u32 = 5;
/// From so many batches on the list is read first.
const FEW: usize = 3;

/// What the provider's list showed, of the batches that are due together.
#[derive(Default)]
pub(crate) struct Listed {
    batches: HashMap<String, wire::Batch>,
    /// Those with nothing new.
    same: HashSet<BatchId>,
}

/// Reads the list for batches that are due together, from the newest of them on: the list shows newer ones
/// first, as a rule, and batches that were created together stand together. What it doesn't show is looked at
/// by itself.
pub(crate) async fn list(context: &Context, claimed: &[Claimed]) -> Result<Listed, Failure> {
    let ids: Vec<BatchId> = claimed.iter().filter_map(batch_of).collect();
    if ids.len() < FEW {
        return Ok(Listed::default());
    }
    let rows = context.store.batches_by_id(&ids).await?;
    let open: Vec<(&BatchRow, &String)> = rows.iter().filter_map(open).collect();
    let wanted: HashSet<String> = open.iter().map(|(_, provider_id)| (*provider_id).clone()).collect();
    let newest = open.iter().filter_map(|(row, _)| row.batch.remote.created_at).max();
    let after = match newest {
        Some(newest) => context.store.created_next(context.config.provider.as_str(), newest).await?,
        None => None,
    };
    let found = outside::find_batches(context, wanted, after).await?;
    let batches: HashMap<_, _> = found.into_iter().map(|batch| (batch.id.clone(), batch)).collect();
    let (now, policy) = (context.clock().now(), context.batch_policy());
    let is_same = |row: &BatchRow, batch: &wire::Batch| {
        let decision = decide_batch(&row.batch, &Fact::Observed(seen(batch)), now, &policy);
        row.last_error.is_none() && decision.is_some_and(|decision| decision.only_looks_again(&row.batch))
    };
    let listed = open.iter().filter_map(|(row, provider_id)| Some((*row, batches.get(*provider_id)?)));
    let same = listed.filter(|(row, batch)| is_same(row, batch)).map(|(row, _)| row.batch.id).collect();
    Ok(Listed { batches, same })
}

/// Answers the looks that found nothing new, all at once; gives back the others, to be handled one by one.
pub(crate) async fn look_again(context: &Context, claimed: Vec<Claimed>, listed: &Listed) -> Vec<Claimed> {
    let is_same = |claimed: &Claimed| batch_of(claimed).is_some_and(|id| listed.same.contains(&id));
    let (same, mut others): (Vec<Claimed>, Vec<Claimed>) = claimed.into_iter().partition(is_same);
    let now = context.clock().now();
    let next = now + TimeDelta::from_std(context.batch_policy().poll_interval).unwrap_or(TimeDelta::MAX);
    if let Err(error) = context.store.look_again(&same, next).await {
        tracing::warn!(error = %chain(&error), "looks can't be answered together");
        others.extend(same);
        return others;
    }
    let looks = u64::try_from(same.len()).unwrap_or(u64::MAX);
    metrics::counter!(ORDERS_HANDLED, "lane" => Lane::Poll.as_str(), "outcome" => "answered")
        .increment(looks);
    others
}

/// Whether a batch is so new that the provider may not know yet what it has created.
fn is_new(context: &Context, row: &BatchRow) -> bool {
    let settled = TimeDelta::from_std(context.batch_policy().settle.over).unwrap_or(TimeDelta::MAX);
    // The provider has a clock of its own.
    row.batch.remote.created_at.is_some_and(|created| (context.clock().now() - created).abs() < settled)
}

fn batch_of(claimed: &Claimed) -> Option<BatchId> {
    if let Command::Poll(batch) = claimed.command { Some(batch) } else { None }
}

fn open(row: &BatchRow) -> Option<(&BatchRow, &String)> {
    match &row.batch.state {
        // A cancel is asked for, and what became of it is looked at by itself.
        BatchState::Open { provider_id } if !row.batch.cancel => Some((row, provider_id)),
        _ => None,
    }
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
    let fact = match listed.batches.get(provider_id).filter(|_| !row.batch.cancel) {
        Some(batch) => Fact::Observed(seen(batch)),
        None => match outside::batch(context, provider_id).await {
            Ok(batch) => Fact::Observed(seen(&batch)),
            Err(error) if error.is_not_found() && claimed.failures + 1 >= LOOKS => {
                if is_new(context, &row) {
                    return Ok(Handled::Later(context.clock().now() + context.config.poll_interval));
                }
                Fact::Vanished
            }
            Err(error) => return Err(error.into()),
        },
    };
    let changed = conclude(context, id, &fact, Some(claimed), Step::Poll).await?;
    Ok(Handled::if_changed(changed))
}
