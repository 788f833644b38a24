//! Why the queue could not do what was asked. No text here holds a password or the body of a message.

use std::time::Duration;

/// Why the queue could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The address can't be read.
    #[error("not the address of a queue: {0}; take memory: or amqp://user:password@host:5672/vhost")]
    Address(&'static str),
    /// An option that can't be used.
    #[error("option {name} of the queue: {reason}")]
    Option {
        /// Which one.
        name: &'static str,
        /// What is wrong, and what to take.
        reason: &'static str,
    },
    /// Nobody answers there.
    #[error("no broker answers at {broker}: {reason}; is it running, and is the address right?")]
    Unreachable {
        /// The address, without the password.
        broker: String,
        /// What the network said.
        reason: String,
    },
    /// The broker doesn't let us in.
    #[error("the broker at {broker} refuses us: {reason}; check user, password and virtual host")]
    Refused {
        /// The address, without the password.
        broker: String,
        /// What the broker said.
        reason: String,
    },
    /// An exchange or a queue isn't there.
    #[error("{what} does not exist at the broker; run `overnight topology apply`")]
    Missing {
        /// Which one.
        what: String,
    },
    /// An exchange or a queue is there and is made otherwise.
    #[error(
        "{what} exists at the broker, made otherwise: {reason}; delete it there, and `overnight topology apply` makes \
         it anew: work and events are sent again, but not what lies in the queues inbox and dead, so move that first"
    )]
    Differs {
        /// Which one.
        what: String,
        /// What the broker said.
        reason: String,
    },
    /// The user may not do that.
    #[error("the broker does not permit {what}: {reason}; give the user the rights, or let another apply it")]
    Forbidden {
        /// What was tried.
        what: String,
        /// What the broker said.
        reason: String,
    },
    /// There is no connection now; it is being rebuilt.
    #[error("no connection to the broker now; it is being rebuilt")]
    Away,
    /// The broker takes nothing from anybody: it is short of memory or of disk.
    #[error("the broker takes no messages now ({0}); it needs memory or disk")]
    Blocked(String),
    /// The broker said nothing in time; what was asked may have been done.
    #[error("no answer from the broker within {within:?} to {doing}")]
    Timeout {
        /// What was asked.
        doing: &'static str,
        /// How long was waited.
        within: Duration,
    },
    /// No queue is bound there; the message is gone.
    #[error("no queue takes messages of {key} at {exchange}; run `overnight topology apply`")]
    Unroutable {
        /// The exchange.
        exchange: String,
        /// The routing key.
        key: String,
    },
    /// The queue is at its limit, or can't write; the message was not taken.
    #[error("the broker does not take the message for {0}: its queue is full, or can't write")]
    Full(String),
    /// The connection or the channel broke.
    #[error("{doing} failed: {reason}")]
    Broken {
        /// What was asked.
        doing: &'static str,
        /// What the broker or the network said.
        reason: String,
    },
    /// A consumer heard nothing though messages were waiting.
    #[error("messages wait in {0}, and its consumer hears nothing")]
    Silent(String),
    /// A message that was taken was let go without an answer.
    #[error("a message was dropped without an answer; it comes again")]
    Dropped,
    /// The message breaks a bound of the broker or of ours; it will never be sent.
    #[error("a message can't be sent: {0}")]
    Unsendable(&'static str),
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
}
