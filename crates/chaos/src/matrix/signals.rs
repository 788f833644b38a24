//! Signals: processes that are asked to stop in the midst of a step, and zombies that go on where they were stopped
//! while others have taken over.

use std::time::Duration;

use liar::{Act, Entry, Liar, Op, Reply, Rule};

use super::passes::{HEAD_START, Night, Passes, comes_by, is_shared, sees_to, write_down, write_no_more};
use crate::ground::Pair;
use crate::laptop::{Laptop, SOON};
use crate::scenario::{Outcome, Scenario};
use crate::site::Site;
use crate::troop::{ROLES, SUBMITTER, Troop};

/// How long a step takes in which a process is asked to stop.
const STEP_MS: u64 = 400;
/// How long a zombie lies there: longer than a lease, than a create may take, and than it is looked for.
const ZOMBIE: Duration = Duration::from_secs(9);

/// Steps of finding out what became of a create, which no quiet night takes.
const DOUBTS: [&str; 6] = [
    "store.reconcile.before",
    "store.reconcile.after",
    "provider.delete_file.before",
    "provider.delete_file.after",
    "store.fence.before",
    "store.fence.after",
];

/// A create is lost, and nobody is told.
fn lose_a_create(liar: &Liar) {
    liar.tell(Rule::of(Op::Create).act(Act::Never).reply(Reply::Drop));
}

/// The name of the scenarios in which a process is asked to stop while an upload takes long.
const IN_AN_UPLOAD: &str = "in an upload that takes long";
/// How long that is: longer than a process has to stop.
const LONG_UPLOAD_MS: u64 = 50_000;

/// The reply to an upload takes long.
fn slow_down_an_upload(liar: &Liar) {
    liar.tell(Rule::of(Op::Upload).reply(Reply::Hang(LONG_UPLOAD_MS)));
}

fn until_it_uploads(liar: &Liar) {
    testkit::until("an upload is on its way", || {
        liar.ledger().iter().any(|entry| matches!(entry, Entry::Request { op: Op::Upload, .. }))
    });
}

/// First passes, of which the later ones would tell nothing new.
fn first(wishes: &[String]) -> impl Iterator<Item = String> {
    wishes.iter().filter_map(|wish| wish.strip_suffix(":1")).map(str::to_owned)
}

/// On a laptop.
#[must_use]
pub fn laptop(passes: &Passes) -> Vec<Scenario> {
    let quiet = first(&passes["daemon"]).map(|point| (point, false));
    let points = quiet.chain(DOUBTS.map(|point| (point.to_owned(), true)));
    let at = |(point, doubt): (String, bool)| {
        Scenario::new(Pair::Sqlite, "SIGTERM", point.clone(), move |site| terminated(site, &point, doubt))
    };
    points.map(at).chain([Scenario::new(Pair::Sqlite, "SIGTERM", IN_AN_UPLOAD, uploading)]).collect()
}

/// In a troop.
#[must_use]
pub fn troop(passes: &Passes) -> Vec<Scenario> {
    let quiet = passes.iter().flat_map(|(&role, wishes)| {
        first(wishes).map(move |point| {
            let shared = is_shared(passes, &format!("{point}:1"));
            First { role, point, shared, doubt: false }
        })
    });
    let doubts =
        DOUBTS.map(|point| First { role: SUBMITTER, point: point.to_owned(), shared: false, doubt: true });
    let both = |first: First| {
        let (name, stopped) = (format!("{} at {}", first.role, first.point), first.clone());
        [
            Scenario::new(Pair::Fleet, "SIGTERM", name.clone(), move |site| drained(site, &stopped)),
            Scenario::new(Pair::Fleet, "zombie", name, move |site| zombie(site, &first)),
        ]
    };
    let uploading = Scenario::new(Pair::Fleet, "SIGTERM", IN_AN_UPLOAD, submitter_uploading);
    quiet.chain(doubts).flat_map(both).chain([uploading]).collect()
}

