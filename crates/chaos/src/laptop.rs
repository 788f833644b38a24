//! A laptop: the program as one process on SQLite, its provider beside it, and whoever pulls the plug.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use liar::Liar;
use testkit::Overnight;

use crate::books::Books;
use crate::evidence::{Drain, Evidence, Expected};
use crate::scenario::Outcome;
use crate::site::{AGENTS, Site, TASKS};

/// What still has to happen, in one number.
pub(crate) const LEFT: &str = "SELECT (SELECT count(*) FROM orders) \
    + (SELECT count(*) FROM batch_jobs WHERE state IN ('held', 'queued', 'active', 'cancelling')) \
    + (SELECT count(*) FROM schedule_runs WHERE state = 'started') \
    + (SELECT count(*) FROM tasks WHERE status IN ('pending', 'batched'))";
/// The same, where what waits for a person is not waited for.
pub(crate) const UNPARKED: &str = "SELECT (SELECT count(*) FROM orders WHERE lane <> 'settle') \
    + (SELECT count(*) FROM batch_jobs j WHERE state IN ('held', 'queued', 'active', 'cancelling') \
       AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.job_id = j.id AND b.state = 'parked')) \
    + (SELECT count(*) FROM schedule_runs WHERE state = 'started') \
    + (SELECT count(*) FROM tasks WHERE status = 'pending')";
/// Longest a night may take when nobody disturbs it any more.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often what is left is asked for.
const LOOK: Duration = Duration::from_millis(50);
/// SIGABRT: what a crash point ends a process with.
const ABORT: i32 = 6;

/// A laptop.
#[derive(Debug)]
pub struct Laptop {
    /// The program and its environment.
    pub home: Overnight,
    /// Its provider.
    pub liar: Liar,
    /// What the scenario expects.
    pub expected: Expected,
    /// Processes that were killed, or killed themselves.
    pub kills: u32,
    up: Option<Child>,
    /// Whether what runs is a command, which ends by itself.
    is_command: bool,
    hit: Vec<String>,
    earlier: Vec<Books>,
    drains: Vec<Drain>,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Nothing is left to do.
    Done,
    /// The process is gone.
    Gone,
    /// It takes too long.
    TooLong,
}

impl Laptop {
    /// A laptop in the evening: a backlog is loaded, nothing runs.
    #[must_use]
    pub fn evening(site: &Site) -> Self {
        let mut home = site.overnight("");
        let liar = Liar::start(&home.folder().join("liar"));
        home.set("OPENAI_BASE_URL", &liar.base_url());
        site.evening_into(&home.data_dir());
        let expected = Expected { tasks: AGENTS.len() * TASKS, ..Expected::default() };
        let (hit, earlier, drains) = (Vec::new(), Vec::new(), Vec::new());
        Self { home, liar, expected, kills: 0, up: None, is_command: false, hit, earlier, drains }
    }

    /// Begins the night as a command that runs beside what is done next.
    pub fn start_schedule_run(&mut self, crash: Option<&str>) {
        let child = self.start(&["schedule", "run", "--json"], crash, Stdio::null());
        (self.up, self.is_command) = (Some(child), true);
    }

    /// Starts the daemon, and waits until it is up or gone.
    pub fn up(&mut self, crash: Option<&str>) {
        let mut child = self.start(&["up", "--json"], crash, Stdio::piped());
        let mut line = String::new();
        let out = child.stdout.take().expect("its output is piped");
        BufReader::new(out).read_line(&mut line).expect("a line, or its end");
        (self.up, self.is_command) = (Some(child), false);
    }

    /// Runs a command that ends at a crash point.
    ///
    /// # Panics
    /// One that ends otherwise.
    pub fn dies(&mut self, arguments: &[&str], wish: &str) {
        let status = self.start(arguments, Some(wish), Stdio::null()).wait().expect("a child of ours");
        assert_eq!(status.signal(), Some(ABORT), "{arguments:?} ends at {wish}");
        self.struck(wish);
    }

    /// Keeps that a process beside the night has ended at a crash point.
    pub fn struck(&mut self, wish: &str) {
        self.kills += 1;
        self.hit.push(wish.to_owned());
        self.look();
    }

    /// Waits until nothing is left to do, or the process is gone.
    pub fn wait(&mut self, crash: Option<&str>) -> Waited {
        self.wait_until(crash, PATIENCE, LEFT)
    }

