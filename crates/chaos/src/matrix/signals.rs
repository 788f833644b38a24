//! Signals: processes that are asked to stop in the midst of a step, and zombies that go on where they were stopped
//! while others have taken over.

use std::time::Duration;

use super::passes::Passes;
use crate::laptop::{Laptop, Waited};
use crate::scenario::{Outcome, Scenario};
use crate::site::Site;
use crate::troop::{ROLES, Troop};

/// How long a step takes in which a process is asked to stop.
const STEP_MS: u64 = 400;
/// How long a zombie lies there: longer than a lease, than a create may take, and than it is looked for.
const ZOMBIE: Duration = Duration::from_secs(9);

/// First passes, of which the later ones would tell nothing new.
fn first(wishes: &[String]) -> impl Iterator<Item = String> {
    wishes.iter().filter_map(|wish| wish.strip_suffix(":1")).map(str::to_owned)
}

/// On a laptop.
#[must_use]
pub fn laptop(passes: &Passes) -> Vec<Scenario> {
    let points = first(&passes["command"]);
    points
        .map(|point| Scenario::new("SIGTERM, sqlite", point.clone(), move |site| terminated(site, &point)))
        .collect()
}

/// In a troop.
#[must_use]
pub fn troop(passes: &Passes) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (&role, wishes) in passes {
        for point in first(wishes) {
            let name = format!("{role} at {point}");
            let stopped = point.clone();
            all.push(Scenario::new("SIGTERM, postgres and rabbitmq", name.clone(), move |site| {
                drained(site, role, &stopped)
            }));
            all.push(Scenario::new("zombie, postgres and rabbitmq", name, move |site| {
                zombie(site, role, &point)
            }));
        }
    }
    all
}

/// The daemon is asked to stop while it takes a step.
fn terminated(site: &Site, point: &str) -> Outcome {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = 2;
    let log = laptop.home.folder().join("passed");
    laptop.home.set("OVERNIGHT_CRASH_LOG", log.to_str().expect("a path of text"));
    laptop.home.set("OVERNIGHT_CRASH", "store.accept.after:3");
    // A night that has begun, so that the daemon has something to do.
    laptop.start_schedule_run(None);
    let _ = laptop.wait(None);
    let _ = std::fs::remove_file(&log);
    laptop.home.set("OVERNIGHT_CRASH", &format!("{point}:1:sleep:{STEP_MS}"));
    laptop.go_on(None);
    if laptop.wait_for_pass(&log, point, Duration::from_secs(10)) {
        laptop.stop();
    }
    laptop.home.unset("OVERNIGHT_CRASH");
    laptop.finish()
}

/// A role is asked to stop while it takes a step, and another one is started.
fn drained(site: &Site, role: &str, point: &str) -> Outcome {
    let mut troop = Troop::evening(site);
    let log = troop.fleet.home.folder().join("passed");
    let wish = format!("{point}:1:sleep:{STEP_MS}");
    for other in ROLES.iter().filter(|other| **other != role) {
        troop.start(other, other, &[]);
    }
    let log_path = log.to_str().expect("a path of text");
    troop.start(role, role, &[("OVERNIGHT_CRASH", &wish), ("OVERNIGHT_CRASH_LOG", log_path)]);
    troop.strike();
    if troop.wait_for_pass(&log, point, Duration::from_secs(20)) {
        troop.stop(role);
    }
    troop.start(&format!("{role}-2"), role, &[]);
    troop.finish()
}

/// A role stops dead in a step, another one takes over, and the first one goes on where it was.
fn zombie(site: &Site, role: &str, point: &str) -> Outcome {
    let mut troop = Troop::evening(site);
    troop.expected.spare_looks = 6;
    // What it was about to upload, another one has uploaded meanwhile.
    troop.expected.spare_files = 2;
    let log = troop.fleet.home.folder().join("passed");
    let wish = format!("{point}:1:stop");
    for other in ROLES.iter().filter(|other| **other != role) {
        troop.start(other, other, &[]);
    }
    let log_path = log.to_str().expect("a path of text");
    // It may stop before it has said that it is up, so nobody waits for that.
    troop.start_unwatched(role, role, &[("OVERNIGHT_CRASH", &wish), ("OVERNIGHT_CRASH_LOG", log_path)]);
    troop.strike();
    let _ = troop.wait_for_pass(&log, point, Duration::from_secs(20));
    troop.start(&format!("{role}-2"), role, &[]);
    if troop.wait_for(ZOMBIE) != Waited::Gone {
        troop.fleet.signal(role, "CONT");
    }
    troop.finish()
}
