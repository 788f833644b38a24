//! I1: nothing is paid twice.

use std::collections::BTreeMap;

use liar::{Entry, Shown};

use crate::evidence::{Accepted, Evidence, Finding};

/// A line's turn in the ledger.
struct Turn<'a> {
    batch: &'a str,
    billed: bool,
    readable: bool,
}

/// I1: a request runs again only where it was not billed before (or may be, by the settings), never in two batches at
/// once; and of one batch of ours, the provider has one that did not fail its validation.
#[must_use]
pub fn no_double_pay(evidence: &Evidence) -> Vec<Finding> {
    let accepted = evidence.accepted();
    // A proxy that sends a create twice is not to be hindered: of its two batches counts that nothing is billed twice.
    let doubled = evidence.expected.doubled;
    let mut findings = twins(&accepted, doubled);
    let mut requests: BTreeMap<(String, &str), Vec<Turn<'_>>> = BTreeMap::new();
    for entry in &evidence.ledger {
        let Entry::Line { batch, custom_id, billed, shown, .. } = entry else { continue };
        let ours = accepted.get(batch.as_str()).map_or("", |accepted| accepted.ours);
        let Some(job) = evidence.books.job_of_batch(ours) else {
            findings.push(Finding::new("I1", format!("{batch} ran {custom_id}, and no row of ours owns it")));
            continue;
        };
        let turn = Turn { batch, billed: *billed, readable: *shown == Shown::Whole };
        requests.entry((job.to_owned(), custom_id)).or_default().push(turn);
    }
    for ((job, custom_id), turns) in &requests {
        let billed = turns.iter().filter(|turn| turn.billed).count();
        let again = turns.iter().filter(|turn| turn.billed && !turn.readable).count();
        let allowed = if evidence.expected.retry_paid { 1 + again } else { 1 };
        if billed > allowed {
            findings.push(Finding::new("I1", format!("{custom_id} of job {job} was billed {billed} times")));
        }
        let at_once = at_once(&accepted, turns).filter(|(one, other)| doubled == 0 || one.ours != other.ours);
        findings.extend(at_once.map(|(one, other)| {
            Finding::new("I1", format!("{custom_id} of job {job} ran in {} and {} at once", one.id, other.id))
        }));
    }
    findings
}

/// Two batches of the provider for one of ours, where more than one passed its validation, and which no proxy made.
fn twins(accepted: &BTreeMap<&str, Accepted<'_>>, doubled: usize) -> Vec<Finding> {
    let mut by_ours: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for batch in accepted.values().filter(|batch| batch.end.is_none_or(|(_, status)| status != "failed")) {
        by_ours.entry(batch.ours).or_default().push(batch.id);
    }
    let spare: usize = by_ours.values().map(|theirs| theirs.len() - 1).sum();
    if spare <= doubled {
        return Vec::new();
    }
    let twins = by_ours.iter().filter(|(_, theirs)| theirs.len() > 1);
    twins
        .map(|(ours, theirs)| {
            Finding::new("I1", format!("batch {ours} was created as {}", theirs.join(" and ")))
        })
        .collect()
}

fn at_once<'a>(
    accepted: &'a BTreeMap<&str, Accepted<'a>>,
    turns: &'a [Turn<'a>],
) -> impl Iterator<Item = (&'a Accepted<'a>, &'a Accepted<'a>)> {
    let whole = |turn: &Turn<'_>| accepted.get(turn.batch);
    turns.iter().enumerate().flat_map(move |(at, one)| {
        turns[..at].iter().filter_map(move |other| {
            let (a, b) = (whole(other)?, whole(one)?);
            let ended = |batch: &Accepted<'_>| batch.end.map_or(usize::MAX, |(end, _)| end);
            let overlap = a.id != b.id && a.from < ended(b) && b.from < ended(a);
            overlap.then_some((a, b))
        })
    })
}
