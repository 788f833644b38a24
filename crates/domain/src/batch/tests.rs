//! The whole table of a batch, printed: a change to any rule shows as a change to the snapshot.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::{ErrorClass, JobId, Lane, NextOrder};

const NOW: Time = Time::UNIX_EPOCH;

fn policy(unknown: UnknownCreate) -> Policy {
    Policy {
        poll_interval: Duration::from_secs(60),
        create_within: Duration::from_secs(90),
        settle: SettleWindow { looks: 3, over: Duration::from_secs(900) },
        unknown,
        account_rest: Duration::from_secs(300),
        create_rest: Duration::from_secs(10),
    }
}

fn key() -> CreateKey {
    CreateKey { upload: 1, file_id: "file-1".to_owned() }
}

/// Missing for the third time at the end of the window.
fn almost_settled() -> Absence {
    Absence { looks: 2, since: Some(NOW - TimeDelta::seconds(900)) }
}

fn states() -> Vec<(&'static str, BatchState)> {
    let open = || "batch_1".to_owned();
    vec![
        ("filling", BatchState::Filling),
        ("planned", BatchState::Planned),
        (
            "creating, before the deadline",
            BatchState::Creating { key: key(), deadline: NOW + TimeDelta::seconds(1) },
        ),
        ("creating, after the deadline", BatchState::Creating { key: key(), deadline: NOW }),
        ("unknown, first look", BatchState::Unknown { key: key(), absence: Absence::default() }),
        ("unknown, last look", BatchState::Unknown { key: key(), absence: almost_settled() }),
        ("fencing", BatchState::Fencing { key: key() }),
        ("fenced, first look", BatchState::Fenced { key: key(), absence: Absence::default() }),
        ("fenced, last look", BatchState::Fenced { key: key(), absence: almost_settled() }),
        ("open", BatchState::Open { provider_id: open() }),
        ("collecting", BatchState::Collecting { provider_id: open(), end: End::Completed }),
        ("collected", BatchState::Collected { provider_id: open() }),
        ("refused", BatchState::Refused),
        ("cancelled", BatchState::Cancelled),
        ("abandoned", BatchState::Abandoned { provider_id: Some(open()) }),
        ("abandoned, id unknown", BatchState::Abandoned { provider_id: None }),
        (
            "parked, create unknown",
            BatchState::Parked(Parked::Create { key: key(), doubt: CreateDoubt::Absent }),
        ),
        (
            "parked, vanished",
            BatchState::Parked(Parked::Provider { provider_id: open(), loss: Loss::Vanished }),
        ),
        (
            "parked, failing",
            BatchState::Parked(Parked::Provider { provider_id: open(), loss: Loss::Failing }),
        ),
        ("parked, submit failing", BatchState::Parked(Parked::Submit)),
    ]
}

fn seen(status: &str, end: Option<End>, refusal: Option<ValidationFailure>) -> Fact {
    let remote = Remote { status: Some(status.to_owned()), total: 3, ..Remote::default() };
    let (provider_id, input_file_id) = ("batch_1".to_owned(), "file-1".into());
    Fact::Observed(Seen { provider_id, input_file_id, instance: None, upload: Some(1), end, refusal, remote })
}

fn refusal(class: ErrorClass) -> Refusal {
    Refusal { upload: 1, class, message: "no".to_owned(), retry_after: None }
}

fn refused(class: ErrorClass) -> Fact {
    Fact::CreateRefused(refusal(class))
}

fn upload_refused(class: ErrorClass) -> Fact {
    Fact::UploadRefused(refusal(class))
}

fn resolved(resolution: Resolution) -> Fact {
    Fact::Resolved { resolution, upload: 1 }
}

