//! The ways in. Each lane has a channel and a consumer of its own, so that none delays another. Consuming
//! publishes nothing on its connection: a broker that is short of memory stops whoever publishes, and
//! acknowledgements shall pass.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crash::{Step, around};
use domain::Lane;
use futures_util::StreamExt;
use lapin::message::Delivery as Raw;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Consumer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::dead::{Burial, Undertaker};
use super::held::{Flow, Held, Session};
use super::inbox::Letter;
use super::line::{Line, PULSE};
use super::link::Link;
use super::{broken, declare, short};
use crate::QueueError;
use crate::envelope::{self, Read};
use crate::message::Delivery;

/// A queue that is consumed, and where its messages go.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) queue: String,
    pub(crate) prefetch: u16,
    pub(crate) door: Door,
}

/// Where the messages of a queue go.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    Lane(Lane, mpsc::Sender<Delivery>),
    Inbox(mpsc::Sender<Letter>),
}

/// Consumes until the queue is closed.
pub(crate) async fn run(
    mut line: Line,
    first: Link,
    subscriptions: Vec<Subscription>,
    undertaker: Undertaker,
) {
    let mut next = Some(first);
    loop {
        let link = match next.take() {
            Some(link) => link,
            None => match line.again().await {
                Some(link) => link,
                None => return,
            },
        };
        line.up();
        let session = Arc::new(Session::default());
        let stop = line.broker.stop.clone();
        let working = work(&line, &link, &subscriptions, &undertaker, &session);
        let ended = stop.run_until_cancelled(working).await;
        // From here on nothing of it is worth an answer.
        session.end(QueueError::Away);
        match ended {
            None => return link.close().await,
            Some(error) => line.down(&error),
        }
    }
}

/// Consumes on one connection. Ends when it is of no more use.
async fn work(
    line: &Line,
    link: &Link,
    subscriptions: &[Subscription],
    undertaker: &Undertaker,
    session: &Arc<Session>,
) -> QueueError {
    let within = line.broker.options.connect_timeout;
    let mut pumps = JoinSet::new();
    let mut flows = Vec::new();
    for subscription in subscriptions {
        let late = Err(QueueError::Timeout { doing: "starting a consumer", within });
        let started = timeout(within, consume(link, subscription)).await;
        let (channel, consumer) = match started.unwrap_or(late) {
            Ok(started) => started,
            Err(error) => return error,
        };
        let flow = Arc::new(Flow::default());
        let subscription = subscription.clone();
        flows.push(Watched { subscription: subscription.clone(), flow: flow.clone(), channel, received: 0 });
        let pump = Pump {
            subscription,
            undertaker: undertaker.clone(),
            session: session.clone(),
            flow,
            within: line.broker.options.confirm_timeout,
        };
        pumps.spawn(pump.run(consumer));
    }
    tokio::select! {
        error = session.over() => error,
        Some(ended) = pumps.join_next() => ended.unwrap_or(QueueError::Away),
        error = watch(line, link, flows) => error,
    }
}

/// A consumer on a new channel: one that was cancelled and started again on the same channel can break it.
async fn consume(link: &Link, subscription: &Subscription) -> Result<(Channel, Consumer), QueueError> {
    let channel = link.channel().await?;
    let failed = |error| broken("starting a consumer", &error);
    let options = BasicQosOptions { global: false };
    channel.basic_qos(subscription.prefetch, options).await.map_err(failed)?;
    let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(short(&subscription.queue)?, tag, options, FieldTable::default());
    let consumer = consumer.await.map_err(failed)?;
    Ok((channel, consumer))
}

/// Carries the messages of one queue to its door.
struct Pump {
    subscription: Subscription,
    undertaker: Undertaker,
    session: Arc<Session>,
    flow: Arc<Flow>,
    within: Duration,
}

impl Pump {
    async fn run(self, mut consumer: Consumer) -> QueueError {
        while let Some(next) = consumer.next().await {
            match next {
                Ok(raw) => self.carry(raw).await,
                Err(error) => return broken("consuming", &error),
            }
        }
        // The stream ends where the queue was deleted under it.
        let reason = format!("the broker cancelled the consumer of {}", self.subscription.queue);
        QueueError::Broken { doing: "consuming", reason }
    }

