//! Lies of the provider, alone and crossed with a kill at every point of the stage that is lied to.

mod answers;
mod looks;
mod submit;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crash::Point;
use liar::{Entry, Fate, Liar, Op, Rule, Settings};

use crate::evidence::Expected;
use crate::ground::{Ground, Pair, held};
use crate::laptop::{LEFT, UNPARKED, Waited};
use crate::matrix::passes::Night;
use crate::scenario::{Outcome, Scenario, requests};

/// How long a lie is kept up that the product waits out.
const KEPT_UP: Duration = Duration::from_secs(3);
/// How long what is honest again may take.
const HEALED: Duration = Duration::from_secs(15);
/// How long it may take until all that is left waits for a person.
const PARKED_WITHIN: Duration = Duration::from_secs(60);

/// A lie.
#[derive(Clone)]
pub struct Lie {
    name: &'static str,
    rules: Vec<Rule>,
    settings: Settings,
    environment: Vec<(&'static str, &'static str)>,
    expect: fn(&mut Expected),
    /// Points to kill at, by the beginning of their names.
    stages: &'static [&'static str],
    /// The provider becomes honest after a while, and the program is started again.
    heals: bool,
    /// So many batches must wait for a person in the end, at least; then nothing else is waited for.
    parks: i64,
    /// A batch is created behind the deletion of its file.
    lands_behind_a_deletion: bool,
    /// It begins when all batches are out: where no list shows a batch, no create may be in doubt.
    once_all_are_out: bool,
}

impl Lie {
    fn new(name: &'static str, stages: &'static [&'static str]) -> Self {
        Self {
            name,
            rules: Vec::new(),
            settings: Settings::default(),
            environment: Vec::new(),
            expect: |_| {},
            stages,
            heals: false,
            parks: 0,
            lands_behind_a_deletion: false,
            once_all_are_out: false,
        }
    }

    fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    fn settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    fn expect(self, expect: fn(&mut Expected)) -> Self {
        Self { expect, ..self }
    }

    fn heals(self) -> Self {
        Self { heals: true, ..self }
    }

    fn parks(self, batches: i64) -> Self {
        Self { parks: batches, ..self }
    }

    fn lands_behind_a_deletion(self) -> Self {
        Self { lands_behind_a_deletion: true, ..self }
    }

    fn once_all_are_out(self) -> Self {
        Self { once_all_are_out: true, ..self }
    }

    /// The provider lies from now on.
    fn begin(&self, liar: &Liar) {
        liar.set(&self.settings);
        self.rules.iter().for_each(|rule| liar.tell(rule.clone()));
    }

    /// Points of its stages.
    fn points(&self) -> impl Iterator<Item = String> {
        let stages = self.stages;
        let names = Point::ALL.iter().map(Point::to_string);
        names.filter(move |name| stages.iter().any(|stage| name.starts_with(stage)))
    }
}

/// A server that counts nothing, and adds metadata of its own.
fn odd() -> Settings {
    Settings { fate: Fate { odd: true, ..Fate::default() }, ..Settings::default() }
}

/// All lies.
#[must_use]
pub fn lies() -> Vec<Lie> {
    [submit::uploads(), submit::creates(), submit::lists(), submit::fences(), looks::lies(), answers::lies()]
        .concat()
}

/// On a laptop: each by itself, and with a kill at each point of its stages.
#[must_use]
pub fn laptop() -> Vec<Scenario> {
    let with_kills = |lie: Lie| {
        let alone = scenario(Pair::Sqlite, lie.clone(), None);
        std::iter::once(alone).chain(killed(Pair::Sqlite, &lie))
    };
    let again = killed_again(Pair::Sqlite, &named("create lost"));
    lies().into_iter().flat_map(with_kills).chain(again).collect()
}

/// In a troop: each by itself, and with kills the one that takes a night past every step of finding out what became of a
/// create.
#[must_use]
pub fn troop() -> Vec<Scenario> {
    let alone = lies().into_iter().map(|lie| scenario(Pair::Fleet, lie, None));
    let lost = named("create lost");
    alone.chain(killed(Pair::Fleet, &lost)).chain(killed_again(Pair::Fleet, &lost)).collect()
}

/// Killed at the first pass of each point.
fn killed(pair: Pair, lie: &Lie) -> Vec<Scenario> {
    lie.points().map(|point| scenario(pair, lie.clone(), Some(format!("{point}:1")))).collect()
}

/// Killed at the second and the third pass, where looks and fences come again.
fn killed_again(pair: Pair, lie: &Lie) -> Vec<Scenario> {
    let again = |point: String| (2..=3).map(move |pass| format!("{point}:{pass}"));
    lie.points().flat_map(again).map(|wish| scenario(pair, lie.clone(), Some(wish))).collect()
}

fn scenario(pair: Pair, lie: Lie, wish: Option<String>) -> Scenario {
    let (group, name) = match &wish {
        Some(wish) => ("lie and crash point", format!("{}, killed at {wish}", lie.name)),
        None => ("lie", lie.name.to_owned()),
    };
    Scenario::new(pair, group, name, move |site| run(pair.evening(site), &lie, wish.as_deref()))
}

/// The lie of a name.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn named(name: &str) -> Lie {
    lies().into_iter().find(|lie| lie.name == name).expect("a lie of this name")
}

