//! A clean night has no finding, and each invariant sees its violation.

use std::collections::BTreeMap;
use std::time::Duration;

use liar::{Entry, Op, Shown};

use super::check;
use crate::books::{self, Answer, Attempt, Backlog, Batch, Books, Event, Job, Order, Run, Task};
use crate::evidence::{Dead, Drain, Evidence, Expected, Heard};

fn text(text: &str) -> String {
    text.to_owned()
}

/// One job of one batch with two tasks, as it ends on a good night.
fn clean() -> Evidence {
    let job = Job {
        id: text("job"),
        state: text("completed"),
        total: text("2"),
        succeeded: text("2"),
        ..Job::default()
    };
    let batch = Batch { id: text("ours"), job: text("job"), state: text("collected"), ..Batch::default() };
    let mut books = Books { jobs: vec![job], batches: vec![batch], ..Books::default() };
    for name in ["a", "b"] {
        let (task, attempt) = (format!("task-{name}"), format!("attempt-{name}"));
        books.tasks.push(Task {
            id: task.clone(),
            job: text("job"),
            custom_id: text(name),
            backlog: text(name),
            status: text("succeeded"),
        });
        books.backlog.push(Backlog { id: text(name), job: text("job"), status: text("completed") });
        books.attempts.push(Attempt {
            id: attempt.clone(),
            task: task.clone(),
            batch: text("ours"),
            custom_id: text(name),
            state: text("succeeded"),
        });
        books.answers.push(Answer { attempt, sha256: books::hash(name) });
        books.events.push(event("task.completed.v1", &task, books.events.len()));
    }
    books.events.push(event("job.completed.v1", "job", 2));
    let heard = books.events.iter().map(|event| Heard { id: event.id.clone() });
    let heard = Some(heard.collect());
    let run = |date: &str| Run {
        schedule: text("overnight"),
        trigger: text("scheduled"),
        date: text(date),
        state: text("finished"),
    };
    books.runs = vec![run("2026-11-24"), run("2026-11-25")];
    let ledger = vec![
        created("theirs", "ours"),
        look(0),
        line("theirs", "a"),
        line("theirs", "b"),
        look(1_000),
        ended("theirs", "completed"),
    ];
    let drain = Drain {
        asked_at: 5_000,
        took: Duration::from_millis(300),
        code: Some(0),
        in_order: &[0],
        alone: true,
    };
    let nights = vec![(text("overnight"), text("2026-11-25"))];
    let poison = vec![b"\xff".to_vec()];
    let expected = Expected { tasks: 2, nights, poison, ..Expected::default() };
    let dead = Some(vec![Dead { body: b"\xff".to_vec(), reason: text("not JSON") }]);
    Evidence { ledger, earlier: vec![books.clone()], books, heard, dead, drains: vec![drain], expected }
}

fn event(kind: &str, subject: &str, place: usize) -> Event {
    Event {
        id: format!("event-{place}"),
        kind: text(kind),
        subject: text(subject),
        job: text("job"),
        sequence: (place + 1).to_string(),
        published: text("2026"),
    }
}

fn created(id: &str, ours: &str) -> Entry {
    let metadata = BTreeMap::from([(text("overnight_batch"), text(ours))]);
    let (file, endpoint) = (text("file"), text("/v1/responses"));
    Entry::Batch { at: 0, id: text(id), file, endpoint, metadata, fate: Box::default() }
}

fn line(batch: &str, custom_id: &str) -> Entry {
    Entry::Line {
        at: 0,
        batch: text(batch),
        line: 1,
        custom_id: text(custom_id),
        status: 200,
        billed: true,
        shown: Shown::Whole,
        sha256: Some(books::hash(custom_id)),
    }
}

/// The name of the file of batch `ours`.
const NAME: &str = "overnight-ours-0.jsonl";

fn input(id: &str, name: &str) -> Entry {
    let (id, name, purpose) = (text(id), text(name), text("batch"));
    Entry::File { id, name, bytes: 1, sha256: text("hash"), purpose, created_at: 0 }
}

fn look(at: i64) -> Entry {
    Entry::Request { at, op: Op::GetBatch, id: text("theirs"), status: 200, acted: true }
}

fn ended(batch: &str, status: &str) -> Entry {
    let output = (status == "completed").then(|| text("file-2"));
    let (batch, status) = (text(batch), text(status));
    Entry::Ended { at: 0, batch, status, output, error: None, completed: 2, failed: 0 }
}

