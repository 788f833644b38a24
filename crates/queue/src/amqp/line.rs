//! What the ways to the broker share: each stands on a connection of its own, and when anything about it
//! breaks, all of it is built anew. Nothing is repaired in place: a channel, a consumer or a confirmation
//! of a broken connection says nothing about the next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::declare;
use super::link::Link;
use super::topology::{Names, Part};
use crate::health::{Health, State, Way};
use crate::{Options, QueueError};

/// First pause before a connection is rebuilt.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest pause: how late a broker that is back is noticed.
const PAUSE_MOST: Duration = Duration::from_secs(5);
/// A connection that held so long was a good one: the next pause is short again.
const GOOD_AFTER: Duration = Duration::from_secs(20);
/// How often an idle connection is asked whether it is still one.
pub(crate) const PULSE: Duration = Duration::from_millis(500);

/// What a process knows of its broker.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) address: Address,
    pub(crate) names: Names,
    pub(crate) options: Options,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) stop: CancellationToken,
}

/// One way to the broker.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) broker: Arc<Broker>,
    way: Way,
    pauses: ExponentialBackoff,
    up_since: Instant,
}

impl Line {
    pub(crate) fn new(broker: Arc<Broker>, way: Way) -> Self {
        Self { broker, way, pauses: pauses(), up_since: Instant::now() }
    }

    /// The first connection of a process. It waits for a broker that starts at the same time, for a
    /// bounded time, and makes nothing: a missing queue at the start is a wrong address or a forgotten
    /// step, and one that is made otherwise may lose what it is given; a person should hear of it.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn first(&mut self) -> Result<Link, QueueError> {
        let started = Instant::now();
        loop {
            let (address, options) = (&self.broker.address, &self.broker.options);
            let error = match Link::open(address, options, self.way).await {
                Ok(link) => {
                    declare::compare_on(&link, &self.broker.names, Part::All, options).await?;
                    self.pauses = pauses();
                    return Ok(link);
                }
                Err(error) => error,
            };
            let left = self.broker.options.boot_timeout.saturating_sub(started.elapsed());
            if left.is_zero() || !matches!(error, QueueError::Unreachable { .. }) {
                return Err(error);
            }
            tracing::warn!(error = %error, "the broker isn't there yet");
            tokio::time::sleep(self.pause().min(left)).await;
        }
    }

    /// A new connection, for as long as it takes; none once the queue is closed.
    pub(crate) async fn again(&mut self) -> Option<Link> {
        let stop = self.broker.stop.clone();
        stop.run_until_cancelled(self.rebuild()).await
    }

    async fn rebuild(&mut self) -> Link {
        loop {
            tokio::time::sleep(self.pause()).await;
            match self.rebuild_once().await {
                Ok(link) => return link,
                Err(error) => self.note(State::Down, Some(&error)),
            }
        }
    }

    /// Unlike the first connection it makes what is missing: this process has seen the topology, so it was
    /// wiped or deleted under us at night, and waiting for a person would cost the night. It is what the
    /// command would have made, and made twice it is the same. The agent's queue is for the publisher of
    /// events to make: what it held is gone, and has to be published again.
    async fn rebuild_once(&self) -> Result<Link, QueueError> {
        let Broker { address, names, options, .. } = &*self.broker;
        let link = Link::open(address, options, self.way).await?;
        match declare::compare_on(&link, names, Part::Work, options).await {
            Ok(()) => {}
            Err(QueueError::Missing { what }) => {
                tracing::warn!(what, "the broker lost its topology; it is declared again");
                declare::apply_on(&link, names, Part::Work, options).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(link)
    }

    /// It works.
    pub(crate) fn up(&mut self) {
        self.up_since = Instant::now();
        self.note(State::Up, None);
    }

    /// It broke.
    pub(crate) fn down(&mut self, error: &QueueError) {
        if self.up_since.elapsed() > GOOD_AFTER {
            self.pauses = pauses();
        }
        let way = self.way.as_str();
        tracing::warn!(way, error = %error, "connection to the broker lost; it is rebuilt");
        self.note(State::Down, Some(error));
    }

    pub(crate) fn note(&self, state: State, error: Option<&QueueError>) {
        let error = error.map(ToString::to_string);
        self.broker.health.send_modify(|health| health.note(self.way, state, error));
    }

    fn pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(PAUSE_MOST)
    }
}

/// Growing, so that a broker that starts isn't trampled, and apart by chance, so that processes which lost
/// it together don't come back together.
fn pauses() -> ExponentialBackoff {
    let growing = ExponentialBuilder::default().with_min_delay(PAUSE_FIRST).with_max_delay(PAUSE_MOST);
    growing.without_max_times().with_jitter().build()
}
