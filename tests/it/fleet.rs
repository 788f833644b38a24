//! The fleet: roles as processes of their own, on PostgreSQL and RabbitMQ.

use std::process::Command;
use std::time::Duration;

use liar::{Act, Liar, Op, Reply, Rule};
use testkit::Fleet;

/// How long a small night may take here.
const PATIENCE: Duration = Duration::from_secs(90);

/// A gateway, and nobody else yet.
fn gateway() -> Fleet {
    let home = crate::overnight()
        .with("BATCH_MAX_REQUESTS", "10")
        .with("BATCH_POLL_INTERVAL_MS", "200")
        .with("OVERNIGHT_SIM", "latency_ms=20");
    let mut fleet = Fleet::new(home);
    fleet.start("gateway", "gateway");
    fleet
}

/// A gateway, two submitters, two pollers.
fn fleet() -> Fleet {
    let mut fleet = gateway();
    for name in ["submitter-1", "submitter-2"] {
        fleet.start(name, "submitter");
    }
    for name in ["poller-1", "poller-2"] {
        fleet.start(name, "poller");
    }
    fleet
}

/// Fills the backlog, starts the night, and doesn't wait for it.
fn fill_and_start(fleet: &Fleet) {
    let _ = fleet.home.run(&["load", &testkit::sample_issues(), "--backlog", "planner"]).exits(0);
    let mut night = fleet.home.spawn(&["schedule", "run"]);
    fleet.until("SELECT count(*) FROM batch_jobs", 1, PATIENCE);
    night.kill().unwrap();
    night.wait().unwrap();
}

/// Whatever happened: each request ran once, each task has its one outcome and is written back.
fn whole(fleet: &Fleet) {
    fleet.until("SELECT count(*) FROM tasks WHERE status = 'completed'", 36, PATIENCE);
    fleet.until("SELECT count(*) FROM batch_jobs WHERE state = 'completed'", 1, PATIENCE);
    assert_eq!(fleet.number("SELECT count(*) FROM events WHERE type = 'task.completed.v1'"), 36);
    fleet.until("SELECT count(*) FROM events WHERE published_at IS NULL", 0, PATIENCE);
    let ledger = fleet.home.ledger();
    assert_eq!(ledger.number("SELECT count(*) FROM served_runs"), 36);
    assert_eq!(ledger.number("SELECT count(DISTINCT custom_id) FROM served_runs"), 36);
    assert_eq!(ledger.number("SELECT count(*) FROM served_batches"), 4);
}

#[test]
fn a_night_of_five_processes() {
    let fleet = fleet();
    fill_and_start(&fleet);
    whole(&fleet);
}

#[test]
fn what_has_ended_and_what_is_to_come_is_measured() {
    let mut fleet = fleet();
    let admin = |up: serde_json::Value| up["admin"].as_str().unwrap().to_owned();
    let scheduler = admin(fleet.start("scheduler", "scheduler"));
    fleet.stop("poller-2");
    fleet.stop("poller-1");
    let poller = admin(fleet.start("poller", "poller"));
    fill_and_start(&fleet);
    whole(&fleet);
    // Whoever began the run was killed, maybe before its end: then a scheduler takes it over once its lease is out.
    fleet.until("SELECT count(*) FROM schedule_runs WHERE state = 'finished'", 1, PATIENCE);
    let ended = testkit::page(&format!("{poller}/metrics"));
    let jobs = "overnight_jobs_finished_total{kind=\"task_processing\",outcome=\"completed\"} 1";
    assert!(ended.contains(jobs), "{ended}");
    let (of, state) = ("{schedule=\"overnight\"}", testkit::page(&format!("{scheduler}/metrics")));
    let value = |name: &str| {
        let line =
            state.lines().find_map(|line| line.strip_prefix(&format!("overnight_schedule_{name}{of} ")));
        line.unwrap_or_else(|| panic!("{name}: {state}")).parse::<i64>().unwrap()
    };
    let seconds = |what: &str| fleet.number(&format!("SELECT extract(epoch FROM {what})::bigint"));
    let now = seconds("now()");
    assert!((now..now + 90_000).contains(&value("next_run_timestamp_seconds")));
    assert!((now - 120..=now).contains(&value("last_success_timestamp_seconds")));
    assert_eq!(value("paused"), 0);
    assert!(
        state.contains("overnight_schedule_runs_total{schedule=\"overnight\",outcome=\"ok\"} 1\n"),
        "{state}"
    );
    // Nobody reads what outsiders are told: 36 tasks and a job. What can't be read lies among the dead.
    fleet.send_command(b"not a command", "text/plain", &[]);
    for (queue, count) in [("agent", 37), ("inbox", 0), ("dead", 1)] {
        let line = format!("overnight_queue_messages{{queue=\"{queue}\"}} {count}\n");
        testkit::until(&line, || testkit::page(&format!("{scheduler}/metrics")).contains(&line));
    }
    assert!(state.contains("overnight_amqp_reconnects_total{role=\"scheduler\"} 0\n"), "{state}");
}

