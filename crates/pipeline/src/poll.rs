//! Poll: one look at an open batch, and the cancel that somebody asked for.

use crash::Point;
use domain::{BatchId, BatchState, Claimed, Fact};

use crate::context::Context;
use crate::failure::Failure;
use crate::reconcile::ask_to_stop;
use crate::seen::{conclude, seen};
use crate::worker::Handled;

/// Looks in a row that must find nothing before a batch counts as vanished.
const LOOKS: u32 = 5;

pub(crate) async fn handle(context: &Context, claimed: Claimed, id: BatchId) -> Result<Handled, Failure> {
    let row = context.store.batch(id).await?;
    let BatchState::Open { provider_id } = &row.batch.state else { return Ok(Handled::Nothing) };
    if row.batch.cancel && !matches!(row.batch.remote.status.as_deref(), Some("cancelling" | "cancelled")) {
        ask_to_stop(context, provider_id).await?;
    }
    let fact = match context.openai.batch(provider_id).await {
        Ok(batch) => Fact::Observed(seen(&batch)),
        Err(error) if error.is_not_found() && claimed.failures + 1 >= LOOKS => Fact::Vanished,
        Err(error) => return Err(error.into()),
    };
    crash::pass(Point::PollAfterLook);
    let changed = conclude(context, id, &fact, Some(claimed), "poll").await?;
    Ok(Handled::if_changed(changed))
}
