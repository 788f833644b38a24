//! Commands from outside: one message to the broker is one job, or a refusal that says why.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Fleet, until};

/// How long an answer may take here.
const PATIENCE: Duration = Duration::from_secs(60);
const EVENT: &str = "application/cloudevents+json";

/// A scheduler, and a job whose tasks have all failed. Nobody else is there to work on anything.
fn failed_job() -> (Fleet, String) {
    let mut fleet = Fleet::new(crate::overnight());
    fleet.start("scheduler", "scheduler");
    let files = testkit::sample_issues();
    let mut submit = fleet.home.spawn(&["batch", "submit", "product-labeling", "--files", &files]);
    fleet.until("SELECT count(*) FROM batch_jobs", 1, PATIENCE);
    submit.kill().unwrap();
    submit.wait().unwrap();
    fleet.change("UPDATE batch_job_tasks SET status = 'failed', error_class = 'server_error'");
    let job = fleet.texts("SELECT id::text FROM batch_jobs").remove(0);
    (fleet, job)
}

fn command(id: &str, job: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "urn:ops",
        "type": "dev.overnight.command.reprocess_failed.v1",
        "data": { "reprocess_failed": { "job": job }, "labels": { "asked": "by ops" } },
    })
}

/// Whether the documents say that it is a command.
fn is_documented(command: &Value) -> bool {
    crate::events::messages()["dev.overnight.command.reprocess_failed.v1"].is_valid(command)
}

#[test]
fn what_the_documents_call_a_command_is_one() {
    let mut command = command("c-1", "01a2");
    for (reprocess, fits) in [
        (json!({ "job": "01a2", "error_class": "auth", "older_than": "7d" }), true),
        (json!({ "error_class": "auth", "limit": 5 }), true),
        (json!({ "backlog": { "agent_type": "planner" }, "older_than": "1h" }), true),
        (json!({}), false),
        (json!({ "job": "0", "backlog": {} }), false),
        (json!({ "backlog": {}, "error_class": "auth" }), false),
        (json!({ "backlog": {}, "older_than": "1d", "limit": 5 }), false),
        (json!({ "job": "0", "older_than": "1d", "limit": 5 }), false),
        (json!({ "limit": 5 }), false),
        (json!({ "error_class": "none" }), false),
        (json!({ "older_then": "7d" }), false),
    ] {
        command["data"]["reprocess_failed"] = reprocess;
        assert_eq!(is_documented(&command), fits, "{command}");
    }
}

fn send(fleet: &Fleet, command: &Value) {
    fleet.send_command(command.to_string().as_bytes(), EVENT, &[]);
}

const RETRIES: &str = "SELECT count(*) FROM batch_jobs WHERE kind = 'reprocess_failed'";
const REFUSED: &str = "SELECT count(*) FROM events WHERE type = 'command.refused.v1'";

#[test]
fn a_command_is_one_job_however_often_it_comes() {
    let (fleet, job) = failed_job();
    let wish = command("c-1", &job[..13]);
    assert!(is_documented(&wish));
    send(&fleet, &wish);
    send(&fleet, &wish);
    // Once more in binary mode: the same source and id, so the same command.
    let header = |name: &str| (format!("cloudEvents_{name}"), wish[name].as_str().unwrap().to_owned());
    let headers = ["specversion", "id", "source", "type"].map(header);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fleet.send_command(wish["data"].to_string().as_bytes(), "application/json", &headers);
    // What comes after it is behind it.
    send(&fleet, &command("c-2", "0000"));
    fleet.until(REFUSED, 1, PATIENCE);
    let nothing = "SELECT count(*) FROM events WHERE type = 'command.found_nothing.v1'";
    assert_eq!((fleet.number(RETRIES), fleet.number(nothing)), (1, 0));
    assert_eq!(fleet.number("SELECT total FROM batch_jobs WHERE kind = 'reprocess_failed'"), 36);
    let told =
        "SELECT data::text FROM events WHERE type = 'job.accepted.v1' AND data->'command'->>'id' = 'c-1'";
    let told: Value = serde_json::from_str(&fleet.texts(told)[0]).unwrap();
    assert_eq!(told["command"], json!({ "source": "urn:ops", "id": "c-1" }));
    assert_eq!((&told["parent_job_id"], &told["tasks"]), (&json!(job), &json!(36)));

    // Another command for the same: all of it is on its way, which is no refusal.
    send(&fleet, &command("c-3", &job));
    fleet.until(nothing, 1, PATIENCE);
    // And another wish under the name of the first one.
    send(&fleet, &command("c-1", &job));
    fleet.until(REFUSED, 2, PATIENCE);
    assert_eq!(fleet.number(RETRIES), 1);
    // What failed in all jobs, by its reason: the retry's own tasks now, since it has taken up the first job's.
    fleet.change("UPDATE batch_job_tasks SET status = 'expired', error_class = 'batch_expired' WHERE status = 'pending'");
    let mut all = command("c-4", "");
    all["data"] = json!({ "reprocess_failed": { "error_class": "batch_expired", "limit": 10 } });
    send(&fleet, &all);
    fleet.until(RETRIES, 2, PATIENCE);
    assert_eq!(fleet.number("SELECT min(total) FROM batch_jobs WHERE kind = 'reprocess_failed'"), 10);
    // What its limit has left is told.
    let told =
        "SELECT data::text FROM events WHERE type = 'job.accepted.v1' AND data->'command'->>'id' = 'c-4'";
    let told: Value = serde_json::from_str(&fleet.texts(told)[0]).unwrap();
    assert_eq!(told["left_out"]["beyond_limit"], 26);
    until("the two refusals are dead letters", || fleet.waiting("dead") == 2);
    assert!(fleet.take_dead_letters()[1].reason.contains("had the same id"));
    fleet.until("SELECT count(*) FROM events WHERE published_at IS NULL", 0, PATIENCE);
    crate::events::checked(&fleet.home);
}

