//! The five-minute start: real files in, checked answers out, one binary and nothing to install.

use std::fs;

use serde_json::Value;

#[test]
fn issues_go_in_and_checked_answers_come_out() {
    let overnight = crate::overnight().with("BATCH_MAX_REQUESTS", "15");
    let issues = testkit::sample_issues();
    let dry = overnight
        .run(&["batch", "submit", "product-labeling", "--files", &issues, "--dry-run", "--json"])
        .exits(0);
    assert_eq!(dry.json()["batches"], serde_json::json!([15, 15, 6]));
    let ran = overnight
        .run(&["batch", "submit", "product-labeling", "--files", &issues, "--wait", "--json"])
        .exits(0);
    assert_eq!(ran.json()["outcome"], "completed");
    let job = ran.json()["job_id"].as_str().unwrap().to_owned();

    // A dry run stores nothing, and an estimate is an upper bound of the cost.
    assert_eq!(overnight.database().number("SELECT count(*) FROM batch_jobs"), 1);
    let estimate = dry.json()["cost_usd_at_most"].as_f64().unwrap();
    assert!(ran.json()["cost_usd"].as_f64().unwrap() <= estimate);

    let collected = overnight.run(&["batch", "collect", &job[..20], "--json"]).exits(0);
    assert_eq!(collected.json()["written"], 36);
    let results = overnight.data_dir().join("results");
    let files: Vec<_> = fs::read_dir(&results).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 36);
    for file in files {
        assert!(file.display().to_string().ends_with("_product-labeling.json"), "{}", file.display());
        let result: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(result["issue_reference"]["job"], job.as_str());
        assert_eq!(result["processor"]["name"], "product-labeling");
        let class = result["analysis"]["classification"].as_str().unwrap();
        assert!(["bug", "feature", "question"].contains(&class));
    }
}

#[test]
fn the_same_command_again_submits_nothing_and_says_why() {
    let overnight = crate::overnight();
    let issues = testkit::sample_issues();
    let submit = ["batch", "submit", "product-labeling", "--wait", "--files", &issues];
    let _ = overnight.run(&submit).exits(0);
    let again = overnight.run(&submit).exits(0);
    assert!(
        again.stdout.contains("nothing to submit: all 36 records are known to product-labeling"),
        "{}",
        again.stdout
    );
    assert_eq!(overnight.ledger().number("SELECT count(*) FROM served_runs"), 36);
    // Unless the person says so.
    let anew = [&submit[..], &["--again"]].concat();
    let _ = overnight.run(&anew).exits(0);
    assert_eq!(overnight.ledger().number("SELECT count(*) FROM served_runs"), 72);
}

#[test]
fn a_night_works_the_backlog_and_writes_back() {
    let overnight = crate::overnight();
    let issues = testkit::sample_issues();
    let loaded = overnight.run(&["load", &issues, "--backlog", "planner", "--json"]).exits(0);
    assert_eq!(loaded.json()["backlog_added"], 36);
    let _ = overnight.run(&["schedule", "run"]).exits(0);
    let database = overnight.database();
    let done = "SELECT count(*) FROM tasks WHERE status = 'completed' AND json_valid(result) AND batch_job_id IS NOT NULL";
    assert_eq!(database.number(done), 36);
    // The next night finds nothing left.
    let next = overnight.run(&["schedule", "run"]).exits(0);
    assert!(next.stdout.contains("no pending task"), "{}", next.stdout);
    // What the platform makes pending again is worked again, though it was answered before.
    database.run("UPDATE tasks SET status = 'pending' WHERE id LIKE '%_issue_41'");
    let again = overnight.run(&["schedule", "run", "--json"]).exits(0);
    assert_eq!(again.json()["jobs"][0]["tasks"]["succeeded"], 1, "{}", again.stdout);
    // Where nothing may be sent, jobs are held and nobody waits for them.
    database.run("UPDATE tasks SET status = 'pending' WHERE id LIKE '%_issue_41'");
    let held = overnight.run(&["schedule", "run", "--set", "ENABLE_BATCH_API=false"]).exits(0);
    assert!(held.stdout.contains("the jobs are held"), "{}", held.stdout);
}

#[test]
fn both_endpoints_work() {
    let overnight = crate::overnight();
    let issues = testkit::sample_issues();
    for processor in ["product-labeling", "reviewer"] {
        let _ = overnight.run(&["batch", "submit", processor, "--wait", "--files", &issues]).exits(0);
    }
    let endpoints = overnight.database().texts("SELECT endpoint FROM batch_jobs ORDER BY endpoint");
    assert_eq!(endpoints, ["/v1/chat/completions", "/v1/responses"]);
}

#[test]
fn a_job_for_tonight_waits() {
    let overnight = crate::overnight();
    let issues = testkit::sample_issues();
    let held = overnight
        .run(&["batch", "submit", "product-labeling", "--files", &issues, "--tonight", "--json"])
        .exits(0);
    assert_eq!(held.json()["state"], "held");
    assert!(
        held.json()["hold_until"].as_str().unwrap() > held.json()["job_id"].as_str().unwrap(),
        "{}",
        held.stdout
    );
    let job = held.json()["job_id"].as_str().unwrap().to_owned();
    let _ = overnight.run(&["batch", "wait", &job, "--timeout", "1s"]).exits(3);
    let status = overnight.run(&["batch", "status", &job, "--exit-status", "--json"]).exits(8);
    assert_eq!(status.json()["state"], "held");
}