/// What the oracle says of a night that was clean until somebody touched it.
fn says(touch: impl FnOnce(&mut Evidence)) -> Vec<String> {
    let mut evidence = clean();
    touch(&mut evidence);
    check(&evidence).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn sees(invariant: &str, word: &str, touch: impl FnOnce(&mut Evidence)) {
    let said = says(touch);
    let seen = said.iter().any(|said| said.starts_with(&format!("{invariant}: ")) && said.contains(word));
    assert!(seen, "{invariant} does not say {word:?}: {said:?}");
}

#[test]
fn a_clean_night_has_no_finding() {
    assert_eq!(says(|_| {}), [""; 0]);
}

#[test]
fn i1_sees_what_is_paid_twice() {
    sees("I1", "billed 2 times", |night| night.ledger.push(line("theirs", "a")));
    sees("I1", "created as", |night| night.ledger.push(created("other", "ours")));
    sees("I1", "no row of ours", |night| {
        night.ledger.extend([created("lost", "nobody's"), line("lost", "a")]);
    });
    // One that failed its validation never ran, and is no second one.
    let failed = says(|night| night.ledger.extend([created("f", "ours"), ended("f", "failed")]));
    assert_eq!(failed, [""; 0]);
    // An unbilled line may run again, but not while the first is still out.
    sees("I1", "at once", |night| {
        let unbilled = |entry| match entry {
            Entry::Line { at, batch, line, custom_id, status, shown, sha256, .. } => {
                Entry::Line { at, batch, line, custom_id, status, billed: false, shown, sha256 }
            }
            other => other,
        };
        night.books.batches.push(Batch { id: text("second"), job: text("job"), ..Batch::default() });
        night.ledger.insert(1, created("again", "second"));
        night.ledger.insert(2, unbilled(line("again", "a")));
    });
}

#[test]
fn i1_lets_a_proxy_send_one_create_twice_and_no_other() {
    let twice = |night: &mut Evidence| {
        night.expected.doubled = 1;
        night.ledger.insert(1, created("spare", "ours"));
    };
    assert_eq!(says(twice), [""; 0]);
    sees("I1", "created as", |night| {
        twice(night);
        night.ledger.push(created("third", "ours"));
    });
    sees("I1", "billed 2 times", |night| {
        twice(night);
        night.ledger.push(line("spare", "a"));
    });
    sees("I1", "at once", |night| {
        twice(night);
        night.books.batches.push(Batch { id: text("second"), job: text("job"), ..Batch::default() });
        night.ledger.insert(1, created("again", "second"));
        night.ledger.insert(2, line("again", "a"));
    });
}

#[test]
fn i2_sees_a_lost_a_changed_and_a_doubled_answer() {
    sees("I2", "is lost", |night| {
        night.books.answers.remove(0);
    });
    sees("I2", "not what was answered", |night| night.books.answers[0].sha256 = books::hash("else"));
    sees("I2", "kept 2 times", |night| night.books.answers.push(night.books.answers[0].clone()));
}

#[test]
fn i3_sees_what_has_no_end() {
    sees("I3", "task a is submitted", |night| night.books.tasks[0].status = text("submitted"));
    let unanswered = |night: &mut Evidence| night.books.tasks[0].status = text("missing");
    sees("I3", "1 tasks ended otherwise than answered, and 0 may: a missing", unanswered);
    let may = says(|night| {
        unanswered(night);
        night.expected.may_fail = 1;
    });
    assert!(!may.iter().any(|said| said.contains("otherwise")), "{may:?}");
    sees("I3", "batch ours is parked, and nobody was told", |night| {
        night.expected.parked.insert("create_unknown");
        (night.books.batches[0].state, night.books.batches[0].parked) =
            (text("parked"), text("create_unknown"));
    });
    sees("I3", "is open", |night| night.books.batches[0].state = text("open"));
    sees("I3", "job job is active", |night| night.books.jobs[0].state = text("active"));
    sees("I3", "other outcomes", |night| night.books.jobs[0].succeeded = text("1"));
    sees("I3", "still waits", |night| night.books.orders.push(Order::default()));
    sees("I3", "is live", |night| night.books.attempts[0].state = text("live"));
    sees("I3", "a of the backlog is batched, and its task succeeded", |night| {
        night.books.backlog[0].status = text("batched");
    });
    sees("I3", "a of the backlog is completed, and its task of no job", |night| {
        night.books.backlog[0].job = text("another");
    });
    sees("I3", "has not finished", |night| night.books.runs[0].state = text("started"));
    sees("I3", "2 tasks of 3", |night| night.expected.tasks = 3);
}

#[test]
fn i4_sees_two_chains_of_looks() {
    sees("I4", "too soon", |night| night.ledger.insert(2, look(400)));
}

#[test]
fn i5_sees_a_night_twice_and_a_night_missing() {
    sees("I5", "2 runs", |night| night.books.runs[0].date = text("2026-11-25"));
    sees("I5", "no run on 2026-11-25", |night| {
        night.books.runs.pop();
    });
}

#[test]
fn i6_sees_events_doubled_and_unsaid() {
    sees("I6", "said 2 times", |night| {
        night.books.events[1].subject = night.books.events[0].subject.clone();
    });
    sees("I6", "was said of 1", |night| {
        night.books.events.remove(0);
    });
    sees("I6", "have the id", |night| night.books.events[1].id = text("event-0"));
    sees("I6", "numbered", |night| night.books.events[2].sequence = text("9"));
    // A second batch that is found twice takes a number more, and no two.
    let later = |number: &'static str| {
        move |night: &mut Evidence| {
            night.expected.doubled = 1;
            night.books.events[2].sequence = text(number);
        }
    };
    assert_eq!(says(later("4")), [""; 0]);
    sees("I6", "numbered", later("5"));
}

