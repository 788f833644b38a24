//! Turns that a quiet night doesn't take: what people say, what comes back older, late or twice, what fails again and
//! again. Each is killed before and behind the step that it is about, and the night goes on.

mod laptop;
mod people;
mod troop;
mod trouble;

use crash::{Point, Step};

use super::passes::Night;
use crate::ground::{Ground, Pair};
use crate::laptop::Laptop;
use crate::scenario::{Outcome, Scenario};
use crate::site::Site;
use crate::troop::Troop;

const LAPTOP: &str = "turn and crash point, sqlite";
const TROOP: &str = "turn and crash point, postgres and rabbitmq";
/// 0 once all batches are at the provider.
const ALL_OUT: &str = "SELECT 6 - count(*) FROM batches WHERE state = 'open'";

/// A turn, the steps that it takes, and what is done on its ground to the night and to whoever comes by.
struct Turn<T: 'static> {
    name: &'static str,
    steps: &'static [Step],
    run: fn(T, &str) -> Outcome,
}

/// On a laptop.
#[must_use]
pub fn laptop() -> Vec<Scenario> {
    let of = |turns| scenarios(LAPTOP, turns, |site| evening(Pair::Sqlite, site));
    let laptop = scenarios(LAPTOP, laptop::TURNS, quiet_laptop);
    of(people::TURNS).into_iter().chain(of(trouble::TURNS)).chain(laptop).collect()
}

/// In a troop.
#[must_use]
pub fn troop() -> Vec<Scenario> {
    let of = |turns| scenarios(TROOP, turns, |site| evening(Pair::Fleet, site));
    let troop = scenarios(TROOP, troop::TURNS, Troop::evening);
    of(people::TURNS).into_iter().chain(of(trouble::TURNS)).chain(troop).collect()
}

fn scenarios<T>(group: &'static str, turns: &'static [Turn<T>], evening: fn(&Site) -> T) -> Vec<Scenario> {
    let of = move |turn: &'static Turn<T>| {
        let points = Point::ALL.iter().filter(|point| turn.steps.contains(&point.step));
        points.map(move |point| {
            let wish = format!("{point}:1");
            Scenario::new(group, format!("{}, killed at {point}", turn.name), move |site| {
                (turn.run)(evening(site), &wish).died_at(&wish)
            })
        })
    };
    turns.iter().flat_map(of).collect()
}

fn evening(pair: Pair, site: &Site) -> Ground {
    let mut ground = pair.evening(site);
    ground.expected().spare_looks += 4;
    ground
}

fn quiet_laptop(site: &Site) -> Laptop {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = 4;
    laptop
}

/// The night itself, once the turn has come.
fn night(mut ground: Ground) -> Outcome {
    ground.begin(Night::ByHand, None);
    ground.finish()
}

/// A night that is armed from its beginning, and goes on unarmed.
fn armed_night(mut ground: Ground, night: Night, wish: &str) -> Outcome {
    ground.begin(night, Some(wish));
    let _ = ground.wait();
    ground.finish()
}

/// Whether the step that a process died at is done.
fn is_done(wish: &str) -> bool {
    wish.contains(".after")
}
