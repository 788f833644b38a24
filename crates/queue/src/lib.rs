//! Messages from the relay to the workers; and to the outside, where a broker is. A message is a pointer:
//! it names orders and their sequence numbers, and may be lost, doubled or late without harm.
//!
//! The enum has one arm per backend, with the same promises; nothing outside asks which it is. Nothing
//! here knows what an order is for.

mod amqp;
mod envelope;
mod error;
mod health;
mod memory;
mod message;
mod options;

use domain::Lane;
use tokio::sync::watch;

pub use amqp::{Amqp, EventMessage, Events, Inbox, Letter};
pub use error::QueueError;
pub use health::{Health, Line, State};
pub use memory::Memory;
pub use message::{Delivery, MAX_ORDERS, Message, Order, Sent};
pub use options::{Options, PREFIX};

/// What must exist at a broker before a process connects to it.
pub mod topology {
    pub use crate::amqp::declare::{apply, check, delete, keeps_events};
}

/// Where messages go.
#[derive(Clone, Debug)]
pub enum Queue {
    /// Inside this process.
    Memory(Memory),
    /// RabbitMQ.
    Amqp(Amqp),
}

impl Queue {
    /// A queue inside this process.
    #[must_use]
    pub fn memory() -> Self {
        Self::Memory(Memory::new())
    }

    /// The queue at an address: `memory:`, `amqp://…` or `amqps://…`. Waits for a broker that is starting,
    /// for at most `boot_timeout`; afterwards it comes back by itself, whatever happens to the broker.
    ///
    /// # Errors
    /// An address or an option that can't be used; a broker that doesn't answer, doesn't let us in, or
    /// has no topology. None holds the password.
    pub async fn connect(url: &str, options: Options) -> Result<Self, QueueError> {
        if url == "memory:" {
            return Ok(Self::memory());
        }
        Ok(Self::Amqp(Amqp::connect(url, options).await?))
    }

    /// How many messages of a lane may be sent now. None while there is no connection, or no room.
    #[must_use]
    pub fn room(&self, lane: Lane) -> usize {
        match self {
            Self::Memory(memory) => memory.room(lane),
            Self::Amqp(amqp) => amqp.room(),
        }
    }

    /// Sends a message, and waits until it is in its queue.
    pub async fn send(&self, message: Message) -> Sent {
        match self {
            Self::Memory(memory) => memory.send(message),
            Self::Amqp(amqp) => amqp.send(&message).await,
        }
    }

    /// The next message of a lane. Waits for one, over any number of connections.
    pub async fn receive(&self, lane: Lane) -> Delivery {
        match self {
            Self::Memory(memory) => memory.receive(lane).await,
            Self::Amqp(amqp) => amqp.receive(lane).await,
        }
    }

    /// Where events are published; none inside a process.
    #[must_use]
    pub fn events(&self) -> Option<Events> {
        match self {
            Self::Memory(_) => None,
            Self::Amqp(amqp) => Some(amqp.events()),
        }
    }

    /// Where commands from outside arrive; none inside a process, or where they aren't consumed.
    #[must_use]
    pub fn inbox(&self) -> Option<Inbox> {
        match self {
            Self::Memory(_) => None,
            Self::Amqp(amqp) => amqp.inbox(),
        }
    }

    /// How many messages wait, held by nobody, in the queues `dead`, `inbox` and `agent`; one that is missing is
    /// left out. None inside a process, which has no such queues.
    ///
    /// # Errors
    /// There is no broker to ask, or it takes too long.
    pub async fn waiting(&self) -> Result<Vec<(&'static str, u32)>, QueueError> {
        match self {
            Self::Memory(_) => Ok(Vec::new()),
            Self::Amqp(amqp) => amqp.waiting().await,
        }
    }

    /// Whether it can be used now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.watch().borrow().clone()
    }

    /// Its health, to wait on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Health> {
        match self {
            Self::Memory(memory) => memory.health(),
            Self::Amqp(amqp) => amqp.health(),
        }
    }

    /// Stops: nothing more is received, what was sent is confirmed, for a bounded time. What was received
    /// and not acknowledged comes again elsewhere.
    pub async fn close(self) {
        match self {
            Self::Memory(_) => {}
            Self::Amqp(amqp) => amqp.close().await,
        }
    }
}
