//! `overnight schedule run`: what a night does, now: the pending backlog becomes jobs, one for each agent.

use std::collections::BTreeMap;

use domain::{JobId, Kind};
use pipeline::{Request, Source};
use serde_json::json;
use store::{BacklogTask, Store};

use crate::commands::details::job_document;
use crate::commands::submit::{check, request};
use crate::commands::wait::conclude;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count};
use crate::progress::{Until, Watched, watch};
use crate::select;
use crate::world::{Desk, World, reach_first};

pub(crate) async fn run(config: &Config, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::open_to_write(config, "schedule run").await?;
    reach_first(config).await?;
    let jobs = collect(config, &desk.store, output).await?;
    if jobs.is_empty() {
        output.result(&json!({ "jobs": [] }), || "the backlog has no pending task".to_owned());
        desk.store.close().await?;
        return Ok(Exit::Success);
    }
    if !config.enabled {
        // Held jobs are not waited for: they start once somebody switches the sending on.
        output.result(&json!({ "jobs": jobs }), || "ENABLE_BATCH_API is off: the jobs are held".to_owned());
        desk.store.close().await?;
        return Ok(Exit::Success);
    }
    let world = World::start(config, desk, false).await?;
    let mut watched = Vec::new();
    for job in &jobs {
        watched.push((*job, watch(&world.context.store, *job, Until::Ended, None, output).await?));
    }
    let desk = world.stop().await?;
    let exit = report(&desk, &watched, output).await?;
    desk.store.close().await?;
    Ok(exit)
}

/// Says how the jobs ended: a table each for people, one document for programs. The first that did not
/// succeed gives the exit code.
async fn report(desk: &Desk, watched: &[(JobId, Watched)], output: &Output) -> Result<Exit, Trouble> {
    let (mut exit, mut documents) = (Exit::Success, Vec::new());
    for (job, watched) in watched {
        let ended = if output.is_json() && matches!(watched, Watched::Done) {
            documents.push(job_document(&desk.store, *job).await?);
            desk.store.job(*job).await?.job.state.outcome().map_or(Exit::NotFinished, Exit::of)
        } else {
            conclude(desk, *job, watched, output).await?
        };
        if exit == Exit::Success {
            exit = ended;
        }
    }
    if output.is_json() {
        output.line(&json!({ "jobs": documents }).to_string());
    }
    Ok(exit)
}

/// Turns the pending backlog into jobs, up to the nightly cap. A bad task fails nobody else: it is named
/// and stays pending.
pub(crate) async fn collect(config: &Config, store: &Store, output: &Output) -> Result<Vec<JobId>, Trouble> {
    let pending = store.pending_backlog(None, config.overnight_max_tasks).await?;
    let mut by_agent: BTreeMap<String, Vec<BacklogTask>> = BTreeMap::new();
    for task in pending {
        by_agent.entry(task.agent_type.clone()).or_default().push(task);
    }
    let mut jobs = Vec::new();
    for (agent, tasks) in by_agent {
        let processor = match select::processor(config, &agent, None) {
            Ok(processor) => processor,
            Err(trouble) => {
                output.note(&format!("{} tasks stay pending: {}", tasks.len(), trouble.what));
                continue;
            }
        };
        let label = format!("backlog of {agent}");
        let request =
            request(config, processor, Source::Backlog(tasks.into()), label, Kind::TaskProcessing, false)?;
        // The platform says what is pending: what was answered before and is pending again is wanted again.
        let request = Request { again: true, ..request };
        let checked = check(store, &request, true, output).await?;
        let known = checked.skipped.total();
        if known > 0 {
            output.note(&format!("{} tasks for {agent} are on their way already", count(known)));
        }
        if checked.estimate.requests > 0 {
            let accepted = checked.accept(store, &request).await?;
            output.note(&format!("{} accepted: {} tasks for {agent}", accepted.job, count(accepted.tasks)));
            jobs.push(accepted.job);
        }
    }
    Ok(jobs)
}
