//! What a person says about a schedule: set the terms of a repository, pause, resume, remove.
//!
//! A schedule is written with the version that was read; where somebody else was faster, it is decided again
//! on what is there now. `catchup` is how late a night may still run.

use std::time::Duration;

use domain::{
    NightError, Rule, RunId, RunState, Schedule, ScheduleDecision, ScheduleFact, ScheduleTerms, Ticking,
    Trace, decide_schedule,
};
use store::{Commit, Store, StoreError};

use crate::trace::place;

/// Bytes of a repository's name. `schedule/repo:ORG/REPO` is the correlation id of its events, and a message has room
/// for 255: an event that can't be sent would be tried for ever.
const LONGEST_REPO: usize = 200;

/// Why a schedule can't be told something.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such schedule.
    #[error("no schedule {0:?}; `schedule list` shows them")]
    Unknown(String),
    /// A repository's name can't be one.
    #[error("{0:?} is not a repository; take ORG/REPO")]
    Repo(String),
    /// A repository's name is too long for the messages that name its schedule.
    #[error("the repository's name has {0} bytes; a schedule takes at most {LONGEST_REPO}")]
    LongRepo(usize),
    /// The rule has no next night.
    #[error(transparent)]
    Night(#[from] NightError),
}

/// Adds the schedule of a repository, or changes what it asks for. Its hour is that of the schedule `overnight`, which
/// whoever keeps the clock puts on record; `terms` has the caller's, for a database where nobody did yet.
///
/// # Errors
/// A name that isn't a repository's, or a database that fails.
pub async fn set_repo(
    store: &Store,
    catchup: Duration,
    repo: &str,
    mut terms: ScheduleTerms,
) -> Result<Schedule, ScheduleError> {
    let parts: Vec<&str> = repo.split('/').collect();
    let is_part = |part: &&str| !part.is_empty() && !part.contains(char::is_whitespace);
    if parts.len() != 2 || !parts.iter().all(is_part) {
        return Err(ScheduleError::Repo(repo.to_owned()));
    }
    if repo.len() > LONGEST_REPO {
        return Err(ScheduleError::LongRepo(repo.len()));
    }
    terms.rule = night_on_record(store, terms.rule).await?;
    let absent = Schedule::absent(Some(repo), terms);
    change_schedule(store, catchup, &absent, &ScheduleFact::Set(terms, true)).await?;
    known_schedule(store, &absent.name).await
}

/// When the night begins: as whoever keeps the clock put it on record; `own`, where nobody did yet.
///
/// # Errors
/// A database that fails.
pub async fn night_on_record(store: &Store, own: Rule) -> Result<Rule, StoreError> {
    let overnight = store.schedule(Schedule::OVERNIGHT).await?;
    Ok(overnight.map_or(own, |overnight| overnight.terms.rule))
}

/// Tells a schedule that is on record something: pause, resume, remove. False where that changes nothing.
///
/// # Errors
/// A schedule that isn't there, or a database that fails.
pub async fn tell_schedule(
    store: &Store,
    catchup: Duration,
    name: &str,
    fact: &ScheduleFact,
) -> Result<bool, ScheduleError> {
    let schedule = known_schedule(store, name).await?;
    Ok(change_schedule(store, catchup, &schedule, fact).await?.is_some())
}

/// The schedule of a name.
///
/// # Errors
/// A schedule that isn't there, or a database that fails.
pub async fn known_schedule(store: &Store, name: &str) -> Result<Schedule, ScheduleError> {
    let found = store.schedule(name).await?.filter(|schedule| !schedule.removed);
    found.ok_or_else(|| ScheduleError::Unknown(name.to_owned()))
}

/// Decides and commits; where somebody else was faster, decides again on what is there now. None: the fact
/// changes nothing.
///
/// # Errors
/// A rule that has no next night, or a database that fails.
pub async fn change_schedule(
    store: &Store,
    catchup: Duration,
    schedule: &Schedule,
    fact: &ScheduleFact,
) -> Result<Option<ScheduleDecision>, ScheduleError> {
    let clock = store.clock();
    let mut fresh = || RunId(clock.new_id());
    let mut schedule = store.schedule(&schedule.name).await?.unwrap_or_else(|| schedule.clone());
    loop {
        let mut ticking = Ticking { now: clock.now(), catchup, fresh: &mut fresh };
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
        let span = tracing::error_span!("schedule.run", run.id = %run.id, trace_id = tracing::field::Empty);
        place(&span, None, Trace::of(run.id.0));
        let _inside = span.enter();
        let (schedule, date) = (&decision.schedule.name, run.slot.date);
        match run.state {
            RunState::Missed => tracing::warn!(schedule, %date, reason = run.reason, "night missed"),
            state => tracing::info!(schedule, %date, state = state.as_str(), "night on record"),
        }
    }
}
