//! A message that the broker has given to us and waits to be told about. Whoever holds one answers it; one
//! that is let go without an answer costs its connection, so that the broker gives it to somebody else.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::Acker;
use lapin::options::BasicAckOptions;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::QueueError;

/// One connection's worth of consuming. What was received in an earlier one can't be acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Session {
    ended: CancellationToken,
    cause: Mutex<Option<QueueError>>,
}

impl Session {
    /// Ends it; the first cause counts.
    pub(crate) fn end(&self, cause: QueueError) {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
        self.ended.cancel();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits for its end.
    pub(crate) async fn over(&self) -> QueueError {
        self.ended.cancelled().await;
        let cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        cause.clone().unwrap_or(QueueError::Away)
    }
}

/// What a consumer has done so far.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    received: AtomicU64,
    held: AtomicUsize,
}

impl Flow {
    /// Messages that were ever received.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Messages that were received and not answered.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// A message that waits for our answer.
#[derive(Debug)]
pub(crate) struct Held {
    acker: Acker,
    session: Arc<Session>,
    flow: Arc<Flow>,
    within: Duration,
    answered: bool,
}

impl Held {
    pub(crate) fn new(acker: Acker, session: Arc<Session>, flow: Arc<Flow>, within: Duration) -> Self {
        flow.received.fetch_add(1, Ordering::Relaxed);
        flow.held.fetch_add(1, Ordering::Relaxed);
        Self { acker, session, flow, within, answered: false }
    }

    /// Whether its connection is gone: the broker gives it to somebody again.
    pub(crate) fn is_stale(&self) -> bool {
        self.session.is_over()
    }

    /// Waits until its connection is gone.
    pub(crate) async fn stale(&self) {
        self.session.ended.cancelled().await;
    }

    /// Tells the broker to forget the message. True means that it was told; it may still come again.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that answers")]
    pub(crate) async fn acknowledge(mut self) -> bool {
        self.answered = true;
        let cause = match timeout(self.within, self.acker.ack(BasicAckOptions::default())).await {
            Ok(Ok(true)) => return true,
            // Not an error for the library, and not an acknowledgement: the channel is gone.
            Ok(Ok(false)) => QueueError::Away,
            Ok(Err(error)) => super::broken("an acknowledgement", &error),
            Err(_) => QueueError::Timeout { doing: "an acknowledgement", within: self.within },
        };
        tracing::debug!(error = %cause, "a message was not acknowledged; it comes again");
        self.session.end(cause);
        false
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.flow.held.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            self.session.end(QueueError::Dropped);
        }
    }
}
