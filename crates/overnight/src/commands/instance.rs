//! `overnight instance`: the tag that this database's batches carry.

use serde_json::json;

use crate::cli::InstanceCommand;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::world::Desk;

pub(crate) async fn run(
    config: &Config,
    command: &InstanceCommand,
    output: &Output,
) -> Result<Exit, Trouble> {
    let desk = Desk::open_to_write(config, "instance").await?;
    let tag = match command {
        InstanceCommand::Show => desk.store.instance_tag().await?,
        InstanceCommand::Rotate => desk.store.rotate_instance_tag().await?,
    };
    output.result(&json!({ "instance": tag }), || tag.clone());
    desk.store.close().await?;
    Ok(Exit::Success)
}
