//! The promises of the queue, on both backends, and what a broker adds to them.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::rig::raw::publish_unreadable_id;
use crate::rig::{
    Place, broker, drain_to, healthy, message, rebuilt, send, seq, soon, until, works, works_in_the_end,
};
use domain::{Clock, Lane};
use lapin::BasicProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use queue::{EventMessage, Options, Queue, QueueError, Sent, topology};

/// Both backends, with the same promises.
async fn both() -> (Place, [Queue; 2]) {
    let place = Place::new(&broker()).await;
    let amqp = place.queue().await;
    (place, [Queue::memory(), amqp])
}

#[tokio::test]
async fn what_is_sent_arrives_once_acknowledged() {
    let (_place, backends) = both().await;
    for queue in backends {
        for lane in Lane::ALL {
            for seq in 0..10 {
                assert_eq!(queue.send(message(lane, seq)).await, Sent::Done);
            }
            assert_eq!(drain_to(&queue, lane, 9).await, (0..10).collect::<Vec<_>>());
        }
        queue.close().await;
    }
}

#[tokio::test]
async fn lanes_do_not_delay_each_other() {
    let (_place, backends) = both().await;
    for queue in backends {
        for seq in 0..12 {
            assert_eq!(queue.send(message(Lane::Collect, seq)).await, Sent::Done);
        }
        // Nobody works on collecting; what waits there has filled its window.
        assert_eq!(queue.send(message(Lane::Poll, 77)).await, Sent::Done);
        assert_eq!(drain_to(&queue, Lane::Poll, 77).await, [77]);
    }
}