#[test]
fn a_command_whose_job_begins_like_the_one_that_it_names_is_that_job_when_it_comes_again() {
    let (fleet, _) = failed_job();
    let wish = command("c-1", "0");
    send(&fleet, &wish);
    fleet.until(RETRIES, 1, PATIENCE);
    send(&fleet, &wish);
    // What comes after it is behind it.
    send(&fleet, &command("c-2", "ffff"));
    fleet.until("SELECT count(*) FROM events WHERE data->'command'->>'id' = 'c-2'", 1, PATIENCE);
    assert_eq!((fleet.number(RETRIES), fleet.number(REFUSED)), (1, 1));
}

#[test]
fn a_refused_command_is_an_event_and_a_dead_letter_with_its_reason() {
    let (fleet, _) = failed_job();
    let unknown = command("c-1", "00000000-dead");
    let mut cases = vec![
        (b"{\"specversion\": ".to_vec(), "the body isn't JSON"),
        (unknown.to_string().into_bytes(), "no job has an id that begins with 00000000-dead; there are "),
        (vec![b'x'; 300_000], "the body has 300000 bytes; a command has at most 262144"),
    ];
    for (change, reason) in [
        (json!({ "specversion": "2.0" }), "specversion is \"2.0\"; send CloudEvents 1.0"),
        (json!({ "id": null }), "id is missing or no name; give"),
        (
            json!({ "type": "dev.overnight.command.stop.v1" }),
            "the inbox takes dev.overnight.command.reprocess",
        ),
        (
            json!({ "data": { "reprocess_failed": { "job": "0", "error_class": "x" } } }),
            "take one of rate_limited",
        ),
        (json!({ "data": { "task_ids": ["1"] } }), "data.reprocess_failed is missing"),
    ] {
        let mut event = command(&format!("c-{reason}"), "0");
        event.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        cases.push((event.to_string().into_bytes(), reason));
    }
    let all = i64::try_from(cases.len()).unwrap();
    for (body, _) in &cases {
        fleet.send_command(body, EVENT, &[]);
    }
    fleet.until(REFUSED, all, PATIENCE);
    // It comes again: it is refused again, and told once.
    send(&fleet, &unknown);
    until("all are dead letters", || i64::from(fleet.waiting("dead")) == all + 1);
    assert_eq!(fleet.number(REFUSED), all);
    let dead = fleet.take_dead_letters();
    let told = fleet.texts("SELECT data->>'reason' FROM events WHERE type = 'command.refused.v1'");
    for (body, reason) in &cases {
        let letter = dead.iter().find(|letter| letter.body == *body).unwrap();
        assert!(letter.reason.contains(reason), "{}", letter.reason);
        assert!(told.contains(&letter.reason), "{} in {told:?}", letter.reason);
    }
    assert_eq!(fleet.number(RETRIES), 0);
    assert_eq!(fleet.waiting("inbox"), 0);
    let seen = crate::events::checked(&fleet.home);
    assert!(seen.contains("dev.overnight.command.refused.v1"));
}

#[test]
fn a_command_waits_for_the_database_and_is_neither_lost_nor_refused() {
    let (fleet, job) = failed_job();
    fleet.take_database_away(true);
    send(&fleet, &command("c-1", &job));
    let tries = || fleet.log("scheduler").matches("a command from outside can't be answered yet").count();
    let started = Instant::now();
    until("it was tried three times", || tries() >= 3);
    // Pauses grow: it doesn't run hot.
    assert!(started.elapsed() > Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(fleet.waiting("dead"), 0);
    fleet.take_database_away(false);
    fleet.until(RETRIES, 1, PATIENCE);
    assert_eq!((fleet.number(REFUSED), fleet.waiting("dead"), fleet.waiting("inbox")), (0, 0, 0));
}

#[test]
fn a_command_that_its_readers_gave_back_too_often_is_refused_aloud() {
    let (mut fleet, job) = failed_job();
    fleet.stop("scheduler");
    for (id, returns) in [("c-1", 4), ("c-2", 5)] {
        send(&fleet, &command(id, &job));
        // The one before it is away.
        for nth in 0..returns {
            until("it is back", || fleet.waiting("inbox") == 1);
            println!("{id} is given back, {nth}");
            fleet.give_command_back();
        }
        fleet.start("scheduler", "scheduler");
        if id == "c-1" {
            fleet.until(RETRIES, 1, PATIENCE);
            until("it is answered", || fleet.waiting("inbox") == 0);
            fleet.stop("scheduler");
        }
    }
    fleet.until(REFUSED, 1, PATIENCE);
    until("it is a dead letter", || fleet.waiting("dead") == 1);
    let reason = &fleet.take_dead_letters()[0].reason;
    assert!(reason.contains("five times"), "{reason}");
    let told = fleet.texts("SELECT data::text FROM events WHERE type = 'command.refused.v1'");
    assert!(told[0].contains("c-2") && told[0].contains("five times"), "{told:?}");
}
