//! `overnight up`: everything in one process, until somebody stops it.

use domain::Time;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::backlog;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::world::{Desk, World, tonight};

pub(crate) async fn run(config: &Config, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "up").await?;
    let world = World::start(config, desk, true).await?;
    let gateway = world.gateway.as_ref().map(gateway::Running::base_url);
    let document =
        json!({ "data_dir": config.data_dir, "provider": config.provider.as_str(), "gateway": gateway });
    output.result(&document, || {
        let mut text = format!(
            "overnight is up with the provider {}, data in {}",
            config.provider,
            config.data_dir.display()
        );
        if let Some(gateway) = &gateway {
            text.push_str(&format!(
                "\n  gateway  {gateway} (OpenAI's Files and Batches API, simulated model)"
            ));
        }
        text.push_str("\n  stop     Ctrl-C");
        text
    });
    let mut terminate = signal(SignalKind::terminate()).map_err(Trouble::other)?;
    loop {
        let night = tonight(config)?;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            _ = terminate.recv() => break,
            () = until(&world, night) => nightly(config, &world, output).await,
        }
    }
    output.note("stopping: what is in hand is finished");
    world.stop().await?.store.close().await?;
    Ok(Exit::Success)
}

/// Sleeps in short steps by the wall clock: one long sleep would not notice a suspended machine or a
/// clock that is set.
async fn until(world: &World, night: Time) {
    while world.context.store.clock().now() < night {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    }
}

/// A night: the backlog becomes jobs. A night that fails is told, and the next one comes.
async fn nightly(config: &Config, world: &World, output: &Output) {
    if !config.auto_overnight {
        return;
    }
    match backlog::collect(config, &world.desk.store, output).await {
        Ok(jobs) => {
            output.note(&format!("the night has begun: {} jobs", jobs.len()));
            world.context.ring();
        }
        Err(trouble) => output.trouble(&trouble),
    }
}