#[tokio::test]
async fn the_trace_and_every_order_travel() {
    let (_place, backends) = both().await;
    for queue in backends {
        let mut sent = message(Lane::Submit, 1);
        sent.orders.extend(message(Lane::Submit, 2).orders);
        sent.trace = Some("00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01".to_owned());
        assert_eq!(queue.send(sent.clone()).await, Sent::Done);
        let delivery = soon("the message", queue.receive(Lane::Submit)).await;
        assert_eq!(delivery.message, sent);
        delivery.acknowledge().await;
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_elsewhere() {
    let place = Place::new(&broker()).await;
    let dying = place.queue().await;
    send(&dying, &message(Lane::Plan, 5)).await;
    let delivery = soon("the message", dying.receive(Lane::Plan)).await;
    // A process that dies says nothing: closing comes before the answer.
    dying.close().await;
    let other = place.queue().await;
    assert_eq!(drain_to(&other, Lane::Plan, 5).await, [5]);
    // The late answer of the dead is neither an answer nor an error.
    delivery.acknowledge().await;
    works(&other, 6).await;
}

#[tokio::test]
async fn a_message_that_is_let_go_comes_again() {
    let place = Place::new(&broker()).await;
    let queue = place.queue().await;
    send(&queue, &message(Lane::Plan, 5)).await;
    drop(soon("the message", queue.receive(Lane::Plan)).await);
    assert_eq!(drain_to(&queue, Lane::Plan, 5).await, [5]);
}

#[tokio::test]
async fn closing_sends_what_was_handed_in() {
    let place = Place::new(&broker()).await;
    let queue = place.queue_with(Options { lanes: Vec::new(), inbox: false, ..place.options() }).await;
    let sending: Vec<_> = (0..40)
        .map(|seq| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.send(message(Lane::Plan, seq)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    queue.clone().close().await;
    for sent in sending {
        assert_eq!(sent.await.unwrap(), Sent::Done);
    }
    let (hands, plan) = (place.hands().await, place.name("plan"));
    until("all are there", || async { (hands.depth(&plan).await == 40).then_some(()) }).await;
    assert_eq!(queue.send(message(Lane::Plan, 1)).await, Sent::Unknown(QueueError::Closed));
}

#[tokio::test]
async fn a_full_lane_is_said_and_nothing_is_dropped() {
    let place = Place::new(&broker()).await;
    let (hands, lane) = (place.hands().await, place.name("settle"));
    for _ in 0..10_001 {
        hands.publish("", &lane, b"{}", BasicProperties::default()).await;
    }
    until("the lane is full", || async { (hands.depth(&lane).await > 9_999).then_some(()) }).await;
    let queue = place.queue_with(Options { lanes: Vec::new(), inbox: false, ..place.options() }).await;
    let full = || async { (queue.send(message(Lane::Settle, 1)).await == Sent::Full).then_some(()) };
    until("a full lane says so", full).await;
    assert_eq!(queue.send(message(Lane::Plan, 1)).await, Sent::Done);
}

#[tokio::test]
async fn a_start_without_topology_says_what_to_do() {
    let place = Place::new(&broker()).await;
    place.hands().await.delete(&place.name("collect")).await;
    let error = Queue::connect(&place.url, place.options()).await.unwrap_err();
    assert_eq!(error, QueueError::Missing { what: format!("queue {}", place.name("collect")) });
    assert!(error.to_string().contains("overnight topology apply"), "{error}");
    assert_eq!(topology::check(&place.url, &place.prefix).await, Err(error));
    topology::apply(&place.url, &place.prefix).await.unwrap();
    topology::check(&place.url, &place.prefix).await.unwrap();
}

/// Deletes a queue and makes it otherwise, whoever else makes it meanwhile.
async fn make_otherwise(place: &Place, name: &str) {
    until("it is made otherwise", || async {
        // A broker that refuses closes the channel.
        let hands = place.hands().await;
        hands.delete(name).await;
        let options = QueueDeclareOptions::durable();
        hands.channel.queue_declare(name.into(), options, FieldTable::default()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_is_made_otherwise_is_named_at_every_start() {
    let place = Place::new(&broker()).await;
    for part in ["poll", "agent"] {
        let name = place.name(part);
        make_otherwise(&place, &name).await;
        let started = Queue::connect(&place.url, place.options()).await.err();
        let checked = topology::check(&place.url, &place.prefix).await.err();
        let applied = topology::apply(&place.url, &place.prefix).await.err();
        for error in [started, checked, applied] {
            let error = error.unwrap();
            assert!(matches!(&error, QueueError::Differs { what, .. } if what.contains(&name)), "{error:?}");
            assert!(error.to_string().contains("delete it there"), "{error}");
        }
        place.hands().await.delete(&name).await;
        topology::apply(&place.url, &place.prefix).await.unwrap();
    }
    works(&place.queue().await, 1).await;
}

#[tokio::test]
async fn a_queue_that_is_made_otherwise_under_its_consumer_is_not_worked_with() {
    let place = Place::new(&broker()).await;
    let (queue, name) = (place.queue().await, place.name("poll"));
    make_otherwise(&place, &name).await;
    healthy(&queue, "the queue is named", |health| {
        let error =
            health.work.as_ref().filter(|work| !work.is_up()).and_then(|work| work.last_error.as_ref());
        error.is_some_and(|error| error.contains(&name) && error.contains("made otherwise"))
    })
    .await;
    // What it says is enough.
    place.hands().await.delete(&name).await;
    works_in_the_end(&queue, 2).await;
}

#[tokio::test]
async fn the_topology_can_be_applied_by_many_at_once() {
    let place = Place::new(&broker()).await;
    topology::delete(&place.url, &place.prefix).await.unwrap();
    let apply = || topology::apply(&place.url, &place.prefix);
    let outcomes = tokio::join!(apply(), apply(), apply());
    // Whoever collides with another says so and tries again; none leaves half of it.
    for outcome in [outcomes.0, outcomes.1, outcomes.2] {
        assert!(
            !matches!(outcome, Err(QueueError::Differs { .. } | QueueError::Missing { .. })),
            "{outcome:?}"
        );
    }
    apply().await.unwrap();
    works(&place.queue().await, 1).await;
}

#[tokio::test]
async fn a_broker_that_does_not_let_us_in_is_said_in_time_and_without_the_password() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = broker().split('@').nth(1).unwrap().to_owned();
    let cases = [
        (format!("amqp://guest:s3cret@{host}"), "refuses us"),
        (format!("amqp://guest:guest@{host}/nowhere-s3cret"), "refuses us"),
        (format!("amqp://me:s3cret@{closed}"), "no broker answers"),
        (format!("amqp://me:s3cret@{}", mute.local_addr().unwrap()), "no broker answers"),
        ("amqp://me:s3cret@host.invalid".to_owned(), "no broker answers"),
        ("nats://me:s3cret@host".to_owned(), "not the address"),
    ];
    for (url, expected) in cases {
        // A mute broker is asked several times.
        let (within, answer) = (Duration::from_secs(2), Duration::from_millis(500));
        let options = Options { boot_timeout: within, connect_timeout: answer, ..Options::default() };
        let started = Instant::now();
        let error = Queue::connect(&url, options).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.replace("nowhere-s3cret", "").contains("s3cret"), "{error}");
        let waits = if error.contains("no broker answers") { within } else { Duration::ZERO };
        assert!((waits..within * 2).contains(&started.elapsed()), "{error}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn what_nobody_can_read_ends_in_the_dead_queue_with_its_reason() {
    let place = Place::new(&broker()).await;
    let (hands, queue) = (place.hands().await, place.queue().await);
    let cases: [(&[u8], &str); 4] = [
        (b"hello", "no JSON object"),
        (br#"{"v":0}"#, "version 0"),
        (br#"{"v":1,"lane":"submit","orders":[]}"#, "for lane"),
        (br#"{"v":1,"lane":"poll","orders":[]}"#, "0 orders"),
    ];
    for (body, expected) in cases {
        // An expiry, somebody else's user or a copy in the headers must not come along.
        let mut headers = FieldTable::default();
        let elsewhere = vec![AMQPValue::LongString(LongString::from(place.name("plan")))];
        headers.insert("BCC".into(), AMQPValue::FieldArray(elsewhere.into()));
        let properties =
            BasicProperties::default().with_message_id("m-1".into()).with_expiration("60000".into());
        hands.publish(&place.name("work"), "poll", body, properties.with_headers(headers)).await;
        let dead = hands.take(&place.name("dead")).await;
        assert_eq!(dead.data, body);
        assert_eq!(dead.properties.message_id(), &Some(ShortString::from("m-1")));
        assert!(dead.properties.expiration().is_none());
        let headers = dead.properties.headers().clone().unwrap();
        let header = |name: &str| match headers.inner().get(name) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        assert!(header("reason").contains(expected), "{}", header("reason"));
        assert_eq!(header("original-queue"), place.name("poll"));
    }
    // A copy, sent by the headers, would lie in plan, as unreadable.
    works(&queue, 1).await;
    assert_eq!(hands.depth(&place.name("dead")).await, 0);
    assert_eq!(rebuilt(&queue), 0);
}

#[tokio::test]
async fn a_message_of_a_later_version_is_neither_dead_nor_in_the_way() {
    let place = Place::new(&broker()).await;
    let (hands, queue) = (place.hands().await, place.queue().await);
    for _ in 0..20 {
        let body = br#"{"v":2,"lane":"poll","targets":[]}"#;
        hands.publish(&place.name("work"), "poll", body, BasicProperties::default()).await;
    }
    hands.arrived().await;
    // It is the last in the queue: once it is here, all of them were.
    send(&queue, &message(Lane::Poll, 3)).await;
    assert_eq!(drain_to(&queue, Lane::Poll, 3).await, [3]);
    queue.close().await;
    hands.empty(&place.name("poll")).await;
    assert_eq!(hands.depth(&place.name("dead")).await, 0);
}

#[tokio::test]
async fn a_command_from_outside_is_accepted_or_kept_with_the_reason() {
    let place = Place::new(&broker()).await;
    let (hands, queue) = (place.hands().await, place.queue().await);
    let inbox = queue.inbox().unwrap();
    for (id, key) in [("c-1", "any.key"), ("c-2", "")] {
        let mut headers = FieldTable::default();
        headers.insert("who".into(), AMQPValue::LongString(LongString::from("ops")));
        let properties = BasicProperties::default()
            .with_message_id(id.into())
            .with_content_type("application/cloudevents+json".into())
            .with_headers(headers);
        hands.publish(&place.name("inbox"), key, id.as_bytes(), properties).await;
    }
    let letter = soon("the first command", inbox.receive()).await;
    assert_eq!((letter.body(), letter.message_id()), (b"c-1".as_slice(), Some("c-1")));
    assert_eq!(letter.content_type(), Some("application/cloudevents+json"));
    assert_eq!(letter.headers()["who"], "ops");
    letter.accept().await;

    let letter = soon("the second command", inbox.receive()).await;
    soon("a refusal", letter.refuse("no such job")).await.unwrap();
    let dead = hands.take(&place.name("dead")).await;
    assert_eq!(dead.data, b"c-2");
    let reason = dead.properties.headers().clone().unwrap().inner().get("reason").cloned();
    assert_eq!(reason, Some(AMQPValue::LongString(LongString::from("no such job"))));

    queue.close().await;
    hands.empty(&place.name("inbox")).await;
    assert_eq!(hands.depth(&place.name("dead")).await, 0);
}

fn event(n: usize) -> EventMessage {
    EventMessage {
        id: format!("e-{n}"),
        event_type: "dev.overnight.task.completed.v1".to_owned(),
        source: "https://overnight.example/".to_owned(),
        subject: Some(format!("job/1/task/{n}")),
        time: Clock::default().now(),
        routing_key: "task.completed.succeeded.eval_run".to_owned(),
        correlation_id: "job-1".to_owned(),
        body: br#"{"specversion":"1.0"}"#.to_vec(),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01".to_owned()),
    }
}

#[tokio::test]
async fn a_thousand_events_arrive_once_each() {
    let place = Place::new(&broker()).await;
    let (hands, queue) = (place.hands().await, place.queue().await);
    let events = queue.events().unwrap();
    let started = Instant::now();
    let outcomes = soon("a thousand events", events.publish((0..1_000).map(event).collect())).await;
    println!("1,000 events confirmed in {:?}", started.elapsed());
    assert!(outcomes.len() == 1_000 && outcomes.iter().all(Result::is_ok));
    let mut ids = BTreeSet::new();
    for _ in 0..1_000 {
        let delivery = hands.take(&place.name("agent")).await;
        let properties = &delivery.properties;
        assert_eq!(
            properties.content_type().as_ref().unwrap().as_str(),
            "application/cloudevents+json; charset=utf-8"
        );
        assert_eq!(properties.delivery_mode(), &Some(2));
        assert!(properties.headers().as_ref().unwrap().contains_key("cloudEvents_subject"));
        ids.insert(properties.message_id().as_ref().unwrap().to_string());
    }
    assert_eq!(ids.len(), 1_000);
    assert_eq!(hands.depth(&place.name("agent")).await, 0);
}

#[tokio::test]
async fn an_event_that_can_not_be_sent_takes_no_other_along() {
    let place = Place::new(&broker()).await;
    let queue = place.queue().await;
    let mut three: Vec<_> = (0..3).map(event).collect();
    three[1].routing_key = "x".repeat(256);
    // Nobody is interested in this one, which is no failure.
    three[2].routing_key = "batch.completed".to_owned();
    let outcomes = soon("three events", queue.events().unwrap().publish(three)).await;
    assert!(matches!(outcomes[..], [Ok(()), Err(QueueError::Unsendable(_)), Ok(())]), "{outcomes:?}");
    assert_eq!(queue.health().publish.rebuilt, 0);
}

#[tokio::test]
async fn a_queue_that_is_deleted_under_its_consumer_is_there_again() {
    let place = Place::new(&broker()).await;
    let (hands, queue) = (place.hands().await, place.queue().await);
    works(&queue, 1).await;
    for lane in Lane::ALL {
        hands.delete(&place.name(lane.as_str())).await;
    }
    works_in_the_end(&queue, 2).await;
    assert!(rebuilt(&queue) > 0);
    topology::check(&place.url, &place.prefix).await.unwrap();
}

#[tokio::test]
async fn a_topology_that_is_deleted_under_a_process_that_only_sends_is_there_again() {
    let place = Place::new(&broker()).await;
    let queue = place.queue_with(Options { lanes: Vec::new(), inbox: false, ..place.options() }).await;
    send(&queue, &message(Lane::Plan, 1)).await;
    topology::delete(&place.url, &place.prefix).await.unwrap();
    send(&queue, &message(Lane::Plan, 2)).await;
    let missing = || async { topology::check(&place.url, &place.prefix).await.err().map(|e| e.to_string()) };
    until("all is there but the agent's queue", || async {
        missing().await.filter(|what| what.contains(&place.name("agent")))
    })
    .await;
}

#[tokio::test]
async fn a_queue_of_events_is_missed_and_made_only_when_its_publisher_says_so() {
    let place = Place::new(&broker()).await;
    let (hands, queue) = (place.hands().await, place.queue().await);
    let (events, there) = (queue.events().unwrap(), || topology::keeps_events(&place.url, &place.prefix));
    assert!(events.are_kept().await.unwrap() && there().await.unwrap());
    hands.delete(&place.name("agent")).await;
    // Nobody makes it by himself; that a connection built anew doesn't either, a wiped broker shows.
    works(&queue, 1).await;
    assert!(!events.are_kept().await.unwrap() && !there().await.unwrap());
    events.keep().await.unwrap();
    assert!(events.are_kept().await.unwrap() && there().await.unwrap());
    let outcomes = soon("an event", events.publish(vec![event(1)])).await;
    assert!(matches!(outcomes[..], [Ok(())]), "{outcomes:?}");
    assert_eq!(hands.take(&place.name("agent")).await.data, br#"{"specversion":"1.0"}"#);
}

/// What our library can't take apart kills the connection before anybody can refuse it.
#[tokio::test]
async fn a_command_that_breaks_its_reader_stops_no_lane_and_not_the_inbox() {
    let place = Place::new(&broker()).await;
    let (hands, queue) = (place.hands().await, place.queue().await);
    let host = broker().split('@').nth(1).unwrap().to_owned();
    publish_unreadable_id(&host, &place.name("inbox")).await;
    let properties = BasicProperties::default().with_message_id("c-2".into());
    hands.publish(&place.name("inbox"), "", b"c-2", properties).await;
    healthy(&queue, "the inbox breaks", |health| {
        health.inbox.as_ref().is_some_and(|inbox| inbox.rebuilt > 1)
    })
    .await;
    works(&queue, 1).await;
    let (publish, work) = (queue.health().publish, queue.health().work.unwrap());
    assert_eq!((publish.rebuilt, work.rebuilt), (0, 0));
    let letter = soon("the command behind it", queue.inbox().unwrap().receive()).await;
    assert_eq!(letter.message_id(), Some("c-2"));
    letter.accept().await;
    let kept = || async { (hands.depth(&place.name("dead")).await == 1).then_some(()) };
    until("what broke the reader lies among the dead", kept).await;
}

#[tokio::test]
async fn a_lane_that_lost_its_binding_says_so_and_gets_it_back() {
    let place = Place::new(&broker()).await;
    let (hands, queue) = (place.hands().await, place.queue().await);
    hands.unbind(&place, Lane::Poll).await;
    let lost = queue.send(message(Lane::Poll, 1)).await;
    assert!(matches!(lost, Sent::Unknown(QueueError::Unroutable { .. })), "{lost:?}");
    works(&queue, 2).await;
    assert_eq!(queue.health().publish.rebuilt, 0);
}

#[tokio::test]
async fn a_message_is_acknowledged_while_its_neighbour_is_being_worked_on() {
    let place = Place::new(&broker()).await;
    let queue = place.queue().await;
    for seq in 0..20 {
        send(&queue, &message(Lane::Collect, seq)).await;
    }
    let first = soon("the first", queue.receive(Lane::Collect)).await;
    assert_eq!(seq(&first), 0);
    assert_eq!(drain_to(&queue, Lane::Collect, 19).await, (1..20).collect::<Vec<_>>());
    first.acknowledge().await;
}
