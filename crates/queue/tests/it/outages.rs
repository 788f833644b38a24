//! What the queue survives: brokers that close, die, forget, starve and refuse. Each test starts a broker
//! of its own.

use std::ffi::OsStr;
use std::process::Command;
use std::time::{Duration, Instant};

use domain::Lane;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use queue::{Options, Queue, QueueError, Sent, State, topology};
use testkit::{Broker, Cable, free_port};

use crate::rig::{Place, broker, drain_to, healthy, message, rebuilt, send, soon, until, work_again, works};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_closes_dies_or_forgets_everything_is_used_again() {
    let mut private = Broker::start();
    let place = Place::new(&private.url()).await;
    let queue = place.queue().await;
    works(&queue, 1).await;

    // Closed by the broker, as an administrator would.
    private.ctl(&["close_all_connections", "test"]);
    healthy(&queue, "work goes on after a close", work_again(0)).await;
    works(&queue, 2).await;

    // Killed, with a message in it and one in our hands.
    let times = rebuilt(&queue);
    send(&queue, &message(Lane::Poll, 30)).await;
    let in_hand = soon("a message", queue.receive(Lane::Poll)).await;
    send(&queue, &message(Lane::Submit, 31)).await;
    private.kill();
    healthy(&queue, "the outage is noticed", |health| {
        health.publish.state == State::Down
            && health.work.as_ref().is_some_and(|work| work.state == State::Down)
    })
    .await;
    let unsent = queue.send(message(Lane::Plan, 32)).await;
    assert_eq!((unsent, queue.room(Lane::Plan)), (Sent::Unknown(QueueError::Away), 0));
    in_hand.acknowledge().await;
    private.run();
    healthy(&queue, "work goes on after a crash", work_again(times)).await;
    // Confirmed means kept, and what was not acknowledged comes again.
    assert!(drain_to(&queue, Lane::Submit, 31).await.contains(&31));
    assert!(drain_to(&queue, Lane::Poll, 30).await.contains(&30));
    works(&queue, 33).await;

    // Wiped: nothing of it is left, and nobody declares it again but us.
    let times = rebuilt(&queue);
    private.kill();
    private.wipe();
    private.run();
    healthy(&queue, "work goes on after a wipe", work_again(times)).await;
    works(&queue, 41).await;
    assert!(!topology::keeps_events(&place.url, &place.prefix).await.unwrap());
    queue.events().unwrap().keep().await.unwrap();
    topology::check(&place.url, &place.prefix).await.unwrap();
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_without_memory_stops_no_acknowledgement_and_gets_nothing_late() {
    let private = Broker::start();
    let place = Place::new(&private.url()).await;
    let cable = Cable::to(private.host());
    let url = format!("amqp://guest:guest@{}", cable.address);
    let queue = Queue::connect(&url, place.options()).await.unwrap();
    works(&queue, 1).await;
    for seq in 10..15 {
        send(&queue, &message(Lane::Poll, seq)).await;
    }

    private.ctl(&["set_vm_memory_high_watermark", "0"]);
    // The first may get in: the broker blocks whoever publishes once they do.
    let (first, started) = (queue.clone(), Instant::now());
    let first = tokio::spawn(async move { first.send(message(Lane::Submit, 20)).await });
    healthy(&queue, "the alarm is seen", |health| health.publish.state == State::Blocked).await;
    assert_eq!(queue.room(Lane::Submit), 0);
    first.await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let mut turned_away = Vec::new();
    for seq in 21..25 {
        let started = Instant::now();
        let sent = queue.send(message(Lane::Submit, seq)).await;
        assert!(started.elapsed() < Duration::from_secs(5), "{sent:?} after {:?}", started.elapsed());
        turned_away
            .extend(matches!(sent, Sent::Unknown(QueueError::Away | QueueError::Blocked(_))).then_some(seq));
    }
    assert!(turned_away.len() >= 3, "{turned_away:?}");
    // What waited for the broker was given up: one connection for each way is left, and no more.
    let alone = || async { (queue.health().publish.rebuilt > 0 && cable.open() == 3).then_some(()) };
    until("no connection is left behind", alone).await;
    // Consuming goes on, and acknowledgements pass.
    assert_eq!(drain_to(&queue, Lane::Poll, 14).await, (10..15).collect::<Vec<_>>());
    place.hands().await.empty(&place.name("poll")).await;
    assert_eq!(rebuilt(&queue), 0);

    private.ctl(&["set_vm_memory_high_watermark", "0.6"]);
    healthy(&queue, "publishing goes on", |health| health.publish.is_up()).await;
    // What was turned away was not kept by anybody to arrive now.
    send(&queue, &message(Lane::Submit, 50)).await;
    let received = drain_to(&queue, Lane::Submit, 50).await;
    assert!(!received.iter().any(|seq| turned_away.contains(seq)), "{received:?}");
    works(&queue, 51).await;
    queue.close().await;
}

/// The address for a user who may not declare.
fn may_not_declare(private: &Broker, place: &Place) -> String {
    private.ctl(&["add_user", "worker", "worker"]);
    private.ctl(&["set_permissions", "worker", "^$", ".*", ".*"]);
    place.url.replace("guest:guest", "worker:worker")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_is_never_taken_for_an_arrival() {
    let private = Broker::start();
    let place = Place::new(&private.url()).await;
    // So that the lost binding stays lost.
    let url = may_not_declare(&private, &place);
    let queue = Queue::connect(&url, place.options()).await.unwrap();
    place.hands().await.unbind(&place, Lane::Poll).await;

    let started = Instant::now();
    let senders: Vec<_> = (0..8_i64)
        .map(|task| {
            let queue = queue.clone();
            // Every other message has a queue; both kinds meet on the way.
            tokio::spawn(async move {
                let mut wrong = Vec::new();
                for n in 0..250 {
                    let lane = if (task + n) % 2 == 0 { Lane::Poll } else { Lane::Submit };
                    let sent = queue.send(message(lane, task * 1_000 + n)).await;
                    let right = match lane {
                        Lane::Poll => matches!(sent, Sent::Unknown(QueueError::Unroutable { .. })),
                        _ => sent == Sent::Done,
                    };
                    if !right {
                        wrong.push((lane, n, sent));
                    }
                }
                wrong
            })
        })
        .collect();
    let receiving = queue.clone();
    let received = tokio::spawn(async move {
        for _ in 0..1_000 {
            receiving.receive(Lane::Submit).await.acknowledge().await;
        }
    });
    for sender in senders {
        assert_eq!(sender.await.unwrap(), []);
    }
    println!("2,000 messages, each confirmed alone, in {:?}", started.elapsed());
    soon("all that had a queue", received).await.unwrap();
    assert_eq!(queue.health().publish.rebuilt, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_whose_channel_the_broker_closes_comes_back() {
    // This broker closes the channel of whoever holds a message for two seconds.
    let private = Broker::start_with("consumer_timeout = 2000\n");
    let place = Place::new(&private.url()).await;
    let queue = place.queue().await;
    send(&queue, &message(Lane::Collect, 1)).await;
    let held = soon("a message", queue.receive(Lane::Collect)).await;
    healthy(&queue, "the closed channel is rebuilt", work_again(0)).await;
    let times = rebuilt(&queue);
    // Too late: the library answers "no" where it should answer an error, and nothing comes of it.
    held.acknowledge().await;
    assert_eq!(drain_to(&queue, Lane::Collect, 1).await, [1]);
    works(&queue, 2).await;
    assert_eq!(rebuilt(&queue), times);
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_cut_without_a_word_is_noticed_and_rebuilt() {
    let broker = broker();
    let host = broker.split('@').nth(1).unwrap().to_owned();
    let cable = Cable::to(host.clone());
    let place = Place::new(&broker).await;
    let url = broker.replace(&host, &cable.address.to_string());
    let options = Options { heartbeat_s: 1, confirm_timeout: Duration::from_secs(1), ..place.options() };
    let queue = Queue::connect(&url, options).await.unwrap();
    works(&queue, 1).await;
    cable.unplug();
    let started = Instant::now();
    let lost = queue.send(message(Lane::Plan, 2)).await;
    assert!(matches!(lost, Sent::Unknown(QueueError::Timeout { .. })), "{lost:?}");
    healthy(&queue, "the cut is noticed", work_again(0)).await;
    println!("a silent cut was noticed and mended in {:?}", started.elapsed());
    works(&queue, 3).await;
    until("everything is up", || async { queue.health().is_up().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_line_is_checked_against_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-addext"])
        .arg("basicConstraints=critical,CA:FALSE")
        .args(subject)
        .args([OsStr::new("-keyout"), key.as_os_str(), OsStr::new("-out"), certificate.as_os_str()])
        .output()
        .expect("this test needs openssl (Debian: apt-get install openssl)");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = free_port();
    let private = Broker::start_with(&format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n",
        certificate.display(),
        key.display(),
    ));
    let place = Place::new(&private.url()).await;
    let url = format!("amqps://guest:guest@localhost:{port}");
    let authority = Some(std::fs::read_to_string(certificate).unwrap());
    let queue = Queue::connect(&url, Options { authority, ..place.options() }).await.unwrap();
    works(&queue, 1).await;
    let within = Duration::from_secs(2);
    let unknown = Queue::connect(&url, Options { boot_timeout: within, ..place.options() }).await;
    let error = unknown.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

/// A consumer that hears nothing though messages wait: here because another, that is stuck, is the only
/// one its queue talks to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_falls_silent_is_rebuilt() {
    let private = Broker::start();
    let place = Place::new(&private.url()).await;
    let url = may_not_declare(&private, &place);
    let (hands, name) = (place.hands().await, place.name("poll"));
    hands.delete(&name).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    let queue_name = ShortString::from(name.as_str());
    hands.channel.queue_declare(queue_name.clone(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    let options = QueueBindOptions::default();
    let bound = hands.channel.queue_bind(
        queue_name.clone(),
        place.name("work").into(),
        "poll".into(),
        options,
        FieldTable::default(),
    );
    bound.await.unwrap();
    hands.channel.basic_qos(1, Default::default()).await.unwrap();
    let stuck = hands.channel.basic_consume(queue_name, "".into(), Default::default(), FieldTable::default());
    let stuck = stuck.await.unwrap();

    // Whoever could declare it would not start on a queue like that.
    let queue = Queue::connect(&url, place.options()).await.unwrap();
    for seq in 0..3 {
        send(&queue, &message(Lane::Poll, seq)).await;
    }
    healthy(&queue, "the silent consumer is rebuilt", work_again(0)).await;
    let error = queue.health().work.unwrap().last_error.unwrap();
    assert!(error.contains("hears nothing"), "{error}");
    drop((stuck, hands));
    let received = drain_to(&queue, Lane::Poll, 2).await;
    assert!(received.contains(&0), "{received:?}");
}
