//! Events, out to whoever is interested. At least once: what is not confirmed is published again by whoever
//! keeps it, and told apart by its id.

use domain::Time;
use lapin::types::ShortString;

use super::parcel::{Parcel, Post, Question, headers, lasting};
use super::short;
use crate::QueueError;

/// A `CloudEvent` in its structured form: one JSON document, and copies of what filters look at.
const CLOUD_EVENT: &str = "application/cloudevents+json; charset=utf-8";
/// Who we say we are.
const APP: &str = "overnight";

/// Publishes events.
#[derive(Clone, Debug)]
pub struct Events {
    pub(crate) exchange: String,
    pub(crate) post: Post,
}

/// An event as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMessage {
    /// Unique with the source; receivers tell doubles by it.
    pub id: String,
    /// As `dev.overnight.task.completed.v1`.
    pub event_type: String,
    /// Who says it: a URI.
    pub source: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Time,
    /// What decides who gets it, as `task.completed.failed.eval_run`.
    pub routing_key: String,
    /// The job.
    pub correlation_id: String,
    /// The `CloudEvent`, as JSON.
    pub body: Vec<u8>,
    /// The W3C `traceparent` of this hop.
    pub trace: Option<String>,
}

impl Events {
    /// Whether the queue is there that keeps events for the agent runner. Where it isn't, what it held is
    /// gone, and what is published meanwhile may reach nobody.
    ///
    /// # Errors
    /// There is no broker to ask.
    pub async fn are_kept(&self) -> Result<bool, QueueError> {
        self.post.ask(Question::Keeps).await
    }

    /// Makes that queue. Called once it is settled that its events are published again.
    ///
    /// # Errors
    /// There is no broker, or it doesn't obey.
    pub async fn keep(&self) -> Result<(), QueueError> {
        self.post.ask(Question::Keep).await
    }

    /// Publishes all at once and answers for each, in their order. Done means that every queue that is
    /// bound for it has it, and there may be none. All of them are in memory until then.
    #[expect(clippy::disallowed_methods, reason = "whoever calls this takes the step")]
    pub async fn publish(&self, events: Vec<EventMessage>) -> Vec<Result<(), QueueError>> {
        // One that breaks a bound must not take the others along: it would for ever.
        let (mut sendable, mut refused) =
            (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
        for event in events {
            match self.parcel(event) {
                Ok(parcel) => {
                    sendable.push(parcel);
                    refused.push(None);
                }
                Err(error) => refused.push(Some(error)),
            }
        }
        let mut outcomes = self.post.send_all(sendable).await.into_iter();
        let outcome = |refused: Option<QueueError>| match refused {
            Some(error) => Err(error),
            None => outcomes.next().unwrap_or(Err(QueueError::Away)),
        };
        refused.into_iter().map(outcome).collect()
    }

    fn parcel(&self, event: EventMessage) -> Result<Parcel, QueueError> {
        let copies = headers([
            ("cloudEvents_type", Some(event.event_type.as_str())),
            ("cloudEvents_source", Some(event.source.as_str())),
            ("cloudEvents_subject", event.subject.as_deref()),
            ("traceparent", event.trace.as_deref()),
        ]);
        let properties = lasting(CLOUD_EVENT)
            .with_message_id(short(&event.id)?)
            .with_type(short(&event.event_type)?)
            .with_correlation_id(short(&event.correlation_id)?)
            .with_timestamp(u64::try_from(event.time.timestamp()).unwrap_or_default())
            .with_app_id(ShortString::from(APP))
            .with_headers(copies);
        let (exchange, key) = (short(&self.exchange)?, short(&event.routing_key)?);
        Ok(Parcel { exchange, key, properties, body: event.body })
    }
}