/// The daemon is asked to stop while it takes a step of a night that the clock begins.
fn terminated(site: &Site, point: &str, doubt: bool) -> Outcome {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = 2;
    sees_to(&laptop.liar, point);
    if doubt {
        lose_a_create(&laptop.liar);
    }
    Night::ByClock.evening(&mut laptop);
    let log = write_down(&mut laptop.home, "night");
    laptop.up_unwatched(Some(&format!("{point}:1:sleep:{STEP_MS}")));
    write_no_more(&mut laptop.home);
    let came = comes_by(&log, &format!("{point}:1"), SOON);
    if came {
        laptop.stop();
    }
    laptop.finish().demand(came, point)
}

/// The daemon is asked to stop while an upload takes longer than it may take.
fn uploading(site: &Site) -> Outcome {
    let mut laptop = Laptop::evening(site);
    slow_down_an_upload(&laptop.liar);
    Night::ByClock.evening(&mut laptop);
    laptop.up(None);
    until_it_uploads(&laptop.liar);
    laptop.stop();
    laptop.finish()
}

/// The same of the one that submits, and another one takes over.
fn submitter_uploading(site: &Site) -> Outcome {
    let mut troop = Troop::evening(site);
    slow_down_an_upload(&troop.liar);
    troop.muster(None);
    troop.strike();
    until_it_uploads(&troop.liar);
    troop.stop(SUBMITTER);
    troop.start("submitter-2", SUBMITTER, &[]);
    troop.finish()
}

/// The first pass of a role by a point.
#[derive(Clone, Debug)]
struct First {
    role: &'static str,
    point: String,
    /// Whether others come by it, too.
    shared: bool,
    /// Whether it comes by there only where a create is lost.
    doubt: bool,
}

/// A troop at work in which one role does something at its first pass of a point, and whether it has come by.
fn troop_with(site: &Site, first: &First, mode: &str) -> (Troop, bool) {
    let First { role, point, shared, doubt } = first;
    let mut troop = Troop::evening(site);
    sees_to(&troop.liar, point);
    if *doubt {
        lose_a_create(&troop.liar);
    }
    let log = troop.fleet.home.folder().join("passed");
    let log_path = log.to_str().expect("a path of text");
    let (pass, wish) = (format!("{point}:1"), format!("{point}:1:{mode}"));
    // It goes first, so that no other one is there before it; and it may stop before it has said that it is up.
    troop.start_unwatched(role, role, &[("OVERNIGHT_CRASH", &wish), ("OVERNIGHT_CRASH_LOG", log_path)]);
    if *shared {
        troop.strike();
    }
    let _ = comes_by(&log, &pass, HEAD_START);
    for other in ROLES.iter().filter(|other| *other != role) {
        troop.start(other, other, &[]);
    }
    if !shared {
        troop.strike();
    }
    let came = comes_by(&log, &pass, SOON);
    (troop, came)
}

/// A role is asked to stop while it takes a step, and another one is started.
fn drained(site: &Site, first: &First) -> Outcome {
    let (mut troop, came) = troop_with(site, first, &format!("sleep:{STEP_MS}"));
    if came {
        troop.stop(first.role);
    }
    troop.start(&format!("{}-2", first.role), first.role, &[]);
    troop.finish().demand(came, &first.point)
}

/// A role stops dead in a step, another one takes over, and the first one goes on where it was.
fn zombie(site: &Site, first: &First) -> Outcome {
    let (mut troop, _) = troop_with(site, first, "stop");
    let role = first.role;
    troop.expected.spare_looks = 6;
    // What it was about to upload, another one has uploaded meanwhile.
    troop.expected.spare_files = 2;
    troop.start(&format!("{role}-2"), role, &[]);
    let _ = troop.wait_for(ZOMBIE);
    let lay_there = troop.fleet.pid(role).is_some_and(stands_still);
    troop.fleet.signal(role, "CONT");
    troop.finish().demand(lay_there, &first.point)
}

/// Whether a process is stopped, as by SIGSTOP.
fn stands_still(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Its state stands behind its name, which is in brackets.
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}
