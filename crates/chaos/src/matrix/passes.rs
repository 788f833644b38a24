//! Which crash points a quiet night passes, and how often, up to three times: the wishes that the matrix can make.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use testkit::Overnight;

use crate::laptop::Laptop;
use crate::site::Site;
use crate::troop::{ROLES, Troop};

/// Longest until a schedule is on record.
const EVENING: Duration = Duration::from_secs(30);
/// 0 once it is.
const UNWRITTEN: &str = "SELECT 1 - count(*) FROM schedules WHERE next_at IS NOT NULL";

/// Wishes such as `provider.create.after:2`, by who can be given them.
pub type Passes = BTreeMap<&'static str, Vec<String>>;

/// Of a command that runs the night, and of a daemon that finds it begun and begins one by its clock.
///
/// # Panics
/// Where a quiet night has a finding.
#[must_use]
pub fn laptop(site: &Site) -> Passes {
    let mut passes = Passes::new();
    for (who, night) in [("command", Night::ByHand), ("daemon", Night::ByClock)] {
        let mut laptop = Laptop::evening(site);
        let log = laptop.home.folder().join("passed");
        laptop.home.set("OVERNIGHT_CRASH_LOG", log.to_str().expect("a path of text"));
        night.begin(&mut laptop, None);
        let outcome = laptop.wait_and_judge(|| read(&log));
        assert!(outcome.1.findings.is_empty(), "a quiet night: {:?}", outcome.1.findings);
        passes.insert(who, outcome.0);
    }
    passes
}

/// Of each role.
///
/// # Panics
/// Where a quiet night has a finding.
#[must_use]
pub fn troop(site: &Site) -> Passes {
    let mut troop = Troop::evening(site);
    let log = |role: &str| troop.fleet.home.folder().join(format!("passed-{role}"));
    let logs: Vec<_> = ROLES.iter().map(|role| (*role, log(role))).collect();
    for (role, log) in &logs {
        troop.start(role, role, &[("OVERNIGHT_CRASH_LOG", log.to_str().expect("a path of text"))]);
    }
    troop.strike();
    let _ = troop.wait();
    let passes = logs.iter().map(|(role, log)| (*role, read(log))).collect();
    let outcome = troop.finish();
    assert!(outcome.findings.is_empty(), "a quiet night: {:?}\n{}", outcome.findings, outcome.log);
    passes
}

/// How a night begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Night {
    /// A command runs it.
    ByHand,
    /// A daemon's clock strikes.
    ByClock,
}

impl Night {
    /// Begins it, with a crash point armed where one is named.
    pub fn begin(self, laptop: &mut Laptop, wish: Option<&str>) {
        if self == Self::ByHand {
            return laptop.start_schedule_run(wish);
        }
        by_clock(&mut laptop.home);
        // The evening: the schedule is put on record, and its night is still to come.
        laptop.up(None);
        let _ = laptop.wait_until(None, EVENING, UNWRITTEN);
        laptop.stop();
        laptop.home.set("OVERNIGHT_CLOCK_OFFSET", "+25h");
        laptop.up(wish);
    }

    /// The same in a troop, where each process is armed.
    pub fn begin_in(self, troop: &mut Troop, wish: Option<&str>) {
        if self == Self::ByHand {
            troop.muster(wish);
            return troop.strike();
        }
        by_clock(&mut troop.fleet.home);
        troop.start("scheduler", "scheduler", &[]);
        let _ = troop.wait_until(EVENING, UNWRITTEN);
        troop.stop("scheduler");
        troop.fleet.home.set("OVERNIGHT_CLOCK_OFFSET", "+25h");
        troop.muster(wish);
    }
}

fn by_clock(home: &mut Overnight) {
    home.set("BATCH_AUTO_OVERNIGHT", "true");
    home.set("BATCH_CATCHUP_MINUTES", "100000");
}

fn read(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let wishes: BTreeSet<&str> = text.lines().collect();
    wishes.into_iter().map(str::to_owned).collect()
}