/// A night with a lie, and with a kill at a pass of a point, such as `store.fence.after:1`, where one is named.
#[must_use]
pub fn run(mut ground: Ground, lie: &Lie, wish: Option<&str>) -> Outcome {
    for (name, value) in &lie.environment {
        ground.home().set(name, value);
    }
    ground.expected().spare_looks += 3 + usize::from(wish.is_some());
    (lie.expect)(ground.expected());
    let mut before = BTreeMap::new();
    if lie.once_all_are_out {
        ground.liar().set(&held());
        ground.begin(Night::ByHand, None);
        ground.until_all_are_out();
        ground.kill();
        before = requests(&ground.liar().ledger());
        lie.begin(ground.liar());
        ground.go_on(wish);
    } else {
        lie.begin(ground.liar());
        ground.begin(Night::ByHand, wish);
    }
    let (came, outcome) = lie_until_healed(ground, lie);
    let since = |op: &Op| outcome.requests.get(op).unwrap_or(&0) - before.get(op).unwrap_or(&0);
    let heard = |rule: &Rule| since(&rule.op) >= rule.nth as usize;
    let told = lie.rules.iter().all(heard);
    // Not every lie takes the night past every point of its stages.
    let died = wish.is_none_or(|wish| outcome.hit.iter().any(|hit| hit == wish));
    outcome.demand(told, "the lie").demand(came, "what the lie leads to").hope(died)
}

/// Lets the night end, and answers whether it has come to what the lie leads to.
fn lie_until_healed(mut ground: Ground, lie: &Lie) -> (bool, Outcome) {
    if lie.parks > 0 {
        let _ = ground.wait_until(PARKED_WITHIN, UNPARKED);
        // For what reason is the oracle's to judge.
        let parked = ground.number("SELECT count(*) FROM batches WHERE state = 'parked'");
        return (parked >= lie.parks, ground.judge());
    }
    if lie.heals {
        // A kill may come before the lie: then the next process hears it.
        let _ = ground.wait_until(KEPT_UP, LEFT);
        ground.kill();
        ground.liar().forget_rules();
        ground.liar().set(&Settings::default());
        ground.go_on(None);
        if ground.wait_until(HEALED, LEFT) == Waited::TooLong {
            // What was told late rests for minutes; a start says that it is mended.
            ground.kill();
            ground.go_on(None);
        }
    } else if ground.wait() == Waited::TooLong {
        return (true, ground.judge());
    }
    let landed = !lie.lands_behind_a_deletion || has_landed(&ground.liar().ledger());
    (landed, ground.finish())
}

/// Whether a batch was created whose file was deleted before.
fn has_landed(ledger: &[Entry]) -> bool {
    let mut deleted = BTreeSet::new();
    ledger.iter().any(|entry| match entry {
        Entry::Deleted { id } => {
            deleted.insert(id);
            false
        }
        Entry::Batch { file, .. } => deleted.contains(file),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lie_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = lies().iter().map(|lie| lie.name).collect();
        assert_eq!(names.len(), lies().len());
    }
}
