//! What a schedule becomes, as tables.

use std::time::Duration;

use crate::{
    EventType, Pause, Priority, Rule, RunId, Schedule, ScheduleDecision, ScheduleFact, ScheduleTerms, Slot,
    Ticking, Time, decide_schedule,
};

const CATCHUP: Duration = Duration::from_secs(20 * 3_600);

fn time(text: &str) -> Time {
    format!("2026-11-{text}Z").parse().unwrap()
}

fn terms(hour: u8) -> ScheduleTerms {
    let rule = Rule::new(hour, chrono_tz::Europe::Berlin).unwrap();
    ScheduleTerms { rule, max_tasks: 10, priority: Priority::High }
}

/// Waits for 02:00 in Berlin, 01:00 UTC, of a day in November 2026.
fn waiting_for(day: u32) -> Schedule {
    let at = time(&format!("{day}T01:00:00"));
    Schedule {
        next: Some(Slot { date: at.date_naive(), at }),
        removed: false,
        version: 7,
        ..Schedule::absent(None, terms(2))
    }
}

fn paused(schedule: Schedule, at: &str) -> Schedule {
    Schedule { paused: Some(Pause { at: time(at), reason: "a fair".to_owned() }), ..schedule }
}

fn decide(schedule: &Schedule, fact: ScheduleFact, now: &str) -> Option<ScheduleDecision> {
    let mut last = 0;
    let mut fresh = || {
        last += 1;
        RunId(uuid::Uuid::from_u128(last))
    };
    let mut ticking = Ticking { now: time(now), catchup: CATCHUP, fresh: &mut fresh };
    decide_schedule(schedule, fact, &mut ticking).unwrap()
}

/// `DAY STATE` of each run, and the day that is next.
fn ticked(schedule: &Schedule, now: &str) -> (Vec<String>, String) {
    let Some(decision) = decide(schedule, ScheduleFact::Ticked, now) else { return (vec![], String::new()) };
    let runs =
        decision.runs.iter().map(|run| format!("{} {}", run.slot.date.format("%d"), run.state.as_str()));
    (runs.collect(), decision.schedule.next.unwrap().at.format("%dT%H").to_string())
}

#[test]
fn a_night_is_put_on_record_once_and_by_its_date() {
    let cases: [(&str, &[&str], &str); 8] = [
        ("24T00:59:59", &[], ""),
        ("24T01:00:00", &["24 started"], "25T01"),
        ("24T20:59:00", &["24 started"], "25T01"),
        // Beyond 20 hours it is too late.
        ("24T21:01:00", &["24 missed"], "25T01"),
        // The newest of several runs, the others are missed.
        ("25T03:00:00", &["24 missed", "25 started"], "26T01"),
        ("26T08:00:00", &["24 missed", "25 missed", "26 started"], "27T01"),
        ("26T22:00:00", &["24 missed", "25 missed", "26 missed"], "27T01"),
        (
            "30T01:00:05",
            &["24 missed", "25 missed", "26 missed", "27 missed", "28 missed", "29 missed", "30 started"],
            "01T01",
        ),
    ];
    for (now, runs, next) in cases {
        let runs: Vec<String> = runs.iter().map(|run| (*run).to_owned()).collect();
        assert_eq!(ticked(&waiting_for(24), now), (runs, next.to_owned()), "{now}");
    }
}

#[test]
fn a_clock_that_jumps_back_makes_no_night_anew() {
    let fired = decide(&waiting_for(24), ScheduleFact::Ticked, "24T01:00:01").unwrap().schedule;
    assert_eq!(decide(&fired, ScheduleFact::Ticked, "24T00:10:00"), None);
    assert_eq!(decide(&fired, ScheduleFact::Ticked, "24T01:00:01"), None);
    // Nor does another hour on the same date.
    let moved = decide(&fired, ScheduleFact::Set(terms(5), true), "24T02:00:00").unwrap().schedule;
    assert_eq!(moved.next.unwrap().at, time("25T04:00:00"));
}

#[test]
fn a_window_of_nothing_is_a_minute() {
    let mut fresh = || RunId(uuid::Uuid::nil());
    for (now, state) in [("24T01:00:59", "started"), ("24T01:01:01", "missed")] {
        let mut ticking = Ticking { now: time(now), catchup: Duration::ZERO, fresh: &mut fresh };
        let decision =
            decide_schedule(&waiting_for(24), ScheduleFact::Ticked, &mut ticking).unwrap().unwrap();
        assert_eq!(decision.runs[0].state.as_str(), state, "{now}");
    }
}

