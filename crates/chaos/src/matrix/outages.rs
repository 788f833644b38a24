//! The ground gives way: databases, brokers and providers that go and come back, a disk that is full, and two of
//! everything.

use std::time::Duration;

use liar::{Act, Entry, Op, Reply, Rule};
use testkit::{Broker, Server};

use crate::ground::Pair;
use crate::laptop::{LEFT, Laptop, Waited};
use crate::scenario::{Outcome, Scenario};
use crate::site::{Site, TASKS, write_records};
use crate::troop::{ROLES, Troop};

const GROUP: &str = "outage";
/// Requests of each kind that a provider does not hear while it is away.
const AWAY: u32 = 12;
/// How long a message is held that a broker wants back sooner.
const HELD_MS: u64 = 4_000;
/// What the program says of a connection or a channel that is gone.
const LOST: &str = "connection to the broker lost";
/// What it says where the database can't be asked.
const FAILED: &str = "relay failed";
/// What the database says where it may not be written to.
const READ_ONLY: &str = "read-only";
/// What the program says of a write that doesn't fit any more, from SQLite and from the system.
const FULL: [&str; 3] = ["database or disk is full", "disk I/O error", "File too large"];

/// On a laptop.
#[must_use]
pub fn laptop() -> Vec<Scenario> {
    let of = |name: &str, run: fn(&Site) -> Outcome| Scenario::new(Pair::Sqlite, GROUP, name, run);
    let full = |blocks| {
        let name = format!("no file may be larger than {blocks} blocks");
        Scenario::new(Pair::Sqlite, GROUP, name, move |site| full_disk(site, blocks))
    };
    let named = [
        of("a create turns up after it was parked", turns_up),
        of("a create turns up after it was given up, and its file comes empty", given_up),
        of("a create turns up after its fence, and its requests were answered", after_its_fence),
        of("the shared memory of SQLite is gone after a kill", no_shared_memory),
        of("the provider is away for a while", provider_away),
    ];
    named.into_iter().chain([300, 350, 420, 500].map(full)).collect()
}

/// In a troop.
#[must_use]
pub fn troop() -> Vec<Scenario> {
    let of = |name: &str, run: fn(&Site) -> Outcome| Scenario::new(Pair::Fleet, GROUP, name, run);
    vec![
        of("the broker is killed", |site| broker(site, false)),
        of("the broker is killed and wiped", |site| broker(site, true)),
        of("the broker closes all connections", connections_closed),
        of("the broker closes channels", channels_closed),
        of("the broker raises an alarm", alarm),
        of("the database is cut off and comes back", database_crashes),
        of("the database lets nobody in for a while", database_away),
        of("the database is read-only for a while", read_only),
        of("two of everything, and every work queue is deleted", two_of_everything),
        of("poison comes in from outside", poison),
    ]
}

/// A create lands when it has long been given into a person's hands: the audit before the next create adopts it.
fn turns_up(site: &Site) -> Outcome {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = 4;
    laptop.home.set("SUBMIT_UNKNOWN", "park");
    laptop.liar.tell(Rule::of(Op::Create).act(Act::OnRelease).reply(Reply::Drop));
    laptop.start_schedule_run(None);
    laptop.until("a create is parked", "SELECT 1 - count(*) FROM batches WHERE state = 'parked'");
    laptop.kill();
    laptop.liar.release();
    laptop.liar.forget_rules();
    let records = write_records(laptop.home.folder(), "later", TASKS);
    let _ = laptop.home.run(&["load", &records, "--backlog", "planner"]).exits(0);
    laptop.expected.tasks += TASKS;
    laptop.start_schedule_run(None);
    laptop.finish()
}

