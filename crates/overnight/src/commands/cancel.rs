//! `overnight batch cancel`: a person's word; what the provider has finished is kept. It succeeds only where
//! something was cancelled.

use std::time::Duration;

use domain::{BatchState, JobId, JobOutcome, ShownState};
use serde_json::json;

use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, counted};
use crate::progress::{Until, Watched, watch};
use crate::select;
use crate::world::{Desk, World};

pub(crate) async fn run(
    config: &Config,
    job: &str,
    timeout: Duration,
    output: &Output,
) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "batch cancel").await?;
    let job = select::job_to_drive(config, &desk.store, job).await?;
    // Where another process runs the stages, the wish is written beside it, and it carries it out.
    let world = match desk.is_elsewhere() {
        true => World::beside(config, desk)?,
        false => World::start(config, desk, false).await?,
    };
    let asked = reception::cancel_job(&world.context.store, job).await?;
    world.context.ring();
    let too_late = !asked && world.context.store.job(job).await?.job.state.outcome().is_some();
    // One that is being cancelled already is waited for just the same.
    let watched = watch(&world.context.store, job, Until::Stopped, Some(timeout), output).await?;
    let desk = world.stop().await?;
    let exit = match watched {
        Watched::Done => ended(&desk, job, too_late, output).await?,
        Watched::TimedOut => {
            return Err(Trouble::new(
                Exit::Timeout,
                format!("job {job} is being cancelled, and not all of it has stopped"),
            )
            .fix(format!("it goes on with the next command: overnight batch wait {job}")));
        }
        Watched::Interrupted => {
            return Err(Trouble::new(
                Exit::Interrupted,
                format!("interrupted; job {job} is being cancelled"),
            )
            .fix(format!("it goes on with the next command: overnight batch wait {job}")));
        }
        Watched::Parked => return Err(parked(&desk, job).await?),
    };
    desk.store.close().await?;
    Ok(exit)
}

/// The job has ended. Where none of its tasks was cancelled, the word came too late, too.
async fn ended(desk: &Desk, job: JobId, too_late: bool, output: &Output) -> Result<Exit, Trouble> {
    let (row, shown, _) = desk.store.job_shown(job).await?;
    let cancelled = !too_late && shown == ShownState::Ended(JobOutcome::Cancelled);
    let document =
        json!({ "job_id": job, "cancelled": cancelled, "state": shown.as_str(), "tasks": row.ended });
    output.result(&document, || {
        if cancelled {
            let (kept, left) = (row.ended.succeeded, row.ended.cancelled);
            format!(
                "job {job} is cancelled: {} kept, {} cancelled",
                counted(kept, "answer", "answers"),
                counted(left, "task", "tasks")
            )
        } else {
            format!("job {job} can't be cancelled: it is {}", shown.as_str())
        }
    });
    Ok(if cancelled { Exit::Success } else { Exit::Other })
}

/// What is left waits for a person: which batches, and why.
async fn parked(desk: &Desk, job: JobId) -> Result<Trouble, Trouble> {
    let batches = desk.store.batches(job).await?;
    let mut trouble =
        Trouble::other(format!("job {job} is not cancelled: what is left of it waits for a person"));
    for row in batches {
        if let BatchState::Parked(parked) = &row.batch.state {
            let why = row.last_error.unwrap_or_else(|| parked.as_str().to_owned());
            trouble = trouble.why(format!("batch {} is parked: {why}", row.number));
        }
    }
    Ok(trouble.fix(format!("overnight batch details {job} says more, overnight batch resolve {job} decides")))
}
