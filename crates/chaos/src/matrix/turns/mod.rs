//! Turns that a quiet night doesn't take: what people say, what comes back older, late or twice, what fails again and
//! again. Each is killed before and behind the step that it is about, and the night goes on.

mod people;
mod restored;
mod troop;
mod trouble;

use crash::{Point, Step};

use super::passes::Night;
use crate::ground::{Ground, Pair};
use crate::scenario::{Outcome, Scenario};
use crate::site::Site;
use crate::troop::Troop;

/// A turn, the steps that it takes, and what is done on its ground to the night and to whoever comes by.
struct Turn<T: 'static> {
    name: &'static str,
    steps: &'static [Step],
    run: fn(T, &str) -> Outcome,
}

/// On a laptop.
#[must_use]
pub fn laptop() -> Vec<Scenario> {
    on(Pair::Sqlite)
}

/// In a troop.
#[must_use]
pub fn troop() -> Vec<Scenario> {
    let troop = scenarios(Pair::Fleet, troop::TURNS, Troop::evening);
    on(Pair::Fleet).into_iter().chain(troop).collect()
}

/// Those that are taken on either pair.
fn on(pair: Pair) -> Vec<Scenario> {
    let turns = [people::TURNS, trouble::TURNS, restored::TURNS].into_iter();
    turns.flat_map(|turns| scenarios(pair, turns, move |site| evening(pair, site))).collect()
}

fn scenarios<T>(
    pair: Pair,
    turns: &'static [Turn<T>],
    evening: impl Fn(&Site) -> T + Copy + Send + Sync + 'static,
) -> Vec<Scenario> {
    let of = move |turn: &'static Turn<T>| {
        let points = Point::ALL.iter().filter(|point| turn.steps.contains(&point.step));
        points.map(move |point| {
            let wish = format!("{point}:1");
            Scenario::new(
                pair,
                "turn and crash point",
                format!("{}, killed at {point}", turn.name),
                move |site| (turn.run)(evening(site), &wish).died_at(&wish),
            )
        })
    };
    turns.iter().flat_map(of).collect()
}

fn evening(pair: Pair, site: &Site) -> Ground {
    let mut ground = pair.evening(site);
    ground.expected().spare_looks += 4;
    ground
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
