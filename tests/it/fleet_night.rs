//! Whole nights of a fleet with real amounts, for `make fleet`: each prints a line of its table.
//!
//! `ISSUES` names the issue files (a glob); 1,500 made ones where it is unset. `AGENT_PYTHON` is a Python with
//! pika and psycopg, for the example runner.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Timelike as _, Utc};
use testkit::{Fleet, Overnight};

/// How long a night may take.
const PATIENCE: Duration = Duration::from_secs(240);
/// Answers that take their time, so that something can happen meanwhile.
const SLOW: &str = "latency_ms=30";
/// The same, so slow that a gateway that dies after its first row has more to do.
const SLOWER: &str = "latency_ms=300";
/// How a process ends at a crash point: SIGABRT.
const ABORTED: i32 = 6;
/// Requests of a batch.
const REQUESTS: i64 = 400;
/// The fleet, by name and role.
const PROCESSES: [(&str, &str); 6] = [
    ("gateway", "gateway"),
    ("scheduler", "scheduler"),
    ("submitter-1", "submitter"),
    ("submitter-2", "submitter"),
    ("poller-1", "poller"),
    ("poller-2", "poller"),
];
/// Batches that are open at once in the measure of poll economy, unless `OPEN_BATCHES` says otherwise; and the
/// time between two looks at one.
const OPEN: u32 = 10_000;
const INTERVAL: Duration = Duration::from_secs(60);

/// A night with its fleet, its backlog and the agent runner that listens to it.
struct Night {
    fleet: Fleet,
    tasks: i64,
    runner: Child,
    started: Instant,
}

impl Night {
    /// Six processes in a night that has come.
    fn begin(services: fn(Overnight) -> Fleet, sim: &str) -> Self {
        let mut night = Self::eve(services, sim);
        for (name, role) in PROCESSES {
            night.fleet.start(name, role);
        }
        night
    }

    /// A night that a scheduler has seen coming, for whoever is started from now on; the backlog is full and the
    /// runner listens.
    fn eve(services: fn(Overnight) -> Fleet, sim: &str) -> Self {
        let home = at_noon()
            .with("BATCH_MAX_REQUESTS", &REQUESTS.to_string())
            .with("BATCH_OVERNIGHT_MAX_TASKS", "5000")
            .with("BATCH_POLL_INTERVAL_MS", "500")
            .with("OVERNIGHT_SIM", sim);
        let mut fleet = services(home);
        let issues = std::env::var("ISSUES").ok().filter(|glob| !glob.is_empty());
        let issues = issues.unwrap_or_else(|| testkit::write_records(fleet.home.folder(), 1_500, 800));
        let filled = runner(&fleet, &["fill", &issues, "--agent-type", "planner"]).wait().unwrap();
        assert!(filled.success(), "the runner fills the backlog");
        let tasks = fleet.number("SELECT count(*) FROM tasks");
        let runner = runner(&fleet, &["listen", "--expect", &tasks.to_string(), "--timeout", "240"]);
        the_clock_strikes(&mut fleet);
        Self { fleet, tasks, runner, started: Instant::now() }
    }

    /// The batches that its tasks make.
    fn batches(&self) -> i64 {
        (self.tasks + REQUESTS - 1) / REQUESTS
    }

