//! A queue inside the process: a bounded channel for each lane. It forgets everything at exit, which
//! costs nothing: the orders are in the database.

use std::sync::Arc;

use domain::Lane;
use tokio::sync::{Mutex, mpsc};

use crate::Message;

/// Unclaimed messages of a lane. Small, so that an urgent order never waits behind many others; larger
/// than the workers of a lane, so that none of them waits for the relay.
const WINDOW: usize = 16;

/// A queue inside the process.
#[derive(Clone, Debug)]
pub struct Memory {
    lanes: Arc<[Channel; Lane::ALL.len()]>,
}

#[derive(Debug)]
struct Channel {
    sender: mpsc::Sender<Message>,
    receiver: Mutex<mpsc::Receiver<Message>>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let channel = |_| {
            let (sender, receiver) = mpsc::channel(WINDOW);
            Channel { sender, receiver: Mutex::new(receiver) }
        };
        Self { lanes: Arc::new(Lane::ALL.map(channel)) }
    }

    fn channel(&self, lane: Lane) -> &Channel {
        match lane {
            Lane::Plan => &self.lanes[0],
            Lane::Submit => &self.lanes[1],
            Lane::Poll => &self.lanes[2],
            Lane::Collect => &self.lanes[3],
            Lane::Settle => &self.lanes[4],
        }
    }

    pub(crate) fn room(&self, lane: Lane) -> usize {
        self.channel(lane).sender.capacity()
    }

    pub(crate) fn send(&self, message: Message) -> bool {
        self.channel(message.command.lane()).sender.try_send(message).is_ok()
    }

    pub(crate) async fn receive(&self, lane: Lane) -> Message {
        match self.channel(lane).receiver.lock().await.recv().await {
            Some(message) => message,
            // The sender lives as long as the channel does; a closed one has nothing more to say.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{BatchId, Command};

    use super::*;

    fn message(seq: i64) -> Message {
        Message { command: Command::Poll(BatchId(uuid::Uuid::nil())), seq }
    }

    #[tokio::test]
    async fn a_lane_is_bounded_and_delays_no_other() {
        let queue = Memory::new();
        let sent = (0..).take_while(|seq| queue.send(message(*seq))).count();
        assert_eq!((sent, queue.room(Lane::Poll), queue.room(Lane::Collect)), (WINDOW, 0, WINDOW));
        assert_eq!(queue.receive(Lane::Poll).await.seq, 0);
        assert_eq!(queue.room(Lane::Poll), 1);
    }
}
