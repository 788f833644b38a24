//! Gather: a claimed run turns the pending tasks that are its to take into jobs, one for each agent.
//!
//! Each job, its claims on the backlog and its place in the run are one transaction, so a run that is taken
//! up again after a crash goes on behind the jobs that are there.

use std::collections::BTreeSet;

use domain::{Event, EventType, Schedule, Trace};
use serde_json::json;
use store::{BacklogTask, Commit, Origin, RunClaim, RunEnd, RunPart, RunRow, Store, StoreError};

use crate::failure::Failure;
use crate::night::Night;
use crate::run::Ran;
use crate::select::{Key, Selection, backlog_of};
use reception::{IntakeError, Request};

/// How often a run selects anew because somebody else took all tasks of an agent that it had selected. A
/// backlog that moves faster than that is looked at again after a pause.
const TRIES: u32 = 5;

/// Works a claimed run to its end; none where somebody else has claimed it since.
pub(crate) async fn gather(
    store: &Store,
    night: &Night,
    claim: RunClaim,
    lease: std::time::Duration,
) -> Result<Option<Ran>, Failure> {
    let mut tries = 1;
    loop {
        let error = match once(store, night, claim).await {
            Ok(ran) => return Ok(ran),
            Err(Failure::Store(error)) if error.is_taken() || error.is_conflict() => error,
            Err(other) => return Err(other),
        };
        if !store.renew_run(claim, lease).await? {
            return Ok(None);
        }
        if tries == TRIES {
            return Err(error.into());
        }
        tries += 1;
    }
}

async fn once(store: &Store, night: &Night, claim: RunClaim) -> Result<Option<Ran>, Failure> {
    let run = store.run(claim.id).await?;
    let missing = || StoreError::Missing { table: "schedule", id: run.schedule.clone() };
    let schedule = store.schedule(&run.schedule).await?.ok_or_else(missing)?;
    let backlog = backlog_of(&schedule);
    let done: BTreeSet<String> = store.run_jobs(run.id).await?.into_iter().map(|(_, agent)| agent).collect();
    let room = run.max_tasks.saturating_sub(run.tasks);
    let selection = Selection::make(store, night, &backlog, room, &done, by_agent).await?;
    let lost = accept(store, &schedule, claim, &selection).await?;
    let end = RunEnd {
        selected: run.tasks + selection.tasks(),
        left: store.count_pending(&backlog).await?,
        reason: None,
    };
    let end = RunEnd { reason: why_left(&run, &selection, &end, lost), ..end };
    let event = finished(store, &schedule, &run, &end).await?;
    if store.finish_run(claim, end, event).await? == Commit::Overtaken {
        return Ok(None);
    }
    let jobs = store.run_jobs(run.id).await?.into_iter().map(|(job, _)| job).collect();
    Ok(Some(Ran { run: store.run(run.id).await?, jobs, notes: selection.notes(lost) }))
}

fn by_agent(task: &BacklogTask) -> Key {
    (task.agent_type.clone(), None)
}

/// Accepts a job for each agent; answers how many of the selected tasks somebody else had taken by then.
async fn accept(
    store: &Store,
    schedule: &Schedule,
    claim: RunClaim,
    selection: &Selection,
) -> Result<u64, IntakeError> {
    let mut lost = 0;
    for ((agent, _), group) in &selection.groups {
        if group.intake.estimate.requests == 0 {
            continue;
        }
        let part = RunPart { claim, agent: agent.clone() };
        let origin = Origin { trace: Some(Trace::of(claim.id.0)), ..group.request.origin.clone() };
        let request = Request { priority: schedule.terms.priority.rank(), origin, ..group.request.clone() };
        let accepted = group.intake.accept_as(store, &request, Some(part)).await?;
        tracing::info!(job.id = %accepted.job, tasks = accepted.tasks, agent, "job accepted by a schedule");
        lost += group.intake.estimate.requests.saturating_sub(accepted.tasks);
    }
    Ok(lost)
}

/// Why tasks stay behind that were the run's to take, in a few words; each is named where the run is told of.
fn why_left(run: &RunRow, selection: &Selection, end: &RunEnd, lost: u64) -> Option<String> {
    let (refused, busy) = (selection.refused(), selection.on_their_way());
    let mut reasons = Vec::new();
    let beyond = end.left.saturating_sub(refused + busy);
    if beyond > 0 && end.selected >= run.max_tasks {
        reasons.push(format!("{beyond} beyond the {} that one run takes", run.max_tasks));
    }
    if refused > 0 {
        reasons.push(format!("{refused} can't be used"));
    }
    if busy > 0 {
        reasons.push(format!("{busy} are on their way already"));
    }
    if lost > 0 {
        reasons.push(format!("{lost} were taken by somebody else meanwhile"));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

async fn finished(
    store: &Store,
    schedule: &Schedule,
    run: &RunRow,
    end: &RunEnd,
) -> Result<Event, StoreError> {
    let now = store.run(run.id).await?;
    let data = json!({
        "schedule": schedule.name,
        "run_id": run.id,
        "trigger": run.trigger,
        "date": run.slot_date,
        "planned_at": run.slot_at,
        "started_at": run.created_at,
        "zone": schedule.terms.rule.zone().name(),
        "selected": end.selected,
        "jobs": now.jobs,
        "tasks": now.tasks,
        "left": end.left,
        "reason": end.reason,
    });
    let occurrence = run.id.to_string();
    let event = Event::of_schedule(EventType::ScheduleRunFinished, &schedule.name, &occurrence, data);
    Ok(event.at(Some(Trace::of(run.id.0))))
}
