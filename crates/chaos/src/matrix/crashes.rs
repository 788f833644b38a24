//! Every crash point, at its first to third pass, once and again and again; and kills at any time.

use std::time::Duration;

use crash::Point;

use crate::laptop::{Laptop, Waited};
use crate::scenario::{Outcome, Scenario};
use crate::site::Site;

/// Starts in a row that a point may end.
const IN_A_ROW: u32 = 4;
/// Nights with kills at random times.
const RANDOM: u64 = 60;
/// Kills in each of them.
const KILLS: u32 = 5;

/// On a laptop.
#[must_use]
pub fn laptop() -> Vec<Scenario> {
    let mut all = Vec::new();
    for point in Point::ALL {
        for nth in 1..=3 {
            let wish = format!("{}:{nth}", point.as_str());
            all.push(Scenario::new("crash point, sqlite", wish.clone(), move |site| {
                crash(site, &wish, IN_A_ROW)
            }));
        }
    }
    for seed in 0..RANDOM {
        all.push(Scenario::new("kill at any time, sqlite", format!("seed {seed}"), move |site| {
            anywhen(site, seed)
        }));
    }
    all
}

/// Arms a point in the command that begins the night and in every daemon after it, as long as it is passed.
#[must_use]
pub fn crash(site: &Site, wish: &str, in_a_row: u32) -> Outcome {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = usize::try_from(in_a_row).unwrap_or_default() + 1;
    if laptop.schedule_run(Some(wish)).code() != Some(0) {
        for _ in 1..in_a_row {
            laptop.up(Some(wish));
            if laptop.wait(Some(wish)) != Waited::Gone {
                break;
            }
        }
    }
    laptop.finish()
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
        laptop.up(None);
    }
    laptop.finish()
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
