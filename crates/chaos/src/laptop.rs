//! A laptop: the program as one process on SQLite, its provider beside it, and whoever pulls the plug.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use liar::Liar;
use testkit::{Database, Overnight};

use crate::books::Books;
use crate::evidence::{Drain, Evidence, Expected};
use crate::scenario::{Outcome, leave_log};
use crate::site::{AGENTS, Site, TASKS, copy};

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
/// Never 0: only the end of the process is waited for.
const NEVER: &str = "SELECT 1";
/// Longest a night may take when nobody disturbs it any more.
const PATIENCE: Duration = Duration::from_secs(90);
/// Longest until something has come about that a scenario waits for.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// How often what is left is asked for.
const LOOK: Duration = Duration::from_millis(50);
/// How often what the database says is kept while something is waited for, so that the oracle sees what changes.
pub(crate) const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How a daemon ends that was asked to.
pub(crate) const DAEMON: &[i32] = &[0];
/// How a command ends that waits for its jobs: they have succeeded, failed, or failed in part.
const COMMAND: &[i32] = &[0, 5, 6];
/// The same where something may wait for a person, which is no success.
const PARKED_COMMAND: &[i32] = &[0, 1, 5, 6];
/// SIGABRT: what a crash point ends a process with.
pub(crate) const ABORT: i32 = 6;

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
    /// Whether its night is begun by the clock, and by nobody else.
    pub(crate) by_clock: bool,
    up: Option<Up>,
    hit: Vec<String>,
    earlier: Vec<Books>,
    looked: Instant,
    drains: Vec<Drain>,
}

