//! What a schedule becomes: it fires, is set, paused, resumed, removed, or run by a person.
//!
//! A firing is a run on record and the next slot in the same decision, so that a night is never owed
//! twice. Nights that nobody was up for are put on record, too, each by its date.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use super::{NightError, Priority, Rule, RunState, Slot, Trigger};
use crate::{Date, Event, EventType, RunId, Time, Trace};

/// How late the ticker may be by itself: a slot of this age is on time whatever the catch-up window.
const ON_TIME: Duration = Duration::from_secs(60);

/// What a schedule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleTerms {
    /// When.
    pub rule: Rule,
    /// Tasks that one run takes, at most.
    pub max_tasks: u64,
    /// How urgent its jobs are.
    pub priority: Priority,
}

/// Since when and why a schedule is paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Since when.
    pub at: Time,
    /// Why.
    pub reason: String,
}

/// A schedule as the rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name: [`Schedule::OVERNIGHT`], or [`Schedule::name_of`] a repository.
    pub name: String,
    /// The one repository it collects; none: all that have no schedule of their own.
    pub repo: Option<String>,
    /// What it asks for.
    pub terms: ScheduleTerms,
    /// The slot it waits for; none: it is switched off.
    pub next: Option<Slot>,
    /// The latest date whose slot is on record.
    pub last: Option<Date>,
    /// Whether it is paused.
    pub paused: Option<Pause>,
    /// Whether it is no more; its runs stay on record.
    pub removed: bool,
    /// Rises with every change; 0: not on record yet.
    pub version: i64,
}

/// What reaches a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleFact {
    /// Time has passed.
    Ticked,
    /// Somebody says what it asks for, and whether it is on.
    Set(ScheduleTerms, bool),
    /// A person pauses it, and says why.
    Paused(String),
    /// A person lets it go on.
    Resumed,
    /// A person takes it away.
    Removed,
    /// A person wants a run now, of at most so many tasks.
    RunWanted(u64),
}

/// The time, how late a night may still run, and where ids come from.
pub struct Ticking<'a> {
    /// Now.
    pub now: Time,
    /// How late a night may still run.
    pub catchup: Duration,
    /// A fresh id with every call.
    pub fresh: &'a mut (dyn FnMut() -> RunId + Send),
}

/// A run to put on record.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// What made it.
    pub trigger: Trigger,
    /// The night it is for; for a person's run: now.
    pub slot: Slot,
    /// Where it stands: started, skipped or missed.
    pub state: RunState,
    /// Tasks that it takes, at most.
    pub max_tasks: u64,
    /// Why it is skipped or missed.
    pub reason: Option<String>,
    /// What outsiders hear.
    pub event: Event,
}

/// What a schedule becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleDecision {
    /// The schedule; its version is the one that was read.
    pub schedule: Schedule,
    /// Runs to put on record, in the order of their dates.
    pub runs: Vec<NewRun>,
    /// What else outsiders hear.
    pub events: Vec<Event>,
}

impl Schedule {
    /// The schedule of all repositories that have none of their own.
    pub const OVERNIGHT: &str = "overnight";

    /// The name of a repository's schedule.
    #[must_use]
    pub fn name_of(repo: &str) -> String {
        format!("repo:{repo}")
    }

    /// A schedule that is not on record yet; setting it brings it to life.
    #[must_use]
    pub fn absent(repo: Option<&str>, terms: ScheduleTerms) -> Self {
        Self {
            name: repo.map_or_else(|| Self::OVERNIGHT.to_owned(), Self::name_of),
            repo: repo.map(str::to_owned),
            terms,
            next: None,
            last: None,
            paused: None,
            removed: true,
            version: 0,
        }
    }
}

/// What a schedule becomes by a fact; none: the fact changes nothing.
///
/// # Errors
/// A rule that has no next instant.
pub fn decide(
    schedule: &Schedule,
    fact: ScheduleFact,
    ticking: &mut Ticking<'_>,
) -> Result<Option<ScheduleDecision>, NightError> {
    let mut next = ScheduleDecision { schedule: schedule.clone(), runs: Vec::new(), events: Vec::new() };
    match fact {
        ScheduleFact::Set(terms, on) => set(&mut next.schedule, terms, on, ticking.now)?,
        _ if schedule.removed => {}
        ScheduleFact::Ticked => fire(&mut next, ticking)?,
        ScheduleFact::Paused(reason) => pause(&mut next, reason, ticking.now),
        ScheduleFact::Resumed => {
            // Nights that passed while it was paused were skipped, though nobody has looked yet.
            fire(&mut next, ticking)?;
            resume(&mut next, ticking.now);
        }
        ScheduleFact::Removed => {
            (next.schedule.removed, next.schedule.next, next.schedule.paused) = (true, None, None);
        }
        ScheduleFact::RunWanted(max_tasks) => {
            let slot = Slot { date: schedule.terms.rule.local_date(ticking.now), at: ticking.now };
            let wanted = (Trigger::Manual, RunState::Started, None);
            next.runs.push(new_run(schedule, slot, wanted, max_tasks, (ticking.fresh)()));
        }
    }
    let same = next.schedule == *schedule && next.runs.is_empty() && next.events.is_empty();
    Ok((!same).then_some(next))
}

