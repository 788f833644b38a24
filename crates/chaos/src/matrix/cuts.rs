//! Lines between the processes and what they work with break: streams that end wherever they were, and connections that
//! nobody hears of any more.

use std::time::Duration;

use testkit::{Cable, Database};

use super::outages::at_work;
use crate::ground::Pair;
use crate::scenario::{Outcome, Scenario};
use crate::site::Site;
use crate::troop::Troop;

/// Cuts of a night, and the time between two: a dozen over the time that a quiet night takes.
const CUTS: u32 = 12;
const BETWEEN: Duration = Duration::from_millis(600);
/// Connections that go silent: once when work begins, and once when some of it is out.
const SILENCES: u32 = 2;
const BETWEEN_SILENCES: Duration = Duration::from_secs(5);

/// How long writers wait for a lock.
const LOCKED: Duration = Duration::from_secs(2);
/// Statements that wait for it.
const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass";

/// In a troop.
#[must_use]
pub fn troop() -> Vec<Scenario> {
    let of = |name: &str, line: fn(&Site) -> (Troop, Cable), night: fn(Troop, &Cable) -> Outcome| {
        Scenario::new(Pair::Fleet, "cut line", name, move |site| {
            let (troop, cable) = line(site);
            night(troop, &cable)
        })
    };
    vec![
        of("streams to the broker are cut, again and again", to_the_broker, cut),
        of("streams to the database are cut, again and again", to_the_database, cut),
        of("connections to the broker fall silent", to_the_broker, silence),
        of("connections to the database fall silent", to_the_database, silence),
        of(
            "connections to the database fall silent, with statements on their way",
            to_the_database,
            silence_in_midst,
        ),
    ]
}

fn to_the_broker(site: &Site) -> (Troop, Cable) {
    let cable = Cable::to(site.broker().host());
    // Silence is noticed after two heartbeats, in seconds.
    let url = format!("amqp://guest:guest@{}/%2f?heartbeat=2", cable.address);
    (Troop::at(site, url, site.server().database()), cable)
}

fn to_the_database(site: &Site) -> (Troop, Cable) {
    let (cable, mut troop) = (Cable::to(site.server().host()), Troop::evening(site));
    let url = troop.fleet.database_url().replace(&site.server().host(), &cable.address.to_string());
    troop.fleet.home.set("DATABASE_URL", &url);
    (troop, cable)
}

/// A night begins.
fn begin(troop: &mut Troop) {
    troop.expected.spare_looks += 8;
    troop.muster(None);
    troop.strike();
}

fn cut(mut troop: Troop, cable: &Cable) -> Outcome {
    begin(&mut troop);
    let mut in_use = 0;
    for _ in 0..CUTS {
        std::thread::sleep(BETWEEN);
        troop.tend();
        in_use += u32::from(cable.running() > 0);
        cable.cut();
    }
    // Whoever was cut off rests before it comes back, and misses cuts meanwhile.
    troop.finish().demand(in_use > 1, "the line at a second cut")
}

fn silence(mut troop: Troop, cable: &Cable) -> Outcome {
    begin(&mut troop);
    for _ in 0..SILENCES {
        std::thread::sleep(BETWEEN);
        // After the first one somebody must have noticed, and come back.
        testkit::until("the line is in use", || cable.running() > 0);
        cable.unplug();
        std::thread::sleep(BETWEEN_SILENCES);
        troop.tend();
    }
    troop.finish()
}

/// Whoever writes waits for a lock when the line falls silent, and never hears that it was let go.
fn silence_in_midst(mut troop: Troop, cable: &Cable) -> Outcome {
    at_work(&mut troop);
    let database = troop.fleet.database_url().to_owned();
    let waiting = std::thread::scope(|scope| {
        let unplugged = scope.spawn(|| {
            std::thread::sleep(LOCKED / 2);
            // The troop's own connection is the one that holds the lock.
            let waiting = Database::at(&database).number(WAITING);
            cable.unplug();
            waiting
        });
        troop.fleet.lock_table("orders", LOCKED);
        unplugged.join().expect("a count")
    });
    troop.finish().demand(waiting > 0, "a statement that waits for the lock")
}
