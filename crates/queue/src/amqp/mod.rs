//! RabbitMQ between processes. The broker may lose, double or forget every message: the orders are in
//! the database, and are sent again. What this room promises is to be there again by itself, whatever
//! happened to the broker, and never to say "sent" of what isn't.
//!
//! ```text
//! send, publish ─▶ parcel ─▶ publish ─▶ link ─▶ broker ─▶ link ─▶ consume ─▶ receive
//!                    ▲                                               │
//!                    └────────────────── dead ◀──────────────────────┘ unreadable, refused
//! ```
//!
//! Publishing, messages and the inbox have a connection each. A broker that is short of memory blocks the
//! connections that publish and lets the others acknowledge; and a command from outside that breaks our
//! library's reader breaks the connection of the inbox alone.

mod address;
mod consume;
mod dead;
pub(crate) mod declare;
mod events;
mod held;
mod inbox;
mod line;
mod link;
mod parcel;
mod publish;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use domain::Lane;
use lapin::types::ShortString;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::address::Address;
use self::consume::{Door, Subscription};
use self::dead::Undertaker;
use self::line::{Broker, Line};
use self::parcel::{Parcel, Post, Question, headers, lasting};
use self::topology::Names;
use crate::health::{Health, Way};
use crate::message::{Delivery, Message, Sent};
use crate::{Options, QueueError, envelope};

pub use self::events::{EventMessage, Events};
pub(crate) use self::held::Held;
pub use self::inbox::{Inbox, Letter};

/// Messages of a lane that may be sent at once. The relay bounds what is unclaimed by the database; this
/// bounds one round of it.
const ROUND: usize = 64;
/// One command at a time: what breaks the connection shall take no other along to the dead letters.
const INBOX_PREFETCH: u16 = 1;
/// How long closing may take beyond the confirmations that are under way.
const CLOSING: Duration = Duration::from_secs(5);

/// RabbitMQ.
#[derive(Clone, Debug)]
pub struct Amqp {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    broker: Arc<Broker>,
    post: Post,
    lanes: Vec<(Lane, Mutex<mpsc::Receiver<Delivery>>)>,
    inbox: Option<Inbox>,
    health: watch::Receiver<Health>,
    tasks: Mutex<JoinSet<()>>,
    // A queue that is dropped without being closed leaves nothing running.
    _stop: DropGuard,
}

impl Amqp {
    pub(crate) async fn connect(url: &str, options: Options) -> Result<Self, QueueError> {
        options.check()?;
        let names = Names::new(&options.prefix)?;
        let address = Address::parse(url, &options)?;
        let health = watch::Sender::new(Health::up(!options.lanes.is_empty(), options.inbox));
        let watched = health.subscribe();
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let broker = Arc::new(Broker { address, names, options, health, stop });

        let (post, counter) = Post::new();
        let (undertaker, burials) = Undertaker::new();
        let mut tasks = JoinSet::new();
        let mut line = Line::new(broker.clone(), Way::Publish);
        let link = line.first().await?;
        tasks.spawn(publish::run(line, link, counter));
        tasks.spawn(dead::run(post.clone(), broker.clone(), burials));

        let (lanes, subscriptions) = lanes(&broker);
        if !subscriptions.is_empty() {
            let mut line = Line::new(broker.clone(), Way::Work);
            let link = line.first().await?;
            tasks.spawn(consume::run(line, link, subscriptions, undertaker.clone()));
        }
        let mut inbox = None;
        if broker.options.inbox {
            let (door, letters) = mpsc::channel(INBOX_PREFETCH.into());
            let (queue, prefetch) = (broker.names.inbox(), INBOX_PREFETCH);
            let subscription = Subscription { queue, prefetch, door: Door::Inbox(door) };
            let mut line = Line::new(broker.clone(), Way::Inbox);
            let link = line.first().await?;
            tasks.spawn(consume::run(line, link, vec![subscription], undertaker));
            inbox = Some(Inbox { letters: Arc::new(Mutex::new(letters)) });
        }
        let (tasks, health) = (Mutex::new(tasks), watched);
        Ok(Self { inner: Arc::new(Inner { broker, post, lanes, inbox, health, tasks, _stop: guard }) })
    }