/// A create lands when a person has given it up: its answer is late, and is kept though its file comes empty at first.
fn given_up(site: &Site) -> Outcome {
    let mut laptop = Laptop::evening(site);
    (laptop.expected.spare_looks, laptop.expected.may_fail, laptop.expected.failures) = (4, 1, 3);
    laptop.home.set("SUBMIT_UNKNOWN", "park");
    laptop.liar.tell(Rule::of(Op::Create).act(Act::OnRelease).reply(Reply::Drop));
    laptop.start_schedule_run(None);
    laptop.until("the others are collected", "SELECT 5 - count(*) FROM batches WHERE state = 'collected'");
    laptop.until("a create is parked", "SELECT 1 - count(*) FROM batches WHERE state = 'parked'");
    laptop.kill();
    let job = laptop.texts("SELECT CAST(job_id AS TEXT) FROM batches WHERE state = 'parked'").remove(0);
    let _ = laptop.home.run(&["batch", "resolve", &job, "give-up"]).exits(0);
    laptop.liar.release();
    laptop.liar.forget_rules();
    // As many as are collected from now on: the late one, and those of a later night, at whose first create it is found.
    laptop.liar.tell(Rule::of(Op::Content).times(3).reply(Reply::CutJson(0)));
    let records = write_records(laptop.home.folder(), "later", TASKS);
    let _ = laptop.home.run(&["load", &records, "--backlog", "planner"]).exits(0);
    laptop.expected.tasks += TASKS;
    laptop.start_schedule_run(None);
    laptop.finish()
}

/// A create lands when its file is gone, and another one has long done its work: it can't run any more.
fn after_its_fence(site: &Site) -> Outcome {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = 4;
    laptop.liar.tell(Rule::of(Op::Create).act(Act::OnRelease).reply(Reply::Drop));
    laptop.start_schedule_run(None);
    laptop.until("the night is over", LEFT);
    laptop.liar.release();
    let ended = || laptop.liar.ledger().iter().filter(|entry| matches!(entry, Entry::Ended { .. })).count();
    testkit::until("the seventh batch has ended", || ended() == 7);
    laptop.finish()
}

fn no_shared_memory(site: &Site) -> Outcome {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = 4;
    for point in ["store.plan.after:2", "store.create.after:2", "store.settle_lines.after:2"] {
        laptop.go_on(Some(point));
        assert_eq!(laptop.wait(), Waited::Gone, "the process ends at {point}");
        // It is rebuilt from the log of writes, which stays.
        std::fs::remove_file(laptop.home.data_dir().join("overnight.db-shm"))
            .expect("a kill leaves it behind");
    }
    laptop.finish()
}

fn provider_away(site: &Site) -> Outcome {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = 8;
    for op in [Op::Upload, Op::Create, Op::GetBatch, Op::ListBatches, Op::Content] {
        laptop.liar.tell(Rule::of(op).from(2).times(AWAY).act(Act::Never).reply(Reply::Drop));
    }
    laptop.start_schedule_run(None);
    // Whoever starts while it is away ends at once, and somebody starts another one.
    for _ in 0..AWAY {
        if laptop.wait() != Waited::Gone {
            break;
        }
        laptop.go_on(None);
    }
    let (away, outcome) = laptop.finish_and(|laptop| {
        let ledger = laptop.liar.ledger();
        let was_away = |of: Op| {
            ledger.iter().any(|entry| matches!(entry, Entry::Request { op, status: 0, .. } if *op == of))
        };
        [Op::Upload, Op::Create, Op::Content].into_iter().all(was_away)
    });
    outcome.demand(away, "a provider that is away")
}

/// No file grows any more, until somebody makes room.
fn full_disk(site: &Site, blocks: u32) -> Outcome {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = 8;
    laptop.start_limited(blocks);
    let _ = laptop.wait_until(Duration::from_secs(5), LEFT);
    laptop.kill();
    let log = laptop.log();
    assert!(FULL.iter().any(|word| log.contains(word)), "nobody came to the limit");
    laptop.finish()
}

fn broker(site: &Site, wiped: bool) -> Outcome {
    let (mut troop, mut broker) = at_work_with_a_broker(site);
    if wiped {
        troop.listen();
    }
    broker.kill();
    if wiped {
        broker.wipe();
    }
    std::thread::sleep(Duration::from_secs(2));
    broker.run();
    if wiped {
        let _ = troop.fleet.home.run(&["topology", "apply"]);
    }
    // The broker goes last: the troop takes its queues away with it.
    finish_heard(troop, LOST)
}

/// The night goes on to its end; somebody must have noticed what was done to it.
fn finish_heard(troop: Troop, said: &str) -> Outcome {
    let (heard, outcome) = troop.finish_and(|troop| troop.logs().contains(said));
    outcome.demand(heard, format!("{said:?} in a log"))
}

