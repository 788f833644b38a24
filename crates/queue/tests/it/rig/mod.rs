//! What the tests of the broker stand on: names of their own at a broker, a second pair of hands to break
//! things with, and waiting with a deadline.

pub mod raw;

use std::future::Future;
use std::time::{Duration, Instant};

use domain::Lane;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use queue::{Delivery, Message, Options, Order, Queue, Sent, State, topology};
use uuid::Uuid;

/// How long anything may take that has to happen.
pub const SOON: Duration = Duration::from_secs(45);
/// How long a message that was sent is waited for before it is sent again.
const RESEND: Duration = Duration::from_secs(2);

/// The broker that is there: `TEST_AMQP_URL`, or one on this machine.
pub fn broker() -> String {
    std::env::var("TEST_AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned())
}

/// Names of its own at a broker, with everything declared. Removed when it is dropped.
pub struct Place {
    pub url: String,
    pub prefix: String,
}

impl Place {
    pub async fn new(url: &str) -> Self {
        let place = Self { url: url.to_owned(), prefix: format!("test-{}", Uuid::new_v4()) };
        let applied = topology::apply(&place.url, &place.prefix).await;
        applied
            .expect("these tests need a RabbitMQ: `make services` finds or starts one, or set TEST_AMQP_URL");
        place
    }

    /// Options with short times, that consume everything.
    pub fn options(&self) -> Options {
        Options {
            name: self.prefix.clone(),
            prefix: self.prefix.clone(),
            lanes: Lane::ALL.to_vec(),
            inbox: true,
            confirm_timeout: Duration::from_secs(3),
            watch_interval: Duration::from_secs(1),
            ..Options::default()
        }
    }

    pub async fn queue(&self) -> Queue {
        self.queue_with(self.options()).await
    }

    pub async fn queue_with(&self, options: Options) -> Queue {
        Queue::connect(&self.url, options).await.expect("the broker is there")
    }

    pub fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.prefix)
    }

    pub async fn hands(&self) -> Hands {
        let connection = Connection::connect(&self.url, ConnectionProperties::default());
        let connection = connection.await.expect("the broker is there");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        Hands { channel, _connection: connection }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (url, prefix) = (self.url.clone(), self.prefix.clone());
        let delete = move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            // A broker of the test's own may be gone already.
            if let Err(error) = runtime.block_on(topology::delete(&url, &prefix)) {
                eprintln!("{prefix} was left at the broker: {error}");
            }
        };
        std::thread::spawn(delete).join().expect("cleaned up");
    }
}

/// A second pair of hands at the broker.
pub struct Hands {
    pub channel: Channel,
    _connection: Connection,
}

impl Hands {
    pub async fn publish(&self, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
        let (exchange, key) = (ShortString::from(exchange), ShortString::from(key));
        let options = BasicPublishOptions::default();
        let published = self.channel.basic_publish(exchange, key, options, body, properties).await;
        drop(published.expect("published"));
    }

    /// Waits until what was published lies in its queues. Only then does it come before what is sent on another
    /// connection.
    pub async fn arrived(&self) {
        let confirmed = soon("what was published has arrived", self.channel.wait_for_confirms()).await;
        drop(confirmed.expect("the broker is there"));
    }

    /// The next message of a queue, taken away.
    pub async fn take(&self, queue: &str) -> lapin::message::Delivery {
        let options = BasicGetOptions { no_ack: true };
        let next = || async {
            let got = self.channel.basic_get(ShortString::from(queue), options).await.expect("a queue");
            got.map(|got| got.delivery)
        };
        until(&format!("a message in {queue}"), next).await
    }

    /// Messages of a queue that nobody holds.
    pub async fn depth(&self, queue: &str) -> u32 {
        let options = lapin::options::QueueDeclareOptions::durable().passive();
        let found = self.channel.queue_declare(ShortString::from(queue), options, FieldTable::default());
        found.await.expect("a queue").message_count()
    }