#[test]
fn what_is_in_doubt_and_what_waits_for_a_person_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let liar = Liar::start(folder.path());
    liar.tell(Rule::of(Op::Create).act(Act::Never).reply(Reply::Drop));
    let home =
        crate::against(&liar.base_url()).with("SUBMIT_UNKNOWN", "park").with("SUBMIT_SETTLE_MS", "4000");
    let mut fleet = Fleet::new(home);
    let up = fleet.start("scheduler", "scheduler");
    fleet.start("submitter", "submitter");
    let metrics = format!("{}/metrics", up["admin"].as_str().unwrap());
    let counted = |line: &str| testkit::until(line, || testkit::page(&metrics).contains(line));
    counted("overnight_batches_parked{reason=\"create_unknown\"} 0\n");
    let files = testkit::sample_issues();
    let mut waits = fleet.home.spawn(&["batch", "submit", "product-labeling", "--files", &files]);
    counted("overnight_batches{state=\"unknown\"} 1\n");
    counted("overnight_batches_parked{reason=\"create_unknown\"} 1\n");
    counted("overnight_batches{state=\"parked\"} 1\n");
    counted("overnight_batches{state=\"unknown\"} 0\n");
    assert!(waits.wait().unwrap().success());
}

#[test]
fn requests_of_the_api_are_counted_by_route_and_status() {
    let mut fleet = Fleet::new(crate::overnight().with("HTTP_ADDR", "127.0.0.1:0"));
    let up = fleet.start("api", "api");
    let (api, admin) = (up["api"].as_str().unwrap(), up["admin"].as_str().unwrap());
    let nobody = "/api/batch/01a20884-57de-7f68-bf6b-8d69b34fa069";
    for path in ["/api/batch", "/api/batch?limit=many", nobody, nobody, "/api/batch/create", "/of/nobody"] {
        let _ = testkit::page(&format!("{api}{path}"));
    }
    let counted = testkit::page(&format!("{admin}/metrics"));
    for (route, status, count) in [
        ("/api/batch", 200, 1),
        ("/api/batch", 422, 1),
        ("/api/batch/{id}", 404, 2),
        ("/api/batch/create", 405, 1),
        ("", 404, 1),
    ] {
        let line = format!(
            "http_server_request_duration_seconds_count{{http_request_method=\"GET\",http_route=\"{route}\",\
             http_response_status_code=\"{status}\"}} {count}\n"
        );
        assert!(counted.contains(&line), "{line}{counted}");
    }
}

#[test]
fn any_process_may_be_killed_in_mid_run() {
    let mut fleet = fleet();
    fill_and_start(&fleet);
    for (name, role) in [("submitter-1", "submitter"), ("poller-1", "poller"), ("gateway", "gateway")] {
        fleet.kill(name);
        fleet.start(name, role);
    }
    whole(&fleet);
}

#[test]
fn a_role_stops_in_order() {
    let mut fleet = fleet();
    for name in fleet.names() {
        assert_eq!(fleet.stop(&name), Some(0), "{name}: {}", fleet.log(&name));
    }
}

#[test]
fn a_run_that_a_process_works_on_or_that_rests_is_not_taken_by_a_command() {
    let fleet = Fleet::new(crate::overnight());
    let _ = fleet.home.run(&["schedule", "run"]).exits(0);
    // A scheduler's, which has ten minutes left; its fence says whether anybody claimed it since.
    fleet.change(
        "UPDATE schedule_runs SET state = 'started', finished_at = NULL, fence = 70, failures = 3, \
         lease_until = now() + interval '10 minutes'",
    );
    let _ = fleet.home.run(&["schedule", "run"]).exits(0);
    let is_held = "SELECT count(*) FROM schedule_runs \
        WHERE state = 'started' AND fence = 70 AND lease_until > now() + interval '9 minutes'";
    assert_eq!(fleet.number(is_held), 1);
    assert_eq!(fleet.number("SELECT count(*) FROM schedule_runs WHERE state = 'finished'"), 1);
}

#[test]
fn a_role_of_which_a_part_is_dead_ends_and_another_goes_on() {
    let mut fleet = Fleet::new(crate::overnight().with("BATCH_MAX_REQUESTS", "10"));
    fleet.start("gateway", "gateway");
    fleet.home.set("OVERNIGHT_CRASH", "queue.send.before:1:panic");
    fleet.start("submitter", "submitter");
    fleet.home.unset("OVERNIGHT_CRASH");
    fill_and_start(&fleet);
    // Its relay is gone. It would say that it can work, and send nothing for ever.
    assert_eq!(fleet.ends("submitter", PATIENCE), Some(1));
    let log = fleet.log("submitter");
    assert!(log.contains("a part ended by itself") && log.contains("a test asked for"), "{log}");
    fleet.start("submitter", "submitter");
    fleet.start("poller", "poller");
    whole(&fleet);
}

