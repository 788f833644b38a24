//! `overnight migrate`: brings the database to this version.

use serde_json::json;

use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::world::Desk;

pub(crate) async fn run(config: &Config, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::migrate(config).await?;
    let version = migrations::VERSION;
    output.result(&json!({ "schema_version": version }), || {
        format!("the database has schema version {version}")
    });
    desk.store.close().await?;
    Ok(Exit::Success)
}