    /// Waits until a queue is empty; the broker counts a little later than it acts.
    pub async fn empty(&self, queue: &str) {
        let nothing = || async { (self.depth(queue).await == 0).then_some(()) };
        until(&format!("{queue} is empty"), nothing).await;
    }

    pub async fn unbind(&self, place: &Place, lane: Lane) {
        let (queue, exchange) = (place.name(lane.as_str()), place.name("work"));
        let key = ShortString::from(lane.as_str());
        let unbound = self.channel.queue_unbind(
            ShortString::from(queue),
            ShortString::from(exchange),
            key,
            FieldTable::default(),
        );
        unbound.await.expect("unbound");
    }

    pub async fn delete(&self, queue: &str) {
        let deleted = self.channel.queue_delete(ShortString::from(queue), Default::default());
        deleted.await.expect("deleted");
    }
}

/// A message of one order.
pub fn message(lane: Lane, seq: i64) -> Message {
    let order = Order { entity: Uuid::from_u128(7), seq };
    Message { lane, orders: vec![order], trace: None }
}

/// The sequence number of a delivery's first order.
pub fn seq(delivery: &Delivery) -> i64 {
    delivery.message.orders[0].seq
}

/// What has to happen soon.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, work).await {
        Ok(done) => done,
        Err(_) => panic!("did not happen within {SOON:?}: {what}"),
    }
}

/// Asks until there is an answer.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let started = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    loop {
        pace.tick().await;
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < SOON, "did not happen within {SOON:?}: {what}");
    }
}

/// Waits for a state of health.
pub async fn healthy(queue: &Queue, what: &str, fits: impl Fn(&queue::Health) -> bool) {
    let mut health = queue.watch();
    let fit = tokio::time::timeout(SOON, health.wait_for(fits)).await.map(|seen| seen.map(drop));
    match fit {
        Ok(seen) => seen.expect("the queue lives"),
        Err(_) => panic!("did not happen within {SOON:?}: {what}; it is {:?}", *health.borrow()),
    }
}

/// Sends until it is done, as the relay does.
pub async fn send(queue: &Queue, message: &Message) {
    until("a message is sent", || async { (queue.send(message.clone()).await == Sent::Done).then_some(()) })
        .await;
}

/// Receives until `wanted` comes, acknowledging all; what was received.
pub async fn drain_to(queue: &Queue, lane: Lane, wanted: i64) -> Vec<i64> {
    let draining = async {
        let mut received = Vec::new();
        while !received.contains(&wanted) {
            let delivery = queue.receive(lane).await;
            received.push(seq(&delivery));
            delivery.acknowledge().await;
        }
        received
    };
    soon(&format!("message {wanted} of {lane}"), draining).await
}

/// A round trip on every lane: publishing and consuming work.
pub async fn works(queue: &Queue, seq: i64) {
    for lane in Lane::ALL {
        send(queue, &message(lane, seq)).await;
        drain_to(queue, lane, seq).await;
    }
}

/// The same right after queues were deleted. A broker confirms what was on its way into a queue that is deleted
/// meanwhile, and throws it away; so a message is sent again, as the relay sends an order that nobody answers.
pub async fn works_in_the_end(queue: &Queue, seq: i64) {
    for lane in Lane::ALL {
        until(&format!("message {seq} of {lane}"), || async {
            send(queue, &message(lane, seq)).await;
            let delivery = tokio::time::timeout(RESEND, queue.receive(lane)).await.ok()?;
            let arrived = self::seq(&delivery) == seq;
            delivery.acknowledge().await;
            arrived.then_some(())
        })
        .await;
    }
}

/// How often the work connection was rebuilt.
pub fn rebuilt(queue: &Queue) -> u64 {
    queue.health().work.map_or(0, |work| work.rebuilt)
}

/// Whether the work connection is up, after more than `times` rebuilds.
pub fn work_again(times: u64) -> impl Fn(&queue::Health) -> bool {
    move |health| health.work.as_ref().is_some_and(|work| work.state == State::Up && work.rebuilt > times)
}
