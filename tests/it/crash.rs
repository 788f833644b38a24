//! kill -9 at every crash point: after a restart, the same end, and nothing paid twice.

use std::collections::BTreeSet;
use std::process::Command;

use crash::Point;
use serde_json::json;
use testkit::Overnight;

/// Aborts the process at its `nth` pass of `point`, starts it again, and demands the end that a run without
/// a crash has.
fn survives(point: &str, nth: u32) {
    let issues = testkit::sample_issues();
    let submit = ["batch", "submit", "product-labeling", "--wait", "--files", &issues];
    let mut overnight = crate::overnight().with("BATCH_MAX_REQUESTS", "10");
    overnight.set("OVERNIGHT_CRASH", &format!("{point}:{nth}"));
    let crashed = overnight.run(&submit);
    assert_eq!(crashed.code, None, "{point}:{nth} was not passed: {}", crashed.stderr);
    overnight.unset("OVERNIGHT_CRASH");
    if overnight.database().number("SELECT count(*) FROM batch_jobs") == 0 {
        // It died before it had said that the job is accepted: whoever submits does so again.
        let _ = overnight.run(&submit).exits(0);
    }
    let job = overnight.only_job();
    let waited = overnight.run(&["batch", "wait", job["job_id"].as_str().unwrap(), "--timeout", "120s"]);
    assert_eq!(waited.code, Some(0), "{}\n{}", waited.stdout, waited.stderr);
    check(&overnight);
}

/// The end: every task has its one outcome, every answer is there once, and the provider's ledger shows no
/// request that ran twice and no two batches of one upload.
fn check(overnight: &Overnight) {
    let job = overnight.only_job();
    let succeeded =
        json!({"pending":0,"submitted":0,"succeeded":36,"failed":0,"expired":0,"cancelled":0,"missing":0});
    assert_eq!(job["tasks"], succeeded);
    let database = overnight.database();
    assert_eq!(database.number("SELECT count(*) FROM answers"), 36);
    assert_eq!(database.number("SELECT count(*) FROM orders"), 0);
    assert_eq!(database.number("SELECT count(*) FROM attempts WHERE state = 'live'"), 0);
    assert_eq!(database.number("SELECT count(*) FROM events WHERE type = 'task.completed.v1'"), 36);
    assert_eq!(
        database.number("SELECT sum(cost) FROM attempts"),
        database.number("SELECT cost FROM batch_jobs")
    );
    assert_eq!(database.number("SELECT succeeded FROM batch_jobs"), 36);
    let ledger = overnight.ledger();
    assert_eq!(ledger.number("SELECT count(*) FROM served_runs"), 36);
    assert_eq!(ledger.number("SELECT count(DISTINCT custom_id) FROM served_runs"), 36);
    let uploads = "SELECT count(*) - count(DISTINCT json_extract(metadata, '$.overnight_batch') || '/' || \
        json_extract(metadata, '$.overnight_upload')) FROM served_batches";
    assert_eq!(ledger.number(uploads), 0);
}

macro_rules! survives {
    ($($name:ident: $step:literal;)*) => {
        $(#[test]
        fn $name() {
            survives(concat!($step, ".before"), 1);
            survives(concat!($step, ".after"), 1);
        })*

        const TESTED: &[&str] = &[$($step),*];
    };
}

