//! Commands from outside, as a test sends them, and what became of them at the broker.

use lapin::options::{BasicGetOptions, BasicPublishOptions, BasicRejectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

use crate::Fleet;

/// A message that lies among the dead letters.
#[derive(Debug)]
pub struct DeadLetter {
    /// Its body.
    pub body: Vec<u8>,
    /// Why it lies there.
    pub reason: String,
}

impl Fleet {
    /// Sends a command from outside, with headers of text, and waits until the broker has it.
    ///
    /// # Panics
    /// Where the broker doesn't take it.
    pub fn send_command(&self, body: &[u8], content_type: &str, headers: &[(&str, &str)]) {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), AMQPValue::LongString(LongString::from(*value)));
        }
        let properties =
            BasicProperties::default().with_content_type(content_type.into()).with_headers(table);
        self.publish("inbox", "", body, properties);
    }

    /// Lays a message among the orders of a lane, and waits until the broker has it.
    ///
    /// # Panics
    /// Where the broker doesn't take it.
    pub fn send_to_lane(&self, lane: &str, body: &[u8]) {
        self.publish("work", lane, body, BasicProperties::default());
    }

    fn publish(&self, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
        let exchange = format!("{}.{exchange}", self.prefix);
        self.runtime.block_on(async {
            let (channel, _connection) = self.channel().await;
            channel.confirm_select(Default::default()).await.expect("confirms");
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let sent = channel.basic_publish(exchange.as_str().into(), key.into(), options, body, properties);
            // What no queue took comes back, and is confirmed all the same.
            let confirmed = sent.await.expect("sent").await.expect("confirmed");
            assert!(
                matches!(confirmed, Confirmation::Ack(None)),
                "{exchange} has no queue for it: {confirmed:?}"
            );
        });
    }

    /// Reads the next command and gives it back, as a reader that dies does.
    ///
    /// # Panics
    /// Where there is none.
    pub fn give_command_back(&self) {
        let queue = format!("{}.inbox", self.prefix);
        self.runtime.block_on(async {
            let (channel, _connection) = self.channel().await;
            let got = channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: false }).await;
            let got = got.expect("the queue").expect("a command");
            let back = BasicRejectOptions { requeue: true };
            got.delivery.acker.reject(back).await.expect("it goes back");
        });
    }

    /// Takes every dead letter.
    ///
    /// # Panics
    /// Where the broker is away.
    #[must_use]
    pub fn take_dead_letters(&self) -> Vec<DeadLetter> {
        let queue = format!("{}.dead", self.prefix);
        self.runtime.block_on(async {
            let (channel, _connection) = self.channel().await;
            let mut letters = Vec::new();
            let options = BasicGetOptions { no_ack: true };
            while let Some(got) = channel.basic_get(queue.as_str().into(), options).await.expect("the queue")
            {
                let headers = got.delivery.properties.headers().clone().unwrap_or_default();
                let reason = match headers.inner().get("reason") {
                    Some(AMQPValue::LongString(text)) => text.to_string(),
                    other => format!("{other:?}"),
                };
                letters.push(DeadLetter { body: got.delivery.data.clone(), reason });
            }
            letters
        })
    }

    /// Takes every event out of the queue for the agent job runner: its body, and its header `traceparent`.
    ///
    /// # Panics
    /// Where the broker is away, or an event is no JSON.
    #[must_use]
    pub fn take_events(&self) -> Vec<(serde_json::Value, String)> {
        let queue = format!("{}.agent", self.prefix);
        self.runtime.block_on(async {
            let (channel, _connection) = self.channel().await;
            let mut events = Vec::new();
            let options = BasicGetOptions { no_ack: true };
            while let Some(got) = channel.basic_get(queue.as_str().into(), options).await.expect("the queue")
            {
                let headers = got.delivery.properties.headers().clone().unwrap_or_default();
                let trace = match headers.inner().get("traceparent") {
                    Some(AMQPValue::LongString(text)) => text.to_string(),
                    other => format!("{other:?}"),
                };
                events.push((serde_json::from_slice(&got.delivery.data).expect("JSON"), trace));
            }
            events
        })
    }

    /// Whether the broker has a queue.
    ///
    /// # Panics
    /// Where the broker is away.
    #[must_use]
    pub fn has_queue(&self, queue: &str) -> bool {
        let queue = format!("{}.{queue}", self.prefix);
        self.runtime.block_on(async {
            let (channel, _connection) = self.channel().await;
            let options = QueueDeclareOptions::durable().passive();
            channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await.is_ok()
        })
    }

    /// Messages of a queue that nobody holds.
    ///
    /// # Panics
    /// Where there is no such queue.
    #[must_use]
    pub fn waiting(&self, queue: &str) -> u32 {
        let queue = format!("{}.{queue}", self.prefix);
        self.runtime.block_on(async {
            let (channel, _connection) = self.channel().await;
            let options = QueueDeclareOptions::durable().passive();
            let found = channel.queue_declare(queue.as_str().into(), options, FieldTable::default());
            found.await.expect("the queue").message_count()
        })
    }

    async fn channel(&self) -> (Channel, Connection) {
        let connection = Connection::connect(&self.broker, ConnectionProperties::default());
        let connection = connection.await.expect("the broker is there");
        (connection.create_channel().await.expect("a channel"), connection)
    }
}