#[test]
fn i7_sees_poison_that_is_gone_and_an_innocent_dead() {
    let dead = |night: &mut Evidence| night.dead.take().unwrap_or_default();
    sees("I7", "is gone", |night| night.dead = Some(Vec::new()));
    sees("I7", "without a reason", |night| {
        let mut letters = dead(night);
        letters[0].reason.clear();
        night.dead = Some(letters);
    });
    sees("I7", "innocent", |night| night.expected.poison.clear());
}

#[test]
fn i8_sees_what_nobody_heard() {
    sees("I8", "nobody heard", |night| night.heard = Some(Vec::new()));
    sees("I8", "never published", |night| night.books.events[0].published.clear());
    sees("I8", "batch.unknown.v1 of batch/ours was never published", |night| {
        night.books.events.push(event("batch.unknown.v1", "batch/ours", 3));
        night.books.events[3].published.clear();
    });
}

#[test]
fn i9_sees_what_an_outage_has_used_up() {
    sees("I9", "parked: failing", |night| {
        (night.books.batches[0].state, night.books.batches[0].parked) = (text("parked"), text("failing"));
    });
    sees("I9", "2 attempts of 1", |night| {
        let again = Attempt { id: text("again"), state: text("expired"), ..night.books.attempts[0].clone() };
        night.books.attempts.push(again);
    });
    sees("I9", "collect of ours counts 1 failures of 0", |night| {
        let order = Order { entity: text("ours"), lane: text("collect"), failures: text("1") };
        night.earlier[0].orders.push(order);
    });
}

#[test]
fn i10_sees_a_process_that_does_not_stop() {
    sees("I10", "to stop", |night| night.drains[0].code = None);
    sees("I10", "ended with Some(1)", |night| night.drains[0].code = Some(1));
    sees("I10", "to stop", |night| night.drains[0].took = Duration::from_secs(60));
    for (op, said) in [(Op::Upload, "3 uploads"), (Op::Create, "3 creates")] {
        sees("I10", said, |night| {
            let begun = Entry::Request { at: 5_250, op, id: String::new(), status: 200, acted: true };
            night.ledger.extend([begun.clone(), begun.clone(), begun]);
        });
    }
    sees("I10", "no batch has it", |night| night.ledger.push(input("one", "overnight-nobody-0.jsonl")));
    let deleted = Entry::Deleted { id: text("one") };
    let gone = says(|night| night.ledger.extend([input("one", "overnight-nobody-0.jsonl"), deleted]));
    assert_eq!(gone, [""; 0]);
}

#[test]
fn i11_sees_an_end_that_changes() {
    sees("I11", "task task-a had ended failed", |night| night.earlier[0].tasks[0].status = text("failed"));
    sees("I11", "job job had ended failed", |night| night.earlier[0].jobs[0].state = text("failed"));
    sees("I11", "has changed or gone", |night| night.earlier[0].answers[0].sha256 = books::hash("else"));
    sees("I11", "attempt-a had ended expired", |night| night.earlier[0].attempts[0].state = text("expired"));
    sees("I11", "batch ours had ended collected", |night| night.books.batches[0].state = text("parked"));
}

#[test]
fn i12_sees_a_doubt_without_a_cause() {
    let doubt = |night: &mut Evidence| {
        night.books.events.push(event("batch.unknown.v1", "batch/ours", 3));
    };
    sees("I12", "batch/ours was in doubt", |night| {
        night.expected.certain = true;
        doubt(night);
    });
    // Where a process died or a reply was lost, there may be doubt.
    assert_eq!(says(doubt), [""; 0]);
}

#[test]
fn i13_sees_a_file_that_went_up_twice() {
    sees("I13", "uploaded 2 times", |night| {
        night.ledger.extend([input("one", NAME), input("other", NAME)]);
    });
    let output = says(|night| {
        let mut output = input("out", NAME);
        if let Entry::File { purpose, .. } = &mut output {
            *purpose = text("batch_output");
        }
        night.ledger.extend([input("one", NAME), output]);
    });
    assert_eq!(output, [""; 0]);
}