/// The process that runs.
#[derive(Debug)]
struct Up {
    child: Child,
    /// Whether it is a command, which ends by itself.
    is_command: bool,
    /// What it was armed with.
    wish: Option<String>,
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
        Self {
            home,
            liar,
            expected,
            kills: 0,
            by_clock: false,
            up: None,
            hit: Vec::new(),
            earlier: Vec::new(),
            looked: Instant::now(),
            drains: Vec::new(),
        }
    }

    /// Begins the night as a command that runs beside what is done next.
    pub fn start_schedule_run(&mut self, crash: Option<&str>) {
        let child = self.start(&["schedule", "run", "--json"], crash, Stdio::null());
        self.keep(Up { child, is_command: true, wish: crash.map(str::to_owned) });
    }

    /// Starts the daemon, and waits until it is up or gone.
    pub fn up(&mut self, crash: Option<&str>) {
        let mut child = self.start(&["up", "--json"], crash, Stdio::piped());
        let mut line = String::new();
        let out = child.stdout.take().expect("its output is piped");
        BufReader::new(out).read_line(&mut line).expect("a line, or its end");
        self.keep(Up { child, is_command: false, wish: crash.map(str::to_owned) });
    }

    /// The same, and doesn't wait until it is up: it may be asked to stop before.
    pub fn up_unwatched(&mut self, crash: Option<&str>) {
        let child = self.start(&["up", "--json"], crash, Stdio::null());
        self.keep(Up { child, is_command: false, wish: crash.map(str::to_owned) });
    }

    /// Keeps that a process beside the night has ended at a crash point.
    pub fn struck(&mut self, wish: &str) {
        self.kills += 1;
        self.hit.push(wish.to_owned());
        self.look();
    }

    /// Waits until nothing is left to do, or the process is gone.
    pub fn wait(&mut self) -> Waited {
        self.wait_until(PATIENCE, LEFT)
    }

    /// Waits until a query answers 0, or the process is gone.
    pub fn wait_until(&mut self, patience: Duration, left: &str) -> Waited {
        let (database, deadline) = (self.database(), Instant::now() + patience);
        loop {
            if let Some(up) = &mut self.up
                && let Some(status) = up.child.try_wait().expect("a child of ours")
            {
                self.note(status);
                return if database.number(left) == 0 { Waited::Done } else { Waited::Gone };
            }
            if database.number(left) == 0 {
                return Waited::Done;
            }
            if Instant::now() > deadline {
                return Waited::TooLong;
            }
            self.look_now_and_then();
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until a query answers 0.
    ///
    /// # Panics
    /// Where it doesn't in time: what is done next would be done to another night.
    pub fn until(&mut self, what: &str, left: &str) {
        let waited = self.wait_until(SOON, left);
        assert_eq!(waited, Waited::Done, "waited in vain until {what}");
    }

    /// Waits until the process has died at its point, and puts another one in its place.
    ///
    /// # Panics
    /// Where it doesn't in time.
    pub fn replace(&mut self, wish: Option<&str>) {
        let hits = self.hit.len();
        let _ = self.wait_until(SOON, NEVER);
        assert!(self.hit.len() > hits, "waited in vain until the process dies at its point");
        self.go_on(wish);
    }

    /// Pulls the plug.
    pub fn kill(&mut self) {
        if let Some(up) = &mut self.up {
            // It may have ended a moment ago, by itself or at a crash point.
            let _ = up.child.kill();
            let status = up.child.wait().expect("a child of ours");
            self.note(status);
        }
    }

    /// Asks the daemon to stop, and keeps how it did. A command is to end by itself, with all that it waits for.
    pub fn stop(&mut self) {
        let Some(Up { child, is_command, .. }) = &mut self.up else { return };
        let (asked_at, asked) = (now_ms(), Instant::now());
        if !*is_command {
            send(child.id(), "TERM");
        }
        let deadline = asked + self.expected.grace + Duration::from_secs(4);
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().expect("it is there");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let in_order = match (*is_command, self.expected.parked.is_empty()) {
            (false, _) => DAEMON,
            (true, true) => COMMAND,
            (true, false) => PARKED_COMMAND,
        };
        // One that came by its crash point meanwhile has not heard.
        if !self.note(status) {
            let (took, code) = (asked.elapsed(), status.code());
            self.drains.push(Drain { asked_at, took, code, in_order, alone: true });
        }
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
        self.keep(Up { child, is_command: true, wish: None });
    }

    /// Begins the night where it has not begun; else a daemon goes on with it.
    pub fn go_on(&mut self, crash: Option<&str>) {
        if !self.by_clock && self.number("SELECT count(*) FROM schedule_runs") == 0 {
            self.start_schedule_run(crash);
        } else {
            self.up(crash);
        }
    }

    /// Keeps the folder as it is now. Nobody is at work.
    pub fn back_up(&self) {
        copy(&self.home.data_dir(), &self.backup());
    }

    /// The folder is again what it was when it was kept: what was seen since is no measure any more.
    ///
    /// # Panics
    /// Where it can't be removed.
    pub fn restore(&mut self) {
        std::fs::remove_dir_all(self.home.data_dir()).expect("the folder goes");
        copy(&self.backup(), &self.home.data_dir());
        self.earlier.clear();
    }

    fn backup(&self) -> PathBuf {
        self.home.folder().join("backup")
    }

    /// Keeps what the database says now, so that the oracle sees ends that change.
    pub fn look(&mut self) {
        // Before its first start there is nothing to look at.
        if let Ok(books) = Books::read(&self.url()) {
            self.earlier.push(books);
        }
        self.looked = Instant::now();
    }

    /// The same, where the last look is a while ago.
    fn look_now_and_then(&mut self) {
        if self.looked.elapsed() > BETWEEN_LOOKS {
            self.look();
        }
    }

    /// The number that a query answers.
    #[must_use]
    pub fn number(&self, sql: &str) -> i64 {
        self.database().number(sql)
    }

    /// The first column of every row, as text.
    #[must_use]
    pub fn texts(&self, sql: &str) -> Vec<String> {
        self.database().texts(sql)
    }

    /// The database, only to be read: who may write would clear away what a kill has left behind, and what the next start
    /// is to find.
    fn database(&self) -> Database {
        Database::at(&self.url())
    }

    /// Lets the daemon finish what is left, stops it, and asks the oracle.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        self.end();
        self.judge()
    }

    /// Lets the daemon finish what is left.
    fn end(&mut self) {
        for _ in 0..3 {
            if self.up.is_none() && self.number(LEFT) > 0 {
                self.go_on(None);
            }
            if self.wait() != Waited::Gone {
                break;
            }
        }
    }

    /// Lets what is left be finished, asks for something that only it knows, and asks the oracle.
    #[must_use]
    pub fn finish_and<T>(mut self, ask: impl FnOnce(&Self) -> T) -> (T, Outcome) {
        self.end();
        self.stop();
        (ask(&self), self.judge())
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

    /// Keeps the process that runs now. How the one before it has ended must have been seen.
    fn keep(&mut self, up: Up) {
        assert!(self.up.is_none(), "one process at a time");
        self.up = Some(up);
    }

    /// Keeps how the process has ended; whether that was at its crash point.
    fn note(&mut self, status: ExitStatus) -> bool {
        let wish = self.up.take().and_then(|up| up.wish).filter(|_| status.signal() == Some(ABORT));
        if status.signal().is_some() {
            self.kills += 1;
            self.look();
        }
        let died = wish.is_some();
        self.hit.extend(wish);
        died
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            leave_log(self.log());
        }
        if let Some(Up { child, .. }) = &mut self.up {
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
