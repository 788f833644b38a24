//! I12 and I13: what is known is not forgotten, and nobody works in vain. Neither costs money by itself, since asking the
//! provider heals both; but whoever relies on that has lost a guard.

use std::collections::BTreeMap;

use liar::Entry;

use super::INPUT;
use crate::evidence::{Evidence, Finding};

const UNKNOWN: &str = "batch.unknown.v1";

/// I12: where every reply to a create has arrived and was written down, no create is in doubt.
#[must_use]
pub fn doubt_has_a_cause(evidence: &Evidence) -> Vec<Finding> {
    if !evidence.expected.certain {
        return Vec::new();
    }
    let doubts = evidence.books.events.iter().filter(|event| event.kind.ends_with(UNKNOWN));
    doubts
        .map(|event| {
            let subject = &event.subject;
            Finding::new("I12", format!("{subject} was in doubt, though the provider had told its fate"))
        })
        .collect()
}

/// I13: an order is in one pair of hands: no input file is uploaded again under its name.
#[must_use]
pub fn one_at_a_time(evidence: &Evidence) -> Vec<Finding> {
    let mut files: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &evidence.ledger {
        if let Entry::File { name, purpose, .. } = entry
            && purpose == INPUT
        {
            *files.entry(name).or_default() += 1;
        }
    }
    let spare: usize = files.values().map(|times| times - 1).sum();
    if spare <= evidence.expected.spare_files {
        return Vec::new();
    }
    let again = files.iter().filter(|(_, times)| **times > 1);
    again.map(|(name, times)| Finding::new("I13", format!("{name} was uploaded {times} times"))).collect()
}
