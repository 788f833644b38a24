//! What the relay sends and the workers receive. A message is a pointer to orders; it may be lost, doubled
//! or late without harm.

use domain::{Command, Lane};
use uuid::Uuid;

use crate::QueueError;
use crate::amqp::Held;

/// Orders of one lane that are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What is to be done with them.
    pub lane: Lane,
    /// Which ones: 1 to [`MAX_ORDERS`].
    pub orders: Vec<Order>,
    /// The W3C `traceparent` of who sent it.
    pub trace: Option<String>,
}

/// Most orders of one message: enough for several pages of the provider's list, few enough to be claimed with one
/// statement.
pub const MAX_ORDERS: usize = 500;

/// An order, as it was when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The job or the batch.
    pub entity: Uuid,
    /// The order's sequence number.
    pub seq: i64,
}

impl Message {
    /// A message of one order.
    #[must_use]
    pub fn one(command: Command, seq: i64) -> Self {
        let order = Order { entity: command.entity(), seq };
        Self { lane: command.lane(), orders: vec![order], trace: None }
    }
}

/// What became of a message. Where it didn't arrive, its orders are sent again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is in its queue.
    Done,
    /// Its queue is full: it was not taken.
    Full,
    /// It may have arrived, or not.
    Unknown(QueueError),
}

/// A message that was received, and has yet to be acknowledged.
#[derive(Debug)]
#[must_use = "a message that is dropped without an answer costs a connection"]
pub struct Delivery {
    /// What it says.
    pub message: Message,
    pub(crate) held: Option<Held>,
}

impl Delivery {
    /// Whether the connection that it came from is gone: it comes again.
    pub(crate) fn is_stale(&self) -> bool {
        self.held.as_ref().is_some_and(Held::is_stale)
    }

    /// Lets the broker forget the message; called right after the claim. Where that fails the message
    /// comes again and finds nothing to do.
    #[expect(clippy::disallowed_methods, reason = "whoever calls this takes the step")]
    pub async fn acknowledge(self) {
        if let Some(held) = self.held {
            held.acknowledge().await;
        }
    }
}
