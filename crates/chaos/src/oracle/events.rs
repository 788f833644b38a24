//! I6 to I8: what outsiders hear, and what nobody can read.

use std::collections::{BTreeMap, BTreeSet};

use super::{job_has_ended, task_has_ended};
use crate::evidence::{Evidence, Finding};

const TASK: &str = "task.completed.v1";
const JOB: &str = "job.completed.v1";
/// What is for people: it leaves for the broker, and goes to no queue of the agent runner.
const FOR_PEOPLE: [&str; 2] = ["batch.unknown.v1", "batch.parked.v1"];

/// I6: every outcome of a task or a job is one event with one id, and the numbers of a job's events have no gap.
#[must_use]
pub fn events_once(evidence: &Evidence) -> Vec<Finding> {
    let books = &evidence.books;
    let mut wrong = Vec::new();
    let mut ids = BTreeSet::new();
    let mut subjects: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut sequences: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for event in &books.events {
        if !ids.insert(&event.id) {
            wrong.push(Finding::new("I6", format!("two events have the id {}", event.id)));
        }
        if event.kind == TASK || event.kind == JOB {
            *subjects.entry((&event.kind, &event.subject)).or_default() += 1;
        }
        if !event.job.is_empty() {
            sequences.entry(&event.job).or_default().push(event.sequence.parse().unwrap_or_default());
        }
    }
    for ((kind, subject), count) in subjects.iter().filter(|(_, count)| **count > 1) {
        wrong.push(Finding::new("I6", format!("{kind} was said {count} times of {subject}")));
    }
    let said = |kind: &str| subjects.keys().filter(|(said, _)| *said == kind).count();
    let tasks = books.tasks.iter().filter(|task| task_has_ended(&task.status)).count();
    let jobs = books.jobs.iter().filter(|job| job_has_ended(&job.state)).count();
    for (kind, ended) in [(TASK, tasks), (JOB, jobs)] {
        if said(kind) != ended {
            wrong.push(Finding::new("I6", format!("{ended} ended, and {kind} was said of {}", said(kind))));
        }
    }
    for (job, numbers) in sequences {
        // The same find of a second batch, said again behind a crash, takes a number and is no second event.
        let spare = u64::try_from(evidence.expected.doubled).unwrap_or_default();
        let rise = numbers.windows(2).all(|pair| pair[0] < pair[1]);
        let gaps = numbers.iter().zip(1..).map(|(number, place)| number.abs_diff(place)).max();
        if !rise || gaps.is_some_and(|gaps| gaps > spare) {
            wrong.push(Finding::new("I6", format!("the events of job {job} are numbered {numbers:?}")));
        }
    }
    wrong
}

/// I7: what can't be read lies in the dead letters, byte for byte and with its reason, and nothing else does.
#[must_use]
pub fn poison_is_kept(evidence: &Evidence) -> Vec<Finding> {
    let Some(dead) = &evidence.dead else { return Vec::new() };
    let poison = &evidence.expected.poison;
    let mut wrong = Vec::new();
    for body in poison {
        match dead.iter().find(|letter| letter.body == *body) {
            None => wrong.push(Finding::new("I7", format!("poison of {} bytes is gone", body.len()))),
            Some(letter) if letter.reason.is_empty() => {
                wrong.push(Finding::new(
                    "I7",
                    format!("poison of {} bytes lies there without a reason", body.len()),
                ));
            }
            Some(_) => {}
        }
    }
    let strangers = dead.iter().filter(|letter| !poison.contains(&letter.body));
    wrong.extend(strangers.map(|letter| {
        let text = String::from_utf8_lossy(&letter.body).chars().take(100).collect::<String>();
        Finding::new("I7", format!("an innocent letter is dead ({}): {text}", letter.reason))
    }));
    wrong
}

/// I8: an outcome that counts as published was heard, under its own id; and what people are to know has left, too.
#[must_use]
pub fn published_was_heard(evidence: &Evidence) -> Vec<Finding> {
    let Some(heard) = &evidence.heard else { return Vec::new() };
    let heard: BTreeSet<&str> = heard.iter().map(|event| event.id.as_str()).collect();
    let mut wrong = Vec::new();
    for event in &evidence.books.events {
        let is_outcome = event.kind == TASK || event.kind == JOB;
        if event.published.is_empty() && (is_outcome || FOR_PEOPLE.contains(&event.kind.as_str())) {
            wrong
                .push(Finding::new("I8", format!("{} of {} was never published", event.kind, event.subject)));
        } else if is_outcome && !heard.contains(event.id.as_str()) {
            let what = format!("{} of {} counts as published, and nobody heard", event.kind, event.subject);
            wrong.push(Finding::new("I8", what));
        }
    }
    wrong
}
