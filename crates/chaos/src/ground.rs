//! The ground that a night stands on: a pair of backends, and what can be done to a night on either. A scenario that
//! is written against this runs unchanged on both.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

use crash::Step;
use liar::{Fate, Liar, Settings};
use testkit::{Overnight, Ran};

use crate::evidence::Expected;
use crate::laptop::{ABORT, LEFT, Laptop, SOON, Waited};
use crate::matrix::passes::Night;
use crate::scenario::Outcome;
use crate::site::{Site, copy};
use crate::troop::{self, Troop};

/// Starts in a row of a program that ends before its work is done; one more is no crash but a fault.
const STARTS: u32 = 4;

/// A pair of backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// SQLite, and the queue inside the one process.
    Sqlite,
    /// PostgreSQL and RabbitMQ, and a process for each role.
    Fleet,
}

/// A night on a pair of backends. Whatever is gone is started again by whoever waits.
pub enum Ground {
    /// One process.
    Laptop(Box<Laptop>),
    /// A process for each role.
    Troop(Box<Troop>),
}

/// Batches stay at the provider until the settings say otherwise.
pub(crate) fn held() -> Settings {
    Settings { fate: Fate { held: true, ..Fate::default() }, ..Settings::default() }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Fleet => "postgres and rabbitmq",
        })
    }
}

impl Pair {
    /// The evening before a night: a backlog is loaded, nothing runs.
    #[must_use]
    pub fn evening(self, site: &Site) -> Ground {
        match self {
            Self::Sqlite => Ground::Laptop(Box::new(Laptop::evening(site))),
            Self::Fleet => Ground::Troop(Box::new(Troop::evening(site))),
        }
    }

    /// Whether a night on this pair can come by a step at all. This is the one place that says where it can't.
    #[must_use]
    pub fn can_meet(self, step: Step) -> bool {
        match self {
            // There is no broker: nobody sends commands by message, and nobody is told of events.
            Self::Sqlite => !matches!(
                step,
                Step::TakeLease
                    | Step::GiveLease
                    | Step::Published
                    | Step::PublishAgain
                    | Step::SayOfCommand
                    | Step::LetterAccept
                    | Step::LetterRefuse
                    | Step::QueuePublish
                    | Step::QueueKeep
                    | Step::QueueBury
            ),
            Self::Fleet => !matches!(
                step,
                // A database server has others at work: a start forgets nobody's claims.
                Step::ForgetClaims | Step::ForgetRunClaims
                // Roles start whether the provider answers or not.
                | Step::ProviderPing
            ),
        }
    }
}

impl Ground {
    /// The program and its environment.
    pub fn home(&mut self) -> &mut Overnight {
        match self {
            Self::Laptop(laptop) => &mut laptop.home,
            Self::Troop(troop) => &mut troop.fleet.home,
        }
    }

    /// The provider.
    #[must_use]
    pub fn liar(&self) -> &Liar {
        match self {
            Self::Laptop(laptop) => &laptop.liar,
            Self::Troop(troop) => &troop.liar,
        }
    }

    /// What the scenario expects.
    pub fn expected(&mut self) -> &mut Expected {
        match self {
            Self::Laptop(laptop) => &mut laptop.expected,
            Self::Troop(troop) => &mut troop.expected,
        }
    }

    /// Begins the night, with a crash point armed in each process that works it, where one is named.
    pub fn begin(&mut self, night: Night, wish: Option<&str>) {
        match self {
            Self::Laptop(laptop) => night.begin(laptop, wish),
            Self::Troop(troop) => night.begin_in(troop, wish),
        }
    }

    /// Waits until nothing is left to do.
    pub fn wait(&mut self) -> Waited {
        self.wait_until(troop::PATIENCE, LEFT)
    }

