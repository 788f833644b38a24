//! Whole nights of a fleet with real amounts, for `make fleet`: each prints a line of its table.
//!
//! `ISSUES` names the issue files (a glob); 1,500 made ones where it is unset. `AGENT_PYTHON` is a Python with
//! pika and psycopg, for the example runner.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Timelike as _, Utc};
use testkit::Fleet;

/// How long a night may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A night with its fleet, its backlog and the agent runner that listens to it.
struct Night {
    fleet: Fleet,
    tasks: i64,
    runner: Child,
    started: Instant,
}

impl Night {
    /// A gateway, two submitters, two pollers; the backlog is filled and the runner listens.
    fn begin(settings: &[(&str, &str)]) -> Self {
        // The hour after next: not yet due at offset 0, and due thirteen hours later.
        #[expect(clippy::disallowed_methods, reason = "a test asks the machine's clock")]
        let hour = (Utc::now() + TimeDelta::hours(12)).hour().to_string();
        let mut home = crate::overnight()
            .with("BATCH_MAX_REQUESTS", "400")
            .with("BATCH_OVERNIGHT_MAX_TASKS", "5000")
            .with("BATCH_OVERNIGHT_HOUR", &hour)
            .with("BATCH_TIMEZONE", "UTC")
            .with("BATCH_POLL_INTERVAL_MS", "500");
        for (name, value) in settings {
            home.set(name, value);
        }
        let mut fleet = Fleet::new(home);
        fleet.start("gateway", "gateway");
        for name in ["submitter-1", "submitter-2"] {
            fleet.start(name, "submitter");
        }
        for name in ["poller-1", "poller-2"] {
            fleet.start(name, "poller");
        }
        let issues = std::env::var("ISSUES").ok().filter(|glob| !glob.is_empty());
        let issues = issues.unwrap_or_else(|| testkit::write_records(fleet.home.folder(), 1_500, 800));
        let _ = fleet.home.run(&["load", &issues, "--backlog", "planner"]).exits(0);
        let tasks = fleet.number("SELECT count(*) FROM tasks");
        let runner = runner(&fleet, &["listen", "--expect", &tasks.to_string(), "--timeout", "120"]);
        Self { fleet, tasks, runner, started: Instant::now() }
    }

    /// The clock strikes: a scheduler that has seen the evening, and is there in the night.
    fn strikes(&mut self) {
        self.fleet.start("scheduler", "scheduler");
        self.fleet.until("SELECT count(*) FROM schedules WHERE next_at IS NOT NULL", 1, PATIENCE);
        self.fleet.kill("scheduler");
        self.fleet.home.set("OVERNIGHT_CLOCK_OFFSET", "+13h");
        self.fleet.start("scheduler", "scheduler");
        self.fleet.home.unset("OVERNIGHT_CLOCK_OFFSET");
    }

    /// Every task once in the ledger, in the backlog and at the runner.
    fn ends(mut self, name: &str, batches: Option<i64>) {
        let tasks = self.tasks;
        self.fleet.until("SELECT count(*) FROM tasks WHERE status = 'completed'", tasks, PATIENCE);
        let heard = self.runner.wait().unwrap();
        assert!(heard.success(), "the runner did not hear of every task");
        let ledger = self.fleet.home.ledger();
        let runs = ledger.number("SELECT count(*) FROM served_runs");
        let distinct = ledger.number("SELECT count(DISTINCT custom_id) FROM served_runs");
        let served = ledger.number("SELECT count(*) FROM served_batches");
        assert_eq!((runs, distinct), (tasks, tasks), "paid once for each");
        assert_eq!(self.fleet.number("SELECT count(*) FROM schedule_runs WHERE state = 'finished'"), 1);
        batches.iter().for_each(|batches| assert_eq!(served, *batches));
        let seconds = self.started.elapsed().as_secs_f64();
        println!("| {name:<44} | {tasks:>6} | {served:>7} | {runs:>6} | {distinct:>8} | {seconds:>6.1} |");
    }
}

fn runner(fleet: &Fleet, arguments: &[&str]) -> Child {
    let python = std::env::var("AGENT_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/agent_runner.py");
    let mut command = Command::new(python);
    command.arg(script).args(arguments).envs(fleet.home.environment());
    if arguments[0] == "listen" {
        command.args(["--prefix", &fleet.prefix]);
    }
    command.stdout(Stdio::null()).spawn().unwrap()
}

#[test]
#[ignore = "a night of real amounts: make fleet"]
fn a_night_that_the_clock_began() {
    let mut night = Night::begin(&[]);
    let batches = (night.tasks + 399) / 400;
    night.strikes();
    night.ends("six processes", Some(batches));
}

#[test]
#[ignore = "a night of real amounts: make fleet"]
fn a_night_in_which_every_process_is_killed() {
    let mut night = Night::begin(&[("OVERNIGHT_SIM", "latency_ms=30")]);
    night.strikes();
    night.fleet.until("SELECT count(*) FROM batch_jobs", 1, PATIENCE);
    for name in night.fleet.names() {
        let role = name.split('-').next().unwrap().to_owned();
        night.fleet.kill(&name);
        night.fleet.start(&name, &role);
    }
    night.ends("kill -9 of each process in turn", None);
}

#[test]
#[ignore = "a night of real amounts: make fleet"]
fn a_night_in_which_all_queues_are_deleted() {
    let mut night = Night::begin(&[("OVERNIGHT_SIM", "latency_ms=30")]);
    night.strikes();
    night.fleet.until("SELECT count(*) FROM batch_jobs", 1, PATIENCE);
    for queue in ["plan", "submit", "poll", "collect", "settle", "dead"] {
        night.fleet.delete_queue(queue);
    }
    night.ends("all work queues deleted", None);
}

#[test]
#[ignore = "a night of real amounts: make fleet"]
fn a_live_runner_and_the_night_race_for_the_same_tasks() {
    let home = crate::overnight().with("BATCH_POLL_INTERVAL_MS", "300");
    let mut fleet = Fleet::new(home);
    fleet.start("gateway", "gateway");
    fleet.start("submitter", "submitter");
    fleet.start("poller", "poller");
    let issues = testkit::write_records(fleet.home.folder(), 200, 200);
    let _ = fleet.home.run(&["load", &issues, "--backlog", "planner"]).exits(0);
    let started = Instant::now();
    let mut live = runner(&fleet, &["work", "--pause", "0.02"]);
    let mut night = fleet.home.spawn(&["schedule", "run"]);
    assert!(live.wait().unwrap().success());
    night.wait().unwrap();
    fleet.until("SELECT count(*) FROM tasks WHERE status = 'completed'", 200, PATIENCE);
    let by_night = fleet.home.ledger().number("SELECT count(*) FROM served_runs");
    let by_both = fleet.number("SELECT count(*) FROM tasks WHERE batch_job_id IS NOT NULL AND result = '{}'");
    let with_job = fleet.number("SELECT count(*) FROM tasks WHERE batch_job_id IS NOT NULL");
    assert_eq!((by_both, by_night), (0, with_job), "each is run by one of the two");
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "| {:<44} | {:>6} | {:>7} | {by_night:>6} | {:>8} | {seconds:>6.1} |",
        "a live runner beside the night", 200, "", with_job
    );
}
