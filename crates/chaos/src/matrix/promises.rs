//! The promises: one list of scenarios, which runs unchanged on both pairs of backends. It is the quick part of what is
//! done to a fleet, for `make test`.

use std::collections::BTreeMap;

use liar::{Entry, Fate, LineFault, Op, Rule};

use super::lies;
use super::passes::Night;
use crate::api;
use crate::ground::{Ground, Pair, held};
use crate::scenario::{Outcome, Scenario};
use crate::site::{AGENTS, TASKS};

const GROUP: &str = "promise";
/// Where a kill costs money or loses a message, if anything does: around the upload, the permission, the one create and
/// its commit, the answers and their commit, and what is sent.
const KILLS: [&str; 15] = [
    "queue.send.before",
    "queue.send.after",
    "store.claim.after",
    "store.plan.after",
    "provider.upload.after",
    "store.intent.after",
    "provider.create.before",
    "provider.create.after",
    "store.create.before",
    "store.create.after",
    "provider.download.after",
    "store.settle_lines.after",
    "store.collect.before",
    "store.collect.after",
    "store.settle.after",
];
/// The same where events leave, which they do where there is a broker.
const KILLS_OF_EVENTS: [&str; 2] = ["queue.publish.before", "queue.publish.after"];
/// Lies that cost money if they are believed, and ends that leave something to do.
const LIES: [&str; 16] = [
    "upload carried out, reply lost",
    "upload lost",
    "create carried out, reply lost",
    "create lost",
    "create carried out late, while it is looked for",
    "create carried out long after its fence",
    "create carried out, 500",
    "create carried out, 429",
    "creates are lost, and a person decides",
    "new batches are in no list for two walks",
    "statuses go backwards",
    "expires before anything ran",
    "expires with a part done",
    "downloads are torn in a line",
    "a line failed, and goes out again",
    "a line is there twice",
];
/// A little longer than it takes until an order that nobody has claimed is sent again.
const SENT_AGAIN_MS: u64 = 6_000;
/// A little longer than it takes until an order is sent again and the second message is taken.
const TAKEN_MS: u64 = 5_500;
/// Looks at each of two batches, and how long each takes, where it takes long.
const LOOKS: usize = 8;
const LOOK_MS: u64 = 1_500;
/// How long the id of a batch is known to nobody but its provider.
const UNKEPT_MS: u64 = 2_000;
/// How long an upload takes, where it takes long.
const UPLOAD_MS: u64 = 3_000;

/// All of them, on a pair of backends.
#[must_use]
pub fn on(pair: Pair) -> Vec<Scenario> {
    let kills_of_events = match pair {
        Pair::Sqlite => [].as_slice(),
        Pair::Fleet => KILLS_OF_EVENTS.as_slice(),
    };
    let of = |name: &str, run: fn(Ground) -> Outcome| {
        Scenario::new(pair, GROUP, name, move |site| run(pair.evening(site)))
    };
    let mut all = vec![
        of("a night that a person begins", |ground| quiet(ground, Night::ByHand)),
        of("a night that the clock begins", |ground| quiet(ground, Night::ByClock)),
        of("a job is cancelled while its batches are out", cancel),
        of("what was refused is tried again by a person", retry),
        of("orders are sent twice, and both messages are taken", twice),
        of("a batch stays out, and its looks are sent twice", looked_at_twice),
        of("a webhook comes before the id of its batch is stored", told_too_early),
    ];
    // Those that take longest come first.
    all.extend(kills_of_events.iter().chain(&KILLS).map(|&point| {
        Scenario::new(pair, GROUP, format!("a kill at {point}"), move |site| kill(pair.evening(site), point))
    }));
    all.extend(LIES.iter().map(|&name| {
        let lie = lies::named(name);
        Scenario::new(pair, GROUP, name, move |site| lies::run(pair.evening(site), &lie, None))
    }));
    all
}

fn quiet(mut ground: Ground, night: Night) -> Outcome {
    ground.begin(night, None);
    ground.finish()
}

/// Every process that comes by dies there once. A point that nobody comes by has shown nothing.
fn kill(mut ground: Ground, point: &str) -> Outcome {
    ground.expected().spare_looks += 4;
    ground.begin(Night::ByHand, Some(&format!("{point}:1")));
    let _ = ground.wait();
    ground.finish().died_at(&format!("{point}:1"))
}

/// One of the jobs is called off: its tasks end cancelled, and those of the others are answered.
fn cancel(mut ground: Ground) -> Outcome {
    ground.expected().may_fail = TASKS;
    ground.expected().spare_looks += 2;
    ground.liar().set(&held());
    ground.begin(Night::ByHand, None);
    ground.until_all_are_out();
    let job = ground.texts("SELECT CAST(id AS TEXT) FROM batch_jobs ORDER BY id LIMIT 1").remove(0);
    let _ = ground.say(&["batch", "cancel", &job]).exits(0);
    ground.let_run();
    let _ = ground.wait();
    ends(&ground, "cancelled", TASKS);
    ends(&ground, "succeeded", (AGENTS.len() - 1) * TASKS);
    ground.finish()
}

