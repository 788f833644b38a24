//! Tick: what the clock does each time it wakes, and a run that a person wants now.
//!
//! All of it may be done any number of times by any number of processes: a schedule is written with the
//! version that was read, a night is on record once, and a run is worked by whoever has claimed it.

use domain::{Schedule, ScheduleFact, ScheduleTerms};
use reception::{ScheduleError, change_schedule, known_schedule};
use store::Store;

use crate::failure::Failure;
use crate::night::Night;
use crate::run::{Ran, work, work_open};
use crate::worker::chain;

/// Puts on record what the configuration says: the schedule `overnight`, and the hour of all others. An hour that
/// differs from the one on record is changed with a warning: schedulers that disagree would move the night in silence.
///
/// # Errors
/// A database that fails.
pub async fn wind(store: &Store, night: &Night) -> Result<(), ScheduleError> {
    if let Some(there) = store.schedule(Schedule::OVERNIGHT).await?.filter(|row| row.terms.rule != night.rule)
    {
        tracing::warn!(
            on_record = %there.terms.rule, configured = %night.rule,
            "the night moves to this process's hour and zone; all schedulers must be given the same"
        );
    }
    let absent = Schedule::absent(None, night.terms());
    change_schedule(store, night.catchup, &absent, &ScheduleFact::Set(night.terms(), night.auto)).await?;
    for schedule in store.schedules().await?.into_iter().filter(|schedule| schedule.repo.is_some()) {
        let terms = ScheduleTerms { rule: night.rule, ..schedule.terms };
        change_schedule(store, night.catchup, &schedule, &ScheduleFact::Set(terms, true)).await?;
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
        match change_schedule(store, night.catchup, &schedule, &ScheduleFact::Ticked).await {
            Ok(_) => {}
            Err(ScheduleError::Store(error)) => return Err(error.into()),
            Err(error) => tracing::error!(schedule = schedule.name, error = %chain(&error), "no next night"),
        }
    }
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
    let schedule = known_schedule(store, name).await?;
    let cap = max_tasks.unwrap_or(schedule.terms.max_tasks);
    let decision = change_schedule(store, night.catchup, &schedule, &ScheduleFact::RunWanted(cap)).await?;
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