    /// Waits until a query answers 0, or the process is gone.
    pub fn wait_until(&mut self, crash: Option<&str>, patience: Duration, left: &str) -> Waited {
        let (database, deadline) = (self.home.database(), Instant::now() + patience);
        loop {
            if let Some(child) = &mut self.up
                && let Some(status) = child.try_wait().expect("a child of ours")
            {
                self.up = None;
                self.note(status, crash);
                return if database.number(left) == 0 { Waited::Done } else { Waited::Gone };
            }
            if database.number(left) == 0 {
                return Waited::Done;
            }
            if Instant::now() > deadline {
                return Waited::TooLong;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for so long at most, until nothing is left to do or the process is gone.
    pub fn wait_for(&mut self, crash: Option<&str>, patience: Duration) -> Waited {
        self.wait_until(crash, patience, LEFT)
    }

    /// Waits until a crash point was passed for the first time by whoever writes its passes to `log`.
    pub fn wait_for_pass(&mut self, log: &Path, point: &str, patience: Duration) -> bool {
        let (line, deadline) = (format!("{point}:1"), Instant::now() + patience);
        let database = self.home.database();
        while Instant::now() < deadline {
            let passed = std::fs::read_to_string(log).unwrap_or_default();
            if passed.lines().any(|passed| passed == line) {
                return true;
            }
            if database.number(LEFT) == 0 {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Pulls the plug.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.up.take() {
            // It may have crashed a moment ago.
            let _ = child.kill();
            child.wait().expect("a child of ours");
            self.kills += 1;
            self.look();
        }
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        if let Some(child) = &self.up {
            send(child.id(), name);
        }
    }

    /// Asks the daemon to stop, and keeps how it did. A command is to end by itself, with all that it waits for.
    pub fn stop(&mut self) {
        let Some(mut child) = self.up.take() else { return };
        let (asked_at, asked) = (now_ms(), Instant::now());
        if !self.is_command {
            send(child.id(), "TERM");
        }
        let deadline = asked + self.expected.grace + Duration::from_secs(4);
        let code = loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                break status.code();
            }
            if Instant::now() > deadline {
                child.kill().expect("it is there");
                child.wait().expect("a child of ours");
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.drains.push(Drain { asked_at, took: asked.elapsed(), code, alone: true });
        self.look();
    }

    /// A night under a limit of file sizes, in blocks of 1024 bytes: writes beyond it fail as on a full disk.
    pub fn start_limited(&mut self, blocks: u32) {
        let log = File::options().create(true).append(true).open(self.home.folder().join("log"));
        let program = self.home.command(&["schedule", "run", "--json"]);
        let mut command = Command::new("bash");
        // Ignored, the signal becomes an error of the write.
        command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        command.arg(program.get_program()).args(program.get_args());
        if let Some(folder) = program.get_current_dir() {
            command.current_dir(folder);
        }
        command.env_clear();
        for (name, value) in program.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(log.expect("a log")).spawn().expect("bash runs");
        (self.up, self.is_command) = (Some(child), true);
    }

    /// Begins the night where it has not begun; else a daemon goes on with it.
    pub fn go_on(&mut self, crash: Option<&str>) {
        if self.number("SELECT count(*) FROM schedule_runs") == 0 {
            self.start_schedule_run(crash);
        } else {
            self.up(crash);
        }
    }

    /// What was there is no measure any more: the folder is another one.
    pub fn forget_looks(&mut self) {
        self.earlier.clear();
    }

    /// Keeps what the database says now, so that the oracle sees ends that change.
    pub fn look(&mut self) {
        // Before its first start there is nothing to look at.
        if let Ok(books) = Books::read(&self.url()) {
            self.earlier.push(books);
        }
    }

    /// The number that a query answers.
    #[must_use]
    pub fn number(&self, sql: &str) -> i64 {
        self.home.database().number(sql)
    }

    /// Lets the daemon finish what is left, stops it, and asks the oracle.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        for _ in 0..3 {
            if self.up.is_none() && self.number(LEFT) > 0 {
                self.go_on(None);
            }
            if self.wait(None) != Waited::Gone {
                break;
            }
        }
        self.judge()
    }

    /// Waits for the end, asks for something that lies in the folder, and asks the oracle.
    #[must_use]
    pub fn wait_and_judge<T>(mut self, ask: impl FnOnce() -> T) -> (T, Outcome) {
        let _ = self.wait(None);
        self.stop();
        (ask(), self.finish())
    }

    /// Stops what runs, and asks the oracle.
    #[must_use]
    pub fn judge(mut self) -> Outcome {
        self.stop();
        let evidence = Evidence {
            ledger: self.liar.ledger(),
            books: Books::read(&self.url()).expect("the database can be read"),
            earlier: std::mem::take(&mut self.earlier),
            heard: None,
            dead: None,
            drains: std::mem::take(&mut self.drains),
            expected: self.expected.clone(),
        };
        let hit = std::mem::take(&mut self.hit);
        Outcome::of(&evidence, self.kills, hit, || self.log())
    }

    /// What the processes have said.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.folder().join("log")).unwrap_or_default()
    }

    fn url(&self) -> String {
        format!("sqlite://{}?mode=ro", self.home.data_dir().join("overnight.db").display())
    }

    fn start(&self, arguments: &[&str], crash: Option<&str>, out: Stdio) -> Child {
        let log = File::options().create(true).append(true).open(self.home.folder().join("log"));
        let mut command: Command = self.home.command(arguments);
        if let Some(crash) = crash {
            command.env("OVERNIGHT_CRASH", crash);
        }
        command.stdout(out).stderr(log.expect("a log")).spawn().expect("the binary runs")
    }

    fn note(&mut self, status: ExitStatus, crash: Option<&str>) {
        if status.signal().is_some() {
            self.kills += 1;
            self.look();
        }
        if status.signal() == Some(ABORT) {
            self.hit.extend(crash.map(str::to_owned));
        }
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        if let Some(child) = &mut self.up {
            // It may have ended by itself, which is what the scenario is about.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends a signal to a process of ours.
pub(crate) fn send(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill runs").success(), "{name} reaches {pid}");
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a scenario compares with the ledger, by the machine's clock"
    )]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
