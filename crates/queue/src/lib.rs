//! Messages from the relay to the workers. A message is a pointer: it names an order and its sequence
//! number, and may be lost, doubled or late without harm.
//!
//! The enum has one arm per backend; nothing outside asks which it is.

mod memory;

use domain::{Command, Lane};

pub use memory::Memory;

/// Says that an order is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What to do.
    pub command: Command,
    /// The order's sequence number when it was sent.
    pub seq: i64,
}

/// Where messages go.
#[derive(Clone, Debug)]
pub enum Queue {
    /// Inside this process.
    Memory(Memory),
}

impl Queue {
    /// A queue inside this process.
    #[must_use]
    pub fn memory() -> Self {
        Self::Memory(Memory::new())
    }

    /// How many messages of a lane may be sent now: the window of unclaimed messages is bounded.
    #[must_use]
    pub fn room(&self, lane: Lane) -> usize {
        match self {
            Self::Memory(memory) => memory.room(lane),
        }
    }

    /// Sends a message; false where there is no room, and the order is sent again later.
    pub fn send(&self, message: Message) -> bool {
        match self {
            Self::Memory(memory) => memory.send(message),
        }
    }

    /// The next message of a lane. Waits for one.
    pub async fn receive(&self, lane: Lane) -> Message {
        match self {
            Self::Memory(memory) => memory.receive(lane).await,
        }
    }
}
