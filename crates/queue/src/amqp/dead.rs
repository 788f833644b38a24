//! Dead letters: what nobody can read, and commands that were refused. A letter leaves its queue only
//! when the dead queue has it; while that can't be, it waits and stops nobody else. Whoever dies in between
//! leaves it in both, and it is buried again: a letter may lie there twice, and is never lost.

use std::sync::Arc;
use std::time::Duration;

use crash::{Step, around};
use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::sync::{mpsc, oneshot};

use super::held::Held;
use super::line::Broker;
use super::parcel::{Parcel, Post, headers, lasting};
use super::short;
use crate::QueueError;

/// Burials that wait. There are never more than messages are prefetched.
const WAITING: usize = 64;
/// Pause before a burial is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest reason, in bytes: headers must fit into one frame.
const LONGEST_REASON: usize = 1_000;

/// A message on its way to the dead letters.
pub(crate) struct Burial {
    queue: String,
    reason: String,
    properties: BasicProperties,
    body: Vec<u8>,
    held: Held,
    done: Option<oneshot::Sender<()>>,
}

impl Burial {
    pub(crate) fn new(
        queue: &str,
        reason: &str,
        properties: &BasicProperties,
        body: Vec<u8>,
        held: Held,
    ) -> Self {
        let reason = reason[..reason.floor_char_boundary(LONGEST_REASON)].to_owned();
        Self { queue: queue.to_owned(), reason, properties: properties.clone(), body, held, done: None }
    }

    /// What is written. Of the properties only those that describe the body: an expiry would remove the
    /// letter, a user that isn't ours breaks the channel, and headers can send copies anywhere.
    fn parcel(&self, dead: &str) -> Result<Parcel, QueueError> {
        let was = &self.properties;
        let mut properties = lasting("application/octet-stream");
        if let Some(kind) = was.content_type() {
            properties = properties.with_content_type(kind.clone());
        }
        if let Some(encoding) = was.content_encoding() {
            properties = properties.with_content_encoding(encoding.clone());
        }
        if let Some(id) = was.message_id() {
            properties = properties.with_message_id(id.clone());
        }
        if let Some(kind) = was.kind() {
            properties = properties.with_type(kind.clone());
        }
        let told = [("reason", Some(self.reason.as_str())), ("original-queue", Some(self.queue.as_str()))];
        let properties = properties.with_headers(headers(told));
        let exchange = ShortString::default();
        Ok(Parcel { exchange, key: short(dead)?, properties, body: self.body.clone() })
    }
}

/// Takes burials in.
#[derive(Clone, Debug)]
pub(crate) struct Undertaker(mpsc::Sender<Burial>);

impl Undertaker {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Burial>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// Takes it in; it is buried later.
    pub(crate) async fn take(&self, burial: Burial) {
        if self.0.send(burial).await.is_err() {
            tracing::debug!("the queue is closed; a dead letter comes again");
        }
    }

    /// Takes it in, and waits until it is buried.
    ///
    /// # Errors
    /// The connection that it came from is gone: it comes again.
    pub(crate) async fn bury(&self, mut burial: Burial) -> Result<(), QueueError> {
        let (done, buried) = oneshot::channel();
        burial.done = Some(done);
        self.take(burial).await;
        buried.await.map_err(|_| QueueError::Away)
    }
}

/// Buries until the queue is closed.
pub(crate) async fn run(post: Post, broker: Arc<Broker>, mut burials: mpsc::Receiver<Burial>) {
    let dead = broker.names.dead();
    let all = async {
        while let Some(burial) = burials.recv().await {
            bury(&post, &dead, burial).await;
        }
    };
    broker.stop.run_until_cancelled(all).await;
}

#[expect(clippy::disallowed_methods, reason = "each of both is a step")]
async fn bury(post: &Post, dead: &str, burial: Burial) {
    let parcel = match burial.parcel(dead) {
        Ok(parcel) => parcel,
        Err(error) => {
            tracing::warn!(error = %error, "a dead letter can't be written");
            return;
        }
    };
    while !burial.held.is_stale() {
        match around(Step::QueueBury, post.send(parcel.clone())).await {
            Ok(()) => {
                let told = around(Step::QueueAcknowledge, burial.held.acknowledge()).await;
                // Nobody waits for what was merely unreadable.
                if let (true, Some(done)) = (told, burial.done) {
                    done.send(()).unwrap_or_default();
                }
                return;
            }
            Err(error) => tracing::warn!(error = %error, "a dead letter waits"),
        }
        tokio::select! {
            () = burial.held.stale() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
