//! What goes out, and the counters where it is handed in. Whoever hands something in hears what became
//! of it; nothing is kept here.

use lapin::BasicProperties;
use lapin::types::{FieldTable, LongString, ShortString};
use tokio::sync::{mpsc, oneshot};

use crate::QueueError;

/// Parcels that wait for their turn. The relay hands in one after the other, so this is never felt.
const COUNTER: usize = 64;

/// The mode of a message that survives the broker's restart.
const PERSISTENT: u8 = 2;

/// One message as the broker takes it.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) exchange: ShortString,
    pub(crate) key: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
}

pub(crate) type Outcome = Result<(), QueueError>;

/// A parcel that must arrive in a queue.
pub(crate) struct Registered {
    pub(crate) parcel: Parcel,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// Parcels for whoever is interested, all at once.
pub(crate) struct Bundle {
    pub(crate) parcels: Vec<Parcel>,
    pub(crate) reply: oneshot::Sender<Vec<Outcome>>,
}

/// Where the answer to a question goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// What is asked of the broker.
pub(crate) enum Question {
    /// Whether the queue is there that keeps events for the agent runner.
    Keeps(Reply<bool>),
    /// That it be made.
    Keep(Reply<()>),
    /// How many messages wait in the queues that outsiders and people read, by name without prefix.
    Waiting(Reply<Vec<(&'static str, u32)>>),
}

impl Question {
    /// Says that there is no broker to ask.
    pub(crate) fn turn_away(self) {
        let waits = match self {
            Self::Keeps(reply) => reply.send(Err(QueueError::Away)).is_ok(),
            Self::Keep(reply) => reply.send(Err(QueueError::Away)).is_ok(),
            Self::Waiting(reply) => reply.send(Err(QueueError::Away)).is_ok(),
        };
        if !waits {
            tracing::debug!("whoever asked about a queue doesn't wait for the answer");
        }
    }
}

/// Where parcels are handed in.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    registered: mpsc::Sender<Registered>,
    bundles: mpsc::Sender<Bundle>,
    questions: mpsc::Sender<Question>,
}

/// Where they come out.
pub(crate) struct Counter {
    pub(crate) registered: mpsc::Receiver<Registered>,
    pub(crate) bundles: mpsc::Receiver<Bundle>,
    pub(crate) questions: mpsc::Receiver<Question>,
}

impl Post {
    pub(crate) fn new() -> (Self, Counter) {
        let (registered, from_registered) = mpsc::channel(COUNTER);
        let (bundles, from_bundles) = mpsc::channel(COUNTER);
        let (questions, from_questions) = mpsc::channel(COUNTER);
        let counter =
            Counter { registered: from_registered, bundles: from_bundles, questions: from_questions };
        (Self { registered, bundles, questions }, counter)
    }

    /// Asks the broker.
    ///
    /// # Errors
    /// There is no broker to ask.
    pub(crate) async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Question) -> Result<T, QueueError> {
        let (reply, answer) = oneshot::channel();
        self.questions.send(question(reply)).await.map_err(|_| QueueError::Closed)?;
        answer.await.unwrap_or(Err(QueueError::Away))
    }

    /// Sends one that must arrive in a queue.
    ///
    /// # Errors
    /// It didn't, or nobody knows.
    pub(crate) async fn send(&self, parcel: Parcel) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let handed_in = self.registered.send(Registered { parcel, reply }).await;
        handed_in.map_err(|_| QueueError::Closed)?;
        // The reply is dropped with the connection that it was sent on.
        answer.await.unwrap_or(Err(QueueError::Away))
    }

    /// Sends many, and answers for each.
    pub(crate) async fn send_all(&self, parcels: Vec<Parcel>) -> Vec<Outcome> {
        let (count, (reply, answer)) = (parcels.len(), oneshot::channel());
        if self.bundles.send(Bundle { parcels, reply }).await.is_err() {
            return vec![Err(QueueError::Closed); count];
        }
        answer.await.unwrap_or_else(|_| vec![Err(QueueError::Away); count])
    }
}

/// Properties of a message that survives a restart.
pub(crate) fn lasting(content_type: &'static str) -> BasicProperties {
    BasicProperties::default().with_delivery_mode(PERSISTENT).with_content_type(content_type.into())
}

/// Headers of text. Their values may be long; those of properties may not.
pub(crate) fn headers<'a>(pairs: impl IntoIterator<Item = (&'static str, Option<&'a str>)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        if let Some(value) = value {
            table.insert(name.into(), LongString::from(value).into());
        }
    }
    table
}
