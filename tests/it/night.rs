//! The night, reached by a clock that is set off: once for each date, caught up, missed, paused, crashed.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use testkit::Overnight;

const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// A night shift in a zone where it is noon now, so that no test stands at an hour that strikes.
fn shift() -> Overnight {
    let overnight = crate::overnight().with("GATEWAY_ADDR", "127.0.0.1:0").with("BATCH_TIMEZONE", "UTC");
    let hour = overnight.run(&["schedule", "next", "-n", "1", "--json"]).exits(0).json();
    let in_seconds = hour["nights"][0]["in_seconds"].as_i64().unwrap();
    // 02:00 UTC is `in_seconds` away; the hour that is twelve hours away takes its place.
    let away = in_seconds / 3_600;
    let hour = (2 + 24 + 12 - away).rem_euclid(24);
    overnight.with("BATCH_OVERNIGHT_HOUR", &hour.to_string())
}

fn backlog(overnight: &Overnight) {
    let loaded =
        overnight.run(&["load", &testkit::sample_issues(), "--backlog", "planner", "--json"]).exits(0);
    assert_eq!(loaded.json()["backlog_added"], 36);
}

/// `overnight up`, its clock set off; killed when it is dropped.
struct Up(Child);

impl Up {
    fn start(overnight: &mut Overnight, offset: &str) -> Self {
        overnight.set("OVERNIGHT_CLOCK_OFFSET", offset);
        Self(overnight.spawn(&["up"]))
    }

    /// Waits until a number in the database is what it should be.
    #[track_caller]
    fn until(&mut self, overnight: &Overnight, sql: &str, expected: i64) {
        let deadline = Instant::now() + PATIENCE;
        while !overnight.data_dir().join("overnight.db").exists()
            || overnight.database().number(sql) != expected
        {
            assert_eq!(self.0.try_wait().unwrap(), None, "it ended early");
            assert!(Instant::now() < deadline, "{sql} is not {expected}");
            std::thread::sleep(LOOK);
        }
    }

    /// Asks it to stop; a tick that has begun is finished before.
    fn stopped(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }

