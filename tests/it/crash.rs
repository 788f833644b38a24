//! kill -9 at every crash point: after a restart, the same end, and nothing paid twice.

use serde_json::json;
use testkit::Overnight;

/// Aborts the process at its `nth` pass of `point`, starts it again, and demands the end that a run without
/// a crash has.
fn survives(point: &str, nth: u32) {
    let issues = testkit::sample_issues();
    let mut overnight = crate::overnight().with("BATCH_MAX_REQUESTS", "10");
    overnight.set("OVERNIGHT_CRASH", &format!("{point}:{nth}"));
    let crashed = overnight.run(&["batch", "submit", "product-labeling", "--wait", "--files", &issues]);
    assert_eq!(crashed.code, None, "{point}:{nth} was not passed: {}", crashed.stderr);
    overnight.unset("OVERNIGHT_CRASH");
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

#[test]
fn without_a_crash_the_end_is_as_demanded() {
    let overnight = crate::overnight().with("BATCH_MAX_REQUESTS", "10");
    let issues = testkit::sample_issues();
    let _ = overnight.run(&["batch", "submit", "product-labeling", "--wait", "--files", &issues]).exits(0);
    check(&overnight);
}

macro_rules! survives {
    ($($name:ident: $point:literal, $nth:literal;)*) => {
        $(#[test]
        fn $name() {
            survives($point, $nth);
        })*

        /// A point that is added without a test fails here.
        #[test]
        fn every_crash_point_is_tested() {
            let tested: Vec<&str> = [$($point),*].into_iter().chain(crate::night::CRASHES).collect();
            let help = crate::overnight().with("OVERNIGHT_CRASH", "nowhere").run(&["doctor"]);
            let points = help.stderr.split("one of ").nth(1).unwrap().lines().next().unwrap().to_owned();
            for point in points.split(", ") {
                assert!(tested.contains(&point), "{point} has no test");
            }
        }
    };
}

survives! {
    before_a_part_is_planned: "plan.before_commit", 1;
    after_a_part_is_planned: "plan.after_commit", 1;
    before_an_upload: "upload.before", 2;
    after_an_upload: "upload.after", 1;
    after_a_second_upload: "upload.after", 3;
    after_an_intent: "create.after_intent", 1;
    after_a_third_intent: "create.after_intent", 3;
    after_a_create: "create.after_reply", 1;
    after_the_last_create: "create.after_reply", 4;
    after_a_create_is_on_record: "create.after_commit", 2;
    after_a_look: "poll.after_look", 1;
    after_a_download: "collect.after_download", 1;
    between_two_chunks: "collect.after_chunk", 2;
    before_a_batch_is_collected: "collect.before_commit", 2;
    after_a_batch_is_collected: "collect.after_commit", 3;
    before_a_job_ends: "settle.before_commit", 1;
}