fn facts() -> Vec<(&'static str, Fact)> {
    let bad_line = BadLine { line: 2, code: "invalid_json_line".to_owned(), message: "no".to_owned() };
    let lines = ValidationFailure { lines: vec![bad_line], ..ValidationFailure::default() };
    let gone = ValidationFailure { class: Some(ErrorClass::InvalidRequest), ..ValidationFailure::default() };
    let budget = ValidationFailure { class: Some(ErrorClass::TokenBudget), ..ValidationFailure::default() };
    vec![
        ("uploaded", Fact::Uploaded { file_id: "file-1".to_owned() }),
        ("create not sent", Fact::CreateNotSent { upload: 1 }),
        ("upload refused: invalid_request", upload_refused(ErrorClass::InvalidRequest)),
        ("upload refused: rate_limited", upload_refused(ErrorClass::RateLimited)),
        ("upload refused: auth", upload_refused(ErrorClass::Auth)),
        ("create refused: invalid_request", refused(ErrorClass::InvalidRequest)),
        ("create refused: rate_limited", refused(ErrorClass::RateLimited)),
        ("create refused: auth", refused(ErrorClass::Auth)),
        ("create ambiguous", Fact::CreateAmbiguous { upload: 1 }),
        ("looked", Fact::Looked),
        ("observed validating", seen("validating", None, None)),
        ("observed in_progress", seen("in_progress", None, None)),
        ("observed completed", seen("completed", Some(End::Completed), None)),
        ("observed failed: bad line", seen("failed", None, Some(lines))),
        ("observed failed: file gone", seen("failed", None, Some(gone))),
        ("observed failed: token budget", seen("failed", None, Some(budget))),
        ("absent", Fact::Absent { upload: 1 }),
        ("fence set", Fact::FenceSet { upload: 1 }),
        ("fence refused", Fact::FenceRefused { upload: 1 }),
        ("collected", Fact::Collected),
        ("vanished", Fact::Vanished),
        ("files gone", Fact::FilesGone),
        ("gave up submitting", Fact::GaveUp { lane: Lane::Submit, why: "no".to_owned() }),
        ("gave up polling", Fact::GaveUp { lane: Lane::Poll, why: "no".to_owned() }),
        ("gave up collecting", Fact::GaveUp { lane: Lane::Collect, why: "no".to_owned() }),
        ("spare found", Fact::SpareFound { provider_id: "batch_2".to_owned(), ended: false }),
        ("cancel requested", Fact::CancelRequested),
        ("resolved: try again", resolved(Resolution::TryAgain)),
        ("resolved: not created", resolved(Resolution::NotCreated)),
        ("resolved: give up", resolved(Resolution::GiveUp)),
    ]
}

fn batch(state: BatchState) -> Batch {
    let id = BatchId(uuid::Uuid::from_u128(1));
    let job = JobId(uuid::Uuid::from_u128(2));
    Batch { id, job, version: 1, upload: 1, cancel: false, state, remote: Remote::default() }
}

fn row(before: &Batch, decision: &BatchDecision) -> String {
    let after = &decision.batch;
    let mut row = after.state.as_str().to_owned();
    if let BatchState::Parked(parked) = &after.state {
        let _ = write!(row, "({})", parked.as_str());
    }
    match decision.order {
        NextOrder::Due(lane, due) => {
            let _ = write!(row, ", {lane} +{}s", (due - NOW).num_seconds());
        }
        NextOrder::Keep => row.push_str(", order kept"),
        NextOrder::Nothing => {}
    }
    if after.upload != before.upload {
        row.push_str(", new upload");
    }
    if after.cancel != before.cancel {
        row.push_str(", cancel");
    }
    match &decision.attempts {
        AttemptEffect::None => {}
        AttemptEffect::Fail(refusal) => {
            let _ = write!(row, ", attempts fail as {}", refusal.class);
        }
        AttemptEffect::FailLines(failure) => {
            let _ = write!(row, ", {} line(s) fail and the rest go out again", failure.lines.len());
        }
        AttemptEffect::Cancel => row.push_str(", attempts cancelled"),
        AttemptEffect::Lose => row.push_str(", attempts missing"),
    }
    if decision.nudge_job {
        row.push_str(", job looks");
    }
    for event in &decision.events {
        let _ = write!(row, ", says {}", event.event_type.as_str());
    }
    row
}

