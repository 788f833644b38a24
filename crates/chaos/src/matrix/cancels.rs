//! A cancel races with the work: while a step of submitting or collecting takes long, all jobs are called off. Whoever
//! writes second has lost the race, and decides again.

use std::time::{Duration, Instant};

use liar::{Act, Fate, Op, Reply, Rule};

use super::passes::{Night, comes_by, sees_to, write_down, write_no_more};
use crate::ground::{Ground, Pair};
use crate::laptop::SOON;
use crate::scenario::{Outcome, Scenario};

/// Steps in hand when the cancel comes.
const POINTS: [&str; 18] = [
    "store.plan.before",
    "store.plan.after",
    "provider.upload.after",
    "store.intent.before",
    "store.intent.after",
    "provider.create.before",
    "provider.create.after",
    "store.create.before",
    "store.create.after",
    "provider.look.after",
    "provider.find_batches.after",
    "store.poll.before",
    "provider.download.after",
    "store.settle_lines.before",
    "store.settle_lines.after",
    "store.collect.before",
    "store.collect.after",
    "store.settle.before",
];
/// Steps of finding out what became of a create that was lost, in hand when the cancel comes.
const DOUBTS: [&str; 4] = [
    "store.reconcile.before",
    "provider.delete_file.before",
    "provider.delete_file.after",
    "store.fence.after",
];
/// The step behind which the first batch is at its end.
const COLLECTED: &str = "store.collect.after";
/// How long the step takes: commands must have time to come.
const STEP_MS: u64 = 4_000;
/// A job is called off.
const CALLED_OFF: &str = "store.cancel.after:1";

/// All of them, on a pair of backends.
#[must_use]
pub fn on(pair: Pair) -> Vec<Scenario> {
    let race = |point: &'static str, doubt| {
        Scenario::new(pair, "cancel races", format!("with {point}"), move |site| {
            race(pair.evening(site), point, doubt)
        })
    };
    let quiet = POINTS.map(|point| race(point, false));
    quiet.into_iter().chain(DOUBTS.map(|point| race(point, true))).collect()
}

fn race(mut ground: Ground, point: &str, doubt: bool) -> Outcome {
    ground.expected().may_fail = usize::MAX;
    ground.expected().spare_looks += 4;
    // Nobody dies, and where the provider is honest, what it said of a create is known, whoever wins. A create has time for
    // a slow step, so that it is not in doubt for that.
    ground.expected().certain = !doubt;
    if doubt {
        ground.liar().tell(Rule::of(Op::Create).act(Act::Never).reply(Reply::Drop));
    }
    ground.home().set("SUBMIT_TIMEOUT_MS", "20000");
    if point == COLLECTED {
        // Its sibling and the other jobs are still out, or all would have ended before anybody calls them off.
        let held = Fate { held: true, ..Fate::default() };
        ground.liar().tell(Rule::of(Op::Create).from(2).times(0).fate(held));
    }
    sees_to(ground.liar(), point);
    let work = write_down(ground.home(), "work");
    ground.begin(Night::ByHand, Some(&format!("{point}:1:sleep:{STEP_MS}")));
    let is_at_it = comes_by(&work, &format!("{point}:1"), SOON);
    let until = Instant::now() + Duration::from_millis(STEP_MS);
    let calls = write_down(ground.home(), "calls");
    let jobs = ground.texts("SELECT CAST(id AS TEXT) FROM batch_jobs ORDER BY id");
    let cancels: Vec<_> = jobs.iter().map(|job| ground.home().spawn(&["batch", "cancel", job])).collect();
    let met = is_at_it && comes_by(&calls, CALLED_OFF, until.saturating_duration_since(Instant::now()));
    write_no_more(ground.home());
    let _ = ground.wait();
    for mut cancel in cancels {
        // It waits for its job, which has ended.
        let _ = cancel.kill();
        let _ = cancel.wait();
    }
    ground.finish().demand(met, format!("{point} while it was called off"))
}
