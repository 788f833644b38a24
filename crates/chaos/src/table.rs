//! What the matrix says at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crash::Point;

use crate::scenario::{Outcome, Scenario};

/// Sums over scenarios.
#[derive(Clone, Debug, Default)]
struct Row {
    scenarios: usize,
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
        self.kills += outcome.kills;
        self.requests += outcome.requests;
        self.duplicates += outcome.duplicates;
        self.double_billed += of("I1");
        self.lost += of("I2");
        self.unfinished += of("I3");
        self.other += outcome.findings.len() - of("I1") - of("I2") - of("I3");
    }

    fn line(&self, name: &str) -> String {
        let Self { scenarios, kills, requests, lost, double_billed, duplicates, unfinished, other } = self;
        format!(
            "| {name:<34} | {scenarios:>9} | {kills:>5} | {requests:>8} | {lost:>4} | {double_billed:>13} | \
             {duplicates:>19} | {unfinished:>10} | {other:>14} |\n"
        )
    }
}

/// The table, what broke, and the crash points that nobody hit.
#[must_use]
pub fn table(ran: &[(&Scenario, Outcome)]) -> String {
    let (mut rows, mut sum) = (BTreeMap::<&str, Row>::new(), Row::default());
    for (scenario, outcome) in ran {
        rows.entry(scenario.group).or_default().add(outcome);
        sum.add(outcome);
    }
    let head = "| what                               | scenarios | kills | requests | lost | double-billed | \
                duplicates absorbed | unfinished | other findings |\n";
    let rule: String =
        head.chars().map(|letter| if letter == '|' || letter == '\n' { letter } else { '-' }).collect();
    let mut text = format!("{head}{rule}");
    rows.iter().for_each(|(name, row)| text.push_str(&row.line(name)));
    text.push_str(&sum.line("all"));
    let missed = never_hit(ran);
    if missed.is_empty() {
        text.push_str("\nevery crash point was hit\n");
    } else {
        // Writing to a string can't fail.
        let _ = writeln!(text, "\ncrash points never hit: {}", missed.join(", "));
    }
    text
}

/// Points at which no process ended.
#[must_use]
pub fn never_hit(ran: &[(&Scenario, Outcome)]) -> Vec<String> {
    let hit = ran.iter().flat_map(|(_, outcome)| &outcome.hit);
    // Of several wishes the last one is the end.
    let last =
        |wish: &'_ String| wish.rsplit(',').next().and_then(|wish| wish.split(':').next()).map(str::to_owned);
    let hit: BTreeSet<String> = hit.filter_map(last).collect();
    Point::ALL.iter().map(Point::to_string).filter(|name| !hit.contains(name)).collect()
}