#[test]
fn what_nobody_can_read_in_a_lane_is_kept_whoever_dies_over_it() {
    let mut fleet = gateway();
    for (point, letters) in [("queue.bury.before", 1), ("queue.bury.after", 2)] {
        fleet.start_unwatched("poller", "poller", &[("OVERNIGHT_CRASH", point)]);
        fleet.send_to_lane("poll", point.as_bytes());
        assert_eq!(fleet.ends("poller", PATIENCE), None, "{point} was not passed");
        // It comes again to whoever is there next. One that lay there already lies there twice, which is no loss.
        let passes = fleet.home.folder().join(format!("{point}.passes"));
        fleet.start_unwatched("poller", "poller", &[("OVERNIGHT_CRASH_LOG", passes.to_str().unwrap())]);
        let is_buried =
            || std::fs::read_to_string(&passes).is_ok_and(|log| log.contains("queue.acknowledge.after:1"));
        testkit::until("it is buried", is_buried);
        assert_eq!(fleet.stop("poller"), Some(0), "{}", fleet.log("poller"));
        testkit::until("it has left its lane", || fleet.waiting("poll") == 0);
        let dead = fleet.take_dead_letters();
        assert_eq!(dead.len(), letters, "{point}: {dead:?}");
        for letter in dead {
            assert_eq!(letter.body, point.as_bytes());
            assert!(letter.reason.contains("no JSON object"), "{point}: {}", letter.reason);
        }
    }
    fleet.start("submitter", "submitter");
    fleet.start("poller", "poller");
    fill_and_start(&fleet);
    whole(&fleet);
}

#[test]
fn a_role_that_is_at_work_finishes_what_it_has_in_hand_and_another_goes_on() {
    let mut fleet = gateway();
    fill_and_start(&fleet);
    let batches = |state: &str| format!("SELECT count(*) FROM batches WHERE state {state}");
    // The request that costs money is answered, and nobody has written down how.
    stops_in(&mut fleet, "submitter", "provider.create.after", &batches("= 'creating'"));
    assert_eq!(fleet.number(&batches("IN ('creating', 'unknown')")), 0, "the create is settled");
    let (open, waiting) = (fleet.number(&batches("= 'open'")), fleet.number(&batches("= 'planned'")));
    assert!(open > 0 && waiting > 0, "what was in hand and no more: {open} open, {waiting} planned");
    fleet.start("submitter", "submitter");
    fleet.until(&batches("= 'open'"), 4, PATIENCE);
    // A part of a batch's answers is about to be stored.
    stops_in(&mut fleet, "poller", "store.settle_lines.before", &batches("= 'collecting'"));
    assert!(fleet.number(&batches("= 'collected'")) > 0, "the batch in hand is read to its end");
    fleet.start("poller", "poller");
    whole(&fleet);
}

/// Stops a role that rests in the midst of a step, with something in hand; it ends in order.
fn stops_in(fleet: &mut Fleet, role: &str, point: &str, in_hand: &str) {
    let passes = fleet.home.folder().join(format!("{role}.passes"));
    // Each worker rests there, so that none goes on to the next thing before the signal comes.
    let wish = [1, 2, 3, 4].map(|nth| format!("{point}:{nth}:sleep:2000")).join(",");
    let log = passes.to_str().unwrap();
    fleet.start_unwatched(role, role, &[("OVERNIGHT_CRASH", &wish), ("OVERNIGHT_CRASH_LOG", log)]);
    let rests = || std::fs::read_to_string(&passes).is_ok_and(|log| log.contains(&format!("{point}:1")));
    testkit::until("it is in the midst of it", rests);
    assert!(fleet.number(in_hand) > 0, "{role} has nothing in hand at {point}");
    assert_eq!(fleet.stop(role), Some(0), "{role}: {}", fleet.log(role));
}

#[test]
fn a_gateway_tells_its_health_like_every_role_and_compose_asks_for_it() {
    let mut fleet = Fleet::new(crate::overnight());
    let admin = fleet.start("gateway", "gateway")["admin"].as_str().unwrap().to_owned();
    let says = |path: &str| testkit::page(&format!("{admin}/{path}"));
    assert!(says("metrics").contains("role=\"gateway\""), "{}", says("metrics"));
    let port = admin.rsplit(':').next().unwrap();
    for (change, status, word, is_healthy) in [
        ("SELECT 1", 200, "ok database", true),
        ("ALTER TABLE served_batches RENAME TO taken", 503, "failed database: ", false),
        ("ALTER TABLE taken RENAME TO served_batches", 200, "ok database", true),
    ] {
        fleet.home.ledger().run(change);
        let ready = says("readyz");
        assert!(
            ready.starts_with(&format!("HTTP/1.0 {status} ")) && ready.contains(word),
            "{change}: {ready}"
        );
        assert!(says("livez").starts_with("HTTP/1.0 200 "), "{change}");
        let asked = Command::new("bash").args(["-c", &health_check(port)]).status().unwrap();
        assert_eq!(asked.success(), is_healthy, "{change}");
    }
}

/// The command by which compose asks a role for its health, at this port.
fn health_check(port: &str) -> String {
    let compose = include_str!("../../deploy/compose.yaml");
    let (_, rest) = compose.split_once("test: [CMD, bash, -c, '").unwrap();
    let (command, _) = rest.split_once("']").unwrap();
    // Compose reads $$ as $.
    command.replace("$$", "$").replace("/9090", &format!("/{port}"))
}
