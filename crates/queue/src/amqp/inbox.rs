//! Commands from outside. What they mean is read elsewhere; here they are answered: accepted, or refused
//! with a reason that is kept with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use tokio::sync::{Mutex, mpsc};

use super::dead::{Burial, Undertaker};
use super::held::Held;
use super::topology::INBOX_RETURNS;
use crate::QueueError;

/// Where commands from outside arrive.
#[derive(Clone, Debug)]
pub struct Inbox {
    pub(crate) letters: Arc<Mutex<mpsc::Receiver<Letter>>>,
}

impl Inbox {
    /// The next command. Waits for one, over any number of connections.
    pub async fn receive(&self) -> Letter {
        let mut letters = self.letters.lock().await;
        loop {
            match letters.recv().await {
                Some(letter) if letter.held.is_stale() => {}
                Some(letter) => return letter,
                // Closed; there is nothing more to come.
                None => std::future::pending().await,
            }
        }
    }
}

/// A command from outside, as it was sent. It is answered once; one that is let go comes again.
#[derive(Debug)]
#[must_use = "a command that is dropped without an answer costs a connection"]
pub struct Letter {
    queue: String,
    properties: BasicProperties,
    body: Vec<u8>,
    held: Held,
    undertaker: Undertaker,
}

impl Letter {
    pub(crate) fn new(
        queue: String,
        properties: BasicProperties,
        body: Vec<u8>,
        held: Held,
        undertaker: Undertaker,
    ) -> Self {
        Self { queue, properties, body, held, undertaker }
    }

    /// What it says.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// How it says it: a media type.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.properties.content_type().as_ref().map(|text| text.as_str())
    }

    /// Its id, as its sender calls it.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.properties.message_id().as_ref().map(|text| text.as_str())
    }

    /// The user who sent it. The broker has checked it; who sends may leave it out.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.properties.user_id().as_ref().map(|text| text.as_str())
    }

    /// Whether the broker buries it without a word to anybody, should it come back once more.
    #[must_use]
    pub fn is_last(&self) -> bool {
        let headers = self.properties.headers().as_ref();
        let returns = headers.and_then(|table| table.inner().get("x-delivery-count"));
        matches!(returns, Some(AMQPValue::LongLongInt(returns)) if *returns >= INBOX_RETURNS)
    }

    /// Its headers of text.
    #[must_use]
    pub fn headers(&self) -> BTreeMap<String, String> {
        let table = self.properties.headers().as_ref().map(|table| table.inner().iter());
        let text = |value: &AMQPValue| match value {
            AMQPValue::LongString(text) => Some(text.to_string()),
            AMQPValue::ShortString(text) => Some(text.to_string()),
            _ => None,
        };
        let pairs = table.into_iter().flatten();
        pairs.filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect()
    }

    /// It is in the database. Called after the commit, since the broker forgets it; where that fails it
    /// comes again, so commands are told apart by their id.
    #[expect(clippy::disallowed_methods, reason = "whoever calls this takes the step")]
    pub async fn accept(self) {
        self.held.acknowledge().await;
    }

    /// It can't be carried out; it is kept among the dead letters with the reason. Waits until it lies
    /// there, over any number of connections for publishing.
    ///
    /// # Errors
    /// The connection that it came from is gone, or the queue is closed: it comes again.
    pub async fn refuse(self, reason: &str) -> Result<(), QueueError> {
        let burial = Burial::new(&self.queue, reason, &self.properties, self.body, self.held);
        self.undertaker.bury(burial).await
    }
}