    fn killed(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `SCHEDULE TRIGGER STATE TASKS` of the runs, oldest first.
fn runs(overnight: &Overnight) -> Vec<String> {
    overnight.database().texts(
        "SELECT schedule || ' ' || trigger || ' ' || state || ' ' || tasks FROM schedule_runs ORDER BY slot_at, schedule",
    )
}

const ENDED: &str = "SELECT count(*) FROM tasks WHERE status = 'completed'";
const FINISHED: &str = "SELECT count(*) FROM schedule_runs WHERE state = 'finished'";

#[test]
fn a_night_comes_once_and_a_restart_does_not_repeat_it() {
    let mut overnight = shift();
    let mut up = Up::start(&mut overnight, "0s");
    up.until(&overnight, "SELECT count(*) FROM schedules WHERE next_at IS NOT NULL", 1);
    up.killed();
    backlog(&overnight);
    let mut up = Up::start(&mut overnight, "+13h");
    up.until(&overnight, ENDED, 36);
    up.until(&overnight, FINISHED, 1);
    up.killed();
    overnight.database().run("UPDATE tasks SET status = 'pending' WHERE id LIKE '%_issue_41'");
    // The same night again, and one to which the clock has jumped back. The clock writes what it was given
    // before its first tick, and ends no earlier than that tick.
    for (cap, offset) in [(91, "+14h"), (92, "+13h"), (93, "+1h")] {
        overnight.set("BATCH_OVERNIGHT_MAX_TASKS", &cap.to_string());
        let mut up = Up::start(&mut overnight, offset);
        up.until(&overnight, "SELECT max_tasks FROM schedules", cap);
        up.stopped();
    }
    assert_eq!(runs(&overnight), ["overnight scheduled finished 36"]);
    let events = overnight.run(&["events", "tail", "--json"]).exits(0).stdout;
    for event in ["schedule.run.started.v1", "schedule.run.finished.v1"] {
        let said = format!(r#""type":"dev.overnight.{event}""#);
        assert_eq!(events.matches(&said).count(), 1, "{event}");
    }
    assert!(events.contains(r#""partitionkey":"schedule/overnight""#), "{events}");
}

#[test]
fn nights_that_nobody_was_up_for_are_caught_up_or_said_to_be_missed() {
    let mut overnight = shift();
    backlog(&overnight);
    let _ = overnight.run(&["schedule", "run", "--set", "BATCH_OVERNIGHT_MAX_TASKS=1"]).exits(0);
    // Two nights that passed, and the third, one hour ago.
    let mut up = Up::start(&mut overnight, "+61h");
    up.until(&overnight, ENDED, 36);
    up.until(&overnight, FINISHED, 2);
    up.killed();
    let mut expected = vec![
        "overnight manual finished 1",
        "overnight scheduled missed 0",
        "overnight scheduled missed 0",
        "overnight scheduled finished 35",
    ];
    assert_eq!(runs(&overnight), expected);
    // And one that it is too late for.
    let mut up = Up::start(&mut overnight, "+105h");
    up.until(&overnight, "SELECT count(*) FROM schedule_runs WHERE state = 'missed'", 3);
    up.killed();
    expected.push("overnight scheduled missed 0");
    assert_eq!(runs(&overnight), expected);
}

#[test]
fn a_paused_schedule_skips_its_night_and_one_beside_it_runs() {
    let mut overnight = shift();
    backlog(&overnight);
    let _ = overnight
        .run(&["schedule", "add", "--repo", "harbor/api", "--max-tasks", "5", "--priority", "low"])
        .exits(0);
    let paused = overnight.run(&["schedule", "pause", "--reason", "a fair", "--json"]).exits(0);
    assert_eq!(paused.json()["state"], "paused");
    let mut up = Up::start(&mut overnight, "+13h");
    up.until(&overnight, ENDED, 5);
    up.until(&overnight, FINISHED, 1);
    // Told beside the process that owns the folder, which hears it at its next tick.
    let _ = overnight.run(&["schedule", "resume"]).exits(0);
    let _ = overnight.run(&["schedule", "remove", "harbor/api"]).exits(0);
    up.killed();
    assert_eq!(runs(&overnight), ["overnight scheduled skipped 0", "repo:harbor/api scheduled finished 5"]);
    let database = overnight.database();
    assert_eq!(
        database.texts("SELECT reason FROM schedule_runs WHERE state = 'skipped'"),
        ["paused: a fair"]
    );
    let seen = crate::events::checked(&overnight);
    assert!(seen.contains("dev.overnight.schedule.run.skipped.v1"), "{seen:?}");
    assert_eq!(database.texts("SELECT DISTINCT repo FROM tasks WHERE status = 'completed'"), ["harbor/api"]);
    assert_eq!(database.number("SELECT priority FROM batch_jobs"), 10);
    let mut up = Up::start(&mut overnight, "+37h");
    up.until(&overnight, ENDED, 36);
    up.killed();
}

/// The process dies at a point of its night, and the next one ends the night without doubling a task, or
/// taking more than one run may.
fn survives(point: &str) {
    let mut overnight = shift().with("BATCH_OVERNIGHT_MAX_TASKS", "40");
    backlog(&overnight);
    let _ = overnight.run(&["load", &testkit::sample_issues(), "--backlog", "reviewer"]).exits(0);
    let _ = overnight.run(&["schedule", "pause", "--reason", "to be on record"]).exits(0);
    let _ = overnight.run(&["schedule", "resume"]).exits(0);
    overnight.set("OVERNIGHT_CRASH", point);
    overnight.set("OVERNIGHT_CLOCK_OFFSET", "+13h");
    let crashed = overnight.run(&["up"]);
    assert_eq!(crashed.code, None, "{point} was not passed: {}", crashed.stderr);
    overnight.unset("OVERNIGHT_CRASH");
    let database = overnight.database();
    assert_eq!(database.number(FINISHED), 0);
    // Urgent work that comes meanwhile makes no second job for an agent that has one in this run.
    database.run(
        "INSERT INTO tasks (id, repo, agent_type, priority, payload, created_at, updated_at) \
         SELECT 'late', repo, agent_type, 99, payload, created_at, updated_at FROM tasks \
         WHERE agent_type = 'planner' AND id LIKE '%_issue_41'",
    );
    let mut up = Up::start(&mut overnight, "+13h");
    up.until(&overnight, ENDED, 40);
    up.until(&overnight, FINISHED, 1);
    up.killed();
    assert_eq!(runs(&overnight), ["overnight scheduled finished 40"]);
    assert_eq!(database.number("SELECT selected FROM schedule_runs"), 40);
    assert_eq!(database.number("SELECT left_over FROM schedule_runs"), 33);
    assert_eq!(database.number("SELECT jobs FROM schedule_runs"), 2);
    assert_eq!(database.number("SELECT count(*) FROM batch_jobs"), 2);
    assert_eq!(overnight.ledger().number("SELECT count(*) FROM served_runs"), 40);
}

#[test]
fn a_crash_before_the_night_is_survived() {
    survives("store.schedule.before");
}

#[test]
fn a_crash_between_the_night_and_its_jobs_is_survived() {
    survives("store.schedule.after");
}

#[test]
fn a_crash_with_a_claim_on_a_run_is_survived() {
    survives("store.claim_run.after");
}

#[test]
fn a_crash_between_two_jobs_of_a_night_is_survived() {
    survives("store.accept.after");
}

#[test]
fn a_crash_before_a_run_is_finished_is_survived() {
    survives("store.finish_run.before");
}

#[test]
fn a_task_that_cannot_be_used_takes_nobodys_place() {
    let overnight = shift();
    backlog(&overnight);
    let database = overnight.database();
    database.run("UPDATE tasks SET payload = 'no JSON', priority = 9 WHERE id LIKE '%_issue_41'");
    database
        .run("UPDATE tasks SET agent_type = '/etc/passwd.toml', priority = 8 WHERE id LIKE '%_issue_102'");
    let run = ["schedule", "run", "--json", "--set", "BATCH_OVERNIGHT_MAX_TASKS=4"];
    let ran = overnight.run(&run).exits(0);
    let run = &ran.json()["runs"][0];
    assert_eq!((run["selected"].as_u64(), run["tasks"].as_u64()), (Some(4), Some(4)), "{}", ran.stdout);
    assert_eq!(run["left"], 32);
    assert_eq!(run["reason"], "30 beyond the 4 that one run takes; 2 can't be used");
    assert!(ran.stderr.contains("is not a processor's name"), "{}", ran.stderr);
}

#[test]
fn a_preview_says_what_tonight_takes_and_stores_nothing() {
    let overnight = shift().with("BATCH_OVERNIGHT_MAX_TASKS", "20");
    backlog(&overnight);
    let preview = overnight.run(&["schedule", "preview", "--json"]).exits(0).json();
    let tonight = &preview["schedules"][0];
    assert_eq!((&tonight["tasks"], &tonight["left"]), (&20.into(), &16.into()));
    assert!(tonight["cost_usd_at_most"].as_f64().unwrap() > 0.0);
    let take = tonight["take"].as_array().unwrap();
    assert_eq!(take.iter().map(|row| row["tasks"].as_u64().unwrap()).sum::<u64>(), 20);
    assert!(take.iter().all(|row| row["agent"] == "planner" && row["repo"].is_string()), "{preview}");
    let database = overnight.database();
    for table in ["batch_jobs", "schedule_runs", "schedules"] {
        assert_eq!(database.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    assert_eq!(database.number("SELECT count(*) FROM tasks WHERE status = 'pending'"), 36);
}

#[test]
fn the_nights_to_come_say_what_the_clocks_do() {
    let overnight = crate::overnight();
    let spring = ["schedule", "next", "--from", "2027-03-27", "-n", "2"];
    let text = overnight.run(&spring).exits(0).stdout;
    assert!(text.contains("Sat 2027-03-27 02:00 +01:00  2027-03-27T01:00:00Z"), "{text}");
    assert!(text.contains("Sun 2027-03-28 03:00 +02:00  2027-03-28T01:00:00Z"), "{text}");
    assert!(text.contains("clocks go forward: 02:00 does not exist"), "{text}");
    let autumn = ["schedule", "next", "--from", "2027-10-31", "-n", "1", "--json"];
    let night = &overnight.run(&autumn).exits(0).json()["nights"][0];
    assert_eq!(night["utc"], "2027-10-31T00:00:00Z");
    assert!(night["note"].as_str().unwrap().contains("twice"), "{night}");
}

#[test]
fn a_schedule_that_is_not_there_is_said_to_be_unknown() {
    let overnight = crate::overnight();
    for command in ["show", "run", "resume", "remove", "history", "next", "preview"] {
        let ran = overnight.run(&["schedule", command, "acme/nowhere"]).exits(1);
        assert!(ran.stderr.contains("no schedule repo:acme/nowhere"), "{command}: {}", ran.stderr);
    }
    let _ = overnight.run(&["schedule", "remove", "overnight"]).exits(2);
    let _ = overnight.run(&["schedule", "add", "--repo", "nowhere"]).exits(2);
    // Its events name it, in messages with room for 255 bytes.
    let long = |bytes: usize| format!("acme/{}", "x".repeat(bytes - 5));
    let _ = overnight.run(&["schedule", "add", "--repo", &long(200)]).exits(0);
    let ran = overnight.run(&["schedule", "add", "--repo", &long(201)]).exits(2);
    assert!(ran.stderr.contains("has 201 bytes; a schedule takes at most 200"), "{}", ran.stderr);
    let _ = overnight.run(&["schedule", "pause"]).exits(2);
    let _ = overnight.run(&["doctor", "--set", "OVERNIGHT_CLOCK_OFFSET=soon"]).exits(78);
}
