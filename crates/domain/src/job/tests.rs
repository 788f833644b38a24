//! The whole table of a job, printed, and its outcomes.

use std::fmt::Write as _;

use super::*;

const NOW: Time = Time::UNIX_EPOCH;
const POLICY: JobPolicy =
    JobPolicy { watchdog: Duration::from_secs(600), busy_rest: Duration::from_secs(30), retry_at: None };

fn job(state: JobState) -> Job {
    Job { id: JobId(uuid::Uuid::from_u128(1)), kind: Kind::TaskProcessing, version: 1, total: 3, state }
}

fn states() -> Vec<JobState> {
    vec![
        JobState::Held(HoldReason::Overnight),
        JobState::Held(HoldReason::BatchApiDisabled),
        JobState::Queued,
        JobState::Active,
        JobState::Cancelling,
        JobState::Ended(JobOutcome::Completed),
    ]
}

fn facts() -> Vec<(&'static str, JobFact)> {
    let open = BatchTally { open: 1, ..BatchTally::default() };
    let none = BatchTally::default();
    let tasks = |pending, succeeded| TaskTally { pending, succeeded, ..TaskTally::default() };
    vec![
        ("planned, more to plan", JobFact::Planned { more: true, attempted: true }),
        ("planned, all", JobFact::Planned { more: false, attempted: true }),
        ("planned, all busy elsewhere", JobFact::Planned { more: false, attempted: false }),
        ("counted, a batch is open", JobFact::Counted { tasks: tasks(0, 3), batches: open }),
        ("counted, tasks go out again", JobFact::Counted { tasks: tasks(1, 2), batches: none }),
        ("counted, all ended", JobFact::Counted { tasks: tasks(0, 3), batches: none }),
        ("cancel requested", JobFact::CancelRequested),
        ("switched on", JobFact::SwitchedOn { until: None }),
        ("switched on before its night", JobFact::SwitchedOn { until: Some(NOW + TimeDelta::hours(3)) }),
        ("switched on after its night", JobFact::SwitchedOn { until: Some(NOW) }),
    ]
}

#[test]
fn the_whole_table() {
    let mut table = String::new();
    for state in states() {
        let _ = writeln!(table, "{}", state.as_str());
        for (name, fact) in facts() {
            let Some(decision) = decide(&job(state), &fact, NOW, &POLICY).unwrap() else { continue };
            let _ = write!(table, "    {name:30} -> {}", decision.job.state.as_str());
            if let NextOrder::Due(lane, due) = decision.order {
                let _ = write!(table, ", {lane} +{}s", (due - NOW).num_seconds());
            }
            let _ = write!(table, "{}", if decision.new_round { ", new round" } else { "" });
            for event in &decision.events {
                let _ = write!(table, ", says {}", event.event_type.as_str());
            }
            table.push('\n');
        }
    }
    insta::assert_snapshot!("job_table", table);
}

#[test]
fn a_job_whose_outcomes_do_not_add_up_does_not_end() {
    let tasks = TaskTally { succeeded: 2, ..TaskTally::default() };
    let fact = JobFact::Counted { tasks, batches: BatchTally::default() };
    assert!(decide(&job(JobState::Active), &fact, NOW, &POLICY).is_err());
}

#[test]
fn an_outcome_is_a_fact_not_a_status() {
    let tally = |succeeded, failed, expired, cancelled, missing| TaskTally {
        succeeded,
        failed,
        expired,
        cancelled,
        missing,
        ..TaskTally::default()
    };
    let cases = [
        (tally(3, 0, 0, 0, 0), JobOutcome::Completed),
        (tally(2, 1, 0, 0, 0), JobOutcome::CompletedWithErrors),
        (tally(2, 0, 0, 0, 1), JobOutcome::CompletedWithErrors),
        (tally(0, 3, 0, 0, 0), JobOutcome::Failed),
        (tally(0, 0, 0, 0, 3), JobOutcome::Failed),
        (tally(2, 0, 1, 0, 0), JobOutcome::Expired),
        (tally(0, 0, 3, 0, 0), JobOutcome::Expired),
        (tally(0, 1, 2, 0, 0), JobOutcome::Failed),
        (tally(1, 1, 1, 0, 0), JobOutcome::CompletedWithErrors),
        (tally(2, 0, 0, 1, 0), JobOutcome::Cancelled),
    ];
    for (tasks, outcome) in cases {
        assert_eq!(JobOutcome::of(&tasks), outcome, "{tasks:?}");
    }
}

#[test]
fn a_person_sees_where_the_batches_stand() {
    let shown = |batches| ShownState::of(JobState::Active, &batches).as_str();
    let none = BatchTally::default();
    assert_eq!(shown(BatchTally { unsent: 1, open: 2, ..none }), "submitting");
    assert_eq!(shown(BatchTally { open: 2, ..none }), "waiting");
    assert_eq!(shown(BatchTally { open: 2, answered: 1, ..none }), "running");
    assert_eq!(shown(BatchTally { open: 1, ended: 1, ..none }), "running");
    assert_eq!(shown(BatchTally { collecting: 1, ..none }), "collecting");
    assert_eq!(shown(BatchTally { parked: 1, ended: 3, ..none }), "parked");
    let cancelling = |batches| ShownState::of(JobState::Cancelling, &batches).as_str();
    assert_eq!(cancelling(BatchTally { parked: 1, ended: 1, ..none }), "cancelling");
    assert_eq!(cancelling(BatchTally { parked: 1, stuck: 1, ended: 1, ..none }), "parked");
}

#[test]
fn every_state_comes_back_from_its_word() {
    for state in states() {
        let hold = if let JobState::Held(reason) = state { Some(reason.as_str()) } else { None };
        assert_eq!(JobState::parse(state.as_str(), hold), Some(state));
    }
    assert_eq!(JobState::parse("held", None), None);
}
