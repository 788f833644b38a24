//! `overnight batch cancel`: a person's word; what the provider has finished is kept.

use serde_json::json;

use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::progress::{Until, watch};
use crate::select;
use crate::world::{Desk, World};
use std::time::Duration;

/// How long the command waits for the provider to stop; the job goes on stopping with the next command.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(config: &Config, job: &str, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::open_to_write(config, "batch cancel").await?;
    let job = select::job_to_drive(config, &desk.store, job).await?;
    let world = World::start(config, desk, false).await?;
    let asked = pipeline::cancel_job(&world.context, job).await?;
    if asked {
        watch(&world.context.store, job, Until::Ended, Some(PATIENCE), output).await?;
    }
    let desk = world.stop().await?;
    let (row, shown, _) = desk.store.job_shown(job).await?;
    let document = json!({ "job_id": job, "cancelled": asked, "state": shown.as_str(), "tasks": row.ended });
    output.result(&document, || match asked {
        true => format!(
            "job {job} is {}: {} succeeded, {} cancelled",
            shown.as_str(),
            row.ended.succeeded,
            row.ended.cancelled
        ),
        false => format!("job {job} can't be cancelled: it is {}", shown.as_str()),
    });
    desk.store.close().await?;
    Ok(if asked { Exit::Success } else { Exit::Other })
}