/// A broker of its own, and a troop at work with it.
fn at_work_with_a_broker(site: &Site) -> (Troop, Broker) {
    let broker = Broker::start();
    let mut troop = Troop::at(site, broker.url(), site.server().database());
    at_work(&mut troop);
    (troop, broker)
}

fn connections_closed(site: &Site) -> Outcome {
    let (troop, broker) = at_work_with_a_broker(site);
    broker.ctl(&["close_all_connections", "maintenance"]);
    finish_heard(troop, LOST)
}

/// The broker has no memory left, and takes no messages for a while.
fn alarm(site: &Site) -> Outcome {
    let (troop, broker) = at_work_with_a_broker(site);
    broker.ctl(&["set_vm_memory_high_watermark", "0.00001"]);
    testkit::until("somebody may not publish", || broker.is_blocking());
    std::thread::sleep(Duration::from_secs(2));
    broker.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    troop.finish()
}

/// Whoever holds a message for longer than this broker bears loses its channel, and somebody else gets the message.
fn channels_closed(site: &Site) -> Outcome {
    let broker = Broker::start_with("consumer_timeout = 1000\n");
    let mut troop = Troop::at(site, broker.url(), site.server().database());
    troop.expected.spare_looks = 8;
    let slow = ["store.plan.before", "provider.upload.before", "store.poll.before", "store.collect.before"];
    let slow = slow.map(|point| format!("{point}:1:sleep:{HELD_MS}"));
    troop.muster(Some(&slow.join(",")));
    troop.strike();
    finish_heard(troop, LOST)
}

fn database_crashes(site: &Site) -> Outcome {
    let server = Server::start();
    let mut troop = Troop::at(site, site.broker().url(), server.database());
    at_work(&mut troop);
    server.crash();
    std::thread::sleep(Duration::from_secs(2));
    server.run();
    troop.reconnect();
    finish_heard(troop, FAILED)
}

fn database_away(site: &Site) -> Outcome {
    let mut troop = Troop::evening(site);
    at_work(&mut troop);
    troop.fleet.take_database_away(true);
    std::thread::sleep(Duration::from_secs(3));
    troop.fleet.take_database_away(false);
    troop.reconnect();
    finish_heard(troop, FAILED)
}

fn read_only(site: &Site) -> Outcome {
    let server = Server::start();
    let mut troop = Troop::at(site, site.broker().url(), server.database());
    at_work(&mut troop);
    for state in ["on", "off"] {
        server.set(&format!("default_transaction_read_only = {state}"));
        troop.fleet.cut_connections();
        std::thread::sleep(Duration::from_secs(3));
    }
    finish_heard(troop, READ_ONLY)
}

/// The night has begun, and some of it is at the provider.
pub(super) fn at_work(troop: &mut Troop) {
    troop.expected.spare_looks = 8;
    troop.muster(None);
    troop.strike();
    until_some_are_open(troop);
}

/// Two processes of each role, and everything that the broker knew about work is gone.
fn two_of_everything(site: &Site) -> Outcome {
    let mut troop = Troop::evening(site);
    troop.expected.spare_looks = 8;
    troop.muster(None);
    for role in ROLES {
        troop.start(&format!("{role}-2"), role, &[]);
    }
    troop.strike();
    until_some_are_open(&mut troop);
    for lane in ["plan", "submit", "poll", "collect", "settle"] {
        troop.fleet.delete_queue(lane);
    }
    troop.finish()
}

fn poison(site: &Site) -> Outcome {
    let mut troop = Troop::evening(site);
    troop.muster(None);
    let poison = [
        b"not json".to_vec(),
        vec![0xff; 1 << 16],
        b"{\"version\":99}".to_vec(),
        b"[]".to_vec(),
        b"".to_vec(),
    ];
    for body in &poison {
        troop.fleet.send_command(body, "application/json", &[]);
    }
    troop.expected.poison = poison.to_vec();
    troop.strike();
    troop.finish()
}

/// Waits until work is under way.
///
/// # Panics
/// Where it doesn't come to that, or all is done by then: what is done next would be done to another night.
pub(super) fn until_some_are_open(troop: &mut Troop) {
    troop.until(
        "some batches are out",
        "SELECT CASE WHEN count(*) < 2 THEN 1::bigint ELSE 0 END FROM batches \
        WHERE state IN ('open', 'collecting', 'collected')",
    );
    assert_ne!(troop.fleet.number(LEFT), 0, "something is left to do");
}
