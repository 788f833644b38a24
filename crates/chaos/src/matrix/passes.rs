//! Which crash points a quiet night passes, and how often, up to three times: the wishes that the matrix can make.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use liar::{Liar, Settings};
use testkit::Overnight;

use crate::laptop::{LEFT, Laptop};
use crate::site::Site;
use crate::troop::{ROLES, Troop};

/// The variable that names the file of passes.
const LOG: &str = "OVERNIGHT_CRASH_LOG";
/// 0 once a schedule is on record.
const UNWRITTEN: &str = "SELECT 1 - count(*) FROM schedules WHERE next_at IS NOT NULL";
/// Passes of the step that asks for one batch by itself, which a night may take or not: the list may answer first.
const LOOKS: [&str; 2] = ["provider.look.before:1", "provider.look.after:1"];
/// How long an armed process has to come by its point, before others come by it.
pub(crate) const HEAD_START: Duration = Duration::from_secs(2);
/// The nights that are to come: a schedule and a date.
const TO_COME: &str = "SELECT name || ' ' || next_date FROM schedules WHERE next_at IS NOT NULL";

/// Wishes such as `provider.create.after:2`, by who can be given them.
pub type Passes = BTreeMap<&'static str, Vec<String>>;

/// Of a command that runs the night, and of a daemon that begins one by its clock.
///
/// # Panics
/// Where a quiet night has a finding.
#[must_use]
pub fn laptop(site: &Site) -> Passes {
    let mut passes = Passes::new();
    for (who, night) in [("command", Night::ByHand), ("daemon", Night::ByClock)] {
        let mut laptop = Laptop::evening(site);
        night.evening(&mut laptop);
        let log = write_down(&mut laptop.home, who);
        night.strike(&mut laptop, None);
        let (passed, outcome) = laptop.finish_and(|_| read(&log));
        assert!(outcome.findings.is_empty(), "a quiet night: {:?}", outcome.findings);
        passes.insert(who, passed);
        with_looks(&mut passes, who);
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
        troop.start(role, role, &[(LOG, log.to_str().expect("a path of text"))]);
    }
    troop.strike();
    let _ = troop.wait();
    let mut passes: Passes = logs.iter().map(|(role, log)| (*role, read(log))).collect();
    let outcome = troop.finish();
    assert!(outcome.findings.is_empty(), "a quiet night: {:?}\n{}", outcome.findings, outcome.log);
    with_looks(&mut passes, "poller");
    passes
}

/// Wishes for looks at one batch, which are met where the evening [sees to it](sees_to).
fn with_looks(passes: &mut Passes, who: &'static str) {
    let wishes = passes.entry(who).or_default();
    wishes.retain(|wish| !LOOKS.contains(&wish.as_str()));
    wishes.extend(LOOKS.map(str::to_owned));
}

/// Whether several roles come by a point, so that whoever is first takes the pass from the others.
pub(crate) fn is_shared(passes: &Passes, wish: &str) -> bool {
    passes.values().filter(|wishes| wishes.iter().any(|of_role| of_role == wish)).count() > 1
}

/// Sees to it that a point is come by: what no list shows is looked at by itself. Not for a night in which a create may be in
/// doubt: it would be looked for in that list.
pub(crate) fn sees_to(liar: &Liar, point: &str) {
    if point.starts_with("provider.look") {
        liar.set(&Settings { lag_ms: 600_000, ..Settings::default() });
    }
}

/// What a troop passes only in a night that the clock begins, for the first time: else a command takes up the backlog. A
/// run that a kill cuts off rests for a minute, so that later passes would take long and tell nothing new.
///
/// # Panics
/// Where a quiet night has a finding.
#[must_use]
pub fn by_clock_alone(site: &Site, by_hand: &Passes) -> Vec<String> {
    let mut troop = Troop::evening(site);
    Night::ByClock.evening_in(&mut troop);
    let log = write_down(&mut troop.fleet.home, "clock");
    troop.muster(None);
    troop.until("the night is over", LEFT);
    let mut passes = read(&log);
    let outcome = troop.finish();
    assert!(outcome.findings.is_empty(), "a quiet night: {:?}\n{}", outcome.findings, outcome.log);
    passes.retain(|wish| wish.ends_with(":1") && !by_hand.values().any(|wishes| wishes.contains(wish)));
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
        self.evening(laptop);
        self.strike(laptop, wish);
    }

    /// The evening before it: the clock's schedule is put on record, and its night is still to come.
    pub fn evening(self, laptop: &mut Laptop) {
        if self == Self::ByHand {
            return;
        }
        by_clock(&mut laptop.home);
        laptop.up(None);
        laptop.until("the schedule is on record", UNWRITTEN);
        laptop.stop();
        laptop.expected.nights = nights(&laptop.texts(TO_COME));
        laptop.home.set("OVERNIGHT_CLOCK_OFFSET", "+25h");
        laptop.by_clock = true;
    }

    /// Whoever begins it starts.
    pub fn strike(self, laptop: &mut Laptop, wish: Option<&str>) {
        match self {
            Self::ByHand => laptop.start_schedule_run(wish),
            Self::ByClock => laptop.up(wish),
        }
    }

    /// Begins it in a troop, where each process is armed.
    pub fn begin_in(self, troop: &mut Troop, wish: Option<&str>) {
        self.evening_in(troop);
        troop.muster(wish);
        if self == Self::ByHand {
            troop.strike();
        }
    }

    /// The evening before it in a troop.
    fn evening_in(self, troop: &mut Troop) {
        if self == Self::ByHand {
            return;
        }
        by_clock(&mut troop.fleet.home);
        troop.start("scheduler", "scheduler", &[]);
        troop.until("the schedule is on record", UNWRITTEN);
        troop.stop("scheduler");
        troop.expected.nights = nights(&troop.fleet.texts(TO_COME));
        troop.fleet.home.set("OVERNIGHT_CLOCK_OFFSET", "+25h");
    }
}

/// Lets whoever starts from now on write its passes of crash points to a file of that name; answers where it is.
pub(crate) fn write_down(home: &mut Overnight, name: &str) -> PathBuf {
    let log = home.folder().join(format!("passed-{name}"));
    home.set(LOG, log.to_str().expect("a path of text"));
    log
}

/// Whoever starts from now on writes down nothing.
pub(crate) fn write_no_more(home: &mut Overnight) {
    home.unset(LOG);
}

/// Whether a point is passed as wished, such as `provider.create.after:2`, within so much time, by whoever writes to
/// `log`.
pub(crate) fn comes_by(log: &Path, wish: &str, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let passed = std::fs::read_to_string(log).unwrap_or_default();
        if passed.lines().any(|passed| passed == wish) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn nights(to_come: &[String]) -> Vec<(String, String)> {
    let night = |text: &String| text.split_once(' ').map(|(name, date)| (name.to_owned(), date.to_owned()));
    to_come.iter().filter_map(night).collect()
}

fn by_clock(home: &mut Overnight) {
    home.set("BATCH_AUTO_OVERNIGHT", "true");
    home.set("BATCH_CATCHUP_MINUTES", "100000");
}

fn read(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    // Claims are renewed where work takes long, which it may do in one night and not in the next: there are turns for that.
    let wishes: BTreeSet<&str> = text.lines().filter(|wish| !wish.starts_with("store.renew")).collect();
    wishes.into_iter().map(str::to_owned).collect()
}
