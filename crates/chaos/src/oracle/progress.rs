//! I3 to I5: everything ends, nobody looks too often, and a night happens once.

use std::collections::BTreeMap;

use liar::{Entry, Op};

use super::{batch_has_ended, job_has_ended, task_has_ended};
use crate::evidence::{Evidence, Finding};

/// What outsiders are told of a batch that waits for a person.
const PARKED: &str = "batch.parked.v1";

/// I3: every task, attempt, batch, job and run has its end, or waits visibly for a person; the sums add up.
#[must_use]
pub fn everything_ends(evidence: &Evidence) -> Vec<Finding> {
    let (books, expected) = (&evidence.books, &evidence.expected);
    let mut wrong = Vec::new();
    let mut say = |what: String| wrong.push(Finding::new("I3", what));
    let parked = |batch: &crate::books::Batch| {
        batch.state == "parked" && expected.parked.contains(batch.parked.as_str())
    };
    let waiting: Vec<&str> =
        books.batches.iter().filter(|batch| parked(batch)).map(|batch| batch.job.as_str()).collect();
    let is_waiting = |job: &str| waiting.contains(&job);
    for batch in books.batches.iter().filter(|batch| !batch_has_ended(&batch.state) && !parked(batch)) {
        say(format!("batch {} is {} {}", batch.id, batch.state, batch.parked));
    }
    for task in &books.tasks {
        if !task_has_ended(&task.status) && !is_waiting(&task.job) {
            say(format!("task {} is {}", task.custom_id, task.status));
        }
    }
    let of_others = books.tasks.iter().filter(|task| !is_waiting(&task.job));
    let otherwise: Vec<_> = of_others.filter(|task| task.status != "succeeded").collect();
    if otherwise.len() > expected.may_fail {
        let (count, may) = (otherwise.len(), expected.may_fail);
        let ends: Vec<_> =
            otherwise.iter().map(|task| format!("{} {}", task.custom_id, task.status)).collect();
        say(format!("{count} tasks ended otherwise than answered, and {may} may: {}", ends.join(", ")));
    }
    for batch in books.batches.iter().filter(|batch| parked(batch)) {
        if !books.events.iter().any(|event| event.kind == PARKED && event.job == batch.job) {
            say(format!("batch {} is parked, and nobody was told", batch.id));
        }
    }
    for job in books.jobs.iter().filter(|job| !is_waiting(&job.id)) {
        if !job_has_ended(&job.state) {
            say(format!("job {} is {}", job.id, job.state));
        }
        let number = |text: &String| text.parse::<u64>().unwrap_or_default();
        let parts = [&job.succeeded, &job.failed, &job.expired, &job.cancelled, &job.missing];
        if job_has_ended(&job.state) && parts.into_iter().map(number).sum::<u64>() != number(&job.total) {
            say(format!("job {} has other outcomes than tasks", job.id));
        }
    }
    let is_of_waiting = |batch: &str| books.job_of_batch(batch).is_some_and(is_waiting);
    // An order is of a job or of a batch.
    let may_wait = |entity: &str| is_waiting(entity) || is_of_waiting(entity);
    for order in books.orders.iter().filter(|order| !may_wait(&order.entity)) {
        say(format!("{} still waits for {}", order.entity, order.lane));
    }
    let live = books.attempts.iter().filter(|attempt| attempt.state == "live");
    for attempt in live.filter(|attempt| !is_of_waiting(&attempt.batch)) {
        say(format!("an attempt of {} is live", attempt.custom_id));
    }
    for row in &books.backlog {
        let task = books.tasks.iter().find(|task| task.backlog == row.id && task.job == row.job);
        let is_right = match task.map(|task| task.status.as_str()) {
            // It stays with its job for as long as that waits for a person.
            _ if is_waiting(&row.job) => true,
            Some("succeeded") => row.status == "completed",
            Some(_) => row.status == "failed",
            None => false,
        };
        if !is_right {
            let task = task.map_or("of no job", |task| &task.status);
            say(format!("{} of the backlog is {}, and its task {task}", row.id, row.status));
        }
    }
    for run in books.runs.iter().filter(|run| run.state == "started") {
        say(format!("the run of {} on {} has not finished", run.schedule, run.date));
    }
    if books.tasks.len() != expected.tasks {
        say(format!("{} tasks of {}", books.tasks.len(), expected.tasks));
    }
    wrong
}

/// I4: a batch has one chain of looks: it is not looked at more often than the interval and the scenario allow.
#[must_use]
pub fn looks_are_bounded(evidence: &Evidence) -> Vec<Finding> {
    let interval = i64::try_from(evidence.expected.poll_interval.as_millis()).unwrap_or(i64::MAX);
    let mut looks: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for entry in &evidence.ledger {
        if let Entry::Request { at, op: Op::GetBatch, id, .. } = entry {
            looks.entry(id).or_default().push(*at);
        }
    }
    let mut wrong = Vec::new();
    for (batch, times) in looks {
        // Looks are spread by a tenth, and a machine under load stretches some and squeezes others.
        let hasty = times.windows(2).filter(|pair| pair[1] - pair[0] < interval * 7 / 10).count();
        if hasty > evidence.expected.spare_looks {
            let all = times.len();
            wrong.push(Finding::new("I4", format!("{hasty} of {all} looks at {batch} came too soon")));
        }
    }
    wrong
}

/// I5: a schedule has one run for each local date, and none that was owed is missing.
#[must_use]
pub fn one_run_a_night(evidence: &Evidence) -> Vec<Finding> {
    let mut nights: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for run in evidence.books.runs.iter().filter(|run| run.trigger == "scheduled") {
        *nights.entry((&run.schedule, &run.date)).or_default() += 1;
    }
    let twice = nights
        .iter()
        .filter(|(_, runs)| **runs > 1)
        .map(|((schedule, date), runs)| Finding::new("I5", format!("{schedule} has {runs} runs on {date}")));
    let owed = evidence.expected.nights.iter();
    let missing = owed.filter(|(schedule, date)| !nights.contains_key(&(schedule.as_str(), date.as_str())));
    let missing =
        missing.map(|(schedule, date)| Finding::new("I5", format!("{schedule} has no run on {date}")));
    twice.chain(missing).collect()
}