#[test]
fn a_paused_schedule_skips_its_nights_and_says_why() {
    let cases: [(&str, &str, &[&str]); 4] = [
        ("23T12:00:00", "24T01:00:05", &["24 skipped"]),
        ("23T12:00:00", "25T08:00:00", &["24 skipped", "25 skipped"]),
        // Paused after a night that nobody was up for.
        ("24T12:00:00", "25T08:00:00", &["24 missed", "25 skipped"]),
        ("24T12:00:00", "24T13:00:00", &["24 skipped"]),
    ];
    for (since, now, runs) in cases {
        let schedule = paused(waiting_for(24), since);
        assert_eq!(ticked(&schedule, now).0, runs, "{since} {now}");
    }
    let decision =
        decide(&paused(waiting_for(24), "23T12:00:00"), ScheduleFact::Ticked, "24T01:00:05").unwrap();
    assert_eq!(decision.runs[0].reason.as_deref(), Some("paused: a fair"));
    assert_eq!(decision.runs[0].event.event_type, EventType::ScheduleRunSkipped);
}

#[test]
fn resuming_does_not_bring_back_what_was_skipped() {
    let schedule = paused(waiting_for(24), "23T12:00:00");
    let decision = decide(&schedule, ScheduleFact::Resumed, "24T09:00:00").unwrap();
    assert_eq!(decision.runs[0].state.as_str(), "skipped");
    assert_eq!((decision.schedule.paused, decision.events.len()), (None, 1));
    assert_eq!(decide(&waiting_for(24), ScheduleFact::Resumed, "23T09:00:00"), None);
}

#[test]
fn a_pause_is_said_once() {
    let schedule = paused(waiting_for(24), "23T12:00:00");
    assert_eq!(decide(&schedule, ScheduleFact::Paused("a fair".to_owned()), "23T13:00:00"), None);
    let other = decide(&schedule, ScheduleFact::Paused("a war".to_owned()), "23T13:00:00").unwrap();
    assert_eq!(other.schedule.paused, Some(Pause { at: time("23T12:00:00"), reason: "a war".to_owned() }));
    assert_eq!(other.events[0].event_type, EventType::SchedulePaused);
}

#[test]
fn a_night_that_is_owed_stays_owed_when_the_hour_changes() {
    // (waits for, is set at, to the hour) and what it waits for then.
    let cases = [
        ("23T20:00:00", 2, "24T01"),
        ("23T20:00:00", 5, "24T04"),
        ("24T03:00:00", 2, "24T01"),
        ("24T03:00:00", 5, "24T01"),
    ];
    for (now, hour, next) in cases {
        let fact = ScheduleFact::Set(ScheduleTerms { max_tasks: 11, ..terms(hour) }, true);
        let schedule = decide(&waiting_for(24), fact, now).unwrap().schedule;
        assert_eq!(schedule.next.unwrap().at.format("%dT%H").to_string(), next, "{now} {hour}");
    }
    // The night that was owed runs, and the date's other hour doesn't.
    let moved = decide(&waiting_for(24), ScheduleFact::Set(terms(5), true), "24T03:00:00").unwrap().schedule;
    assert_eq!(ticked(&moved, "24T04:30:00"), (vec!["24 started".to_owned()], "25T04".to_owned()));
}

#[test]
fn a_schedule_is_set_switched_off_and_removed() {
    let absent = Schedule::absent(Some("acme/app"), terms(2));
    let set = decide(&absent, ScheduleFact::Set(terms(2), true), "23T20:00:00").unwrap().schedule;
    assert_eq!(
        (&*set.name, set.removed, set.next.unwrap().at),
        ("repo:acme/app", false, time("24T01:00:00"))
    );
    assert_eq!(decide(&set, ScheduleFact::Set(terms(2), true), "23T21:00:00"), None);

    let off = decide(&set, ScheduleFact::Set(terms(2), false), "23T20:00:00").unwrap().schedule;
    assert_eq!(off.next, None);
    assert_eq!(decide(&off, ScheduleFact::Ticked, "28T20:00:00"), None);
    // Switched on again it owes nothing for the time between.
    let on = decide(&off, ScheduleFact::Set(terms(2), true), "28T20:00:00").unwrap().schedule;
    assert_eq!(on.next.unwrap().at, time("29T01:00:00"));

    let gone = decide(&set, ScheduleFact::Removed, "23T20:00:00").unwrap().schedule;
    for fact in [
        ScheduleFact::Ticked,
        ScheduleFact::Paused("x".to_owned()),
        ScheduleFact::Resumed,
        ScheduleFact::Removed,
        ScheduleFact::RunWanted(1),
    ] {
        assert_eq!(decide(&gone, fact, "28T20:00:00"), None);
    }
}

#[test]
fn a_run_by_hand_takes_no_night_away() {
    for schedule in [waiting_for(24), paused(waiting_for(24), "23T12:00:00")] {
        let decision = decide(&schedule, ScheduleFact::RunWanted(3), "24T00:30:00").unwrap();
        let run = &decision.runs[0];
        assert_eq!((run.trigger.as_str(), run.state.as_str(), run.max_tasks), ("manual", "started", 3));
        assert_eq!(decision.schedule, schedule);
    }
}