    /// A process, alone in its role, dies in its own work: at a crash point, which is as kill -9. What it had in
    /// hand is more than 0 then.
    fn dies_at(&mut self, name: &str, role: &str, point: &str, in_hand: &str) {
        self.fleet.start_unwatched(name, role, &[("OVERNIGHT_CRASH", point)]);
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some((_, status)) = self.fleet.reap().into_iter().find(|(ended, _)| ended == name) {
                break status;
            }
            assert!(Instant::now() < deadline, "{name} never came by {point}\n{}", self.fleet.log(name));
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.signal(), Some(ABORTED), "{name} at {point}: {}", self.fleet.log(name));
        assert!(self.fleet.number(in_hand) > 0, "{name} had nothing in hand at {point}: {in_hand}");
    }

    /// A night in full swing, to which something happens.
    fn disturbed(name: &str, services: fn(Overnight) -> Fleet, disturb: impl FnOnce(&mut Fleet)) {
        let mut night = Self::begin(services, SLOW);
        night.is_in_full_swing();
        disturb(&mut night.fleet);
        night.ends(name);
    }

    /// A part of the answers is in, and others aren't.
    fn is_in_full_swing(&self) {
        let tasks = self.tasks;
        testkit::until("some tasks are done", || {
            let done = self.fleet.number("SELECT count(*) FROM tasks WHERE status = 'completed'");
            assert!(done < tasks, "the night was over before anything happened to it");
            done > 0
        });
    }

    /// Every task once in the ledger, in the backlog with its answer, and at the runner; and the run and its job at
    /// their ends.
    fn ends(mut self, name: &str) {
        let tasks = self.tasks;
        self.fleet.until("SELECT count(*) FROM tasks WHERE status = 'completed'", tasks, PATIENCE);
        let answered =
            "SELECT count(*) FROM tasks WHERE status = 'completed' AND result IS NOT NULL AND error IS NULL";
        assert_eq!(self.fleet.number(answered), tasks, "each with its answer");
        // A run that a dead scheduler left is finished once its claim has run out.
        self.fleet.until("SELECT count(*) FROM schedule_runs WHERE state = 'finished'", 1, PATIENCE);
        self.fleet.until("SELECT count(*) FROM batch_jobs WHERE state <> 'completed'", 0, PATIENCE);
        assert_eq!(self.fleet.number("SELECT count(*) FROM batch_jobs"), 1, "one agent, one job");
        let ended = "SELECT count(*) FROM events WHERE type = 'job.completed.v1'";
        assert_eq!(self.fleet.number(ended), 1, "its end is told once");
        let heard = self.runner.wait().unwrap();
        assert!(heard.success(), "the runner did not hear of every task");
        let ledger = self.fleet.home.ledger();
        let runs = ledger.number("SELECT count(*) FROM served_runs");
        let distinct = ledger.number("SELECT count(DISTINCT custom_id) FROM served_runs");
        let served = ledger.number("SELECT count(*) FROM served_batches");
        assert_eq!((runs, distinct), (tasks, tasks), "paid once for each");
        assert_eq!(served, self.batches(), "batches");
        let seconds = self.started.elapsed().as_secs_f64();
        println!("| {name:<44} | {tasks:>6} | {served:>7} | {runs:>6} | {distinct:>8} | {seconds:>6.1} |");
    }
}

/// The program in a zone where the night is twelve hours away.
pub(crate) fn at_noon() -> Overnight {
    // The hour that it will be then: not yet due at offset 0, and due thirteen hours later.
    let hour = (Utc::now() + TimeDelta::hours(12)).hour().to_string();
    crate::overnight().with("BATCH_OVERNIGHT_HOUR", &hour).with("BATCH_TIMEZONE", "UTC")
}

/// A scheduler sees the night coming. Then the clock strikes, for whoever is started from now on.
pub(crate) fn the_clock_strikes(fleet: &mut Fleet) {
    fleet.start("scheduler", "scheduler");
    fleet.until("SELECT count(*) FROM schedules WHERE next_at IS NOT NULL", 1, PATIENCE);
    fleet.kill("scheduler");
    fleet.home.set("OVERNIGHT_CLOCK_OFFSET", "+13h");
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
    Night::begin(Fleet::new, "").ends("six processes");
}

#[test]
#[ignore = "a night of real amounts: make fleet"]
fn a_night_in_which_every_process_is_killed() {
    Night::disturbed("kill -9 of each process in one burst", Fleet::new, |fleet| {
        for (name, role) in PROCESSES {
            fleet.kill(name);
            fleet.start(name, role);
        }
    });
}

