//! What the matrix says at its end.

use std::collections::{BTreeMap, BTreeSet};

use crash::Point;

use crate::ground::Pair;
use crate::scenario::{Outcome, Scenario};

/// Sums over scenarios.
#[derive(Clone, Debug, Default)]
struct Row {
    scenarios: usize,
    missed: usize,
    kills: u32,
    requests: usize,
    lost: usize,
    double_billed: usize,
    duplicates: usize,
    unfinished: usize,
    other: usize,
}

impl Row {
    fn add(&mut self, outcome: &Outcome) {
        let of = |invariant: &str| {
            outcome.findings.iter().filter(|finding| finding.invariant == invariant).count()
        };
        self.scenarios += 1;
        self.missed += usize::from(outcome.missed);
        self.kills += outcome.kills;
        self.requests += outcome.requests.values().sum::<usize>();
        self.duplicates += outcome.duplicates;
        self.double_billed += of("I1");
        self.lost += of("I2");
        self.unfinished += of("I3");
        self.other += outcome.findings.len() - of("I1") - of("I2") - of("I3");
    }

    fn line(&self, name: &str) -> String {
        let Self { scenarios, missed, kills, requests, lost, double_billed, duplicates, unfinished, other } =
            self;
        format!(
            "| {name:<34} | {scenarios:>9} | {missed:>11} | {kills:>5} | {requests:>8} | {lost:>4} | {double_billed:>13} | \
             {duplicates:>19} | {unfinished:>10} | {other:>14} |\n"
        )
    }
}

/// The table.
#[must_use]
pub fn table(ran: &[(&Scenario, Outcome)]) -> String {
    let (mut rows, mut sum) = (BTreeMap::<String, Row>::new(), Row::default());
    for (scenario, outcome) in ran {
        rows.entry(format!("{}, {}", scenario.group, scenario.pair)).or_default().add(outcome);
        sum.add(outcome);
    }
    let head = "| what                               | scenarios | not come by | kills | requests | lost | double-billed | \
                duplicates absorbed | unfinished | other findings |\n";
    let rule: String =
        head.chars().map(|letter| if letter == '|' || letter == '\n' { letter } else { '-' }).collect();
    let mut text = format!("{head}{rule}");
    rows.iter().for_each(|(name, row)| text.push_str(&row.line(name)));
    text.push_str(&sum.line("all"));
    text
}

/// Kills in all scenarios.
#[must_use]
pub fn kills(ran: &[(&Scenario, Outcome)]) -> u32 {
    ran.iter().map(|(_, outcome)| outcome.kills).sum()
}

/// Points that can be met on a pair, and at which no process ended there.
#[must_use]
pub fn never_hit(ran: &[(&Scenario, Outcome)], pair: Pair) -> Vec<String> {
    let of_the_pair = ran.iter().filter(|(scenario, _)| scenario.pair == pair);
    let hit = of_the_pair.flat_map(|(_, outcome)| &outcome.hit);
    // Of several wishes the last one is the end.
    let last =
        |wish: &'_ String| wish.rsplit(',').next().and_then(|wish| wish.split(':').next()).map(str::to_owned);
    let hit: BTreeSet<String> = hit.filter_map(last).collect();
    let met = Point::ALL.iter().filter(|point| pair.can_meet(point.step));
    met.map(Point::to_string).filter(|name| !hit.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_pair_has_hit_the_other_has_not() {
        let scenario = Scenario::new(Pair::Sqlite, "crash point", "a plan", |_| Outcome::default());
        let hit = vec!["store.claim.before:1:error,store.plan.after:2".to_owned()];
        let ran = [(&scenario, Outcome { hit, ..Outcome::default() })];
        let missed = |pair| never_hit(&ran, pair).contains(&"store.plan.after".to_owned());
        assert!(!missed(Pair::Sqlite));
        assert!(missed(Pair::Fleet));
        assert!(never_hit(&ran, Pair::Sqlite).contains(&"store.claim.before".to_owned()), "it only failed");
        assert!(!never_hit(&ran, Pair::Sqlite).contains(&"queue.publish.before".to_owned()), "no broker");
    }
}
