//! The ground that a night stands on: a pair of backends, and what can be done to a night on either. A scenario that
//! is written against this runs unchanged on both.

use std::path::Path;
use std::time::Duration;

use liar::Liar;
use testkit::{Overnight, Ran};

use crate::evidence::Expected;
use crate::laptop::{LEFT, Laptop, Waited};
use crate::matrix::passes::Night;
use crate::scenario::Outcome;
use crate::site::Site;
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
    /// One process; and the crash point that it was armed with.
    Laptop(Box<Laptop>, Option<String>),
    /// A process for each role.
    Troop(Box<Troop>),
}

impl Pair {
    /// The evening before a night: a backlog is loaded, nothing runs.
    #[must_use]
    pub fn evening(self, site: &Site) -> Ground {
        match self {
            Self::Sqlite => Ground::Laptop(Box::new(Laptop::evening(site)), None),
            Self::Fleet => Ground::Troop(Box::new(Troop::evening(site))),
        }
    }
}

impl Ground {
    /// The program and its environment.
    pub fn home(&mut self) -> &mut Overnight {
        match self {
            Self::Laptop(laptop, _) => &mut laptop.home,
            Self::Troop(troop) => &mut troop.fleet.home,
        }
    }

    /// The provider.
    #[must_use]
    pub fn liar(&self) -> &Liar {
        match self {
            Self::Laptop(laptop, _) => &laptop.liar,
            Self::Troop(troop) => &troop.liar,
        }
    }

    /// What the scenario expects.
    pub fn expected(&mut self) -> &mut Expected {
        match self {
            Self::Laptop(laptop, _) => &mut laptop.expected,
            Self::Troop(troop) => &mut troop.expected,
        }
    }

    /// Begins the night, with a crash point armed in each process that works it, where one is named.
    pub fn begin(&mut self, night: Night, wish: Option<&str>) {
        match self {
            Self::Laptop(laptop, armed) => {
                *armed = wish.map(str::to_owned);
                night.begin(laptop, wish);
            }
            Self::Troop(troop) => night.begin_in(troop, wish),
        }
    }

    /// Waits until a crash point was passed for the first time by whoever writes its passes to `log`.
    pub fn wait_for_pass(&mut self, log: &Path, point: &str, patience: Duration) -> bool {
        match self {
            Self::Laptop(laptop, _) => laptop.wait_for_pass(log, point, patience),
            Self::Troop(troop) => troop.wait_for_pass(log, point, patience),
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
            Self::Laptop(laptop, armed) => {
                for _ in 0..STARTS {
                    let waited = laptop.wait_until(armed.as_deref(), patience, left);
                    if waited != Waited::Gone {
                        return waited;
                    }
                    *armed = None;
                    laptop.go_on(None);
                }
                Waited::Gone
            }
        }
    }

    /// Kills every process.
    pub fn kill(&mut self) {
        match self {
            Self::Laptop(laptop, _) => laptop.kill(),
            Self::Troop(troop) => troop.fleet.names().iter().for_each(|name| troop.kill(name)),
        }
    }

    /// Starts again what was killed.
    pub fn go_on(&mut self) {
        match self {
            Self::Laptop(laptop, _) => laptop.go_on(None),
            Self::Troop(troop) => troop.tend(),
        }
    }

    /// A command beside the work.
    pub fn say(&mut self, arguments: &[&str]) -> Ran {
        self.home().run(arguments)
    }

    /// A command that takes part in the work, which goes on afterwards. One process at a time owns a folder, so
    /// nobody else may have it.
    pub fn run(&mut self, arguments: &[&str]) -> Ran {
        if let Self::Laptop(laptop, _) = self {
            laptop.stop();
        }
        let ran = self.say(arguments);
        self.go_on();
        ran
    }

    /// The number that a query answers.
    #[must_use]
    pub fn number(&self, sql: &str) -> i64 {
        match self {
            Self::Laptop(laptop, _) => laptop.number(sql),
            Self::Troop(troop) => troop.fleet.number(sql),
        }
    }

    /// The first column of every row, as text.
    #[must_use]
    pub fn texts(&self, sql: &str) -> Vec<String> {
        match self {
            Self::Laptop(laptop, _) => laptop.home.database().texts(sql),
            Self::Troop(troop) => troop.fleet.texts(sql),
        }
    }

    /// Lets what is left be finished, and asks the oracle.
    #[must_use]
    pub fn finish(self) -> Outcome {
        match self {
            Self::Laptop(laptop, _) => laptop.finish(),
            Self::Troop(troop) => troop.finish(),
        }
    }

    /// Stops what runs, and asks the oracle.
    #[must_use]
    pub fn judge(self) -> Outcome {
        match self {
            Self::Laptop(laptop, _) => laptop.judge(),
            Self::Troop(troop) => troop.judge(),
        }
    }
}