fn table(unknown: UnknownCreate) -> String {
    let mut table = String::new();
    for (name, state) in states() {
        let _ = writeln!(table, "{name}");
        for (fact_name, fact) in facts() {
            let before = batch(state.clone());
            if let Some(decision) = decide(&before, &fact, NOW, &policy(unknown)) {
                let _ = writeln!(table, "    {fact_name:30} -> {}", row(&before, &decision));
            }
        }
    }
    table
}

#[test]
fn the_whole_table() {
    insta::assert_snapshot!("batch_table", table(UnknownCreate::Fence));
}

#[test]
fn parking_differs_from_fencing_in_one_rule() {
    let (fence, park) = (table(UnknownCreate::Fence), table(UnknownCreate::Park));
    let differing: Vec<_> = fence.lines().zip(park.lines()).filter(|(a, b)| a != b).collect();
    assert_eq!(differing.len(), 1);
    assert!(differing[0].1.contains("parked(create_unknown)"), "{differing:?}");
}

#[test]
fn a_batch_id_is_never_dropped() {
    // Of what is still filled the provider can have nothing, but for an older backup: a person must look.
    for (name, state) in states().into_iter().filter(|(_, state)| *state != BatchState::Filling) {
        // Behind a fence it is waited for until it has looked for its file.
        let is_fenced = matches!(state, BatchState::Fenced { .. });
        let fact = seen(if is_fenced { "in_progress" } else { "validating" }, None, None);
        let next = decide(&batch(state.clone()), &fact, NOW, &policy(UnknownCreate::Park));
        let state = next.map_or(state, |decision| decision.batch.state);
        assert_eq!(state.provider_id(), Some("batch_1"), "{name}");
    }
}

#[test]
fn word_of_an_older_upload_changes_nothing() {
    let refusal =
        Refusal { upload: 1, class: ErrorClass::InvalidRequest, message: String::new(), retry_after: None };
    let words = [
        Fact::CreateNotSent { upload: 1 },
        Fact::CreateAmbiguous { upload: 1 },
        Fact::UploadRefused(refusal.clone()),
        Fact::CreateRefused(refusal),
        Fact::Absent { upload: 1 },
        Fact::FenceSet { upload: 1 },
        Fact::FenceRefused { upload: 1 },
    ];
    for (name, state) in states() {
        for fact in &words {
            let before = Batch { upload: 2, ..batch(state.clone()) };
            assert_eq!(decide(&before, fact, NOW, &policy(UnknownCreate::Fence)), None, "{name} + {fact:?}");
        }
    }
}

#[test]
fn a_batch_of_an_older_upload_takes_no_create_that_is_in_doubt() {
    let newer = CreateKey { upload: 2, file_id: "file-2".to_owned() };
    let old_failed = seen("failed", None, Some(ValidationFailure::default()));
    let Fact::Observed(old) = seen("in_progress", None, None) else { panic!("seen") };
    for state in [
        BatchState::Creating { key: newer.clone(), deadline: NOW },
        BatchState::Unknown { key: newer.clone(), absence: Absence::default() },
        BatchState::Fencing { key: newer.clone() },
        BatchState::Fenced { key: newer.clone(), absence: Absence::default() },
        BatchState::Parked(Parked::Create { key: newer, doubt: CreateDoubt::Absent }),
    ] {
        let before = Batch { upload: 2, ..batch(state) };
        for fact in [&old_failed, &Fact::Observed(old.clone())] {
            assert_eq!(decide(&before, fact, NOW, &policy(UnknownCreate::Fence)), None, "{:?}", before.state);
        }
        assert!(before.is_second(&old), "it is asked to stop, and told of");
    }
}

