//! `overnight topology`: the broker's exchanges and queues.

use pipeline::EVENT_MEMORY;
use serde_json::json;

use crate::broker::broker_trouble;
use crate::cli::TopologyCommand;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::world::open_store;

/// Where the agent runner's queue is gone, the events that it may have held are published again, before it is
/// made: without the database it stays away.
async fn remind(config: &Config, output: &Output) -> Result<(), Trouble> {
    let kept = queue::topology::keeps_events(&config.queue_url, &config.queue_prefix).await;
    if kept.map_err(|error| broker_trouble(&error))? {
        return Ok(());
    }
    let store = open_store(config, false).await?;
    // A database that was never migrated has no events.
    if let Err(error) = store.check_schema().await {
        output.note(&format!("no event is published again: {error}"));
        return Ok(());
    }
    let again = store.publish_again(EVENT_MEMORY).await?;
    if again > 0 {
        output.note(&format!("the agent runner's queue was gone: {again} events are published again"));
    }
    Ok(())
}

pub(crate) async fn run(
    config: &Config,
    command: &TopologyCommand,
    output: &Output,
) -> Result<Exit, Trouble> {
    if !config.is_fleet() {
        return Err(
            Trouble::config("there is no broker: QUEUE_URL is memory:").fix("set QUEUE_URL to an amqp: URL")
        );
    }
    let (url, prefix) = (config.queue_url.as_str(), config.queue_prefix.as_str());
    let (result, done) = match command {
        TopologyCommand::Apply => {
            remind(config, output).await?;
            (queue::topology::apply(url, prefix).await, "are there")
        }
        TopologyCommand::Check => (queue::topology::check(url, prefix).await, "are there"),
        TopologyCommand::Delete => (queue::topology::delete(url, prefix).await, "are gone"),
    };
    result.map_err(|error| broker_trouble(&error))?;
    output.result(&json!({ "prefix": prefix, "ok": true }), || {
        format!("the exchanges and queues of {prefix} {done}")
    });
    Ok(Exit::Success)
}
