//! A queue inside the process: a bounded channel for each lane. It forgets everything at exit, which
//! costs nothing: the orders are in the database.

use std::sync::Arc;

use domain::Lane;
use tokio::sync::{Mutex, mpsc, watch};

use crate::health::Health;
use crate::message::{Delivery, Message, Sent};

/// Unclaimed messages of a lane. Small, so that an urgent order never waits behind many others; larger
/// than the workers of a lane, so that none of them waits for the relay.
const WINDOW: usize = 16;

/// A queue inside the process.
#[derive(Clone, Debug)]
pub struct Memory {
    lanes: Arc<[Channel; Lane::ALL.len()]>,
    health: watch::Sender<Health>,
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
        let health = watch::Sender::new(Health::up(true, false));
        Self { lanes: Arc::new(Lane::ALL.map(channel)), health }
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

    pub(crate) fn send(&self, message: Message) -> Sent {
        match self.channel(message.lane).sender.try_send(message) {
            Ok(()) => Sent::Done,
            Err(_) => Sent::Full,
        }
    }

    pub(crate) async fn receive(&self, lane: Lane) -> Delivery {
        match self.channel(lane).receiver.lock().await.recv().await {
            // Taken is taken: it was never anywhere else.
            Some(message) => Delivery { message, held: None },
            // The sender lives as long as the channel does; a closed one has nothing more to say.
            None => std::future::pending().await,
        }
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use domain::{BatchId, Command};

    use super::*;

    fn message(seq: i64) -> Message {
        Message::one(Command::Poll(BatchId(uuid::Uuid::nil())), seq)
    }

    #[tokio::test]
    async fn a_lane_is_bounded_and_delays_no_other() {
        let queue = Memory::new();
        let sent = (0..).take_while(|seq| queue.send(message(*seq)) == Sent::Done).count();
        assert_eq!((sent, queue.room(Lane::Poll), queue.room(Lane::Collect)), (WINDOW, 0, WINDOW));
        assert_eq!(queue.receive(Lane::Poll).await.message, message(0));
        assert_eq!(queue.room(Lane::Poll), 1);
    }
}