/// In a database that was restored from a backup of a time before it failed.
#[test]
fn a_later_upload_is_no_second_one_while_the_one_that_failed_counts_as_open() {
    let Fact::Observed(seen) = seen("in_progress", None, None) else { panic!("seen") };
    let later = Seen { provider_id: "batch_2".to_owned(), upload: Some(2), ..seen };
    let of = |state| batch(state);
    let open = of(BatchState::Open { provider_id: "batch_1".to_owned() });
    assert!(!open.is_second(&later));
    assert!(open.is_second(&Seen { upload: Some(1), ..later.clone() }));
    let collected = of(BatchState::Collected { provider_id: "batch_1".to_owned() });
    assert!(collected.is_second(&later), "that one didn't fail");
}

#[test]
fn a_batch_of_a_later_upload_than_an_older_backup_knows_is_adopted() {
    let key = CreateKey { upload: 1, file_id: "file-of-before".to_owned() };
    let Fact::Observed(seen) = seen("in_progress", None, None) else { panic!("seen") };
    let later = Seen { upload: Some(3), ..seen };
    let before = batch(BatchState::Unknown { key, absence: Absence::default() });
    assert!(!before.is_second(&later));
    let next = decide(&before, &Fact::Observed(later), NOW, &policy(UnknownCreate::Park)).unwrap().batch;
    assert_eq!((next.state.provider_id(), next.upload), (Some("batch_1"), 3));
}

/// A worker that stood still while another one took over hears from the provider that it takes no file.
#[test]
fn a_refused_upload_takes_back_no_intent_of_somebody_else() {
    for (name, state) in states() {
        for class in [ErrorClass::InvalidRequest, ErrorClass::RateLimited, ErrorClass::Auth] {
            let next =
                decide(&batch(state.clone()), &upload_refused(class), NOW, &policy(UnknownCreate::Park));
            assert_eq!(next.is_some(), state == BatchState::Planned, "{name} + {class:?}");
        }
    }
}

#[test]
fn a_refusal_rests_as_long_as_the_provider_asks_up_to_an_hour() {
    for (asked, rests) in [(1_200, 1_200), (86_400, 3_600), (9_000_000_000_000, 3_600)] {
        let asked = Some(Duration::from_secs(asked));
        let refusal =
            Refusal { upload: 1, class: ErrorClass::RateLimited, message: String::new(), retry_after: asked };
        let before = batch(BatchState::Planned);
        let decision =
            decide(&before, &Fact::UploadRefused(refusal), NOW, &policy(UnknownCreate::Park)).unwrap();
        assert_eq!(decision.order, NextOrder::Due(Lane::Submit, NOW + TimeDelta::seconds(rests)));
    }
}

#[test]
fn every_parked_batch_has_a_way_out() {
    for (name, state) in states() {
        let BatchState::Parked(parked) = &state else { continue };
        assert!(Parked::REASONS.contains(&parked.as_str()), "{name}");
        for resolution in [Resolution::TryAgain, Resolution::NotCreated, Resolution::GiveUp] {
            let fact = resolved(resolution);
            let next = decide(&batch(state.clone()), &fact, NOW, &policy(UnknownCreate::Park));
            let moves = next.is_some_and(|decision| decision.batch.state != state);
            assert_eq!(moves, parked.resolutions().contains(&resolution), "{name} + {resolution:?}");
            assert_eq!(moves, parked.hint().contains(resolution.as_str()), "{name}: {}", parked.hint());
        }
    }
}

#[test]
fn a_persons_word_is_about_the_upload_that_was_looked_at() {
    for (name, state) in states() {
        let before = Batch { upload: 2, ..batch(state) };
        for resolution in [Resolution::TryAgain, Resolution::NotCreated, Resolution::GiveUp] {
            let next = decide(&before, &resolved(resolution), NOW, &policy(UnknownCreate::Park));
            assert_eq!(next, None, "{name} + {resolution:?}, said of upload 1");
        }
    }
}

