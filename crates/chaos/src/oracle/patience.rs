//! I9 to I11: outages use up nothing, processes stop when they are asked to, and ends are final.

use std::collections::BTreeMap;

use liar::{Entry, Op};

use super::{INPUT, job_has_ended, task_has_ended};
use crate::books::Order;
use crate::evidence::{Evidence, Finding};

/// Uploads, and creates, that may have been on their way when a process was asked to stop: one for each of the two
/// workers of the submit lane.
const IN_HAND: usize = 2;

/// Milliseconds until a signal has come to a process on a machine that has much to do.
const HEARD_MS: i64 = 200;

/// I9: kills and outages park nothing, give no task another attempt, and are no failures of the work.
#[must_use]
pub fn outages_use_up_nothing(evidence: &Evidence) -> Vec<Finding> {
    let (books, expected) = (&evidence.books, &evidence.expected);
    let mut wrong = Vec::new();
    for batch in books.batches.iter().filter(|batch| batch.state == "parked") {
        if !expected.parked.contains(batch.parked.as_str()) {
            wrong.push(Finding::new("I9", format!("batch {} is parked: {}", batch.id, batch.parked)));
        }
    }
    let mut attempts: BTreeMap<&str, usize> = BTreeMap::new();
    for attempt in books.attempts.iter().filter(|attempt| attempt.state != "superseded") {
        *attempts.entry(&attempt.task).or_default() += 1;
    }
    wrong.extend(attempts.iter().filter(|(_, count)| **count > expected.attempts).map(|(task, count)| {
        Finding::new("I9", format!("task {task} has used {count} attempts of {}", expected.attempts))
    }));
    let orders = evidence.earlier.iter().chain([books]).flat_map(|books| &books.orders);
    let failures = |order: &Order| order.failures.parse().unwrap_or(u32::MAX);
    wrong.extend(orders.filter(|order| failures(order) > expected.failures).map(|order| {
        let (Order { entity, lane, failures }, expected) = (order, expected.failures);
        Finding::new("I9", format!("{lane} of {entity} counts {failures} failures of {expected}"))
    }));
    wrong
}

/// I10: a process that is asked to stop does so in time, by itself and in order, begins nothing new, and leaves nothing
/// behind that nobody owns.
#[must_use]
pub fn drains(evidence: &Evidence) -> Vec<Finding> {
    let mut wrong = Vec::new();
    for drain in &evidence.drains {
        let in_order = drain.code.is_some_and(|code| drain.in_order.contains(&code));
        if !in_order || drain.took > evidence.expected.grace {
            let (took, code) = (drain.took, drain.code);
            wrong.push(Finding::new(
                "I10",
                format!("a process took {took:.1?} to stop and ended with {code:?}"),
            ));
        }
        let until = drain.asked_at + i64::try_from(drain.took.as_millis()).unwrap_or(i64::MAX);
        for (what, said) in [(Op::Upload, "uploads"), (Op::Create, "creates")] {
            let begun = evidence.ledger.iter().filter(|entry| match entry {
                Entry::Request { at, op, .. } if *op == what => {
                    (drain.asked_at + HEARD_MS..until).contains(at)
                }
                _ => false,
            });
            let begun = begun.count();
            if drain.alone && begun > IN_HAND {
                wrong.push(Finding::new(
                    "I10",
                    format!("{begun} {said} came from a process that was asked to stop"),
                ));
            }
        }
    }
    wrong.extend(strays(evidence));
    wrong
}

/// Input files that were left at the provider, and that no batch of ours will ever ask for.
fn strays(evidence: &Evidence) -> impl Iterator<Item = Finding> {
    let deleted =
        |file: &str| evidence.ledger.iter().any(|entry| matches!(entry, Entry::Deleted { id } if id == file));
    let is_ours = |name: &str| evidence.books.batches.iter().any(|batch| name.contains(&batch.id));
    evidence.ledger.iter().filter_map(move |entry| match entry {
        Entry::File { id, name, purpose, .. } if purpose == INPUT && !is_ours(name) && !deleted(id) => {
            Some(Finding::new("I10", format!("{name} was left at the provider, and no batch has it")))
        }
        _ => None,
    })
}

/// I11: what has ended stays as it ended.
#[must_use]
pub fn ends_are_final(evidence: &Evidence) -> Vec<Finding> {
    let mut wrong = Vec::new();
    let mut looks = evidence.earlier.iter().chain([&evidence.books]);
    let Some(mut before) = looks.next() else { return wrong };
    for after in looks {
        let tasks = ends(&before.tasks, |row| (&row.id, &row.status), task_has_ended);
        let jobs = ends(&before.jobs, |row| (&row.id, &row.state), job_has_ended);
        let attempts = ends(&before.attempts, |row| (&row.id, &row.state), |state| state != "live");
        // A batch that was called off may turn up after all, and is cancelled then; a collected one may not.
        let batches = ends(&before.batches, |row| (&row.id, &row.state), |state| state == "collected");
        let now = [
            changed("task", &tasks, after.tasks.iter().map(|row| (&row.id, &row.status))),
            changed("job", &jobs, after.jobs.iter().map(|row| (&row.id, &row.state))),
            changed("attempt", &attempts, after.attempts.iter().map(|row| (&row.id, &row.state))),
            changed("batch", &batches, after.batches.iter().map(|row| (&row.id, &row.state))),
        ];
        wrong.extend(now.into_iter().flatten());
        let lost = before.answers.iter().filter(|answer| !after.answers.contains(answer));
        wrong.extend(lost.map(|answer| {
            Finding::new("I11", format!("the answer to attempt {} has changed or gone", answer.attempt))
        }));
        before = after;
    }
    wrong
}

fn ends<'a, T>(
    rows: &'a [T],
    cells: impl Fn(&'a T) -> (&'a String, &'a String),
    ended: impl Fn(&str) -> bool,
) -> BTreeMap<&'a str, &'a str> {
    let all = rows.iter().map(cells).filter(|(_, state)| ended(state));
    all.map(|(id, state)| (id.as_str(), state.as_str())).collect()
}

fn changed<'a>(
    what: &str,
    before: &BTreeMap<&str, &str>,
    after: impl Iterator<Item = (&'a String, &'a String)>,
) -> Vec<Finding> {
    let after: BTreeMap<&str, &str> = after.map(|(id, state)| (id.as_str(), state.as_str())).collect();
    let differs = before.iter().filter(|(id, state)| after.get(*id) != Some(*state));
    differs
        .map(|(id, state)| {
            let now = after.get(id).unwrap_or(&"gone");
            Finding::new("I11", format!("{what} {id} had ended {state} and is {now}"))
        })
        .collect()
}