#[test]
#[ignore = "a night of real amounts: make fleet"]
fn a_night_in_which_every_process_dies_in_its_own_work() {
    const OPEN: &str = "SELECT count(*) FROM batches WHERE state = 'open'";
    let mut night = Night::eve(Fleet::new, SLOWER);
    night.fleet.start("gateway", "gateway");
    night.dies_at(
        "scheduler",
        "scheduler",
        "store.accept.after:1",
        "SELECT count(*) FROM schedule_runs WHERE state = 'started'",
    );
    night.fleet.start("scheduler", "scheduler");
    night.dies_at(
        "submitter-1",
        "submitter",
        "store.plan.after:2",
        "SELECT count(*) FROM batches WHERE state IN ('filling', 'planned')",
    );
    night.dies_at(
        "submitter-2",
        "submitter",
        "provider.create.after:2",
        "SELECT count(*) FROM batches WHERE state = 'creating'",
    );
    let ledger = night.fleet.home.ledger();
    testkit::until("a row has run", || ledger.number("SELECT count(*) FROM served_rows") > 0);
    night.fleet.kill("gateway");
    let unfinished = "SELECT count(*) FROM served_batches WHERE status = 'in_progress'";
    assert!(ledger.number(unfinished) > 0, "the gateway had nothing in hand");
    for (name, role) in [("gateway", "gateway"), ("submitter-1", "submitter"), ("submitter-2", "submitter")] {
        night.fleet.start(name, role);
    }
    night.fleet.until(OPEN, night.batches(), PATIENCE);
    night.dies_at("poller-1", "poller", "store.poll.before:1", OPEN);
    night.dies_at(
        "poller-2",
        "poller",
        "store.settle_lines.after:2",
        "SELECT count(*) FROM batches WHERE state = 'collecting'",
    );
    for name in ["poller-1", "poller-2"] {
        night.fleet.start(name, "poller");
    }
    night.ends("kill -9 of each process in its own work");
}

#[test]
#[ignore = "a night of real amounts: make fleet"]
fn a_night_in_which_all_queues_are_deleted() {
    Night::disturbed("all queues deleted", Fleet::new, |fleet| {
        for queue in ["plan", "submit", "poll", "collect", "settle", "dead", "inbox", "agent"] {
            fleet.delete_queue(queue);
        }
    });
}

#[test]
#[ignore = "a night of real amounts: make fleet"]
fn a_night_in_which_the_broker_forgets_everything() {
    Night::disturbed("the broker killed and wiped", Fleet::private, |fleet| {
        let broker = &mut fleet.services().broker;
        broker.kill();
        broker.wipe();
        broker.run();
    });
}

#[test]
#[ignore = "a night of real amounts: make fleet"]
fn a_night_in_which_the_broker_is_away_for_a_minute() {
    Night::disturbed("the broker away for a minute", Fleet::private, |fleet| {
        let broker = &mut fleet.services().broker;
        broker.kill();
        std::thread::sleep(Duration::from_secs(60));
        broker.run();
    });
}

#[test]
#[ignore = "a night of real amounts: make fleet"]
fn a_night_in_which_the_database_crashes() {
    Night::disturbed("PostgreSQL crashed and started again", Fleet::private, |fleet| {
        let server = &fleet.services().server;
        server.crash();
        server.run();
    });
}

#[test]
#[ignore = "a night of real amounts: make fleet"]
fn a_live_runner_and_the_night_race_for_the_same_tasks() {
    let mut fleet = Fleet::new(at_noon().with("BATCH_POLL_INTERVAL_MS", "300"));
    the_clock_strikes(&mut fleet);
    for role in ["gateway", "submitter", "poller"] {
        fleet.start(role, role);
    }
    let issues = testkit::write_records(fleet.home.folder(), 200, 200);
    let _ = fleet.home.run(&["load", &issues, "--backlog", "planner"]).exits(0);
    let started = Instant::now();
    let mut live = runner(&fleet, &["work", "--pause", "0.05"]);
    // Its first tick finds a night that is due.
    fleet.start("scheduler", "scheduler");
    assert!(live.wait().unwrap().success());
    fleet.until("SELECT count(*) FROM tasks WHERE status = 'completed'", 200, PATIENCE);
    fleet.until(
        "SELECT count(*) FROM schedule_runs WHERE trigger = 'scheduled' AND state = 'finished'",
        1,
        PATIENCE,
    );
    let by_night = fleet.home.ledger().number("SELECT count(*) FROM served_runs");
    let by_both = fleet.number("SELECT count(*) FROM tasks WHERE batch_job_id IS NOT NULL AND result = '{}'");
    let with_job = fleet.number("SELECT count(*) FROM tasks WHERE batch_job_id IS NOT NULL");
    let distinct = fleet.home.ledger().number("SELECT count(DISTINCT custom_id) FROM served_runs");
    assert_eq!((by_both, by_night, distinct), (0, with_job, with_job), "each is run by one of the two");
    assert!(0 < by_night && by_night < 200, "both had a part: {by_night} by the night");
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "| {:<44} | {:>6} | {:>7} | {by_night:>6} | {:>8} | {seconds:>6.1} |",
        "a live runner beside the night", 200, "", distinct
    );
}