#[test]
fn what_is_in_doubt_or_parked_says_what_was_tried_what_happens_next_and_what_can_be_decided() {
    for (name, state) in states() {
        let doubtful = state.key().is_some() || state.parked().is_some();
        assert_eq!(batch(state.clone()).tried().is_some(), doubtful, "{name}");
        assert_eq!(state.next().is_none(), state.is_end(), "{name}");
        for resolution in [Resolution::TryAgain, Resolution::NotCreated, Resolution::GiveUp] {
            let next =
                decide(&batch(state.clone()), &resolved(resolution), NOW, &policy(UnknownCreate::Park));
            assert_eq!(next.is_some(), state.resolutions().contains(&resolution), "{name} + {resolution:?}");
        }
    }
}

#[test]
fn a_cancelled_batch_is_not_sent_again() {
    for (name, state) in states() {
        for (fact_name, fact) in facts() {
            let before = Batch { cancel: true, ..batch(state.clone()) };
            let next = decide(&before, &fact, NOW, &policy(UnknownCreate::Fence));
            let planned = next.is_some_and(|decision| decision.batch.state == BatchState::Planned);
            assert!(!planned || state == BatchState::Planned, "{name} + {fact_name}");
        }
    }
}

#[test]
fn no_fact_but_a_settled_absence_a_failed_batch_or_a_persons_word_allows_a_second_create() {
    for (name, state) in states() {
        if state.key().is_none() || matches!(state, BatchState::Creating { .. }) {
            continue;
        }
        for (fact_name, fact) in facts() {
            let next = decide(&batch(state.clone()), &fact, NOW, &policy(UnknownCreate::Fence));
            let planned = next.is_some_and(|decision| decision.batch.state == BatchState::Planned);
            let is_fenced = matches!(state, BatchState::Fencing { .. } | BatchState::Fenced { .. });
            let allowed = (name, fact_name) == ("fenced, last look", "absent")
                || (is_fenced
                    && ["observed failed: file gone", "observed failed: token budget"].contains(&fact_name))
                || fact == resolved(Resolution::NotCreated);
            assert_eq!(planned, allowed, "{name} + {fact_name}");
        }
    }
}

#[test]
fn a_state_that_waits_for_nobody_is_an_end_or_is_parked() {
    for (name, state) in states() {
        for (fact_name, fact) in facts() {
            let Some(decision) = decide(&batch(state.clone()), &fact, NOW, &policy(UnknownCreate::Fence))
            else {
                continue;
            };
            let after = &decision.batch.state;
            let stands = after.is_end() || matches!(after, BatchState::Parked(_));
            let waits = matches!(decision.order, NextOrder::Due(..))
                || (decision.order == NextOrder::Keep && !stands);
            assert_ne!(waits, stands, "{name} + {fact_name}");
        }
    }
}

#[test]
fn a_look_that_finds_nothing_new_only_looks_again() {
    let remote =
        Remote { status: Some("in_progress".to_owned()), total: 2, completed: 1, ..Remote::default() };
    let state = BatchState::Open { provider_id: "batch_1".to_owned() };
    let (id, job) = (BatchId(uuid::Uuid::nil()), JobId(uuid::Uuid::nil()));
    let batch = Batch { id, job, version: 3, upload: 1, cancel: false, state, remote: remote.clone() };
    let only_again = |remote: Remote, end| {
        let (provider_id, input_file_id) = ("batch_1".to_owned(), "file-1".into());
        let seen =
            Seen { provider_id, input_file_id, instance: None, upload: Some(1), end, refusal: None, remote };
        let decision = decide(&batch, &Fact::Observed(seen), NOW, &policy(UnknownCreate::Park));
        decision.is_some_and(|decision| decision.only_looks_again(&batch))
    };
    assert!(only_again(remote.clone(), None));
    assert!(!only_again(Remote { completed: 2, ..remote.clone() }, None));
    assert!(!only_again(Remote { status: Some("finalizing".to_owned()), ..remote.clone() }, None));
    assert!(!only_again(remote, Some(End::Completed)));
}
