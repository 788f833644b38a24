//! A troop: roles as processes of their own on PostgreSQL and RabbitMQ, their provider, and whoever kills them. A role
//! that is gone is started again, as an orchestrator would.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use liar::Liar;
use testkit::{Fleet, Postgres};

use crate::books::Books;
use crate::evidence::{Dead, Drain, Evidence, Expected, Heard};
use crate::laptop::{ABORT, BETWEEN_LOOKS, DAEMON, LEFT, SOON, Waited, now_ms};
use crate::scenario::{Outcome, leave_log};
use crate::site::{AGENTS, Site, TASKS, write_records};

/// Longest a night may take when nobody disturbs it any more.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Longest until all events have left: each role may die in turn as the one that publishes, and is missed for as long
/// as it had that to itself, 15 s, until the next one looks.
const PUBLISHED: Duration = Duration::from_secs(75);
/// How often what is left is asked for.
const LOOK: Duration = Duration::from_millis(100);
/// The roles of a troop.
pub const ROLES: [&str; 3] = ["scheduler", "submitter", "poller"];
/// The role that uploads and creates.
pub const SUBMITTER: &str = "submitter";

/// A troop.
pub struct Troop {
    /// The processes, their database and their broker.
    pub fleet: Fleet,
    /// Their provider.
    pub liar: Liar,
    /// What the scenario expects.
    pub expected: Expected,
    /// Processes that were killed, or killed themselves.
    pub kills: u32,
    roles: BTreeMap<String, String>,
    armed: BTreeMap<String, String>,
    /// The command that has wished for the night.
    striker: Option<Child>,
    hit: Vec<String>,
    earlier: Vec<Books>,
    looked: Instant,
    drains: Vec<Drain>,
    heard: Vec<Heard>,
}

impl Troop {
    /// A troop in the evening: a backlog is loaded, nothing runs.
    #[must_use]
    pub fn evening(site: &Site) -> Self {
        Self::at(site, site.broker().url(), site.server().database())
    }

