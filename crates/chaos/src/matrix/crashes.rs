//! Every crash point, at its first to third pass, once and again and again; failures at the same points; and kills at
//! any time.

use std::time::Duration;

use super::passes::{HEAD_START, Night, Passes, comes_by, is_shared, sees_to, write_down, write_no_more};
use crate::ground::Pair;
use crate::laptop::{Laptop, Waited};
use crate::scenario::{Outcome, Scenario};
use crate::site::Site;
use crate::troop::{ROLES, Troop};

/// Starts in a row that a point may end.
const IN_A_ROW: u32 = 4;
/// Nights with kills at random times.
const RANDOM: u64 = 60;
/// Kills in each of them.
const KILLS: u32 = 5;

/// On a laptop.
#[must_use]
pub fn laptop(passes: &Passes) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (who, night) in [("command", Night::ByHand), ("daemon", Night::ByClock)] {
        for wish in passes[who].clone() {
            if night == Night::ByClock && passes["command"].contains(&wish) {
                continue;
            }
            if wish.starts_with("store.") || wish.starts_with("spool.") {
                let (name, fails) = (format!("{wish}:error"), wish.clone());
                all.push(Scenario::new(Pair::Sqlite, "failure at a crash point", name, move |site| {
                    fail(site, night, &fails)
                }));
            }
            all.push(Scenario::new(Pair::Sqlite, "crash point", wish.clone(), move |site| {
                crash(site, night, &wish, IN_A_ROW)
            }));
        }
    }
    for seed in 0..RANDOM {
        all.push(Scenario::new(Pair::Sqlite, "kill at any time", format!("seed {seed}"), move |site| {
            anywhen(site, seed)
        }));
    }
    all
}

/// In a troop: one process of the role crashes.
#[must_use]
pub fn troop(passes: &Passes) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (&role, wishes) in passes {
        for wish in wishes.clone() {
            let (name, shared) = (format!("{role} at {wish}"), is_shared(passes, &wish));
            all.push(Scenario::new(Pair::Fleet, "crash point", name, move |site| {
                let mut troop = Troop::evening(site);
                sees_to(&troop.liar, &wish);
                // It goes first, so that no other one is there before it.
                troop.start(role, role, &[("OVERNIGHT_CRASH", &wish)]);
                if shared {
                    troop.strike();
                    let _ = troop.dies_within(HEAD_START, None);
                }
                for other in ROLES.iter().filter(|other| **other != role) {
                    troop.start(other, other, &[]);
                }
                if !shared {
                    troop.strike();
                }
                troop.finish().died_at(&wish)
            }));
        }
    }
    for seed in 0..RANDOM / 3 {
        let name = format!("seed {seed}");
        all.push(Scenario::new(Pair::Fleet, "kill at any time", name, move |site| any_of(site, seed)));
    }
    all
}

/// In a troop whose night the clock begins: every process that comes by crashes.
#[must_use]
pub fn by_clock(wishes: Vec<String>) -> Vec<Scenario> {
    let crash = |wish: String| {
        let name = format!("a night by the clock at {wish}");
        Scenario::new(Pair::Fleet, "crash point", name, move |site| {
            let mut troop = Troop::evening(site);
            Night::ByClock.begin_in(&mut troop, Some(&wish));
            troop.finish().died_at(&wish)
        })
    };
    wishes.into_iter().map(crash).collect()
}

/// Arms a point in the process that begins the night and in every daemon after it, as long as it is passed.
#[must_use]
pub fn crash(site: &Site, night: Night, wish: &str, in_a_row: u32) -> Outcome {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = usize::try_from(in_a_row).unwrap_or_default() + 1;
    night.begin(&mut laptop, Some(wish));
    for _ in 0..in_a_row {
        if laptop.wait() != Waited::Gone {
            break;
        }
        laptop.go_on(Some(wish));
    }
    let outcome = laptop.finish();
    // Whether the list answers looks, or each batch is asked for by itself, is a matter of moments.
    let is_a_look = wish.starts_with("provider.look") || wish.starts_with("provider.find_batches");
    if is_a_look { outcome.may_have_died_at(wish) } else { outcome.died_at(wish) }
}

/// A write fails, or has happened and says that it failed.
#[must_use]
pub fn fail(site: &Site, night: Night, wish: &str) -> Outcome {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = 2;
    night.evening(&mut laptop);
    let log = write_down(&mut laptop.home, "night");
    night.strike(&mut laptop, Some(&format!("{wish}:error")));
    write_no_more(&mut laptop.home);
    let (came, outcome) = laptop.finish_and(|_| comes_by(&log, wish, Duration::ZERO));
    outcome.came_by(came, wish)
}

/// Kills the process at random times of the night.
#[must_use]
pub fn anywhen(site: &Site, seed: u64) -> Outcome {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = usize::try_from(KILLS).unwrap_or_default() + 1;
    let mut random = Random(seed);
    laptop.start_schedule_run(None);
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(20 + random.below(900)));
        laptop.kill();
        laptop.go_on(None);
    }
    let outcome = laptop.finish();
    let came = outcome.kills > 0;
    outcome.demand(came, "a kill")
}

/// Kills any process of a troop at random times of the night.
#[must_use]
pub fn any_of(site: &Site, seed: u64) -> Outcome {
    let mut troop = Troop::evening(site);
    troop.expected.spare_looks = usize::try_from(KILLS).unwrap_or_default() * 2;
    let mut random = Random(seed);
    troop.muster(None);
    troop.strike();
    for _ in 0..KILLS * 2 {
        std::thread::sleep(Duration::from_millis(20 + random.below(900)));
        let role = usize::try_from(random.below(3)).unwrap_or_default();
        troop.kill(ROLES[role]);
        std::thread::sleep(Duration::from_millis(20));
        troop.tend();
    }
    let outcome = troop.finish();
    let came = outcome.kills > 0;
    outcome.demand(came, "a kill")
}

/// Numbers that follow from a seed: splitmix64.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
