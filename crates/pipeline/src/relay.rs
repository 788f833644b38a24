//! The relay: the one place that messages leave from. It sends what is due and puts it off; an order that
//! nobody answers is sent again.

use std::time::Duration;

use domain::Lane;
use queue::Message;
use store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::worker::chain;

/// Longest sleep: how late an order may be that was placed without a ring.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Shortest sleep: an order that is due while its lane is full shall not make the relay spin.
const SHORTEST_SLEEP: Duration = Duration::from_millis(5);

/// Sends due orders until `stop`.
pub(crate) async fn run(context: Context, stop: CancellationToken) {
    loop {
        let sleep = match send_due(&context).await {
            Ok(()) => until_next(&context).await,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "relay failed; it tries again");
                LONGEST_SLEEP
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = context.bell.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Sends what is due, as far as there is room.
async fn send_due(context: &Context) -> Result<(), StoreError> {
    for lane in Lane::ALL {
        let room = context.queue.room(lane);
        if room == 0 {
            continue;
        }
        let mut due = context.store.due_orders(lane, context.config.provider.as_str(), room).await?;
        due.retain(|order| context.queue.send(Message { command: order.command, seq: order.seq }));
        context.store.put_off(&due).await?;
    }
    Ok(())
}

async fn until_next(context: &Context) -> Duration {
    let next = match context.store.next_send(context.config.provider.as_str()).await {
        Ok(Some(next)) => next,
        Ok(None) => return LONGEST_SLEEP,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "relay can't see the next order");
            return LONGEST_SLEEP;
        }
    };
    let until = (next - context.clock().now()).to_std().unwrap_or_default();
    until.clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
}