/// Not a night: what it costs to wait for many batches.
#[test]
#[ignore = "ten thousand open batches: make fleet"]
fn ten_thousand_open_batches_are_looked_at() {
    let open = std::env::var("OPEN_BATCHES").map_or(OPEN, |open| open.parse().unwrap());
    let home = crate::overnight()
        .with("BATCH_MAX_REQUESTS", "1")
        .with("BATCH_POLL_INTERVAL_MS", &INTERVAL.as_millis().to_string())
        // Nothing of it ends while it is measured.
        .with("OVERNIGHT_SIM", "latency_ms=36000000");
    let mut fleet = Fleet::new(home);
    fleet.start("gateway", "gateway");
    for name in ["submitter-1", "submitter-2"] {
        fleet.start(name, "submitter");
    }
    let issues = testkit::write_records(fleet.home.folder(), open, 100);
    let _ = fleet.home.run(&["load", &issues, "--backlog", "planner"]).exits(0);
    fleet.home.set("BATCH_OVERNIGHT_MAX_TASKS", &open.to_string());
    let began = Instant::now();
    let mut night = fleet.home.spawn(&["schedule", "run"]);
    fleet.until("SELECT count(*) FROM batches WHERE state = 'open'", open.into(), Duration::from_secs(2_700));
    let opening = began.elapsed().as_secs_f64();
    println!("| {:<44} | {open:>6} | {open:>7} | {:>6} | {:>8} | {opening:>6.1} |", "batches opened", "", "");
    night.kill().unwrap();
    night.wait().unwrap();
    let admin = fleet.start("poller", "poller")["admin"].as_str().unwrap().to_owned();
    // The first round finds all of them overdue; those after it are how it goes on.
    std::thread::sleep(INTERVAL * 3 / 2);
    let measure = |fleet: &Fleet| (calls(&admin), looks(&admin), fleet.cpu_seconds("poller"));
    let (calls, looks, cpu) = measure(&fleet);
    std::thread::sleep(INTERVAL);
    let after = measure(&fleet);
    let (calls, looks, cpu) = (after.0 - calls, after.1 - looks, after.2 - cpu);
    println!(
        "| {:<44} | {open:>6} | {open:>7} | {looks:>6} | {calls:>8} | {cpu:>6.1} |",
        "open batches: looks, calls, seconds of CPU a minute"
    );
    assert!(looks > f64::from(open) * 0.85, "each is looked at once in an interval");
    // A message holds 500 polls: five pages of the list, one more where it begins among batches of the same second,
    // and one more where it ends. The minute may cut a round in two, and each part has a message that isn't full.
    let messages = (looks / 500.0).ceil() + 2.0;
    assert!(calls <= messages * 7.0, "the list shows them: {calls} calls for {looks} looks");
}

/// Calls to the provider so far.
fn calls(admin: &str) -> f64 {
    sum(admin, "overnight_provider_requests_total{")
}

/// Polls handled so far.
fn looks(admin: &str) -> f64 {
    sum(admin, "overnight_orders_handled_total{lane=\"poll\"")
}

/// The sum of the series that begin like this.
fn sum(admin: &str, series: &str) -> f64 {
    let page = testkit::page(&format!("{admin}/metrics"));
    page.lines()
        .filter(|line| line.starts_with(series))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
