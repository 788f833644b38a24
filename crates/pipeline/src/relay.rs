//! The relay: the one place that messages leave from. It sends what is due and puts it off; an order that
//! nobody answers is sent again.

use std::time::{Duration, Instant};

use domain::Lane;
use queue::{MAX_ORDERS, Message, Order, Sent};
use store::{DueOrder, StoreError};
use telemetry::metrics::MESSAGES_PUBLISHED;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::worker::chain;
use crate::{outside, rest};

/// Longest sleep: how late an order may be that was placed without a ring.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Shortest sleep, between an order that is due and its sending.
const SHORTEST_SLEEP: Duration = Duration::from_millis(5);
/// Sleep while a lane is full: a worker of this process rings as it takes a message, one of another doesn't.
const FULL_SLEEP: Duration = Duration::from_millis(100);
/// Unclaimed messages of a lane, full ones, over all processes. Small, so that an urgent order never waits behind many
/// others; larger than the workers of a lane, so that none of them waits for the relay. It is filled once half of it is
/// free: choosing among all that is due takes as long for one as for many.
const WINDOW: usize = 64;
/// Polls in one message: where one ends, a page of the provider's list shows batches of two.
const POLLS: usize = MAX_ORDERS;
/// How long a poll that is due waits for others, at most, and as a share of the interval between two looks.
const COMPANY: Duration = Duration::from_secs(3);
const COMPANY_SHARE: u32 = 20;

/// Sends due orders until `stop`.
pub(crate) async fn run(context: Context, stop: CancellationToken) {
    let mut polls = Polls::new(context.config.poll_interval);
    loop {
        let sleep = match send_due(&context, &mut polls).await {
            Ok(Left::Nothing) => until_next(&context, &polls).await,
            Ok(Left::Some) => FULL_SLEEP,
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

/// When polls leave: together, since what is due together costs one walk of the provider's list.
struct Polls {
    company: Duration,
    /// Since when the first of them is due.
    due: Option<Instant>,
    /// How long until they leave.
    wait: Duration,
}

impl Polls {
    fn new(interval: Duration) -> Self {
        Self { company: COMPANY.min(interval / COMPANY_SHARE), due: None, wait: LONGEST_SLEEP }
    }

    async fn look(&mut self, context: &Context) -> Result<(), StoreError> {
        let next = context.store.next_send(context.config.provider.as_str(), &[Lane::Poll]).await?;
        if next.is_some_and(|next| next.is_zero()) {
            if let Some(left) = rest::left(context).await? {
                // Whoever took them would put them back.
                (self.due, self.wait) = (None, left.max(SHORTEST_SLEEP));
                return Ok(());
            }
            let since = *self.due.get_or_insert_with(Instant::now);
            self.wait = self.company.saturating_sub(since.elapsed());
        } else {
            self.due = None;
            self.wait = next.unwrap_or(LONGEST_SLEEP) + self.company;
        }
        Ok(())
    }
}

/// What a lane's due orders have come to.
enum Left {
    /// Nothing that is due is left.
    Nothing,
    /// The lane has no room for all of them.
    Some,
}

/// Orders in one message. Polls travel together: many batches are looked at with one list.
const fn per_message(lane: Lane) -> usize {
    match lane {
        Lane::Poll => POLLS,
        Lane::Plan | Lane::Submit | Lane::Collect | Lane::Settle => 1,
    }
}

/// Sends what is due, as far as there is room.
async fn send_due(context: &Context, polls: &mut Polls) -> Result<Left, StoreError> {
    let mut left = Left::Nothing;
    polls.look(context).await?;
    for lane in Lane::ALL {
        if lane == Lane::Poll && !polls.wait.is_zero() {
            continue;
        }
        if let Left::Some = send_lane(context, lane).await? {
            left = Left::Some;
        }
    }
    Ok(left)
}

async fn send_lane(context: &Context, lane: Lane) -> Result<Left, StoreError> {
    let provider = context.config.provider.as_str();
    let window = WINDOW * per_message(lane);
    let waiting = usize::try_from(context.store.unclaimed(lane, provider).await?).unwrap_or(usize::MAX);
    if waiting > window / 2 {
        return Ok(Left::Some);
    }
    let room = (window - waiting).min(context.queue.room(lane) * per_message(lane));
    let mut due = context.store.due_orders(lane, provider, room + 1).await?;
    if due.is_empty() {
        return Ok(Left::Nothing);
    }
    let full = due.len() > room;
    due.truncate(room);
    // What stands together in the provider's list travels together, and is ours or another relay's together.
    let place = |order: &DueOrder| (order.created, order.command.entity());
    due.sort_unstable_by_key(place);
    // Put off before they are sent: of several relays one sends an order, and one that dies costs a pause.
    let mut ours = context.store.put_off(due).await?;
    ours.sort_unstable_by_key(place);
    for orders in ours.chunks(per_message(lane)) {
        // Orders of several jobs have no trace in common; each finds its own with its claim.
        let trace = orders.first().map(|order| order.trace);
        let trace = trace.filter(|trace| orders.iter().all(|order| order.trace == *trace));
        let orders = orders.iter().map(|order| Order { entity: order.command.entity(), seq: order.seq });
        let message = Message { lane, orders: orders.collect(), trace: trace.map(|trace| trace.to_string()) };
        let outcome = match outside::send(context, message).await {
            Sent::Done => "confirmed",
            Sent::Full => "full",
            Sent::Unknown(error) => {
                tracing::debug!(lane = %lane, error = %chain(&error), "whether the message arrived is unknown; its orders are sent again");
                "error"
            }
        };
        metrics::counter!(MESSAGES_PUBLISHED, "exchange" => "work", "outcome" => outcome).increment(1);
    }
    Ok(if full { Left::Some } else { Left::Nothing })
}

async fn until_next(context: &Context, polls: &Polls) -> Duration {
    let next = next(context, polls).await.unwrap_or_else(|error| {
        tracing::warn!(error = %chain(&error), "relay can't see the next order");
        LONGEST_SLEEP
    });
    next.clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
}

async fn next(context: &Context, polls: &Polls) -> Result<Duration, StoreError> {
    let provider = context.config.provider.as_str();
    let others: Vec<Lane> = Lane::ALL.into_iter().filter(|lane| *lane != Lane::Poll).collect();
    let other = context.store.next_send(provider, &others).await?.unwrap_or(LONGEST_SLEEP);
    Ok(other.min(polls.wait))
}
