//! `overnight schedule run`: what a night does, now: the pending backlog becomes jobs, one for each agent.

use std::collections::BTreeMap;

use domain::{JobId, Kind};
use pipeline::Source;
use serde_json::json;
use store::{BacklogTask, Store};

use crate::commands::submit::{check, request};
use crate::commands::wait::conclude;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count};
use crate::progress::{Until, watch};
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
    let world = World::start(config, desk, false).await?;
    let mut watched = Vec::new();
    for job in &jobs {
        watched.push((*job, watch(&world.context.store, *job, Until::Ended, None, output).await?));
    }
    let desk = world.stop().await?;
    let mut exit = Exit::Success;
    for (job, watched) in &watched {
        let ended = conclude(&desk, *job, watched, output).await?;
        if exit == Exit::Success {
            exit = ended;
        }
    }
    desk.store.close().await?;
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
        let checked = check(store, &request, true, output).await?;
        if checked.estimate.requests > 0 {
            let accepted = checked.accept(store, &request).await?;
            output.note(&format!("{} accepted: {} tasks for {agent}", accepted.job, count(accepted.tasks)));
            jobs.push(accepted.job);
        }
    }
    Ok(jobs)
}