#[test]
fn a_cancelled_job_keeps_what_is_finished() {
    let overnight = crate::overnight().with("OVERNIGHT_SIM", "hold=true").with("BATCH_MAX_REQUESTS", "10");
    let issues = testkit::sample_issues();
    let submitted =
        overnight.run(&["batch", "submit", "product-labeling", "--files", &issues, "--json"]).exits(0);
    let job = submitted.json()["job_id"].as_str().unwrap().to_owned();
    let cancelled = overnight.run(&["batch", "cancel", &job, "--json"]).exits(0);
    assert_eq!(cancelled.json()["state"], "cancelled");
    assert_eq!(cancelled.json()["tasks"]["cancelled"], 36);
    let _ = overnight.run(&["batch", "wait", &job]).exits(5);
    let _ = overnight.run(&["batch", "cancel", &job]).exits(1);
}

#[test]
fn an_unknown_price_is_unknown_and_not_nothing() {
    let overnight = crate::overnight();
    let issues = testkit::sample_issues();
    let submit = ["batch", "submit", "product-labeling", "--model", "nobodys-model", "--files", &issues];
    let dry = overnight.run(&[&submit[..], &["--dry-run", "--json"]].concat()).exits(0);
    assert_eq!(dry.json()["cost_usd_at_most"], Value::Null);
    let ran = overnight.run(&[&submit[..], &["--wait"]].concat()).exits(0);
    assert!(ran.stdout.contains("no price of nobodys-model is known"), "{}", ran.stdout);
    unknown_everywhere(&overnight, 36);
}

#[test]
fn answers_that_are_missing_have_an_unknown_cost_and_not_none() {
    let overnight = crate::overnight().with("OVERNIGHT_SIM", "missing=1");
    let files = testkit::write_records(overnight.folder(), 3, 50);
    let ran = overnight.run(&["batch", "submit", "product-labeling", "--wait", "--files", &files]).exits(5);
    let why = "cost unknown: 3 requests at unknown cost, since the provider told no usage";
    assert!(ran.stdout.contains(why), "{}", ran.stdout);
    unknown_everywhere(&overnight, 3);
}

/// Wherever the cost of the one job is shown it is unknown, and not 0.
#[track_caller]
fn unknown_everywhere(overnight: &testkit::Overnight, requests: i64) {
    let job = overnight.only_job();
    for name in ["cost_usd", "normal_cost_usd", "saved_usd"] {
        assert_eq!(job[name], Value::Null, "{name}");
    }
    assert_eq!(job["answers_of_unknown_cost"], requests);
    let list = overnight.run(&["batch", "list"]).exits(0);
    let line = list.stdout.lines().nth(1).unwrap();
    assert_eq!((line.matches("unknown").count(), line.matches('$').count()), (2, 0), "{line}");
    let nulls = "SELECT count(*) FROM batch_job_overview WHERE cost_usd IS NULL AND normal_cost_usd IS NULL \
        AND unknown_costs > 0";
    assert_eq!(overnight.database().number(nulls), 1);
}

#[test]
fn a_cost_that_is_known_in_part_is_marked() {
    let overnight = crate::overnight().with("OVERNIGHT_SIM", "missing=0.3");
    let issues = testkit::sample_issues();
    let _ = overnight.run(&["batch", "submit", "product-labeling", "--wait", "--files", &issues]).exits(6);
    let job = overnight.only_job();
    assert!(job["cost_usd"].as_f64().unwrap() > 0.0 && job["answers_of_unknown_cost"].as_i64().unwrap() > 0);
    let list = overnight.run(&["batch", "list"]).exits(0).stdout;
    let line = list.lines().nth(1).unwrap();
    assert!(line.contains("+  ") && list.contains("\n+ and requests whose cost nobody knows"), "{list}");
    let known = "SELECT count(*) FROM batch_job_overview WHERE cost_usd > 0 AND unknown_costs > 0";
    assert_eq!(overnight.database().number(known), 1);
}

#[test]
fn the_same_runs_on_postgres() {
    let database = testkit::postgres_blocking();
    let overnight = crate::overnight().with("BATCH_MAX_REQUESTS", "10").with("DATABASE_URL", database.url());
    let _ = overnight.run(&["load", &testkit::sample_issues(), "--backlog", "planner"]).exits(0);
    let _ = overnight.run(&["schedule", "run"]).exits(0);
    let job = overnight.only_job();
    assert_eq!((&job["state"], &job["tasks"]["succeeded"]), (&Value::from("completed"), &Value::from(36)));
    assert_eq!(overnight.ledger().number("SELECT count(*) FROM served_runs"), 36);
    assert!(!overnight.data_dir().join("overnight.db").exists());
}

#[test]
fn the_overview_tells_what_all_batches_are_and_not_the_last() {
    let overnight = crate::overnight().with("OVERNIGHT_SIM", "hold=true").with("BATCH_MAX_REQUESTS", "20");
    let issues = testkit::sample_issues();
    let _ = overnight.run(&["batch", "submit", "product-labeling", "--files", &issues]).exits(0);
    let database = overnight.database();
    let is = |status: &str| {
        assert_eq!(database.texts("SELECT status FROM batch_job_overview"), [status]);
    };
    database.run("UPDATE batches SET remote_status = 'in_progress'");
    is("in_progress");
    // A retry that is only planned.
    database.run(
        "UPDATE batches SET state = 'planned', provider_id = NULL, remote_status = NULL WHERE number = 2",
    );
    is("in_progress");
    database.run("UPDATE batches SET remote_status = 'validating' WHERE number = 1");
    is("submitted");
    database.run("UPDATE batches SET state = 'planned', provider_id = NULL");
    is("pending");
}