    pub(crate) fn room(&self) -> usize {
        if self.inner.health.borrow().publish.is_up() { ROUND } else { 0 }
    }

    #[expect(clippy::disallowed_methods, reason = "whoever calls this takes the step")]
    pub(crate) async fn send(&self, message: &Message) -> Sent {
        let parcel = match self.parcel(message) {
            Ok(parcel) => parcel,
            Err(error) => return Sent::Unknown(error),
        };
        match self.inner.post.send(parcel).await {
            Ok(()) => Sent::Done,
            Err(QueueError::Full(_)) => Sent::Full,
            Err(error) => Sent::Unknown(error),
        }
    }

    fn parcel(&self, message: &Message) -> Result<Parcel, QueueError> {
        let body = envelope::write(message).map_err(QueueError::Unsendable)?;
        let trace = headers([("traceparent", message.trace.as_deref())]);
        let properties = lasting("application/json").with_headers(trace);
        let (exchange, key) = (short(&self.inner.broker.names.work())?, short(message.lane.as_str())?);
        Ok(Parcel { exchange, key, properties, body })
    }

    pub(crate) async fn receive(&self, lane: Lane) -> Delivery {
        let Some((_, waiting)) = self.inner.lanes.iter().find(|(own, _)| *own == lane) else {
            return std::future::pending().await;
        };
        let mut waiting = waiting.lock().await;
        loop {
            match waiting.recv().await {
                // Its connection is gone; the broker has given it to somebody again.
                Some(delivery) if delivery.is_stale() => {}
                Some(delivery) => return delivery,
                // Closed; there is nothing more to come.
                None => std::future::pending().await,
            }
        }
    }

    pub(crate) fn events(&self) -> Events {
        Events { exchange: self.inner.broker.names.events(), post: self.inner.post.clone() }
    }

    pub(crate) fn inbox(&self) -> Option<Inbox> {
        self.inner.inbox.clone()
    }

    pub(crate) async fn waiting(&self) -> Result<Vec<(&'static str, u32)>, QueueError> {
        self.inner.post.ask(Question::Waiting).await
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.inner.health.clone()
    }

    /// Consumers stop, and what was handed in for publishing is published, for a bounded time.
    pub(crate) async fn close(self) {
        self.inner.broker.stop.cancel();
        let mut tasks = self.inner.tasks.lock().await;
        let all = async { while tasks.join_next().await.is_some() {} };
        let within = self.inner.broker.options.confirm_timeout + CLOSING;
        if timeout(within, all).await.is_err() {
            tracing::warn!("the queue was cut before everything was confirmed; it is sent again");
            tasks.shutdown().await;
        }
    }
}

type Waiting = Vec<(Lane, Mutex<mpsc::Receiver<Delivery>>)>;

/// The lanes that are consumed, and their queues.
fn lanes(broker: &Broker) -> (Waiting, Vec<Subscription>) {
    let mut lanes = broker.options.lanes.clone();
    lanes.sort_unstable();
    lanes.dedup();
    let open = |lane| {
        let (door, waiting) = mpsc::channel(broker.options.prefetch.into());
        let (queue, prefetch) = (broker.names.lane(lane), broker.options.prefetch);
        let subscription = Subscription { queue, prefetch, door: Door::Lane(lane, door) };
        ((lane, Mutex::new(waiting)), subscription)
    };
    lanes.into_iter().map(open).unzip()
}

/// A name or a property. The library panics where one is too long.
fn short(text: &str) -> Result<ShortString, QueueError> {
    ShortString::try_new(text).map_err(|_| QueueError::Unsendable("a name in it is longer than 255 bytes"))
}

fn broken(doing: &'static str, error: &lapin::Error) -> QueueError {
    QueueError::Broken { doing, reason: error.to_string() }
}
