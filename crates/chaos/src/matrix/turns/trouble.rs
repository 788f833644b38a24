//! What goes wrong in a night without anybody dying of it: refusals, failures that come again, work that takes long. Whoever
//! answers for it dies at that, and another one goes on.

use crash::Step;
use liar::{Act, Entry, Op, Reply, Rule, Settings};

use super::super::passes::Night;
use super::{Turn, armed_night};
use crate::ground::{Ground, held};
use crate::laptop::UNPARKED;
use crate::scenario::Outcome;

pub(super) const TURNS: &[Turn<Ground>] = &[
    Turn { name: "the time for a create is over", steps: &[Step::Deadline], run: over },
    Turn { name: "the provider has a second batch", steps: &[Step::Spare], run: spare },
    Turn { name: "uploads are refused", steps: &[Step::Upload], run: refused },
    Turn { name: "collecting fails, and fails again", steps: &[Step::GiveBack, Step::NoteBatch], run: fails },
    // A lease that a commit left alone ends behind what gives an order back.
    Turn { name: "an order is given back", steps: &[Step::Unlease], run: fails },
    Turn { name: "planning fails, and fails again", steps: &[Step::NoteJob], run: plans_fail },
    Turn { name: "collecting fails until nobody tries again", steps: &[Step::GaveUp], run: gave_up },
    Turn { name: "a run fails", steps: &[Step::FailRun], run: run_fails },
    Turn { name: "looks are too many", steps: &[Step::Rest], run: too_many },
    Turn { name: "an order takes long", steps: &[Step::Renew], run: order_takes_long },
    Turn { name: "a run takes long", steps: &[Step::RenewRun], run: run_takes_long },
];

/// Whoever had the create died with it; the next process waits until its time is over.
fn over(mut ground: Ground, wish: &str) -> Outcome {
    ground.begin(Night::ByHand, Some("provider.create.before:1"));
    ground.replace(Some(wish));
    let _ = ground.wait();
    ground.finish()
}

/// A proxy sends a create twice, and its reply is lost: one of the two batches is asked to stop.
fn spare(mut ground: Ground, wish: &str) -> Outcome {
    ground.expected().doubled = 1;
    ground.home().set("SUBMIT_SETTLE_MS", "6000");
    ground.liar().set(&Settings { lag_ms: 1_500, ..held() });
    ground.liar().tell(Rule::of(Op::Create).act(Act::Twice).reply(Reply::Drop));
    ground.begin(Night::ByHand, Some(wish));
    ground.until_all_are_out();
    testkit::until("the second batch is asked to stop", || {
        ground.liar().ledger().iter().any(|entry| matches!(entry, Entry::Request { op: Op::Cancel, .. }))
    });
    ground.let_run();
    ground.finish()
}

fn refused(mut ground: Ground, wish: &str) -> Outcome {
    ground.expected().may_fail = 2;
    ground.liar().tell(Rule::of(Op::Upload).times(2).refused(400, "invalid_file"));
    armed_night(ground, Night::ByHand, wish)
}

/// A point fails at its first passes, and a process dies at another one.
fn failing(point: &str, times: u32, wish: &str) -> String {
    let fails = (1..=times).map(|pass| format!("{point}:{pass}:error"));
    fails.chain([wish.to_owned()]).collect::<Vec<_>>().join(",")
}

fn fails(ground: Ground, wish: &str) -> Outcome {
    armed_night(ground, Night::ByHand, &failing("store.settle_lines.before", 7, wish))
}

fn plans_fail(ground: Ground, wish: &str) -> Outcome {
    armed_night(ground, Night::ByHand, &failing("store.plan.before", 4, wish))
}

/// Collecting has failed seven times, as the database says; the next failure gives the batch into a person's hands.
fn gave_up(mut ground: Ground, wish: &str) -> Outcome {
    ground.expected().failures = 7;
    let slow = (1..=6).map(|pass| format!("provider.download.before:{pass}:sleep:60000"));
    ground.begin(Night::ByHand, Some(&slow.collect::<Vec<_>>().join(",")));
    ground.until("all is collected", "SELECT 6 - count(*) FROM orders WHERE lane = 'collect'");
    ground.kill();
    ground.change("UPDATE orders SET failures = 7 WHERE lane = 'collect'");
    ground.liar().tell(Rule::of(Op::Content).refused(400, "invalid_request"));
    ground.go_on(Some(wish));
    ground.replace(None);
    ground.until("what is left is parked", UNPARKED);
    for job in ground.texts("SELECT CAST(job_id AS TEXT) FROM batches WHERE state = 'parked'") {
        let _ = ground.run(&["batch", "resolve", &job, "try-again"]).exits(0);
    }
    ground.finish()
}

fn run_fails(ground: Ground, wish: &str) -> Outcome {
    armed_night(ground, Night::ByClock, &failing("store.accept.before", 1, wish))
}

/// The provider has had too many looks: they rest, and go on.
fn too_many(mut ground: Ground, wish: &str) -> Outcome {
    ground.liar().set(&held());
    ground.begin(Night::ByHand, Some(wish));
    ground.until_all_are_out();
    for op in [Op::GetBatch, Op::ListBatches] {
        ground.liar().tell(Rule::of(op).times(2).refused(429, "rate_limit_exceeded"));
    }
    ground.let_run();
    let _ = ground.wait();
    ground.finish()
}

/// An order takes longer than its claim lasts, unless that is renewed.
fn order_takes_long(mut ground: Ground, wish: &str) -> Outcome {
    ground.home().set("CLAIM_LEASE_MS", "1000");
    armed_night(ground, Night::ByHand, &format!("provider.upload.before:1:sleep:2500,{wish}"))
}

/// The same of a run.
fn run_takes_long(ground: Ground, wish: &str) -> Outcome {
    armed_night(ground, Night::ByClock, &format!("store.accept.before:1:sleep:16500,{wish}"))
}
