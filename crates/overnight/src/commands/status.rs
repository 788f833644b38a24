//! `overnight batch status`: drives what is due, then shows where a job stands.

use std::time::Duration;

use domain::Lane;
use serde_json::json;

use crate::commands::details::job_document;
use crate::commands::wait::bill;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::progress::Standing;
use crate::select;
use crate::world::{Desk, World};

/// Longest time that is spent on what is due before the status is shown.
const DRIVE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

pub(crate) async fn run(
    config: &Config,
    job: &str,
    exit_status: bool,
    output: &Output,
) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "batch status").await?;
    let job = select::job(&desk.store, job).await?;
    let desk = drive(config, desk).await?;
    let standing = Standing::of(&desk.store, job).await?;
    let document = job_document(&desk.store, job).await?;
    output.result(&json!(document), || {
        let mut text = standing.line();
        if let Some(held) = standing.held(config.zone) {
            text.push_str(&format!("  {held}"));
        }
        if let Some(error) = &standing.row.last_error {
            text.push_str(&format!("\nlast error: {error}"));
        }
        if standing.row.ended.ended() > 0 {
            text.push_str(&format!("\n{}", bill(&standing.row)));
        }
        text
    });
    desk.store.close().await?;
    Ok(match (exit_status, standing.row.job.state.outcome()) {
        (false, _) => Exit::Success,
        (true, None) => Exit::NotFinished,
        (true, Some(outcome)) => Exit::of(outcome),
    })
}

/// Runs the stages until nothing is due, unless another process runs them.
pub(crate) async fn drive(config: &Config, desk: Desk) -> Result<Desk, Trouble> {
    if desk.is_elsewhere() || desk.store.next_send(config.provider.as_str(), &Lane::ALL).await?.is_none() {
        return Ok(desk);
    }
    let world = World::start(config, desk, false).await?;
    let idle = async {
        while world.context.store.busy(config.provider.as_str()).await? {
            tokio::time::sleep(LOOK).await;
        }
        Ok::<_, store::StoreError>(())
    };
    // What takes longer goes on with the next command.
    let driven = tokio::time::timeout(DRIVE, idle).await.unwrap_or(Ok(()));
    let desk = world.stop().await?;
    driven?;
    Ok(desk)
}