    async fn carry(&self, raw: Raw) {
        let held = Held::new(raw.acker, self.session.clone(), self.flow.clone(), self.within);
        match &self.subscription.door {
            Door::Lane(lane, door) => {
                let trace = header(&raw.properties, "traceparent");
                match envelope::read(*lane, &raw.data, trace) {
                    Read::Message(message) => hand_over(door, Delivery { message, held: Some(held) }).await,
                    Read::Newer(version) => self.leave_to_newer(version, held).await,
                    Read::Unreadable(reason) => {
                        let queue = &self.subscription.queue;
                        tracing::warn!(queue, reason, "an unreadable message goes to the dead letters");
                        let burial = Burial::new(queue, &reason, &raw.properties, raw.data, held);
                        self.undertaker.take(burial).await;
                    }
                }
            }
            Door::Inbox(door) => {
                let queue = self.subscription.queue.clone();
                let letter = Letter::new(queue, raw.properties, raw.data, held, self.undertaker.clone());
                hand_over(door, letter).await;
            }
        }
    }

    /// A later version is somebody's who is ahead in a rolling deployment. It is not dead, and giving it
    /// back would bring it here again at once, for as long as the deployment takes. So it is let go: its
    /// order is in the database, is sent again within minutes, and by then finds a worker of its kind.
    #[expect(clippy::disallowed_methods, reason = "it is a step")]
    async fn leave_to_newer(&self, version: u64, held: Held) {
        let queue = &self.subscription.queue;
        tracing::info!(queue, version, "a message of a later version is left to later workers");
        around(Step::QueueAcknowledge, held.acknowledge()).await;
    }
}

/// Waits while as many messages as are prefetched are already behind the door.
async fn hand_over<T>(door: &mpsc::Sender<T>, message: T) {
    if door.send(message).await.is_err() {
        tracing::debug!("the queue was let go; the message comes again");
    }
}

/// A header of text.
pub(crate) fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// A consumer under watch.
struct Watched {
    subscription: Subscription,
    flow: Arc<Flow>,
    channel: Channel,
    received: u64,
}

/// Watches the connection and its consumers. Ends when one of them is of no more use: a stream that is
/// merely silent proves nothing.
async fn watch(line: &Line, link: &Link, mut watched: Vec<Watched>) -> QueueError {
    let options = &line.broker.options;
    let (mut pulse, mut look) = (interval(PULSE), interval(options.watch_interval));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.reset();
    loop {
        tokio::select! {
            _ = pulse.tick() => {
                let channels = watched.iter().all(|one| one.channel.status().connected());
                if !channels || !link.connection().status().connected() {
                    return QueueError::Away;
                }
            }
            _ = look.tick() => {
                let within = options.connect_timeout;
                let late = Err(QueueError::Timeout { doing: "a look at the queues", within });
                let looked = timeout(within, look_at(link, &mut watched)).await;
                if let Err(error) = looked.unwrap_or(late) {
                    return error;
                }
            }
        }
    }
}

async fn look_at(link: &Link, watched: &mut [Watched]) -> Result<(), QueueError> {
    let started = Instant::now();
    let channel = link.channel().await?;
    for one in watched {
        let Subscription { queue, prefetch, .. } = &one.subscription;
        let waiting = declare::depth(&channel, queue).await?;
        let received = one.flow.received();
        if is_silent(waiting, received - one.received, one.flow.held(), *prefetch) {
            return Err(QueueError::Silent(queue.clone()));
        }
        one.received = received;
    }
    tracing::trace!(duration_ms = started.elapsed().as_millis(), "looked at the queues");
    Ok(())
}

/// Whether a consumer that received so many messages since the last look has lost its voice: messages
/// wait, it has room for them, and heard nothing.
fn is_silent(waiting: u32, received: u64, held: usize, prefetch: u16) -> bool {
    waiting > 0 && received == 0 && held < usize::from(prefetch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_consumer_with_room_that_hears_nothing_is_silent() {
        let cases = [
            ((0, 0, 0, 4), false),
            ((3, 0, 0, 4), true),
            ((3, 0, 3, 4), true),
            ((3, 0, 4, 4), false),
            ((3, 9, 0, 4), false),
        ];
        for ((waiting, received, held, prefetch), expected) in cases {
            assert_eq!(is_silent(waiting, received, held, prefetch), expected, "{waiting} {received} {held}");
        }
    }
}
