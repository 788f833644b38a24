//! Tick: what the clock does each time it wakes, and what a person may tell a schedule.
//!
//! All of it may be done any number of times by any number of processes: a schedule is written with the
//! version that was read, a night is on record once, and a run is worked by whoever has claimed it.

use crash::Point;
use domain::{
    RunId, RunState, Schedule, ScheduleDecision, ScheduleFact, ScheduleTerms, Ticking, decide_schedule,
};
use store::{Commit, Store, StoreError};

use crate::failure::Failure;
use crate::night::{Night, ScheduleError};
use crate::run::{Ran, work, work_open};
use crate::worker::chain;

/// Puts on record what the configuration says: the schedule `overnight`, and the hour of all others.
///
/// # Errors
/// A database that fails.
pub async fn wind(store: &Store, night: &Night) -> Result<(), ScheduleError> {
    let absent = Schedule::absent(None, night.terms());
    say(store, night, &absent, &ScheduleFact::Set(night.terms(), night.auto)).await?;
    for schedule in store.schedules().await?.into_iter().filter(|schedule| schedule.repo.is_some()) {
        let terms = ScheduleTerms { rule: night.rule, ..schedule.terms };
        say(store, night, &schedule, &ScheduleFact::Set(terms, true)).await?;
    }
    Ok(())
}

/// Puts the schedule `overnight` on record where it isn't yet; one that is there keeps what it asks for.
///
/// # Errors
/// A database that fails.
pub async fn ensure(store: &Store, night: &Night) -> Result<(), ScheduleError> {
    if store.schedule(Schedule::OVERNIGHT).await?.is_none() {
        wind(store, night).await?;
    }
    Ok(())
}

/// Does what is due: puts nights on record, and works the runs that are open, those that a process left
/// behind among them. Answers the runs that ended here.
///
/// # Errors
/// A database that fails. What one schedule or run can't do is logged, and keeps no other from its work.
pub async fn tick(store: &Store, night: &Night) -> Result<Vec<Ran>, Failure> {
    for schedule in store.due_schedules(store.clock().now()).await? {
        match say(store, night, &schedule, &ScheduleFact::Ticked).await {
            Ok(_) => {}
            Err(ScheduleError::Store(error)) => return Err(error.into()),
            Err(error) => tracing::error!(schedule = schedule.name, error = %chain(&error), "no next night"),
        }
    }
    crash::pass(Point::RunAfterNight);
    work_open(store, night).await
}

/// Runs a schedule now, whatever its hour, and works the run to its end; runs that were left behind first.
/// It takes at most `max_tasks`, or what the schedule says.
/// Answers them in that order. A run that another process works on is not among them.
///
/// # Errors
/// A database that fails, or a schedule that isn't there.
pub async fn run_now(
    store: &Store,
    night: &Night,
    name: &str,
    max_tasks: Option<u64>,
) -> Result<Vec<Ran>, RunNowError> {
    let mut ran = work_open(store, night).await?;
    let schedule = known(store, name).await?;
    let cap = max_tasks.unwrap_or(schedule.terms.max_tasks);
    let decision = say(store, night, &schedule, &ScheduleFact::RunWanted(cap)).await?;
    for run in decision.into_iter().flat_map(|decision| decision.runs) {
        ran.extend(work(store, night, run.id).await?);
    }
    Ok(ran)
}

/// Why a run by hand came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunNowError {
    /// There is no such schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// It began and could not go on; it is taken up again.
    #[error(transparent)]
    Run(#[from] Failure),
}

/// Schedules by name, `overnight` as the configuration has it where it is not on record yet.
///
/// # Errors
/// A database that fails.
pub async fn schedules(store: &Store, night: &Night) -> Result<Vec<Schedule>, ScheduleError> {
    let mut schedules = store.schedules().await?;
    if !schedules.iter().any(|schedule| schedule.name == Schedule::OVERNIGHT) {
        let next = night.auto.then(|| night.rule.next(store.clock().now())).transpose()?;
        schedules.insert(0, Schedule { next, removed: false, ..Schedule::absent(None, night.terms()) });
    }
    Ok(schedules)
}

/// Adds the schedule of a repository, or changes what it asks for.
///
/// # Errors
/// A name that isn't a repository's, or a database that fails.
pub async fn set_repo(
    store: &Store,
    night: &Night,
    repo: &str,
    terms: ScheduleTerms,
) -> Result<Schedule, ScheduleError> {
    let parts: Vec<&str> = repo.split('/').collect();
    let is_part = |part: &&str| !part.is_empty() && !part.contains(char::is_whitespace);
    if parts.len() != 2 || !parts.iter().all(is_part) {
        return Err(ScheduleError::Repo(repo.to_owned()));
    }
    let absent = Schedule::absent(Some(repo), terms);
    say(store, night, &absent, &ScheduleFact::Set(terms, true)).await?;
    known(store, &absent.name).await
}

/// Tells a schedule that is on record something: pause, resume, remove. False where that changes nothing.
///
/// # Errors
/// A schedule that isn't there, or a database that fails.
pub async fn tell(
    store: &Store,
    night: &Night,
    name: &str,
    fact: &ScheduleFact,
) -> Result<bool, ScheduleError> {
    let schedule = known(store, name).await?;
    Ok(say(store, night, &schedule, fact).await?.is_some())
}

async fn known(store: &Store, name: &str) -> Result<Schedule, ScheduleError> {
    let found = store.schedule(name).await?.filter(|schedule| !schedule.removed);
    found.ok_or_else(|| ScheduleError::Unknown(name.to_owned()))
}

/// Decides and commits; where somebody else was faster, decides again on what is there now.
async fn say(
    store: &Store,
    night: &Night,
    schedule: &Schedule,
    fact: &ScheduleFact,
) -> Result<Option<ScheduleDecision>, ScheduleError> {
    let clock = store.clock();
    let mut fresh = || RunId(clock.new_id());
    let mut schedule = store.schedule(&schedule.name).await?.unwrap_or_else(|| schedule.clone());
    loop {
        let mut ticking = Ticking { now: clock.now(), catchup: night.catchup, fresh: &mut fresh };
        let Some(decision) = decide_schedule(&schedule, fact.clone(), &mut ticking)? else { return Ok(None) };
        if store.commit_schedule(decision.clone()).await? == Commit::Done {
            tell_log(&decision);
            return Ok(Some(decision));
        }
        let gone = || StoreError::Missing { table: "schedule", id: schedule.name.clone() };
        schedule = store.schedule(&schedule.name).await?.ok_or_else(gone)?;
    }
}

fn tell_log(decision: &ScheduleDecision) {
    for run in &decision.runs {
        let (schedule, date) = (&decision.schedule.name, run.slot.date);
        match run.state {
            RunState::Missed => tracing::warn!(schedule, %date, reason = run.reason, "night missed"),
            state => tracing::info!(schedule, %date, state = state.as_str(), "night on record"),
        }
    }
}