// Every step that a job takes on its way, in its order: before it, and behind it.
survives! {
    claims_are_forgotten: "store.forget_claims";
    claims_of_runs_are_forgotten: "store.forget_run_claims";
    what_rests_is_woken: "store.wake";
    a_job_is_accepted: "store.accept";
    orders_are_put_off: "store.put_off";
    orders_are_sent: "queue.send";
    an_order_is_claimed: "store.claim";
    a_message_is_acknowledged: "queue.acknowledge";
    a_part_is_planned: "store.plan";
    the_tag_is_made: "store.instance";
    the_audit_walks_the_batches: "provider.list_batches";
    a_submit_walks_the_files: "provider.list_files";
    a_file_goes_up: "provider.upload";
    an_intent_is_committed: "store.intent";
    a_batch_is_created: "provider.create";
    a_create_is_on_record: "store.create";
    a_batch_is_looked_at: "provider.look";
    a_look_is_on_record: "store.poll";
    a_file_comes_down: "provider.download";
    a_spool_file_is_opened: "spool.create";
    a_spool_file_gets_its_name: "spool.rename";
    a_chunk_is_settled: "store.settle_lines";
    what_is_missing_is_settled: "store.settle_missing";
    a_batch_is_collected: "store.collect";
    a_spool_file_goes: "spool.remove";
    lost_orders_are_placed: "store.lost_orders";
    a_job_is_counted: "store.settle";
}

#[test]
fn a_later_one_of_several_crashes() {
    for (point, nth) in [
        ("provider.upload.after", 3),
        ("store.intent.after", 3),
        ("provider.create.after", 4),
        ("store.create.after", 2),
        ("store.settle_lines.after", 2),
        ("store.collect.before", 2),
        ("store.collect.after", 3),
        ("store.settle.before", 2),
    ] {
        survives(point, nth);
    }
}

/// A job passes exactly the points that are tested above: a step that is added on its way fails here.
#[test]
fn every_step_of_a_job_is_tested() {
    let mut overnight = crate::overnight().with("BATCH_MAX_REQUESTS", "10");
    let log = overnight.folder().join("passed");
    overnight.set("OVERNIGHT_CRASH_LOG", log.to_str().unwrap());
    let issues = testkit::sample_issues();
    let _ = overnight.run(&["batch", "submit", "product-labeling", "--wait", "--files", &issues]).exits(0);
    check(&overnight);
    let log = std::fs::read_to_string(&log).unwrap();
    let passed: BTreeSet<&str> = log.lines().filter_map(|line| line.split(':').next()).collect();
    let tested = |point: &&Point| TESTED.contains(&point.step.name());
    let tested: BTreeSet<String> = Point::ALL.iter().filter(tested).map(Point::to_string).collect();
    // A commit may be overtaken, and a claim renewed, on a slow day; and three looks may be due together, or not.
    let now_and_then = ["store.give_back", "store.unlease", "store.renew", "provider.find_batches"];
    let passed = passed.into_iter().filter(|point| !now_and_then.iter().any(|step| point.starts_with(step)));
    assert_eq!(passed.map(str::to_owned).collect::<BTreeSet<_>>(), tested);
}

#[test]
fn a_step_can_fail_wait_and_stop_the_process() {
    let issues = testkit::sample_issues();
    let submit = ["batch", "submit", "product-labeling", "--wait", "--files", &issues];
    for wish in
        ["store.settle_lines.after:1:error", "spool.rename.before:1:error", "store.plan.after:1:sleep:50"]
    {
        let overnight = crate::overnight().with("BATCH_MAX_REQUESTS", "10").with("OVERNIGHT_CRASH", wish);
        let _ = overnight.run(&submit).exits(0);
        check(&overnight);
    }
    let overnight = crate::overnight()
        .with("BATCH_MAX_REQUESTS", "10")
        .with("OVERNIGHT_CRASH", "provider.create.before:2:stop");
    let mut stopped = overnight.spawn(&submit);
    let stat = format!("/proc/{}/stat", stopped.id());
    testkit::until("the process has stopped", || {
        let stat = std::fs::read_to_string(&stat).unwrap();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    });
    // The other worker may be on its way with the first one.
    assert!(overnight.ledger().number("SELECT count(*) FROM served_batches") <= 1);
    let id = stopped.id().to_string();
    assert!(Command::new("kill").args(["-CONT", &id]).status().unwrap().success());
    assert!(stopped.wait().unwrap().success());
    check(&overnight);
}