/// A night that is owed already stays owed; else a changed rule finds a new one, on a date that has none.
fn set(schedule: &mut Schedule, terms: ScheduleTerms, on: bool, now: Time) -> Result<(), NightError> {
    let same_rule = schedule.terms.rule == terms.rule;
    let kept = schedule.next.filter(|slot| same_rule || slot.at <= now);
    schedule.next = match (on, kept) {
        (false, _) => None,
        (true, Some(slot)) => Some(slot),
        (true, None) => Some(terms.rule.next_beyond(now, schedule.last)?),
    };
    (schedule.terms, schedule.removed) = (terms, false);
    Ok(())
}

/// Puts every night up to now on record and waits for the one after: the newest runs where it is not too
/// late, the others are missed or were skipped.
fn fire(next: &mut ScheduleDecision, ticking: &mut Ticking<'_>) -> Result<(), NightError> {
    let schedule = next.schedule.clone();
    let Some(mut slot) = schedule.next.filter(|slot| slot.at <= ticking.now) else { return Ok(()) };
    loop {
        let following = schedule.terms.rule.following(slot)?;
        let is_newest = following.at > ticking.now;
        let judged = judge(&schedule, slot, is_newest, ticking);
        next.runs.push(new_run(&schedule, slot, judged, schedule.terms.max_tasks, (ticking.fresh)()));
        next.schedule.last = Some(slot.date);
        slot = following;
        if is_newest {
            next.schedule.next = Some(slot);
            return Ok(());
        }
    }
}

fn judge(
    schedule: &Schedule,
    slot: Slot,
    is_newest: bool,
    ticking: &Ticking<'_>,
) -> (Trigger, RunState, Option<String>) {
    let window = TimeDelta::from_std(ticking.catchup.max(ON_TIME)).unwrap_or(TimeDelta::MAX);
    let could_run = is_newest && ticking.now - slot.at <= window;
    let (state, reason) = match &schedule.paused {
        Some(pause) if could_run || slot.at >= pause.at => {
            (RunState::Skipped, Some(format!("paused: {}", pause.reason)))
        }
        _ if could_run => (RunState::Started, None),
        _ if is_newest => {
            let minutes = ticking.catchup.as_secs() / 60;
            let reason = format!("nobody was up at its hour, nor within the {minutes} minutes after it");
            (RunState::Missed, Some(reason))
        }
        _ => (RunState::Missed, Some("nobody was up before the next night had come".to_owned())),
    };
    (Trigger::Scheduled, state, reason)
}

fn new_run(
    schedule: &Schedule,
    slot: Slot,
    (trigger, state, reason): (Trigger, RunState, Option<String>),
    max_tasks: u64,
    id: RunId,
) -> NewRun {
    let event_type = match state {
        RunState::Started | RunState::Finished => EventType::ScheduleRunStarted,
        RunState::Skipped | RunState::Missed => EventType::ScheduleRunSkipped,
    };
    let data = json!({
        "schedule": schedule.name,
        "run_id": id,
        "trigger": trigger,
        "date": slot.date,
        "planned_at": slot.at,
        "zone": schedule.terms.rule.zone().name(),
        "state": state,
        "reason": reason,
    });
    let event =
        Event::of_schedule(event_type, &schedule.name, &id.to_string(), data).at(Some(Trace::of(id.0)));
    NewRun { id, trigger, slot, state, max_tasks, reason, event }
}

fn pause(next: &mut ScheduleDecision, reason: String, now: Time) {
    let paused = next.schedule.paused.as_ref();
    if paused.is_some_and(|pause| pause.reason == reason) {
        return;
    }
    let at = paused.map_or(now, |pause| pause.at);
    say(next, EventType::SchedulePaused, now, Some(&reason));
    next.schedule.paused = Some(Pause { at, reason });
}

fn resume(next: &mut ScheduleDecision, now: Time) {
    if let Some(pause) = next.schedule.paused.take() {
        say(next, EventType::ScheduleResumed, now, Some(&pause.reason));
    }
}

fn say(next: &mut ScheduleDecision, event_type: EventType, now: Time, reason: Option<&str>) {
    let name = &next.schedule.name;
    let data = json!({ "schedule": name, "reason": reason });
    next.events.push(Event::of_schedule(event_type, name, &now.to_rfc3339(), data));
}