/// A line that the provider refused stays so, until a person tries it again as a job of its own.
fn retry(mut ground: Ground) -> Outcome {
    ground.expected().may_fail = 1;
    let fate = Fate { lines: vec![(1, LineFault::Http(400))], ..Fate::default() };
    ground.liar().tell(Rule::of(Op::Create).fate(fate));
    ground.begin(Night::ByHand, None);
    let _ = ground.wait();
    ends(&ground, "failed", 1);
    let failed = "SELECT CAST(batch_job_id AS TEXT) FROM batch_job_tasks WHERE status = 'failed'";
    let job = ground.texts(failed).remove(0);
    let _ = ground.run(&["batch", "retry", &job]).exits(0);
    ground.expected().tasks += 1;
    let _ = ground.wait();
    ends(&ground, "succeeded", AGENTS.len() * TASKS);
    ground.finish()
}

/// Claims take so long that their orders are sent again, and work takes so long that the second claim comes while the
/// first one is at it.
fn twice(mut ground: Ground) -> Outcome {
    ground.expected().certain = true;
    ground.expected().spare_looks += 4;
    ground.home().set("SUBMIT_TIMEOUT_MS", "20000");
    // The first ones are those of planning.
    let claims = (4..=7).map(|pass| format!("store.claim.before:{pass}:sleep:{SENT_AGAIN_MS}"));
    let uploads = (1..=6).map(|pass| format!("provider.upload.before:{pass}:sleep:{UPLOAD_MS}"));
    let slow: Vec<_> = claims.chain(uploads).collect();
    ground.begin(Night::ByHand, Some(&slow.join(",")));
    ground.until(
        "an order is sent again",
        "SELECT 1 - count(*) FROM (SELECT 1 FROM orders WHERE sends > 1 LIMIT 1) AS again",
    );
    ground.finish()
}

/// Two batches stay out, which is too few for the list, so that each is looked at by itself. Again and again a claim takes
/// until its order is sent again, and until whoever took the second message is at the look: two looks would follow each
/// other at once if one claim didn't keep the other away.
fn looked_at_twice(mut ground: Ground) -> Outcome {
    ground.expected().spare_looks = 1;
    ground.home().set("BATCH_MAX_REQUESTS", "2");
    let stays = Fate { held: true, ..Fate::default() };
    ground.liar().tell(Rule::of(Op::Create).times(2).fate(stays));
    // The first ones are those of planning, and on one machine those of submitting. Every second one is in time.
    let claims = (8..=18).step_by(2).map(|pass| format!("store.claim.before:{pass}:sleep:{TAKEN_MS}"));
    let looks = (1..=2 * LOOKS).map(|pass| format!("provider.look.before:{pass}:sleep:{LOOK_MS}"));
    ground.begin(Night::ByHand, Some(&claims.chain(looks).collect::<Vec<_>>().join(",")));
    ground.until(
        "a look is sent again",
        "SELECT 1 - count(*) FROM (SELECT 1 FROM orders WHERE lane = 'poll' AND sends > 1 LIMIT 1) AS again",
    );
    testkit::until("both batches were looked at often", || looked_at_often(&ground) == 2);
    ground.let_run();
    ground.finish()
}

/// The provider has told of the end of a batch before anybody has kept its id: there is nothing to look at yet, and the
/// chain of looks begins all the same.
fn told_too_early(mut ground: Ground) -> Outcome {
    ground.home().set("OPENAI_WEBHOOK_SECRET", api::SECRET);
    let api = api::Api::start(ground.home(), None);
    let slow = (1..=AGENTS.len() * TASKS).map(|pass| format!("store.create.before:{pass}:sleep:{UNKEPT_MS}"));
    ground.begin(Night::ByHand, Some(&slow.collect::<Vec<_>>().join(",")));
    let created = |entry| match entry {
        Entry::Batch { id, .. } => Some(id),
        _ => None,
    };
    let first = || ground.liar().ledger().into_iter().find_map(created);
    testkit::until("a batch is created", || first().is_some());
    let batch = first().expect("it was there");
    assert_eq!(api.say_ended(&batch), Some(204), "a hint is taken, whatever it is about");
    let kept = ground.number(&format!("SELECT count(*) FROM batches WHERE provider_id = '{batch}'"));
    let _ = ground.wait();
    drop(api);
    ground.finish().demand(kept == 0, "a webhook before the id")
}

/// Batches that were looked at [`LOOKS`] times or more.
fn looked_at_often(ground: &Ground) -> usize {
    let mut looks = BTreeMap::<String, usize>::new();
    for entry in ground.liar().ledger() {
        if let Entry::Request { op: Op::GetBatch, id, .. } = entry {
            *looks.entry(id).or_default() += 1;
        }
    }
    looks.into_values().filter(|looks| *looks >= LOOKS).count()
}

fn ends(ground: &Ground, status: &str, tasks: usize) {
    let ended = ground.number(&format!("SELECT count(*) FROM batch_job_tasks WHERE status = '{status}'"));
    assert_eq!(usize::try_from(ended).ok(), Some(tasks), "tasks that are {status}");
}