    /// The same with a broker and on a database of the scenario's choice.
    #[must_use]
    pub fn at(site: &Site, broker: String, database: Postgres) -> Self {
        let mut home = site.overnight("");
        let liar = Liar::start(&home.folder().join("liar"));
        home.set("OPENAI_BASE_URL", &liar.base_url());
        let mut fleet = Fleet::on(home, database, broker, None);
        fleet.home.set("CLAIM_LEASE_MS", "1000");
        let records = write_records(fleet.home.folder(), "evening", TASKS);
        for agent in AGENTS {
            let _ = fleet.home.run(&["load", &records, "--backlog", agent]).exits(0);
        }
        // Its looks come from several processes, and an order that nobody answered is sent again.
        let expected = Expected { tasks: AGENTS.len() * TASKS, spare_looks: 3, ..Expected::default() };
        Self {
            fleet,
            liar,
            expected,
            kills: 0,
            roles: BTreeMap::new(),
            armed: BTreeMap::new(),
            striker: None,
            hit: Vec::new(),
            earlier: Vec::new(),
            looked: Instant::now(),
            drains: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// Starts one process of each role, with a crash point armed in all of them where one is named.
    pub fn muster(&mut self, wish: Option<&str>) {
        let armed = wish.map(|wish| ("OVERNIGHT_CRASH", wish));
        for role in ROLES {
            self.start(role, role, armed.as_slice());
        }
    }

    /// Starts a process; where it crashes by what it was given, that is a hit.
    pub fn start(&mut self, name: &str, role: &str, environment: &[(&str, &str)]) {
        self.enlist(name, role, environment);
        self.fleet.start_armed(name, role, environment);
    }

    /// The same, where the process may stop before it is up.
    pub fn start_unwatched(&mut self, name: &str, role: &str, environment: &[(&str, &str)]) {
        self.enlist(name, role, environment);
        self.fleet.start_unwatched(name, role, environment);
    }

    fn enlist(&mut self, name: &str, role: &str, environment: &[(&str, &str)]) {
        self.roles.insert(name.to_owned(), role.to_owned());
        if let Some((_, wish)) = environment.iter().find(|(key, _)| *key == "OVERNIGHT_CRASH") {
            self.armed.insert(name.to_owned(), (*wish).to_owned());
        }
    }

    /// Wishes for the night's work, now.
    pub fn strike(&mut self) {
        let mut command = self.fleet.home.command(&["schedule", "run", "--json"]);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.fleet.home.folder().join("strike.log"));
        let child = command.stdout(Stdio::null()).stderr(log.expect("a log")).spawn();
        self.striker = Some(child.expect("the binary runs"));
    }

    /// Starts again what is gone.
    pub fn tend(&mut self) {
        self.tend_with(None);
    }

    fn tend_with(&mut self, wish: Option<&str>) {
        for (name, status) in self.fleet.reap() {
            self.note(&name, status);
        }
        self.go_on(wish);
    }

    /// Starts again what was killed, armed where a point is named.
    pub fn go_on(&mut self, wish: Option<&str>) {
        let armed = wish.map(|wish| ("OVERNIGHT_CRASH", wish));
        for (name, role) in self.roles.clone() {
            if self.fleet.pid(&name).is_none() {
                self.start(&name, &role, armed.as_slice());
            }
        }
    }

    /// Waits until a process has died at its point, and puts another one in its place, armed where a point is named.
    ///
    /// # Panics
    /// Where none dies in time.
    pub fn replace(&mut self, wish: Option<&str>) {
        assert!(self.dies_within(SOON, wish), "waited in vain until a process dies at its point");
    }

    /// Whether a process dies at its point in this time; another one is put in its place, armed where a point is named.
    pub fn dies_within(&mut self, patience: Duration, wish: Option<&str>) -> bool {
        let (hits, deadline) = (self.hit.len(), Instant::now() + patience);
        while self.hit.len() == hits && Instant::now() < deadline {
            self.tend_with(wish);
            std::thread::sleep(LOOK);
        }
        self.hit.len() > hits
    }

    /// Kills every process; they stay away.
    pub fn kill_all(&mut self) {
        for name in self.fleet.names() {
            self.kill(&name);
        }
    }

    /// Keeps that a process beside the night has ended at a crash point.
    pub fn struck(&mut self, wish: &str) {
        self.kills += 1;
        self.hit.push(wish.to_owned());
        self.look();
    }

    /// Keeps how a process has ended; whether that was at its crash point.
    fn note(&mut self, name: &str, status: ExitStatus) -> bool {
        if status.signal().is_some() {
            self.kills += 1;
            self.look();
        }
        let wish = self.armed.remove(name).filter(|_| status.signal() == Some(ABORT));
        let died = wish.is_some();
        self.hit.extend(wish);
        died
    }

    /// Kills a process; it is started again when somebody looks.
    pub fn kill(&mut self, name: &str) {
        if self.fleet.pid(name).is_some() {
            let status = self.fleet.kill(name);
            self.note(name, status);
        }
    }

    /// Waits until nothing is left to do, and starts again what goes.
    pub fn wait(&mut self) -> Waited {
        self.wait_for(PATIENCE)
    }

    /// The same, for so long at most.
    pub fn wait_for(&mut self, patience: Duration) -> Waited {
        self.wait_until(patience, LEFT)
    }

    /// Waits until a query answers 0, and starts again what goes.
    pub fn wait_until(&mut self, patience: Duration, left: &str) -> Waited {
        let deadline = Instant::now() + patience;
        loop {
            self.tend();
            if self.fleet.number(left) == 0 {
                return Waited::Done;
            }
            if Instant::now() > deadline {
                return Waited::TooLong;
            }
            self.look_now_and_then();
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until a query answers 0, and starts again what goes.
    ///
    /// # Panics
    /// Where it doesn't in time: what is done next would be done to another night.
    pub fn until(&mut self, what: &str, left: &str) {
        let waited = self.wait_until(SOON, left);
        assert_eq!(waited, Waited::Done, "waited in vain until {what}");
    }

    /// Asks a process to stop, and keeps how it did.
    pub fn stop(&mut self, name: &str) {
        if self.fleet.pid(name).is_none() {
            return;
        }
        let (asked_at, asked) = (now_ms(), Instant::now());
        let role = self.roles.remove(name);
        let alone = role.as_deref() == Some(SUBMITTER) && !self.roles.values().any(|role| role == SUBMITTER);
        let status = self.fleet.stop_and_see(name);
        // One that came by its crash point meanwhile has not heard.
        if !self.note(name, status) {
            let (took, code) = (asked.elapsed(), status.code());
            self.drains.push(Drain { asked_at, took, code, in_order: DAEMON, alone });
        }
    }

    /// Keeps what the database says now.
    pub fn look(&mut self) {
        // A database that is away tells nothing.
        if let Ok(books) = Books::read(self.fleet.database_url()) {
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

    /// Keeps the events that the broker has, before something happens to it.
    pub fn listen(&mut self) {
        let id = |event: &serde_json::Value| event["id"].as_str().unwrap_or_default().to_owned();
        self.heard.extend(self.fleet.take_events().iter().map(|(event, _)| Heard { id: id(event) }));
    }

    /// Waits until the database answers again.
    pub fn reconnect(&self) {
        testkit::until("the database answers", || Books::read(self.fleet.database_url()).is_ok());
    }

    /// Keeps the database as it is now. Nobody is at work.
    pub fn back_up(&self) {
        let _ = self.fleet.back_up();
    }

    /// The database is again what it was when it was kept: what was seen since is no measure any more. The broker knows
    /// more than the database now.
    pub fn restore(&mut self) {
        self.fleet.restore();
        self.earlier.clear();
    }

    /// Lets what is left be finished, asks for something that only it knows, and asks the oracle.
    #[must_use]
    pub fn finish_and<T>(mut self, ask: impl FnOnce(&Self) -> T) -> (T, Outcome) {
        let _ = self.wait();
        (ask(&self), self.judge())
    }

    /// Lets the troop finish what is left, stops it, and asks the oracle.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        let _ = self.wait();
        self.judge()
    }

    /// Waits until all events have left, stops the troop, and asks the oracle.
    #[must_use]
    pub fn judge(mut self) -> Outcome {
        let published = Instant::now() + PUBLISHED;
        while self.fleet.number("SELECT count(*) FROM events WHERE published_at IS NULL") > 0
            && Instant::now() < published
        {
            self.tend();
            std::thread::sleep(LOOK);
        }
        for name in self.fleet.names() {
            self.stop(&name);
        }
        self.listen();
        let dead = self.fleet.take_dead_letters().into_iter();
        let dead = dead.map(|letter| Dead { body: letter.body, reason: letter.reason });
        let evidence = Evidence {
            ledger: self.liar.ledger(),
            books: Books::read(self.fleet.database_url()).expect("the database can be read"),
            earlier: std::mem::take(&mut self.earlier),
            heard: Some(std::mem::take(&mut self.heard)),
            dead: Some(dead.collect()),
            drains: std::mem::take(&mut self.drains),
            expected: self.expected.clone(),
        };
        let hit = std::mem::take(&mut self.hit);
        Outcome::of(&evidence, self.kills, hit, || self.logs())
    }

    /// What the processes have said.
    #[must_use]
    pub fn logs(&self) -> String {
        let names = self.roles.keys().cloned().chain(ROLES.map(str::to_owned));
        let names: std::collections::BTreeSet<String> = names.chain(["strike".to_owned()]).collect();
        names.iter().map(|name| format!("--- {name}\n{}", self.fleet.log(name))).collect()
    }
}

impl Drop for Troop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            leave_log(self.logs());
        }
        if let Some(child) = &mut self.striker {
            // It ends with its job, or with us.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
