//! `overnight schedule run`: what a night does, now, and waits for its jobs.

use domain::{JobId, Schedule};
use serde_json::{Value, json};
use store::Store;

use super::history::run_document;
use crate::commands::details::job_document;
use crate::commands::wait::conclude;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count};
use crate::progress::{Until, Watched, watch};
use crate::world::{Desk, World, night, reach_first};

pub(crate) async fn run(config: &Config, name: &str, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::open_to_write(config, "schedule run").await?;
    reach_first(config).await?;
    if !desk.is_elsewhere() {
        // Nobody else can be at work: whoever had claimed a run is dead. In a fleet the claims are those of the living.
        desk.store.forget_run_claims().await?;
    }
    let (jobs, runs) = gather(config, &desk.store, name, output).await?;
    if jobs.is_empty() {
        let document = json!({ "runs": runs, "jobs": [] });
        output.result(&document, || "the backlog has no pending task that can be taken".to_owned());
        desk.store.close().await?;
        return Ok(Exit::Success);
    }
    if !config.enabled {
        // Held jobs are not waited for: they start once somebody switches the sending on.
        let document = json!({ "runs": runs, "jobs": jobs });
        output.result(&document, || "ENABLE_BATCH_API is off: the jobs are held".to_owned());
        desk.store.close().await?;
        return Ok(Exit::Success);
    }
    let world = World::start(config, desk, false).await?;
    let mut watched = Vec::new();
    for job in &jobs {
        watched.push((*job, watch(&world.context.store, *job, Until::Ended, None, output).await?));
    }
    let desk = world.stop().await?;
    let exit = report(&desk, &watched, runs, output).await?;
    desk.store.close().await?;
    Ok(exit)
}

/// Runs the schedule; answers the jobs to wait for, and the runs for programs. A bad task fails nobody else:
/// it is named and stays pending.
async fn gather(
    config: &Config,
    store: &Store,
    name: &str,
    output: &Output,
) -> Result<(Vec<JobId>, Vec<Value>), Trouble> {
    let night = night(config)?;
    pipeline::ensure(store, &night).await?;
    let cap = (name == Schedule::OVERNIGHT).then_some(config.overnight_max_tasks);
    let (mut jobs, mut runs) = (Vec::new(), Vec::new());
    for ran in pipeline::run_now(store, &night, name, cap).await? {
        ran.notes.iter().for_each(|note| output.note(note));
        for job in &ran.jobs {
            let row = store.job(*job).await?;
            output.note(&format!("{job} accepted: {} tasks for {}", count(row.job.total), row.processor));
        }
        jobs.extend(&ran.jobs);
        runs.push(run_document(&ran.run));
    }
    Ok((jobs, runs))
}

/// Says how the jobs ended: a table each for people, one document for programs. The first that did not
/// succeed gives the exit code.
async fn report(
    desk: &Desk,
    watched: &[(JobId, Watched)],
    runs: Vec<Value>,
    output: &Output,
) -> Result<Exit, Trouble> {
    let (mut exit, mut documents) = (Exit::Success, Vec::new());
    for (job, watched) in watched {
        let ended = if output.is_json() && matches!(watched, Watched::Done) {
            documents.push(job_document(&desk.store, *job).await?);
            desk.store.job(*job).await?.job.state.outcome().map_or(Exit::NotFinished, Exit::of)
        } else {
            conclude(desk, *job, watched, &[], output).await?
        };
        if exit == Exit::Success {
            exit = ended;
        }
    }
    if output.is_json() {
        output.line(&json!({ "runs": runs, "jobs": documents }).to_string());
    }
    Ok(exit)
}