    /// Waits until a query answers 0. Each process has that much time.
    pub fn wait_until(&mut self, patience: Duration, left: &str) -> Waited {
        match self {
            Self::Troop(troop) => troop.wait_until(patience, left),
            Self::Laptop(laptop) => {
                for _ in 0..STARTS {
                    let waited = laptop.wait_until(patience, left);
                    if waited != Waited::Gone {
                        return waited;
                    }
                    laptop.go_on(None);
                }
                Waited::Gone
            }
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

    /// Waits until all batches are at a provider that [holds](held) them.
    pub fn until_all_are_out(&mut self) {
        self.until("all batches are out", "SELECT 6 - count(*) FROM batches WHERE state = 'open'");
    }

    /// What the provider holds runs, and it holds nothing else.
    pub fn let_run(&self) {
        self.liar().set(&Settings { run_held: true, ..Settings::default() });
    }

    /// Waits until a process has died at its point, and puts another one in its place, armed where a point is named.
    ///
    /// # Panics
    /// Where none dies in time.
    pub fn replace(&mut self, wish: Option<&str>) {
        match self {
            Self::Laptop(laptop) => laptop.replace(wish),
            Self::Troop(troop) => troop.replace(wish),
        }
    }

    /// Kills every process; they stay away.
    pub fn kill(&mut self) {
        match self {
            Self::Laptop(laptop) => laptop.kill(),
            Self::Troop(troop) => troop.kill_all(),
        }
    }

    /// Starts again what was killed, armed where a point is named.
    pub fn go_on(&mut self, wish: Option<&str>) {
        match self {
            Self::Laptop(laptop) => laptop.go_on(wish),
            Self::Troop(troop) => troop.go_on(wish),
        }
    }

    /// Runs a command that ends at a crash point.
    ///
    /// # Panics
    /// One that ends otherwise.
    pub fn dies(&mut self, arguments: &[&str], wish: &str) {
        let mut command = self.home().command(arguments);
        command.env("OVERNIGHT_CRASH", wish).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().expect("the binary runs");
        assert_eq!(status.signal(), Some(ABORT), "{arguments:?} ends at {wish}");
        self.struck(wish);
    }

    /// Keeps that a process beside the night has ended at a crash point.
    pub fn struck(&mut self, wish: &str) {
        match self {
            Self::Laptop(laptop) => laptop.struck(wish),
            Self::Troop(troop) => troop.struck(wish),
        }
    }

    /// Changes the database behind the program's back.
    pub fn change(&self, sql: &str) {
        match self {
            Self::Laptop(laptop) => laptop.home.database().run(sql),
            Self::Troop(troop) => troop.fleet.change(sql),
        }
    }

    /// Keeps what the database is now. Nobody is at work.
    pub fn back_up(&mut self) {
        match self {
            Self::Laptop(laptop) => laptop.back_up(),
            Self::Troop(troop) => troop.back_up(),
        }
    }

    /// The database is again what it was when it was kept. Nobody is at work.
    pub fn restore(&mut self) {
        match self {
            Self::Laptop(laptop) => laptop.restore(),
            Self::Troop(troop) => troop.restore(),
        }
    }

    /// Gives another home a copy of the database, and answers its address. Nobody is at work.
    pub fn copy_to(&self, home: &mut Overnight) -> String {
        match self {
            Self::Laptop(laptop) => {
                copy(&laptop.home.data_dir(), &home.data_dir());
                format!("sqlite://{}?mode=ro", home.data_dir().join("overnight.db").display())
            }
            Self::Troop(troop) => {
                let copied = troop.fleet.back_up();
                home.set("DATABASE_URL", &copied);
                copied
            }
        }
    }

    /// A command beside the work.
    pub fn say(&mut self, arguments: &[&str]) -> Ran {
        self.home().run(arguments)
    }

    /// A command that takes part in the work, which goes on afterwards. One process at a time owns a folder, so
    /// nobody else may have it.
    pub fn run(&mut self, arguments: &[&str]) -> Ran {
        if let Self::Laptop(laptop) = self {
            laptop.stop();
        }
        let ran = self.say(arguments);
        self.go_on(None);
        ran
    }

    /// The number that a query answers.
    #[must_use]
    pub fn number(&self, sql: &str) -> i64 {
        match self {
            Self::Laptop(laptop) => laptop.number(sql),
            Self::Troop(troop) => troop.fleet.number(sql),
        }
    }

    /// The first column of every row, as text.
    #[must_use]
    pub fn texts(&self, sql: &str) -> Vec<String> {
        match self {
            Self::Laptop(laptop) => laptop.texts(sql),
            Self::Troop(troop) => troop.fleet.texts(sql),
        }
    }

    /// Lets what is left be finished, and asks the oracle.
    #[must_use]
    pub fn finish(self) -> Outcome {
        match self {
            Self::Laptop(laptop) => laptop.finish(),
            Self::Troop(troop) => troop.finish(),
        }
    }

    /// Stops what runs, and asks the oracle.
    #[must_use]
    pub fn judge(self) -> Outcome {
        match self {
            Self::Laptop(laptop) => laptop.judge(),
            Self::Troop(troop) => troop.judge(),
        }
    }
}
